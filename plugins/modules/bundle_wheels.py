#!/usr/bin/python
"""Bring the wheels of a lock into a directory of a bundle. Wants Python 3.6 or newer with pip."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: bundle_wheels
short_description: The wheels of a lock, for the hosts' Python and platform
description:
  - Brings a directory to hold one wheel for each entry of a lock, each checked by the lock's sha256, and an index.html
    by which any web server's directory is one for C(--find-links).
  - pip chooses, with its own configuration (index, proxy, find-links); a complete directory asks nobody.
  - Runs on the control node, under the interpreter that runs the playbook.
options:
  lock: {description: File with hashed requirements., type: path, required: true}
  dest: {description: The directory., type: path, required: true}
  python: {description: "The hosts' Python, such as 3.11.", type: str, required: true}
  glibc: {description: "The oldest C library of the hosts, such as 2.17.", type: str, required: true}
  extra_index_url: {description: "An index that is asked when pip's own have not all, such as torch's.", type: str}
  near: {description: Directories whose wheels are linked or copied., type: list, elements: path}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: The wheels of the stack cpu
  fastchat.fleet.bundle_wheels:
    lock: files/locks/cpu.txt
    dest: /srv/bundle/wheels/cpu
    python: "3.11"
    glibc: "2.28"
"""
RETURN = r"""
wheels: {description: How many the lock names., type: int, returned: success}
bytes_total: {description: "Bytes of all; in check mode, that it would be.", type: int, returned: success}
bytes_fetched: {description: "Bytes that came; in check mode, that would come.", type: int, returned: success}
bytes_linked: {description: Bytes that were near., type: int, returned: success}
"""

import io

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError
    from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.wheels import Target, ensure
except (ImportError, SyntaxError):  # Python 2.7, which is refused below in a sentence
    ensure = None


def main():
    """Map arguments, check mode and errors onto ensure."""
    module = AnsibleModule(
        argument_spec={
            "lock": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "python": {"type": "str", "required": True},
            "glibc": {"type": "str", "required": True},
            "extra_index_url": {"type": "str", "default": ""},
            "near": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    if ensure is None:
        module.fail_json(msg="bundle_wheels runs on the control node under Python 3: delegate it to localhost.")
    given = module.params
    try:
        with io.open(given["lock"], encoding="utf-8") as stream:
            lock = stream.read()
        target = Target(given["python"], given["glibc"], given["extra_index_url"])
        module.exit_json(**ensure(lock, given["dest"], target, given["near"], module.check_mode))
    except (BundleError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
