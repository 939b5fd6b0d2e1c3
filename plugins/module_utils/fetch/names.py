"""Names of files that come from a source: they stay below the destination. Nothing is written. Python >= 3.6."""

import os
import re

from .errors import FetchError

STATE = ".weights_fetch.json"  # in the destination: what is known about its finished files
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked_name(name: str) -> str:
    """Return a relative file name that stays below the destination; raises FetchError for any other."""
    parts = name.split("/")
    bad = name.startswith("/") or CONTROL.search(name) or any(part in ("", ".", "..", ".git") for part in parts)
    if bad or name == STATE:
        raise FetchError(
            "file name %r of the source can not be written below the destination (wanted: no absolute path, no part ."
            " or .. or .git, no control character, and not %s): leave the file out, or take another source."
            % (name, STATE)
        )
    return name


def path_below(folder: str, name: str) -> str:
    """Return the path of a file below the destination, no directory on the way to it being a symlink."""
    path = folder
    for part in name.split("/")[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path):
            raise FetchError(
                "%s is a symlink on the way to %s: remove it, files are not written through it." % (path, name)
            )
    return os.path.join(folder, name)
