"""Digests of files. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import hashlib
import io

BLOCK = 1 << 20  # bytes read at a time


def sha256_of(path):
    """Return the hexadecimal sha256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with io.open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()
