"""What all parts of the fetch engine share: its errors, one file to fetch, names and URLs. Python >= 3.6."""

import hashlib
import os
import re
import urllib.parse
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

BLOCK = 1 << 20  # bytes read, hashed and written at a time
STATE = ".weights_fetch.json"  # in the destination: what is known about its finished files
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class FetchError(Exception):
    """One sentence for the operator: the file, what was found, what to do. Trying again does not help."""


class Missing(FetchError):
    """The server says that there is no such thing (404, 410)."""


class Denied(FetchError):
    """The server wants other credentials (401, 403)."""


class Transient(FetchError):
    """Trying again may help; ``wait`` is the number of seconds that the server asked for, or None."""

    def __init__(self, message: str, wait: Optional[float] = None) -> None:
        """Keep the sentence and the pause."""
        super().__init__(message)
        self.wait = wait


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
        """Take in the next bytes."""
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


def human(count: float) -> str:
    """Return bytes as people read them, in decimal units as disks are sold: 13476 -> '13.5 kB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 (the decimal step)
            return "%d bytes" % count if unit == "bytes" else "%.1f %s" % (count, unit)
        count /= 1000.0
    return "%.1f TB" % count


def public(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query, fragment."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def origin(url: str) -> Tuple[str, str, int]:
    """Return (scheme, host, port): credentials for one origin go to no other.

    Raises FetchError for what is no http or https URL, so that no answer of a server makes us open a local file.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        if parts.hostname and not re.search(r"[\x00-\x20\x7f]", url):
            return parts.scheme, parts.hostname, port
    except (ValueError, KeyError):
        pass
    raise FetchError("%r is no http or https URL: correct it, or serve the weights over one." % public_or_text(url))


def public_or_text(url: str) -> str:
    """Return ``public(url)``, or the first characters of what does not even parse."""
    try:
        return public(url)
    except ValueError:
        return url[:40]


def checked_name(name: str) -> str:
    """Return a relative file name that stays below the destination; raises FetchError for any other."""
    parts = name.split("/")
    bad = name.startswith("/") or CONTROL.search(name) or any(part in ("", ".", "..", ".git") for part in parts)
    if bad or name == STATE:
        raise FetchError(
            "file name %r of the source would leave the destination: the source is not trustworthy." % name
        )
    return name


def place(folder: str, name: str) -> str:
    """Return the path of a file below the destination, no directory on the way to it being a symlink."""
    path = folder
    for part in name.split("/")[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path):
            raise FetchError(
                "%s is a symlink on the way to %s: remove it, files are not written through it." % (path, name)
            )
    return os.path.join(folder, name)


def text_of(mapping: Dict[str, Any], key: str) -> str:
    """Return a string out of a server's JSON object, '' when it is absent or something else."""
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def whole_of(mapping: Dict[str, Any], key: str) -> int:
    """Return a whole number >= 0 out of a server's JSON object, -1 when it is absent or something else."""
    value = mapping.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else -1
