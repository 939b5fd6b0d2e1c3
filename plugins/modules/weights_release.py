#!/usr/bin/python
"""Publish a directory of weights as a release, or ask whether one is there."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: weights_release
short_description: Publish a directory of weights as a release
description:
  - With O(source), describes every file in manifest.json, writes all through to the disk, renames the directory to
    its digest and flips C(current). Without, only says whether the release is there and complete (by size).
options:
  root: {description: The model's directory., type: path, required: true}
  digest: {description: Name of the release, the digest of all its inputs., type: str, required: true}
  source: {description: The finished directory on the same file system., type: path}
  inputs: {description: What the digest was made from; kept in the manifest., type: dict, default: {}}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Is it published?
  weights_release: {root: /srv/fastchat/models/m, digest: 0f3a}
"""
RETURN = r"""
published: {description: Whether the release is complete and current., type: bool, returned: always}
fault: {description: One sentence when a file of the release is missing or cut., type: str, returned: always}
"""

import json
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.weights_release import described, fault, synced


def flip(root, digest):
    """Point ``current`` to the release in one step; return whether it pointed elsewhere."""
    link, wanted = os.path.join(root, "current"), os.path.join("releases", digest)
    if os.path.islink(link) and os.readlink(link) == wanted:
        return False
    beside = link + ".part"
    if os.path.lexists(beside):
        os.remove(beside)
    os.symlink(wanted, beside)
    os.rename(beside, link)
    return True


def publish(release, source, inputs):
    """Describe, sync and rename one finished directory; a broken release of the same name makes room first."""
    with open(os.path.join(source, "manifest.json"), "w") as stream:
        json.dump({"inputs": inputs, "files": described(source)}, stream, indent=2, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    synced(source)
    if os.path.isdir(release):
        shutil.rmtree(release)
    if not os.path.isdir(os.path.dirname(release)):
        os.makedirs(os.path.dirname(release), 0o755)
    os.rename(source, release)


def main():
    """Map arguments and check mode onto publish and flip."""
    spec = {
        "root": {"type": "path", "required": True},
        "digest": {"type": "str", "required": True},
        "source": {"type": "path"},
        "inputs": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    root, digest, source = module.params["root"], module.params["digest"], module.params["source"]
    release = os.path.join(root, "releases", digest)
    if source:
        if not module.check_mode:
            publish(release, source, module.params["inputs"])
            flip(root, digest)
        module.exit_json(changed=True, published=True, fault="")
    manifest, problem = os.path.join(release, "manifest.json"), ""
    if not os.path.exists(manifest):
        module.exit_json(changed=False, published=False, fault="")
    with open(manifest) as stream:
        problem = fault(release, json.load(stream))
    changed = False
    if not problem and not module.check_mode:
        changed = flip(root, digest)
    module.exit_json(changed=changed, published=not problem, fault=problem)


if __name__ == "__main__":
    main()
