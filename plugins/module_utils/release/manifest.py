"""A release is one directory of weights that its ``manifest.json`` describes: read and check it. Python 2.7 and 3.

``manifest.json`` is the same on every host: ``{"inputs": {}, "files": {name: {"size": bytes, "sha256": hex digits}}}``.
``.times.json`` beside it is this host's own: ``{name: mtime in nanoseconds}`` when a file was last known to be right,
so that a file is read again only when somebody touched it. It is all that this file writes.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import io
import json
import os
from multiprocessing.pool import ThreadPool  # hashlib lets other threads run while it hashes

from ..storage.digests import sha256_of
from ..storage.files import PART, write_json

MANIFEST, TIMES = "manifest.json", ".times.json"
RECORD = "conversion.json"  # the record of weights_convert, which has times of its sources; only staging needs it
# A killed run may have left the parts.
OURS = (MANIFEST, TIMES, MANIFEST + PART, TIMES + PART, RECORD)


class ReleaseError(Exception):
    """One sentence: what was found, what is wanted, what to do."""


def time_of(path):
    """Return the time of the last change of a file's content, in nanoseconds (Python 2.7: rounded to microseconds)."""
    status = os.stat(path)
    return getattr(status, "st_mtime_ns", int(status.st_mtime * 1000000) * 1000)


def files_below(folder):
    """Return the sorted relative names of all regular files below a directory, without our own notes."""
    names = []
    for parent, _folders, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(parent, name), folder) for name in files]
    return sorted(name for name in names if name not in OURS)


def described(folder, known=None):
    """Return {relative name: {"size": bytes, "sha256": hexadecimal}} of a directory.

    ``known`` has such entries of files that were hashed while they were written; one whose size still fits is not read
    again.
    """
    known, entries = known or {}, {}
    for name in files_below(folder):
        path = os.path.join(folder, name)
        size = os.path.getsize(path)
        right = name in known and known[name]["size"] == size
        entries[name] = {"size": size, "sha256": known[name]["sha256"] if right else sha256_of(path)}
    return entries


def read_json(path, absent=None):
    """Return the content of a JSON file; ``absent`` when it is not there. Raises ReleaseError when it is not JSON."""
    try:
        with io.open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (IOError, OSError) as error:
        if error.errno != errno.ENOENT:
            raise
        return absent
    except ValueError as error:
        raise ReleaseError("%s is not JSON (%s); remove its directory and run again." % (path, error))


def suspects(folder, manifest):
    """Return (names that are missing or have another size, names that were touched since they were last right)."""
    times, wrong, touched = read_json(os.path.join(folder, TIMES), {}), [], []
    for name, entry in sorted(manifest["files"].items()):
        path = os.path.join(folder, name)
        if not os.path.isfile(path) or os.path.getsize(path) != entry["size"]:
            wrong.append(name)
        elif times.get(name) != time_of(path):
            touched.append(name)
    return wrong, touched


def damaged(folder, manifest, full=False, note=True):
    """Return the sorted names of the files that are not what the manifest says.

    Sizes and times are compared, and what was touched is read again; with ``full`` everything is, in parallel. A file
    that turns out right has its time noted (unless ``note`` is false), so that the next look is cheap.
    """
    wrong, touched = suspects(folder, manifest)
    unread = [name for name in sorted(manifest["files"]) if name not in wrong] if full else touched
    if not unread:
        return wrong
    pool = ThreadPool(min(8, len(unread)))
    try:
        digests = pool.map(lambda name: sha256_of(os.path.join(folder, name)), unread)
    finally:
        pool.close()
    found = dict(zip(unread, digests))  # noqa: B905  (Python 2.7 has no strict)
    bad = [name for name in unread if found[name] != manifest["files"][name]["sha256"]]
    if note and (touched or bad):
        note_times(folder, [name for name in manifest["files"] if name not in wrong and name not in bad])
    return sorted(wrong + bad)


def note_times(folder, names):
    """Note the times of files that are known to be right."""
    write_json(os.path.join(folder, TIMES), dict((name, time_of(os.path.join(folder, name))) for name in names))
