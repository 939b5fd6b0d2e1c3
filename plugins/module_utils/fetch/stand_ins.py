"""What lies where a file should be when a fetch went wrong: a git-lfs pointer, or a web page. Python >= 3.6."""

import os

POINTER_LIMIT = 1024  # bytes; docs/spec.md: "Pointer files must be less than 1024 bytes"
POINTER_START = b"version https://git-lfs.github.com/spec/v"
PAGES = (b"<!doctype html", b"<html")


def is_pointer(path: str) -> bool:
    """Return whether a file on the disk is a git-lfs pointer."""
    if not 0 < os.path.getsize(path) < POINTER_LIMIT:
        return False
    with open(path, "rb") as stream:
        return stream.read(len(POINTER_START)) == POINTER_START


def is_page(path: str) -> bool:
    """Return whether a file on the disk begins as a web page does."""
    with open(path, "rb") as stream:
        return stream.read(POINTER_LIMIT).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES)
