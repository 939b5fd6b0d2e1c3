"""The LFS server's side of a git-lfs source: pointers, and download links for their objects. Python >= 3.6.

Protocols: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md (pointers), docs/api/batch.md (batch),
docs/api/basic-transfers.md.
"""

import calendar
import json
import re
import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ..storage.stand_ins import begins_pointer
from .errors import Denied, FetchError, Missing
from .http_client import Client, text_of, whole_of
from .urls import origin, public

MEDIA = "application/vnd.git-lfs+json"
BATCH_SIZE = 100  # objects a request, as git-lfs does


class Pointer(NamedTuple):
    """What a pointer file says: the object's sha256 in hexadecimal, and its size in bytes."""

    oid: str
    size: int


def pointer_in(text: bytes, name: str) -> Optional[Pointer]:
    """Return the pointer that a file's content is, None for other content; raises FetchError when it is malformed."""
    if not begins_pointer(text):
        return None
    oid = re.search(rb"^oid sha256:([0-9a-f]{64})$", text, re.MULTILINE)
    size = re.search(rb"^size (\d{1,18})$", text, re.MULTILINE)
    if not oid or not size:
        line = "oid" if not oid else "size"
        raise FetchError("%s is a git-lfs pointer without a valid %s line: choose another revision." % (name, line))
    return Pointer(oid.group(1).decode(), int(size.group(1)))


def expiry_of(action: Dict[str, Any], now: float) -> float:
    """Return when a download link expires, as a Unix time; infinity when the server does not say."""
    seconds, text = action.get("expires_in"), text_of(action, "expires_at")
    if isinstance(seconds, (int, float)) and seconds > 0:
        return now + seconds
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$", text)
    if not match or text.startswith("0001"):  # Go's zero time means none
        return float("inf")
    try:
        moment = calendar.timegm(time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return float("inf")
    zone = (match.group(2) or "Z").replace(":", "")
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
        moment -= offset if zone[0] == "+" else -offset
    return float(moment)


class Batch:
    """Download links by object, asked for in batches, and again when they expire."""

    MARGIN = 30.0  # a link is not used in the last seconds before it expires

    def __init__(self, client: Client, lfs_url: str, now: Callable[[], float] = time.time) -> None:
        """``client`` carries the credentials of the git remote; they go to the LFS server if it is the same origin."""
        self.client, self.url, self.now = client, lfs_url, now
        self.lock = threading.Lock()
        self.links: Dict[str, Tuple[str, Dict[str, str], float]] = {}

    def ask(self, wanted: List[Tuple[str, Pointer]]) -> None:
        """Ask for the links of (name, pointer) pairs; raises FetchError naming the first file the server has not."""
        objects = [{"oid": pointer.oid, "size": pointer.size} for _name, pointer in wanted]
        question = {"operation": "download", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
        headers = {"Accept": MEDIA, "Content-Type": MEDIA}
        where = public(self.url)
        try:
            answer, _headers = self.client.json(self.url + "/objects/batch", headers, json.dumps(question).encode())
        except Missing:  # some servers answer this for the whole batch when they have none of its objects
            name, pointer = wanted[0]
            raise Missing(
                "%s answers no batch, or has no %s (object %s, %d bytes) and no other of %d (HTTP 404): check its URL."
                % (where, name, pointer.oid[:12], pointer.size, len(wanted))
            ) from None
        entries = answer.get("objects") if isinstance(answer, dict) else None
        if not isinstance(entries, list) or answer.get("transfer", "basic") != "basic":
            raise FetchError("%s answered no basic LFS batch: check the URL, or use another kind of source." % where)
        by_oid = {text_of(entry, "oid"): entry for entry in entries if isinstance(entry, dict)}
        for name, pointer in wanted:
            self.remember(name, pointer, by_oid.get(pointer.oid, {}), where)

    def remember(self, name: str, pointer: Pointer, entry: Dict[str, Any], where: str) -> None:
        """Remember one object's link, or raise what the server says about it."""
        error, actions = entry.get("error"), entry.get("actions")
        action = actions.get("download") if isinstance(actions, dict) else None
        if isinstance(error, dict) or not isinstance(action, dict) or not text_of(action, "href"):
            said = error if isinstance(error, dict) else {}
            raise Missing(
                "%s (object %s, %d bytes) is not on %s (%s %s): choose another revision or source."
                % (name, pointer.oid[:12], pointer.size, where, said.get("code", 404), text_of(said, "message")[:200])
            )
        size = whole_of(entry, "size")
        if size not in (-1, pointer.size):
            raise FetchError(
                "%s has %d bytes on %s, its pointer says %d: take another source." % (name, size, where, pointer.size)
            )
        header = action.get("header")
        headers = {str(k): str(v) for k, v in header.items()} if isinstance(header, dict) else {}
        if re.search(r"[\r\n]", "".join(headers) + "".join(headers.values())):
            raise FetchError("%s offers %s with a line break in a header: take another source." % (where, name))
        origin(text_of(action, "href"))
        self.links[pointer.oid] = (text_of(action, "href"), headers, expiry_of(action, self.now()))

    def ask_all(self, wanted: List[Tuple[str, Pointer]]) -> None:
        """Ask for every link, a hundred at a time: what the server has not is known before the first byte."""
        for start in range(0, len(wanted), BATCH_SIZE):
            self.ask(wanted[start : start + BATCH_SIZE])

    def link(self, name: str, pointer: Pointer, fresh: bool = False) -> Tuple[str, Dict[str, str]]:
        """Return (URL, headers), asked for again when there is none, it is about to end, or ``fresh``."""
        with self.lock:
            known = self.links.get(pointer.oid)
            if fresh or known is None or known[2] - self.MARGIN < self.now():
                self.ask([(name, pointer)])
            return self.links[pointer.oid][:2]

    def open(self, name: str, pointer: Pointer, offset: int) -> Tuple[Any, int]:
        """Return (response, offset it starts at) of an object; a refused link is asked for again once."""
        url, headers = self.link(name, pointer)
        try:
            return self.client.range(url, headers, offset, pointer.size)
        except (Denied, Missing):
            url, headers = self.link(name, pointer, fresh=True)
            return self.client.range(url, headers, offset, pointer.size)
