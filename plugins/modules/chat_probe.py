#!/usr/bin/python
"""Ask a served model one question. Runs under the runtime's interpreter (Python 3; openai, transformers, fastchat)."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: chat_probe
short_description: Ask a served model one question, through the API, a command or one worker
description:
  - Through O(api) with a real OpenAI client, whole and streamed; through O(command) on its standard input, as a person
    would type it; from O(worker) itself, past controller and API, with the prompt that they would send it. Runs under
    the runtime's own interpreter. Changes nothing.
  - A wrong answer does not fail the task, it is returned in RV(fault), so that every host's verdict can be given.
options:
  api: {description: Base URL that ends in /v1., type: str}
  key: {description: API key., type: str, default: none}
  certificate:
    description: The one certificate that the API must show, PEM; empty trusts whom the system trusts.
    type: str
    default: ""
  command: {description: The chat command and its arguments., type: list, elements: str}
  worker: {description: "Base URL of a worker, such as http://gpu01:21002.", type: str}
  earlier:
    description: >-
      Path of an earlier verdict on the host. What O(command) answered then is returned again, with RV(earlier), when it
      was right and C(with) below is still so; empty asks anew.
    type: path
  tokenizer: {description: The model's directory; counts the tokens of a command's answer., type: path}
  model: {description: Name of the model., type: str, required: true}
  question: {description: What is asked., type: str, required: true}
  expect: {description: What the answer must contain., type: str, required: true}
  limit: {description: Tokens that an answer must not reach., type: int, default: 120}
  timeout: {description: Seconds for one answer., type: int, default: 120}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Ask
  fastchat.fleet.chat_probe:
    api: http://ctl01:8000/v1
    model: m
    question: What is the capital of France?
    expect: Paris
"""
RETURN = r"""
room:
  description: False when the GPU had no memory for a second copy of the model beside its worker, which is no fault.
  type: bool
  returned: always
fault: {description: "One sentence when an answer is missing, wrong or too long, else ''.", type: str, returned: always}
answer: {description: The answer., type: str, returned: always}
tokens: {description: Its tokens., type: int, returned: always}
earlier: {description: Whether the answer is an earlier one., type: bool, returned: always}
with: {description: 'With a command, the programs and weights that answered.', type: dict, returned: always}
tokens_per_second: {description: "Tokens by wall time; of a command, with loading.", type: float, returned: always}
"""

import json
import os
import re
import ssl
import time
import urllib.request

from ansible.module_utils.basic import AnsibleModule

ENVIRONMENT = "/opt/fastchat/env"
# fastchat.serve.cli on a pipe: "<user>: <assistant>: <answer>\n<user>: exit..." (0.2.36, SimpleChatIO and chat_loop).
TRANSCRIPT = re.compile(
    r"^(?P<user>[^:\n]+): (?P<assistant>[^:\n]+): (?P<answer>.*?)\n(?P=user): exit\.\.\.", re.DOTALL | re.MULTILINE
)
# In the words of every torch since 1.9: of an allocation, and of a context that found no memory at all.
NO_ROOM = re.compile(r"CUDA (error: )?out of memory")


class NoRoomError(Exception):
    """The GPU has no memory for a second copy of the model beside its worker."""


def whole(client, request):
    """Return (text, finish reason, completion tokens, seconds) of one request that is not streamed."""
    started = time.time()
    reply = client.chat.completions.create(**request)
    choice = reply.choices[0]
    return choice.message.content, choice.finish_reason, reply.usage.completion_tokens, time.time() - started


def streamed(client, request):
    """Return (text, finish reason) of one streamed request."""
    text, reason = "", None
    for chunk in client.chat.completions.create(stream=True, **request):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason


