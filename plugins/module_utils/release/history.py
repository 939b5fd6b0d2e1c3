"""Read which release of a model is current, which were used before, and how two differ. Python 2.7 and 3.

Nothing is written. The time of a release's directory is the time of its last use.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os

from .manifest import MANIFEST, ReleaseError, read_json, time_of


def current(root):
    """Return the digest that ``current`` points to, '' when there is none."""
    link = os.path.join(root, "current")
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""


def by_use(root):
    """Return the digests of all whole releases, the last used first."""
    folder = os.path.join(root, "releases")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    whole = [name for name in names if os.path.isfile(os.path.join(folder, name, MANIFEST))]
    return sorted(whole, key=lambda name: (name == current(root), time_of(os.path.join(folder, name))), reverse=True)


def superfluous(root, keep):
    """Return the digests beyond the last ``keep`` releases; the current one is never among them."""
    return [name for name in by_use(root)[max(1, keep) :] if name != current(root)]


def previous(root):
    """Return the digest to roll back to; raise ReleaseError when there is none."""
    others = [name for name in by_use(root) if name != current(root)]
    if not others:
        raise ReleaseError(
            "%s has no release besides %s, wanted one to roll back to; publish it again."
            % (root, current(root) or "none")
        )
    return others[0]


def inputs_of(root, digest):
    """Return what a release was made from, {} when its manifest does not say."""
    return (read_json(os.path.join(root, "releases", digest, MANIFEST), {}) if digest else {}).get("inputs", {})


def differences(before, after, path=""):
    """Return "key: value before -> value after" for what differs in two dictionaries, keys of nested ones dotted."""
    lines = []
    for key in sorted(set(before) | set(after)):
        pair, name = (before.get(key), after.get(key)), path + key
        if pair[0] == pair[1]:
            continue
        if all(isinstance(value, dict) for value in pair):
            lines += differences(pair[0], pair[1], name + ".")
        else:
            lines.append("%s: %s -> %s" % ((name,) + tuple(json.dumps(value, sort_keys=True) for value in pair)))
    return lines
