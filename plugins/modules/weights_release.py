#!/usr/bin/python
"""Publish a directory of weights as a release, verify one, flip back, or prune."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: weights_release
short_description: Publish a directory of weights as a release, verify one, roll back, or prune
description:
  - Releases lie in C(root/releases/<digest>), each with its manifest.json; C(root/current) links to one.
  - C(present) says whether the release is there and right, and points C(current) to it.
  - C(published) describes O(source), writes all through to the disk, renames it to its digest and flips C(current).
  - C(rolled_back) flips C(current) to the release that was used before.
  - C(pruned) removes all but the last O(keep) releases; never the current one.
options:
  root: {description: The model's directory., type: path, required: true}
  state:
    description: What is wanted.
    type: str
    choices: [present, published, rolled_back, pruned]
    default: present
  digest: {description: Name of the release; the digest of all its inputs., type: str}
  source: {description: The finished directory on the same file system., type: path}
  inputs: {description: What the digest was made from; kept in the manifest., type: dict, default: {}}
  known: {description: Size and sha256 of files that were hashed while they were written., type: dict, default: {}}
  facts: {description: Kept in the manifest beside the inputs, such as the duration., type: dict, default: {}}
  verify:
    description: C(quick) compares sizes and times and reads what was touched; C(full) reads everything, in parallel.
    type: str
    choices: [quick, full]
    default: quick
  keep: {description: Releases to keep., type: int, default: 2}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Is it published?
  weights_release: {root: /srv/fastchat/models/m, digest: 0f3a}
"""
RETURN = r"""
published: {description: Whether the release is whole and current., type: bool, returned: state is present or published}
damaged: {description: Files of it that are missing or wrong., type: list, elements: str, returned: state is present}
good: {description: Size and sha256 of its files that are right., type: dict, returned: state is present}
current: {description: The digest that current points to., type: str, returned: always}
removed: {description: Digests that were removed., type: list, elements: str, returned: state is pruned}
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.weights_release import (
    MANIFEST,
    ReleaseError,
    current,
    damaged,
    described,
    flip,
    previous,
    publish,
    read_json,
    superfluous,
)


def present(asked, dry):
    """Return what is known of a release; a whole one becomes the current one."""
    release = os.path.join(asked["root"], "releases", asked["digest"])
    manifest = read_json(os.path.join(release, MANIFEST))
    if manifest is None:
        return {"changed": False, "published": False, "damaged": [], "good": {}}
    bad = damaged(release, manifest, full=asked["verify"] == "full", note=not dry)
    good = dict((name, entry) for name, entry in manifest["files"].items() if name not in bad)
    elsewhere = current(asked["root"]) != asked["digest"]
    if not bad and not dry:
        flip(asked["root"], asked["digest"])
    return {"changed": elsewhere and not bad, "published": not bad, "damaged": bad, "good": good}


def published(asked, dry):
    """Publish the source."""
    if not dry:
        files = described(asked["source"], asked["known"])
        manifest = dict(asked["facts"], inputs=asked["inputs"], files=files)
        publish(asked["root"], asked["digest"], asked["source"], manifest)
    return {"changed": True, "published": True, "diff": {"before": "", "after": asked["digest"] + "\n"}}


def rolled_back(asked, dry):
    """Flip to the release used before."""
    was, wanted = current(asked["root"]), previous(asked["root"])
    if not dry:
        flip(asked["root"], wanted)
    return {"changed": True, "diff": {"before": was + "\n", "after": wanted + "\n"}}


def pruned(asked, dry):
    """Remove what is superfluous."""
    names = superfluous(asked["root"], asked["keep"])
    for name in [] if dry else names:
        shutil.rmtree(os.path.join(asked["root"], "releases", name))
        shutil.rmtree(os.path.join(asked["root"], "torrents", name), ignore_errors=True)  # made when it was distributed
    return {"changed": bool(names), "removed": names}


def main():
    """Map arguments, check mode and errors onto one of the four."""
    states = {"present": present, "published": published, "rolled_back": rolled_back, "pruned": pruned}
    spec = {
        "root": {"type": "path", "required": True},
        "state": {"type": "str", "choices": sorted(states), "default": "present"},
        "digest": {"type": "str"},
        "source": {"type": "path"},
        "inputs": {"type": "dict", "default": {}},
        "known": {"type": "dict", "default": {}},
        "facts": {"type": "dict", "default": {}},
        "verify": {"type": "str", "choices": ["quick", "full"], "default": "quick"},
        "keep": {"type": "int", "default": 2},
    }
    required = [("state", "present", ["digest"]), ("state", "published", ["digest", "source"])]
    module = AnsibleModule(argument_spec=spec, required_if=required, supports_check_mode=True)
    try:
        result = states[module.params["state"]](module.params, module.check_mode)
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(current=current(module.params["root"]), **result)


if __name__ == "__main__":
    main()
