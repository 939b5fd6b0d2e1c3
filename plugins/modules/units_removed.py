#!/usr/bin/python
"""Stop, disable and remove units."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: units_removed
short_description: Stop, disable and remove units
description:
  - All units of the families are stopped at once, timers and sockets first, and each as its own ExecStop= says (a
    worker drains); then they are disabled and their files are removed. Nothing is done where no such file is.
options:
  families: {description: 'Globs, such as fastchat-worker@*.', type: list, elements: str, required: true}
  paths: {description: Files and directories to remove afterwards., type: list, elements: path, default: []}
  folder: {description: Where units are., type: path, default: /etc/systemd/system}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Take the workers away
  fastchat.fleet.units_removed: {families: [fastchat-probe.*, "fastchat-worker@*"]}
"""
RETURN = r"""
removed: {description: 'Names of the units, and paths.', type: list, elements: str, returned: always}
"""

import fnmatch
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import KINDS, Systemd
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.tree import in_place


def names_of(folder, families):
    """Return the unit files of the families, timers and sockets first."""
    found = [name for name in os.listdir(folder) if any(fnmatch.fnmatch(name, family) for family in families)]
    units = [name for name in found if name.endswith(KINDS)]
    return sorted(units, key=lambda name: (KINDS.index(os.path.splitext(name)[1]), name))


def main():
    """Find the units, and remove them unless in check mode."""
    spec = {
        "families": {"type": "list", "elements": "str", "required": True},
        "paths": {"type": "list", "elements": "path", "default": []},
        "folder": {"type": "path", "default": "/etc/systemd/system"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    folder, systemd = module.params["folder"], Systemd()
    names = names_of(folder, module.params["families"])
    try:
        if names and not module.check_mode:
            systemd.take_away(folder, names)
        absent = [{"path": path, "state": "absent"} for path in module.params["paths"]]
        names += [one["path"] for one in in_place(absent, rehearse=module.check_mode)]
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(names), removed=names, diff={"before": "".join(name + "\n" for name in names), "after": ""}
    )


if __name__ == "__main__":
    main()
