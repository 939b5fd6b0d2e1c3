#!/usr/bin/python
"""Bring Debian packages and all that they depend on into a bundle. Wants Python 3.6 or newer, apt, dpkg and gpg."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: bundle_debs
short_description: A flat, signed repository of Debian packages with their dependencies
description:
  - Brings a directory to hold packages of one release with everything that they depend on, as if nothing were
    installed, an index, its signature (C(InRelease)) and the public key (C(key.asc)).
  - The same request again asks nobody, unless O(refresh) is set; then the archive's newer versions come.
  - Runs on the control node, which must have apt, dpkg and gpg; it may be of another release.
options:
  system:
    description:
      - "A file of files/systems: name, architecture, keyring, suites. C(sources) are addresses with suites, as apt
        writes them; without these, each suite is taken from where apt on this machine takes Debian's packages."
    type: dict
    required: true
  packages: {description: Names of packages., type: list, elements: str, required: true}
  dest: {description: The directory., type: path, required: true}
  near: {description: Directories whose packages are linked or copied., type: list, elements: path}
  refresh: {description: Ask the archive whether it has newer versions., type: bool, default: false}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: git and git-lfs for Debian 12
  fastchat.fleet.bundle_debs:
    system: "{{ lookup('file', 'files/systems/debian12.yml') | from_yaml }}"
    packages: [git, git-lfs]
    dest: /srv/bundle/packages/debian12
"""
RETURN = r"""
packages: {description: How many there are with their dependencies., type: int, returned: when the archive was asked}
bytes_total: {description: "Bytes of all; in check mode, that it would be.", type: int, returned: success}
bytes_fetched: {description: "Bytes that came; in check mode, that would come.", type: int, returned: success}
bytes_linked: {description: Bytes that were near., type: int, returned: success}
"""

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.debs import ensure
    from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError
except (ImportError, SyntaxError):  # Python 2.7, which is refused below in a sentence
    ensure = None

SYSTEM = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "architecture": {"type": "str", "default": "amd64"},
    "keyring": {"type": "path", "required": True},
    "sources": {"type": "list", "elements": "str"},
    "suites": {"type": "list", "elements": "str"},
}


def main():
    """Map arguments, check mode and errors onto ensure."""
    module = AnsibleModule(
        argument_spec={
            "system": {"type": "dict", "required": True, "options": SYSTEM},
            "packages": {"type": "list", "elements": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "near": {"type": "list", "elements": "path", "default": []},
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if ensure is None:
        module.fail_json(msg="bundle_debs runs on the control node under Python 3: delegate it to localhost.")
    given = module.params
    try:
        done = ensure(
            given["system"], given["packages"], given["dest"], given["near"], given["refresh"], module.check_mode
        )
        module.exit_json(**done)
    except (BundleError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
