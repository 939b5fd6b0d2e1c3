#!/usr/bin/python
"""Write the manifest of a bundle, or compare a bundle with it. Python 2.7 or newer."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: bundle_manifest
short_description: Write the manifest of a bundle, or compare a bundle with it
description:
  - C(written) reads every file and describes it in manifest.json by sha256 and size.
  - C(verified) fails with one sentence when the manifest is absent or a file is missing or another.
  - C(compared) says which files are missing or others.
  - Names that begin with a dot are no part of a bundle; files that the manifest does not know are passed over.
options:
  path: {description: The bundle., type: path, required: true}
  state: {description: What is wanted., type: str, choices: [written, verified, compared], default: verified}
  sha256: {description: "The manifest's own sha256, as the bundle's maker said it (verified).", type: str}
  manifest: {description: The manifest to compare with instead of the one in the bundle (compared)., type: dict}
  full: {description: Read every byte; otherwise sizes are compared., type: bool, default: true}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Refuse a bundle that was changed on its way
  fastchat.fleet.bundle_manifest:
    path: /media/bundle
    sha256: "{{ bundle_sha256 }}"
"""
RETURN = r"""
sha256: {description: The manifest's., type: str, returned: written and verified}
bytes: {description: Bytes of all files., type: int, returned: written and verified}
files: {description: How many there are., type: int, returned: written and verified}
wrong: {description: Files that are missing or others., type: list, returned: compared}
"""

import hashlib
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import (
    NAME,
    BundleError,
    described,
    faults,
    read,
    rendered,
    sentence,
    write,
)


def written(path, check_mode):
    """Return what the module does for ``written``."""
    files = described(path) if os.path.isdir(path) else {}
    text = rendered(files)
    if check_mode:
        try:
            changed = read(path)[1] != hashlib.sha256(text.encode("utf-8")).hexdigest()
        except BundleError:
            changed = True
    else:
        changed = write(os.path.join(path, NAME), text)
    return {
        "changed": changed,
        "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(),
        "files": len(files),
        "bytes": sum(entry["size"] for entry in files.values()),
    }


def verified(path, sha256, full):
    """Return what the module does for ``verified``."""
    manifest, digest = read(path, sha256)
    wrong = faults(path, manifest, full)
    if wrong:
        raise BundleError(sentence(path, wrong))
    sizes = [entry["size"] for entry in manifest["files"].values()]
    return {"changed": False, "sha256": digest, "files": len(sizes), "bytes": sum(sizes)}


def main():
    """Map arguments, check mode and errors."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["written", "verified", "compared"], "default": "verified"},
            "sha256": {"type": "str", "default": ""},
            "manifest": {"type": "dict"},
            "full": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        if given["state"] == "written":
            module.exit_json(**written(given["path"], module.check_mode))
        if given["state"] == "compared":
            manifest = given["manifest"] or read(given["path"])[0]
            module.exit_json(changed=False, wrong=sorted(faults(given["path"], manifest, given["full"])))
        module.exit_json(**verified(given["path"], given["sha256"], given["full"]))
    except (BundleError, OSError, IOError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
