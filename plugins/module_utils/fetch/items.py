"""A file to fetch, the listing of a source, and the digest of a file. Python >= 3.6."""

import hashlib
import re
from typing import Any, Callable, List, NamedTuple, Tuple

from ..storage.digests import BLOCK

SHA256 = re.compile(r"[0-9a-f]{64}$")
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?$")


class Item(NamedTuple):
    """One file to fetch.

    ``size`` is in bytes, -1 when unknown. ``sha256`` is '' when unknown; then ``blob``, git's object id, is checked if
    there is one. ``open(offset)`` returns (readable, offset it really starts at). ``link`` names a local file which may
    be hard-linked.
    """

    name: str
    size: int
    sha256: str
    blob: str
    open: Callable[[int], Tuple[Any, int]]
    link: str = ""


class Listing(NamedTuple):
    """What a source offers: the resolved revision, its files, and ``prepare``, called with the items still to fetch."""

    revision: str
    items: List[Item]
    prepare: Callable[[List[Item]], None] = lambda items: None


class Source(NamedTuple):
    """An opened source: ``resolved()`` returns its commit, '' where only its files can tell; ``listing(commit)`` them.

    Both may raise Transient.
    """

    resolved: Callable[[], str]
    listing: Callable[[str], Listing]


class Digest:
    """sha256 and, for a file known only by git's object id, that id, over bytes as they pass."""

    def __init__(self, item: Item) -> None:
        """Begin with git's header: the object id covers it."""
        self.item, self.sha256 = item, hashlib.sha256()
        self.git = None
        if item.blob and not item.sha256:
            # Object ids have 40 hexadecimal digits in sha1 repositories, 64 in sha256 ones.
            self.git = hashlib.sha1() if len(item.blob) == 40 else hashlib.sha256()  # noqa: S324, PLR2004 (git's choice)
            self.git.update(b"blob %d\0" % item.size)

    def update(self, block: Any) -> None:
        """Add the next bytes."""
        self.sha256.update(block)
        if self.git:
            self.git.update(block)

    def fault(self, size: int) -> str:
        """Return what is wrong with these ``size`` bytes, or ''."""
        if self.item.size >= 0 and size != self.item.size:
            return "%d bytes, wanted %d" % (size, self.item.size)
        if self.item.sha256 and self.sha256.hexdigest() != self.item.sha256:
            return "sha256 %s, wanted %s" % (self.sha256.hexdigest(), self.item.sha256)
        if self.git and self.git.hexdigest() != self.item.blob:
            return "git object id %s, wanted %s" % (self.git.hexdigest(), self.item.blob)
        return ""


def digest_file(path: str, item: Item) -> Tuple[Digest, int]:
    """Return (digest, number of bytes) of a file on disk."""
    digest, done, buffer = Digest(item), 0, memoryview(bytearray(BLOCK))
    with open(path, "rb", buffering=0) as stream:
        while True:
            count = stream.readinto(buffer)
            if not count:
                return digest, done
            digest.update(buffer[:count])
            done += count
