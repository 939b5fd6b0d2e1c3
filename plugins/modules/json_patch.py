#!/usr/bin/python
"""Merge keys into a JSON file."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: json_patch
short_description: Merge keys into a JSON file
description: Replaces the file in one step. A file that does not exist is made. Check mode and diff are supported.
options:
  path: {description: The JSON file, an object at its top., type: path, required: true}
  patch: {description: Keys to set; nested objects are merged., type: dict, required: true}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Repair the class name of 2023
  fastchat.fleet.json_patch:
    path: /srv/model/tokenizer_config.json
    patch: {tokenizer_class: LlamaTokenizer}
"""
RETURN = r""" # """

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.release.json_patch import patched
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.files import PART, json_bytes, sync_folder, write


def main():
    """Map arguments, check mode, diff and errors onto the pure function."""
    spec = {"path": {"type": "path", "required": True}, "patch": {"type": "dict", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    path = module.params["path"]
    before = {}
    if os.path.exists(path):
        with open(path) as stream:
            try:
                before = json.load(stream)
            except ValueError as error:
                module.fail_json(msg="%s is not JSON (%s); fetch the file again." % (path, error))
    if not isinstance(before, dict):
        module.fail_json(
            msg="%s holds a %s at its top, wanted an object; fetch the file again." % (path, type(before).__name__)
        )
    changes, after = patched(before, module.params["patch"])
    if changes and not module.check_mode:
        write(path + PART, after)
        # Not the rename of storage: this one keeps the owner, mode and SELinux context of the file that is there. It
        # does not write the new name through to the disk, as storage's does, so that is done here.
        module.atomic_move(path + PART, path)
        sync_folder(os.path.dirname(path) or ".")
    diff = {"before": json_bytes(before).decode("ascii"), "after": after.decode("ascii")}
    module.exit_json(changed=changes, diff=dict(diff, before_header=path, after_header=path))


if __name__ == "__main__":
    main()
