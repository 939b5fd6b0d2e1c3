#!/usr/bin/python
"""Remove old releases, environments, interpreters and staging that nobody uses."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: leftovers
short_description: Remove old releases, environments, interpreters and staging that nobody uses
description:
  - Keeps the last O(keep) releases of each model and the last O(keep) environments of each link; never what a link
    leads to, nor what any process names among its program, arguments, environment, open or mapped files.
  - Also removes interpreters that no environment uses, and what a killed run left in staging, unless it is locked.
options:
  root: {description: Where environments live., type: path, default: /opt/fastchat}
  weights: {description: Where models live., type: path, default: /srv/fastchat}
  keep: {description: 'How many of each, the current one among them.', type: int, default: 2}
  downloads: {description: Whether what was downloaded for weights is kept on purpose., type: bool, default: false}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Keep two of each
  fastchat.fleet.leftovers:
"""
RETURN = r"""
removed: {description: 'What was removed: what, path, bytes.', type: list, elements: dict, returned: always}
busy: {description: 'What a process uses, so that it stays: likewise.', type: list, elements: dict, returned: always}
bytes: {description: Bytes that were freed., type: int, returned: always}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.release.leftovers import plan, remove_tree, used_paths


def main():
    """Find what can be removed, and remove it unless in check mode."""
    spec = {
        "root": {"type": "path", "default": "/opt/fastchat"},
        "weights": {"type": "path", "default": "/srv/fastchat"},
        "keep": {"type": "int", "default": 2},
        "downloads": {"type": "bool", "default": False},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    root, weights, keep = (module.params[name] for name in ("root", "weights", "keep"))
    if keep < 1:
        module.fail_json(msg="keep is %d, wanted 1 or more: the current one is always kept." % keep)
    try:
        removed, busy = plan(root, weights, keep, module.params["downloads"], used_paths())
        for entry in [] if module.check_mode else removed:
            home = weights if entry["path"].startswith(weights + "/") else root
            remove_tree(entry["path"], os.path.join(home, "staging"))
    except (IOError, OSError) as error:
        module.fail_json(msg="%s: %s." % (error.filename, error.strerror))
    lines = "".join("%(what)s %(path)s\n" % entry for entry in removed)
    total = sum(entry["bytes"] for entry in removed)
    module.exit_json(
        changed=bool(removed), removed=removed, busy=busy, bytes=total, diff={"before": lines, "after": ""}
    )


if __name__ == "__main__":
    main()
