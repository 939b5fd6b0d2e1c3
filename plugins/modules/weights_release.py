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
  - C(repaired) puts the files of O(source), if they are what the manifest says, in the place of the release's own.
  - C(rolled_back) flips C(current) to the release that was used before, if that is whole.
  - C(pruned) removes all but the last O(keep) releases; never the current one.
options:
  root: {description: The model's directory., type: path, required: true}
  state:
    description: What is wanted.
    type: str
    choices: [present, published, repaired, rolled_back, pruned]
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
  leftover: {description: 'A directory that C(pruned) removes first.', type: path}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Is it published?
  fastchat.fleet.weights_release: {root: /srv/fastchat/models/m, digest: 0f3a}
"""
RETURN = r"""
published: {description: Whether the release is whole and current., type: bool, returned: unless rolled back or pruned}
damaged: {description: Files of it that are missing or wrong., type: list, elements: str, returned: state is present}
surplus: {description: C(changes) of C(pruned) if it ran now., type: list, elements: str, returned: state is present}
files: {description: Size and sha256 of its files by its manifest., type: dict, returned: state is present}
good: {description: Size and sha256 of its files that are right., type: dict, returned: state is present}
current: {description: The digest that current points to., type: str, returned: always}
was: {description: The digest that current pointed to., type: str, returned: state is rolled_back}
now: {description: "The digest that it points to now; in check mode, would.", type: str, returned: state is rolled_back}
differs: {description: In which inputs the two differ., type: list, elements: str, returned: state is rolled_back}
removed: {description: Digests that were removed., type: list, elements: str, returned: state is pruned}
"""

import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.release.history import (
    current,
    differences,
    inputs_of,
    previous,
    superfluous,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import (
    MANIFEST,
    ReleaseError,
    damaged,
    described,
    files_below,
    read_json,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.release.publish import flip, publish, put_repaired
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.tree import in_place


def present(asked, dry):
    """Return what is known about a release, and make it current when it is whole."""
    release = os.path.join(asked["root"], "releases", asked["digest"])
    manifest = read_json(os.path.join(release, MANIFEST))
    if manifest is None:
        return {"changed": False, "published": False, "damaged": [], "good": {}, "files": {}}
    bad = damaged(release, manifest, full=asked["verify"] == "full", note=not dry)
    good = dict((name, entry) for name, entry in manifest["files"].items() if name not in bad)
    elsewhere = current(asked["root"]) != asked["digest"]
    if not bad and not dry:
        flip(asked["root"], asked["digest"])
    found = {"published": not bad, "damaged": bad, "good": good, "files": manifest["files"]}
    return dict(found, changed=elsewhere and not bad)


def published(asked, dry):
    """Publish the source."""
    if not dry:
        files = described(asked["source"], asked["known"])
        manifest = dict(asked["facts"], inputs=asked["inputs"], files=files)
        publish(asked["root"], asked["digest"], asked["source"], manifest)
    return {"changed": True, "published": True, "diff": {"before": "", "after": asked["digest"] + "\n"}}


def repaired(asked, dry):
    """Put the repaired files of the source in their places."""
    if not dry:
        release = os.path.join(asked["root"], "releases", asked["digest"])
        files, made = read_json(os.path.join(release, MANIFEST))["files"], described(asked["source"], asked["known"])
        for name in sorted(made):
            if made[name] != files.get(name):
                said = "%s in %s is not what the manifest of %s says; publish the whole release again."
                raise ReleaseError(said % (name, asked["source"], release))
        put_repaired(asked["root"], asked["digest"], asked["source"], files_below(asked["source"]))
        shutil.rmtree(asked["source"])
    return {"changed": True, "published": True}


def rolled_back(asked, dry):
    """Flip to the release used before."""
    root, was, wanted = asked["root"], current(asked["root"]), previous(asked["root"])
    release = os.path.join(root, "releases", wanted)
    bad = damaged(release, read_json(os.path.join(release, MANIFEST)), note=not dry)
    if bad:
        said = "%s has damaged files (%s), wanted a whole release to roll back to; publish it again."
        raise ReleaseError(said % (release, ", ".join(bad)))
    differs = differences(inputs_of(root, was), inputs_of(root, wanted))
    if not dry:
        flip(root, wanted)
    diff = {"before": was + "\n", "after": wanted + "\n"}
    return {"changed": True, "was": was, "now": wanted, "differs": differs, "diff": diff}


def pruned(asked, dry):
    """Remove what a run leaves in staging, and superfluous releases."""
    leftovers = [{"path": asked["leftover"], "state": "absent"}] if asked["leftover"] else []
    removed = [one["path"] for one in in_place(leftovers, rehearse=dry)]
    names = superfluous(asked["root"], asked["keep"])
    for name in [] if dry else names:
        shutil.rmtree(os.path.join(asked["root"], "releases", name))
        shutil.rmtree(os.path.join(asked["root"], "torrents", name), ignore_errors=True)  # made for distribution
    changes = ["removed " + path for path in removed + names]
    return {"changed": bool(changes), "removed": names, "changes": changes}


def main():
    """Map arguments, check mode and errors onto one of the five."""
    states = {
        "present": present,
        "published": published,
        "repaired": repaired,
        "rolled_back": rolled_back,
        "pruned": pruned,
    }
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
        "leftover": {"type": "path"},
    }
    required = [("state", "present", ["digest"])]
    required += [("state", state, ["digest", "source"]) for state in ("published", "repaired")]
    module = AnsibleModule(argument_spec=spec, required_if=required, supports_check_mode=True)
    try:
        result = states[module.params["state"]](module.params, module.check_mode)
        if module.params["state"] == "present":
            result["surplus"] = pruned(module.params, True)["changes"]
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(current=current(module.params["root"]), **result)


if __name__ == "__main__":
    main()
