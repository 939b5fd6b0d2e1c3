"""The manifest of a bundle: sha256 and size of every file in it. Python 2.7 and 3: a mirror compares under its own."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import io
import json
import os

from ..storage import files as storage
from ..storage.digests import sha256_of

NAME = "manifest.json"
FORMAT = 1
SHOWN = 3  # files named in one sentence


class BundleError(Exception):
    """One sentence for the operator: what was found, what is wanted, what to do."""


def names_in(bundle):
    """Return the sorted relative names of a bundle's files; the manifest and names that begin with a dot are left out.

    A symlink is refused: a copy of the bundle would not hold what it points to.
    """
    found = []
    for parent, folders, files in os.walk(bundle):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files + folders:
            path = os.path.join(parent, name)
            if os.path.islink(path):
                raise BundleError("%s is a symlink: put the file itself there, a bundle is carried as it is." % path)
        found += [os.path.relpath(os.path.join(parent, name), bundle) for name in files if not name.startswith(".")]
    return sorted(name for name in found if name != NAME and not name.endswith((".part", ".progress")))


def described(bundle):
    """Return {relative name: {sha256, size}} of a bundle's files, which are read whole."""
    return {
        name: {"sha256": sha256_of(os.path.join(bundle, name)), "size": os.path.getsize(os.path.join(bundle, name))}
        for name in names_in(bundle)
    }


def rendered(files):
    """Return the manifest as text: the same for the same files, so that its own sha256 names the bundle."""
    return json.dumps({"format": FORMAT, "files": files}, indent=1, sort_keys=True, separators=(",", ": ")) + "\n"


def read(bundle, wanted=""):
    """Return (manifest, its sha256); raises BundleError when it is absent, broken, or not the one ``wanted``."""
    path = os.path.join(bundle, NAME)
    try:
        with io.open(path, encoding="utf-8") as stream:
            manifest = json.loads(stream.read())
    except (IOError, OSError) as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise BundleError("%s is not there: name the directory that playbooks/bundle.yml made." % path)
        raise BundleError("%s can not be read (%s): correct that." % (path, error.strerror))
    except ValueError:
        raise BundleError("%s is no JSON: copy the bundle again." % path)
    if manifest.get("format") != FORMAT:
        raise BundleError(
            "%s has format %r, wanted %d: make the bundle again." % (path, manifest.get("format"), FORMAT)
        )
    digest = sha256_of(path)
    if wanted and digest != wanted:
        raise BundleError(
            "%s has sha256 %s, wanted %s: name the right bundle, or copy it again." % (path, digest, wanted)
        )
    return manifest, digest


def faults(bundle, manifest, full=True):
    """Return {name: what is wrong} of the files that are missing or differ; only sizes are compared unless ``full``."""
    found = {}
    for name, wanted in sorted(manifest["files"].items()):
        path = os.path.join(bundle, name)
        if os.path.islink(path) or not os.path.isfile(path):
            found[name] = "is missing"
        elif os.path.getsize(path) != wanted["size"]:
            found[name] = "has %d bytes, wanted %d" % (os.path.getsize(path), wanted["size"])
        elif full and sha256_of(path) != wanted["sha256"]:
            found[name] = "has another sha256 than its manifest"
    return found


def sentence(bundle, found):
    """Return the faults as one sentence."""
    shown = ["%s %s" % (name, found[name]) for name in sorted(found)[:SHOWN]]
    more = " and %d more" % (len(found) - SHOWN) if len(found) > SHOWN else ""
    return "The bundle %s can not be used, %s%s: copy it again, or run playbooks/bundle.yml again." % (
        bundle,
        "; ".join(shown),
        more,
    )


def write(path, text):
    """Replace a file in one step when its text differs; return whether it did."""
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    try:
        with io.open(path, "rb") as stream:
            if stream.read() == data:
                return False
    except (IOError, OSError):
        pass
    storage.write(path, data)
    return True
