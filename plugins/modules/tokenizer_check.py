#!/usr/bin/python
"""Load a tokenizer and compare its special tokens. Runs under the runtime's interpreter (Python 3, transformers)."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: tokenizer_check
short_description: Load a tokenizer and compare its special tokens with what a model needs to stop
description: Runs under the runtime's own interpreter. Runs no code of the model's. Changes nothing.
options:
  path: {description: The model's directory., type: path, required: true}
  expect: {description: Its attributes and their values., type: dict, required: true}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Compare
  fastchat.fleet.tokenizer_check:
    path: /srv/fastchat/staging/m/target
    expect: {bos_token_id: 1, eos_token_id: 2, unk_token_id: 0}
"""
RETURN = r""" # """

import os

from ansible.module_utils.basic import AnsibleModule


def main():
    """Fail with one sentence that names every token that differs."""
    spec = {"path": {"type": "path", "required": True}, "expect": {"type": "dict", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    path, expect = module.params["path"], module.params["expect"]
    if module.check_mode and not os.path.isdir(path):
        module.exit_json(changed=False)
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from transformers import AutoTokenizer  # noqa: PLC0415  (absent until the runtime phase ran)

        tokenizer = AutoTokenizer.from_pretrained(path)
    except Exception as error:
        module.fail_json(msg="The tokenizer in %s does not load: %s: %s" % (path, type(error).__name__, error))
    found = dict((name, getattr(tokenizer, name, None)) for name in expect)
    wrong = [
        "%s is %r, wanted %r" % (name, found[name], expect[name])
        for name in sorted(expect)
        if found[name] != expect[name]
    ]
    if wrong:
        module.fail_json(
            msg="The tokenizer in %s would not stop the chat: %s; see the model's patches." % (path, ", ".join(wrong))
        )
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
