"""A release: one directory of weights, described by its ``manifest.json``. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import hashlib
import io
import os

BLOCK = 1 << 20


def sha256_of(path):
    """Return the hexadecimal sha256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with io.open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def files_below(folder):
    """Return the sorted relative names of all regular files below a directory, without the manifest itself."""
    names = []
    for parent, _dirs, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(parent, name), folder) for name in files]
    return sorted(name for name in names if name != "manifest.json")


def described(folder):
    """Return {relative name: {"size": bytes, "sha256": hexadecimal}} of a directory."""
    entries = {}
    for name in files_below(folder):
        path = os.path.join(folder, name)
        entries[name] = {"size": os.path.getsize(path), "sha256": sha256_of(path)}
    return entries


def fault(folder, manifest):
    """Return one sentence for the first file that is missing or has another size than the manifest says, else ''."""
    for name, entry in sorted(manifest["files"].items()):
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            return "%s is missing from %s." % (name, folder)
        if os.path.getsize(path) != entry["size"]:
            return "%s in %s has %d bytes, its manifest says %d." % (
                name,
                folder,
                os.path.getsize(path),
                entry["size"],
            )
    return ""


def synced(folder):
    """Write every file below a directory, and the directory, through to the disk."""
    for name in files_below(folder) + ["."]:
        descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
