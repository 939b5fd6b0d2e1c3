#!/usr/bin/python
"""Ask a served model one question. Runs under the runtime's interpreter (Python 3, package openai)."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: chat_probe
short_description: Ask a served model one question with a real OpenAI client
description: Runs under the runtime's own interpreter, which has the package openai. Changes nothing.
options:
  api: {description: Base URL that ends in /v1., type: str, required: true}
  model: {description: Name of the model., type: str, required: true}
  question: {description: What is asked., type: str, required: true}
  expect: {description: What the answer must contain., type: str, required: true}
  max_tokens: {description: The limit that an answer must not reach., type: int, default: 120}
  timeout: {description: Seconds for one answer., type: int, default: 120}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Ask
  chat_probe: {api: "http://ctl01:8000/v1", model: m, question: "What is the capital of France?", expect: Paris}
"""
RETURN = r"""
answer: {description: The answer of the whole request., type: str, returned: success}
tokens_per_second: {description: Completion tokens by wall time., type: float, returned: success}
"""

import time

from ansible.module_utils.basic import AnsibleModule


def whole(client, request):
    """Return (text, finish reason, completion tokens, seconds) of one request that is not streamed."""
    started = time.time()
    reply = client.chat.completions.create(**request)
    choice = reply.choices[0]
    return choice.message.content, choice.finish_reason, reply.usage.completion_tokens, time.time() - started


def streamed(client, request):
    """Return (text, finish reason, number of pieces) of one streamed request."""
    text, reason, pieces = "", None, 0
    for chunk in client.chat.completions.create(stream=True, **request):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            pieces += 1
            reason = choice.finish_reason or reason
    return text, reason, pieces


def main():
    """Ask both ways and fail with one sentence when an answer is wrong or does not stop."""
    spec = {
        "api": {"type": "str", "required": True},
        "model": {"type": "str", "required": True},
        "question": {"type": "str", "required": True},
        "expect": {"type": "str", "required": True},
        "max_tokens": {"type": "int", "default": 120, "no_log": False},
        "timeout": {"type": "int", "default": 120},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    asked = module.params
    try:
        from openai import OpenAI  # noqa: PLC0415  (absent until the runtime phase ran)
    except ImportError:
        module.fail_json(msg="The package openai is not in the runtime; run the runtime phase first.")
    client = OpenAI(base_url=asked["api"], api_key="none", timeout=asked["timeout"], max_retries=0)
    request = {
        "model": asked["model"],
        "messages": [{"role": "user", "content": asked["question"]}],
        "temperature": 0,
        "max_tokens": asked["max_tokens"],
    }
    try:
        text, reason, tokens, seconds = whole(client, request)
        piecewise, stream_reason, pieces = streamed(client, request)
    except Exception as error:
        module.fail_json(msg="%s did not answer: %s: %s" % (asked["api"], type(error).__name__, error))
    for way, found, why in (("whole", text, reason), ("streamed", piecewise, stream_reason)):
        if asked["expect"] not in found:
            module.fail_json(msg="The %s answer was %r, wanted one with %r." % (way, found, asked["expect"]))
        if why != "stop":
            module.fail_json(msg="The %s answer ended by %r, wanted 'stop': it ran to the limit." % (way, why))
    module.exit_json(changed=False, answer=text, tokens_per_second=round(tokens / seconds, 1), pieces=pieces)


if __name__ == "__main__":
    main()
