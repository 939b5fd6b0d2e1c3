"""What stands in for a file when a fetch went wrong: a git-lfs pointer, or a web page. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import io
import os

POINTER_LIMIT = 1024  # bytes; docs/spec.md: "Pointer files must be less than 1024 bytes"
POINTER_START = b"version https://git-lfs.github.com/spec/v"
POINTER_LIKE = b"version https://git-lfs"  # no file of a model begins so, whichever specification it names
PAGES = (b"<!doctype html", b"<html")


def begins_pointer(first):
    """Return whether a file that begins with these bytes begins as a git-lfs pointer does."""
    return first.startswith(POINTER_START)


def resembles_pointer(first):
    """Return whether a file of a model that begins with these bytes can only be some pointer."""
    return first.startswith(POINTER_LIKE)


def begins_page(first):
    """Return whether a file that begins with these bytes begins as a web page does."""
    return first.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES)


def is_pointer(path):
    """Return whether a file on the disk is a git-lfs pointer."""
    if not 0 < os.path.getsize(path) < POINTER_LIMIT:
        return False
    with io.open(path, "rb") as stream:
        return begins_pointer(stream.read(len(POINTER_START)))


def is_page(path):
    """Return whether a file on the disk begins as a web page does."""
    with io.open(path, "rb") as stream:
        return begins_page(stream.read(POINTER_LIMIT))