def direct(certificate):
    """Return an HTTP client that asks no proxy.

    With a certificate (PEM), be it self-signed or a leaf, it trusts this one alone, for its names.
    """
    import httpx  # noqa: PLC0415

    if not certificate:
        return httpx.Client(trust_env=False)
    context = ssl.create_default_context(cadata=certificate)
    context.verify_flags |= 0x80000  # VERIFY_X509_PARTIAL_CHAIN, which Python names from 3.10 on
    return httpx.Client(verify=context, trust_env=False)


def through_api(asked):
    """Return (answer, tokens, seconds, fault) of the API, asked whole and streamed."""
    from openai import OpenAI  # noqa: PLC0415  (absent until the runtime phase ran)

    client = OpenAI(
        base_url=asked["api"],
        api_key=asked["key"],
        timeout=asked["timeout"],
        max_retries=0,
        http_client=direct(asked["certificate"]),
    )
    request = {
        "model": asked["model"],
        "messages": [{"role": "user", "content": asked["question"]}],
        "temperature": 0,
        "max_tokens": asked["limit"],
    }
    text, reason, tokens, seconds = whole(client, request)
    piecewise, stream_reason = streamed(client, request)
    for way, found, why in (("whole", text, reason), ("streamed", piecewise, stream_reason)):
        if asked["expect"] not in found:
            return text, tokens, seconds, "The %s answer was %r, wanted one with %r." % (way, found, asked["expect"])
        if why != "stop":
            return text, tokens, seconds, "The %s answer ended by %r, wanted 'stop': it ran to the limit." % (way, why)
    return text, tokens, seconds, ""


def through_command(module, asked):
    """Return (answer, tokens, seconds, fault) of the chat command, asked by a pipe."""
    from transformers import AutoTokenizer  # noqa: PLC0415

    started = time.time()
    command = asked["command"] + ["--temperature=0", "--max-new-tokens=%d" % asked["limit"]]
    code, output, errors = module.run_command(command, data=asked["question"])
    seconds = time.time() - started
    transcript = TRANSCRIPT.search(output)
    if code and NO_ROOM.search(output + errors):
        raise NoRoomError
    if code or not transcript:
        return "", 0, seconds, "%s ended with %d and said: %s" % (command[0], code, (output + errors).strip()[-2000:])
    answer = transcript.group("answer").strip()
    tokens = len(AutoTokenizer.from_pretrained(asked["tokenizer"]).encode(answer, add_special_tokens=False))
    if asked["expect"] not in answer:
        return answer, tokens, seconds, "The answer was %r, wanted one with %r." % (answer, asked["expect"])
    if tokens >= asked["limit"]:
        return answer, tokens, seconds, "The answer has %d tokens: it ran to the limit." % tokens
    return answer, tokens, seconds, ""


def answered_with(asked):
    """Return what decides a command's answer: the question, the limit, and {path: [where it leads, size, time]}."""
    found = dict((key, asked[key]) for key in ("question", "expect", "limit"))
    for path in (ENVIRONMENT, asked["tokenizer"], asked["command"][0]):
        about = os.stat(path)
        found[path] = [os.path.realpath(path), about.st_size, int(about.st_mtime)]
    return found


def earlier_answer(asked, now):
    """Return what came of the same command before, {answer, tokens, tokens_per_second, room}; None to ask it again."""
    try:
        with open(asked["earlier"] or os.devnull) as stream:
            ways = json.load(stream)["ways"].values()
    except (OSError, ValueError, KeyError):
        return None
    for said in ways:
        if said.get("model") == asked["model"] and said.get("with") == now and not said["fault"]:
            found = dict((key, said[key]) for key in ("answer", "tokens", "tokens_per_second"))
            return dict(found, room=said.get("room", True))
    return None


def post(url, body, timeout):
    """Return the bytes of the answer to a POST; the fleet is not behind the site's proxy."""
    request = urllib.request.Request(url, data=json.dumps(body).encode(), method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=timeout) as reply:
        return reply.read()


def prompt_of(conversation, question):
    """Return (prompt, stop) as fastchat.serve.openai_api_server makes them of one question."""
    conversation.append_message(conversation.roles[0], question)
    conversation.append_message(conversation.roles[1], None)
    return conversation.get_prompt(), conversation.stop_str


