"""Weights in a directory of this host. Nothing is written there. Python >= 3.6."""

import contextlib
import os
import stat
from typing import Any, Dict, Iterator, List, Tuple

from ..storage.files import PART
from ..storage.stand_ins import is_pointer
from .errors import FetchError
from .items import Item, Listing, Source
from .names import STATE
from .options import Options

LINKED_FROM = 1 << 20  # bytes; smaller files are copied, since configurations are patched where they lie


def listing(folder: str) -> Listing:
    """Return the files below a directory; raises FetchError for a symlink that leads out of it, or is broken."""
    if not os.path.isdir(folder):
        raise FetchError("%s is no directory on this host: mount it, or correct the source's url." % folder)
    root, items = os.path.realpath(folder), []
    for parent, directories, files in os.walk(root, onerror=_unreadable):
        for name in directories + files:
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if os.path.islink(path) and not (real + os.sep).startswith(root.rstrip(os.sep) + os.sep):
                raise FetchError("%s is a symlink to %s, out of the source: copy the file there." % (path, real))
            if os.path.islink(path) and os.path.isdir(real):
                raise FetchError("%s is a symlink to a directory: only files are followed." % path)
        directories[:] = [name for name in directories if name != ".git"]
        items += [item_of(root, os.path.join(parent, name)) for name in files if is_weights(name)]
    return Listing("", items, lambda wanted: refuse_pointers(root, wanted))


def refuse_pointers(root: str, wanted: List[Item]) -> None:
    """Refuse a directory in which git-lfs pointers lie where files are wanted, before the first of them is copied."""
    for item in wanted:
        path = os.path.join(root, item.name)
        if is_pointer(path):
            raise FetchError(
                "%s is a git-lfs pointer, not the file itself: run git lfs pull in the source, or name it as a source "
                "of kind git_lfs." % path
            )


def is_weights(name: str) -> bool:
    """Return whether a file is one of the weights, not the mark of a fetch into this directory."""
    return name != STATE and not name.endswith(PART)


def _unreadable(error: OSError) -> None:
    """Say which directory could not be read: ``os.walk`` would pass it over."""
    raise FetchError("%s can not be read (%s): correct its permissions." % (error.filename, error.strerror))


def item_of(root: str, path: str) -> Item:
    """Return one file of a directory."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise FetchError("%s can not be read (%s): repair or remove it." % (path, error.strerror)) from None
    if not stat.S_ISREG(facts.st_mode):
        raise FetchError("%s is no plain file: remove it from the source." % path)

    def open_at(offset: int) -> Tuple[Any, int]:
        stream = open(path, "rb", buffering=0)
        stream.seek(offset)
        return stream, offset

    link = path if facts.st_size >= LINKED_FROM else ""
    return Item(os.path.relpath(path, root), facts.st_size, "", "", open_at, os.path.realpath(link) if link else "")


@contextlib.contextmanager
def opened(source: Dict[str, Any], _options: Options, _dest: str, _inherited: Tuple) -> Iterator[Source]:
    """Yield a source of kind path."""
    yield Source(lambda: "", lambda _commit: listing(source["url"]))
