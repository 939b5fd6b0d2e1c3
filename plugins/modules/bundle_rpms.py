#!/usr/bin/python
"""Bring RPMs and all that they depend on into a bundle. Wants Python 3.6 or newer, dnf 4, createrepo_c, rpm and gpg."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: bundle_rpms
short_description: A repository of RPMs with their dependencies, and the keys that signed them
description:
  - Brings a directory to hold packages of one release with everything that they depend on, as if nothing were
    installed, metadata for yum and dnf, and the keys that hosts check the packages with (C(keys/)).
  - Each package must be signed by one of the keys, and each key have the fingerprint of its system.
  - The same request again asks nobody, unless O(refresh) is set; then the repositories' newer versions come.
  - Runs on the control node, which must have dnf 4 with its download plug-in, createrepo_c, rpm and gpg; it may be of
    another release or a Debian.
options:
  system:
    description: "Name, architecture and release of a file of files/systems, repositories (name and address), keys
      (name, with url and fingerprint)."
    type: dict
    required: true
  packages: {description: Names of packages., type: list, elements: str, required: true}
  files:
    description: RPMs in O(dest) that came another way and were checked there; what they depend on comes too.
    type: list
    elements: path
  dest: {description: The directory., type: path, required: true}
  near: {description: Directories whose packages are linked or copied., type: list, elements: path}
  refresh: {description: Ask the repositories whether they have newer versions., type: bool, default: false}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: git for CentOS 7
  fastchat.fleet.bundle_rpms:
    system:
      name: centos7
      release: "7"
      repositories: {base: "https://mirror.example.com/7.9.2009/os/x86_64"}
      keys:
        centos:
          url: https://mirror.example.com/7.9.2009/os/x86_64/RPM-GPG-KEY-CentOS-7
          fingerprint: 6341AB2753D78A78A7C27BB124C6A8A7F4A80EB5
    packages: [git]
    dest: /srv/bundle/packages/centos7
"""
RETURN = r"""
packages: {description: How many there are., type: int, returned: when the repositories were asked}
bytes_total: {description: "Bytes of all; in check mode, that it would be.", type: int, returned: success}
bytes_fetched: {description: "Bytes that came; in check mode, that would come.", type: int, returned: success}
bytes_linked: {description: Bytes that were near., type: int, returned: success}
"""

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError
    from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.rpms import ensure
except (ImportError, SyntaxError):  # Python 2.7, which is refused below in a sentence
    ensure = None

SYSTEM = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "architecture": {"type": "str", "default": "x86_64"},
    "release": {"type": "str", "required": True},
    "repositories": {"type": "dict", "required": True},
    "keys": {"type": "dict", "required": True, "no_log": False},
}


def main():
    """Map arguments, check mode and errors onto ensure."""
    module = AnsibleModule(
        argument_spec={
            "system": {"type": "dict", "required": True, "options": SYSTEM},
            "packages": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "list", "elements": "path", "default": []},
            "dest": {"type": "path", "required": True},
            "near": {"type": "list", "elements": "path", "default": []},
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if ensure is None:
        module.fail_json(msg="bundle_rpms runs on the control node under Python 3: delegate it to localhost.")
    given = module.params
    try:
        done = ensure(
            given["system"],
            given["packages"],
            given["files"],
            given["dest"],
            given["near"],
            given["refresh"],
            module.check_mode,
        )
        module.exit_json(**done)
    except (BundleError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