def through_worker(asked):
    """Return (answer, tokens, seconds, fault) of one worker, asked as the API server would ask it."""
    from fastchat.conversation import get_conv_template  # noqa: PLC0415  (absent until the runtime phase ran)

    started = time.time()
    said = json.loads(post(asked["worker"] + "/worker_get_conv_template", {"model": asked["model"]}, asked["timeout"]))
    conversation = get_conv_template(said["conv"]["name"])
    prompt, stop = prompt_of(conversation, asked["question"])
    request = {
        "model": asked["model"],
        "prompt": prompt,
        "temperature": 0.0,
        "max_new_tokens": asked["limit"],
        "echo": False,
        "stop": stop,
        "stop_token_ids": conversation.stop_token_ids,
    }
    stream = post(asked["worker"] + "/worker_generate_stream", request, asked["timeout"])
    last = json.loads([part for part in stream.split(b"\0") if part][-1])
    text, tokens = last["text"].strip(), (last.get("usage") or {}).get("completion_tokens", 0)
    return text, tokens, time.time() - started, worker_fault(asked, last)


def worker_fault(asked, last):
    """Return one sentence when the last piece of a worker's stream is no right and finished answer, else ''."""
    if last["error_code"]:
        return "%s said error %s: %s." % (asked["worker"], last["error_code"], last["text"][:300])
    if asked["expect"] not in last["text"]:
        return "The answer of %s was %r, wanted one with %r." % (asked["worker"], last["text"], asked["expect"])
    # Older versions of FastChat do not say why an answer ended.
    if last.get("finish_reason", "stop") != "stop":
        return "The answer of %s ended by %r, wanted 'stop'." % (asked["worker"], last["finish_reason"])
    return ""


def main():
    """Ask, and return the answer together with the fault."""
    spec = {
        "api": {"type": "str"},
        "key": {"type": "str", "default": "none", "no_log": True},
        "certificate": {"type": "str", "default": ""},
        "command": {"type": "list", "elements": "str"},
        "worker": {"type": "str"},
        "earlier": {"type": "path"},
        "tokenizer": {"type": "path", "no_log": False},
        "model": {"type": "str", "required": True},
        "question": {"type": "str", "required": True},
        "expect": {"type": "str", "required": True},
        "limit": {"type": "int", "default": 120},
        "timeout": {"type": "int", "default": 120},
    }
    module = AnsibleModule(
        argument_spec=spec,
        supports_check_mode=True,
        required_one_of=[("api", "command", "worker")],
        mutually_exclusive=[("api", "command", "worker")],
        required_by={"command": "tokenizer"},
    )
    asked = module.params
    os.environ["HF_HUB_OFFLINE"] = "1"
    answer, tokens, seconds, now, room = "", 0, 0.0, {}, True
    try:
        if asked["command"]:
            now = answered_with(asked)
            before = earlier_answer(asked, now)
            if before:
                module.exit_json(changed=False, fault="", earlier=True, **dict(before, **{"with": now}))
        if asked["api"]:
            answer, tokens, seconds, fault = through_api(asked)
        elif asked["worker"]:
            answer, tokens, seconds, fault = through_worker(asked)
        else:
            answer, tokens, seconds, fault = through_command(module, asked)
    except NoRoomError:
        fault, room = "", False
    except ImportError as error:
        fault = "The runtime lacks a package (%s); run the runtime phase first." % error
    except Exception as error:
        whom = asked["api"] or asked["worker"] or asked["command"][0]
        fault = "%s did not answer: %s: %s" % (whom, type(error).__name__, error)
    rate = round(tokens / seconds, 1) if seconds else 0.0
    said = {"answer": answer, "tokens": tokens, "tokens_per_second": rate, "fault": fault, "with": now}
    module.exit_json(changed=False, earlier=False, room=room, **said)


if __name__ == "__main__":
    main()
