#!/usr/bin/python
"""Compare many small files, directories and links with what a host has, and write those that differ, in one call."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: host_files
short_description: Bring many small files, directories and links to a host in one call
description:
  - Every entry is compared with what the host has. Those that differ are written in one step each, so a kill leaves the
    old content or the new one, and are named in C(changes) and in the difference.
  - The action of the same name runs on the control node. It renders C(template), and reads C(src), before the module is
    sent.
options:
  files:
    description: >-
      Entries: path (absolute), state (file, directory, link or absent), mode, owner, group, target (of a link), and
      of a file one of content, src (a file on the control node) and template (with vars, its own variables). secret
      keeps a content out of the difference.
    type: list
    elements: dict
    required: true
  validate:
    description: >-
      Path to a command that must accept a new content before it is written, as a list of words in which %s is a file
      with the content.
    type: dict
    default: {}
  unit: {description: 'A unit of systemd, of which C(runs) is told; none when empty.', type: str, default: ''}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Write the configuration
  fastchat.fleet.host_files:
    files:
      - {path: /etc/example, state: directory, mode: "0750"}
      - {path: /etc/example/main.conf, template: main.conf.j2, mode: "0640"}
"""
RETURN = r"""
changes: {description: "What changed, such as 'written /etc/a'.", type: list, elements: str, returned: always}
runs:
  description: Whether the unit is started and enabled, and systemd has read its file since it was written.
  type: bool
  returned: when a unit is asked for
paths: {description: The paths that changed., type: list, elements: str, returned: always}
"""

import os
import subprocess

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.files import remove, write
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.tree import (
    answer_of,
    content_of,
    difference,
    faults_of,
    in_place,
    labelled,
)


def refusal(command, entry):
    """Return '' when a command accepts an entry's new content, else what it said; '' also where it is not there."""
    if not os.path.exists(command[0]):
        return ""
    candidate = entry["path"] + ".candidate"
    try:
        write(candidate, content_of(entry).encode("utf-8"), mode=0o600, durable=False)
        process = subprocess.Popen(
            [candidate if word == "%s" else word for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said = process.communicate()[0].decode("utf-8", "replace").strip()
        refused = "%s refused what was to be written to %s: %s" % (command[0], entry["path"], said)
        return refused if process.returncode else ""
    finally:
        remove(candidate)


def main():
    """Refuse what can not be written, then write."""
    spec = {
        "files": {"type": "list", "elements": "dict", "required": True},
        "validate": {"type": "dict", "default": {}},
        "unit": {"type": "str", "default": ""},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    entries, commands = module.params["files"], module.params["validate"]
    faults = [fault for entry in entries for fault in faults_of(entry)]
    if faults:
        module.fail_json(msg=" ".join(faults))
    try:
        for entry in entries:
            if entry["path"] in commands and difference(entry):
                said = refusal(commands[entry["path"]], entry)
                if said:
                    module.fail_json(msg=said)
        differences = in_place(entries, rehearse=module.check_mode)
    except (IOError, OSError, KeyError) as error:
        module.fail_json(msg="The files could not be written: %s" % error)
    labelled(module, differences)
    answer = answer_of(differences)
    if module.params["unit"]:  # few calls ask for one, and this import is not for nothing
        from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import Systemd  # noqa: PLC0415

        try:
            answer["runs"] = Systemd().runs(module.params["unit"])
        except (RuntimeError, OSError) as error:
            module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
