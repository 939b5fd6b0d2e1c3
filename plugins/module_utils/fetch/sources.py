"""Where weights come from besides git-lfs: a model hub, a list of URLs, a directory. Python >= 3.6."""

import hashlib
import json
import os
import re
import stat
import urllib.parse
from typing import Any, Dict, List, Tuple

from .base import STATE, FetchError, Item, Listing, Missing, Transient, human, origin, public, text_of, whole_of
from .http_client import Client

HUB = "https://huggingface.co"
PAGES = 1000  # of a listing; a server that always names a next page is left
LINKED_FROM = 1 << 20  # bytes; smaller files are copied, since configurations are patched where they lie
SHA256 = re.compile(r"[0-9a-f]{64}$")


def hub_place(url: str, endpoint: str) -> Tuple[str, str]:
    """Return (endpoint, 'organisation/name') of a hub source: a repository's name, or its URL.

    ``endpoint`` (a mirror, HF_ENDPOINT) goes before the URL's own host.
    """
    base = HUB
    if "://" in url:
        origin(url)
        parts = urllib.parse.urlsplit(url)
        base, url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, "", "", "")), parts.path.strip("/")
    if not re.match(r"[\w.-]+(/[\w.-]+)?$", url) or ".." in url:
        raise FetchError("%r is no repository of a hub: write organisation/name." % url)
    return (endpoint or base).rstrip("/"), url


def hub_commit(client: Client, endpoint: str, repository: str, revision: str) -> str:
    """Return the commit of a branch, tag or commit; the API is huggingface_hub's ``model_info``."""
    quoted = urllib.parse.quote(revision, safe="")
    try:
        answer, _headers = client.json("%s/api/models/%s/revision/%s" % (endpoint, repository, quoted), {})
    except Missing:
        raise Missing("%s has no %s at revision %s: check both." % (public(endpoint), repository, revision)) from None
    commit = text_of(answer, "sha") if isinstance(answer, dict) else ""
    if not re.match(r"[0-9a-f]{40,64}$", commit):
        raise FetchError("%s named no commit for %s: it is no model hub." % (public(endpoint), repository))
    return commit


def hub_listing(client: Client, endpoint: str, repository: str, commit: str) -> Listing:
    """Return a repository's files by the tree API; each comes from its ``resolve`` URL, as in huggingface_hub."""
    url = "%s/api/models/%s/tree/%s?recursive=true" % (endpoint, repository, commit)
    items: List[Item] = []
    for _page in range(PAGES):
        entries, headers = client.json(url, {})
        if not isinstance(entries, list):
            raise FetchError("%s listed no files for %s: it is no model hub." % (public(endpoint), repository))
        items += [
            hub_item(client, endpoint, repository, commit, entry)
            for entry in entries
            if isinstance(entry, dict) and entry.get("type") == "file"
        ]
        following = re.search(r'<([^>]+)>;\s*rel="next"', headers.get("Link") or "")
        if not following:
            return Listing(commit, items)
        url = urllib.parse.urljoin(url, following.group(1))
        if origin(url) != origin(endpoint):
            # A mirror hands on its origin's next page: stay with the mirror.
            url = endpoint + url[len("%s://%s" % urllib.parse.urlsplit(url)[:2]) :]
    raise FetchError("%s lists %s without end: it is no model hub." % (public(endpoint), repository))


def hub_item(client: Client, endpoint: str, repository: str, commit: str, entry: Dict[str, Any]) -> Item:
    """Return one file of a tree listing: ``lfs.oid`` is its sha256, else ``oid`` is git's object id."""
    name, lfs = text_of(entry, "path"), entry.get("lfs")
    facts = lfs if isinstance(lfs, dict) else entry
    size, oid = whole_of(facts, "size"), text_of(facts, "oid")
    if size < 0 or not re.match(r"[0-9a-f]{40,64}$", oid) or (lfs and not SHA256.match(oid)):
        raise FetchError(
            "%s lists %r of %s without size or digest: it is no model hub." % (public(endpoint), name, repository)
        )
    url = "%s/%s/resolve/%s/%s" % (endpoint, repository, commit, urllib.parse.quote(name))
    return Item(name, size, oid if lfs else "", "" if lfs else oid, lambda at: client.range(url, {}, at, size))


