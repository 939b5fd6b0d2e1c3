#!/usr/bin/python
"""Say what is at some paths of a host."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: host_paths
short_description: Say what is at some paths of a host, in one call
description: Reads only. A link is told as a link, wherever it leads.
options:
  paths: {description: Absolute paths., type: list, elements: path, required: true}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Look for the programs
  fastchat.fleet.host_paths: {paths: [/usr/bin/git, /usr/bin/git-lfs]}
"""
RETURN = r"""
states: {description: "What is at each path: file, directory, link, other or absent.", type: dict, returned: always}
absent: {description: The paths at which nothing is., type: list, elements: str, returned: always}
targets: {description: Where each link leads, as it is written in it., type: dict, returned: always}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.tree import state_of


def main():
    """Look at each path."""
    spec = {"paths": {"type": "list", "elements": "path", "required": True}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    paths = module.params["paths"]
    states = dict((path, state_of(path)) for path in paths)
    module.exit_json(
        changed=False,
        states=states,
        absent=[path for path in paths if states[path] == "absent"],
        targets=dict((path, os.readlink(path)) for path in paths if states[path] == "link"),
    )


if __name__ == "__main__":
    main()