def list_revision(items: List[Item]) -> str:
    """Return 40 hexadecimal digits that name a set of files without a history: they change when a file does."""
    facts = sorted((item.name, item.size, item.sha256) for item in items)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]


def http_listing(client: Client, url: str, files: List[Dict[str, Any]]) -> Listing:
    """Return the files of a list of {name, sha256, url, size}; an absent url is derived, an absent size asked for."""
    items = []
    for entry in files:
        name, sha256 = text_of(entry, "name"), text_of(entry, "sha256")
        if not SHA256.match(sha256):
            raise FetchError("%s has sha256 %r, wanted 64 hexadecimal digits: add it to the list." % (name, sha256))
        place = text_of(entry, "url") or "%s/%s" % (url.rstrip("/"), urllib.parse.quote(name))
        size = whole_of(entry, "size")
        if size < 0:
            size = http_size(client, place)
        items.append(Item(name, size, sha256, "", lambda at, p=place, s=size: client.range(p, {}, at, s)))
    return Listing(list_revision(items), items)


def http_size(client: Client, url: str) -> int:
    """Return what a HEAD request says a file's size is, -1 if it does not say."""
    try:
        with client.open(url, {}, method="HEAD") as response:
            length = response.headers.get("Content-Length") or ""
    except (Missing, Transient):
        raise
    except FetchError:  # no HEAD here; signed URLs are for GET only
        return -1
    return int(length) if length.isdigit() else -1


def path_listing(folder: str) -> Listing:
    """Return the files below a directory; raises FetchError for a symlink that leads out of it, or is broken."""
    if not os.path.isdir(folder):
        raise FetchError("%s is no directory on this host: mount it, or correct the source's url." % folder)
    root, items = os.path.realpath(folder), []
    for parent, directories, files in os.walk(root, onerror=_raise_walk):
        for name in directories + files:
            path = os.path.join(parent, name)
            real = os.path.realpath(path)
            if os.path.islink(path) and not (real + os.sep).startswith(root.rstrip(os.sep) + os.sep):
                raise FetchError("%s is a symlink to %s, out of the source: copy the file there." % (path, real))
            if os.path.islink(path) and os.path.isdir(real):
                raise FetchError("%s is a symlink to a directory: only files are followed." % path)
        directories[:] = [name for name in directories if name != ".git"]
        items += [path_item(root, os.path.join(parent, name)) for name in files if ours(name)]
    return Listing("", items)


def ours(name: str) -> bool:
    """Return whether a file is one of the weights, not the mark of a fetch into this directory."""
    return name != STATE and not name.endswith(".part")


def _raise_walk(error: OSError) -> None:
    """Say which directory could not be read: ``os.walk`` would pass it over."""
    raise FetchError("%s can not be read (%s): correct its permissions." % (error.filename, error.strerror))


def path_item(root: str, path: str) -> Item:
    """Return one file of a directory."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise FetchError("%s can not be read (%s): mend or remove it." % (path, error.strerror)) from None
    if not stat.S_ISREG(facts.st_mode):
        raise FetchError("%s is no plain file: remove it from the source." % path)

    def opened(offset: int) -> Tuple[Any, int]:
        stream = open(path, "rb", buffering=0)
        stream.seek(offset)
        return stream, offset

    link = path if facts.st_size >= LINKED_FROM else ""
    return Item(os.path.relpath(path, root), facts.st_size, "", "", opened, os.path.realpath(link) if link else "")


def space_fault(needed: int, there: int, free: int, dest: str) -> str:
    """Return one sentence when ``needed`` bytes do not fit into ``free`` ones, '' when they do.

    ``there`` are the bytes that earlier runs have left and that are used.
    """
    # Names, the state and git's pointers: 1 % and 16 MiB, far above what was measured.
    wanted = needed + needed // 100 + (16 << 20 if needed else 0)
    if wanted <= free:
        return ""
    return "%s needs %s more (%s are there already), and %s are free: make room for %s." % (
        dest,
        human(wanted),
        human(there),
        human(free),
        human(wanted - free),
    )
