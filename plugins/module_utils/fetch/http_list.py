"""Weights of a web server, by a list that gives each file's sha256. Nothing is written. Python >= 3.6."""

import contextlib
import hashlib
import json
import urllib.parse
from typing import Any, Dict, Iterator, List, Tuple

from .errors import FetchError, Missing, Transient
from .http_client import Client, text_of, whole_of
from .items import SHA256, Item, Listing, Source
from .options import Options


def list_revision(items: List[Item]) -> str:
    """Return 40 hexadecimal digits that name a set of files without a history: they change when a file does."""
    facts = sorted((item.name, item.size, item.sha256) for item in items)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:40]


def listing(client: Client, url: str, files: List[Dict[str, Any]]) -> Listing:
    """Return the files of a list of {name, sha256, url, size}; an absent url is derived, an absent size asked for."""
    items = []
    for entry in files:
        name, sha256 = text_of(entry, "name"), text_of(entry, "sha256")
        if not SHA256.match(sha256):
            raise FetchError("%s has sha256 %r, wanted 64 hexadecimal digits: add it to the list." % (name, sha256))
        address = text_of(entry, "url") or "%s/%s" % (url.rstrip("/"), urllib.parse.quote(name))
        size = whole_of(entry, "size")
        if size < 0:
            size = size_of(client, address)
        items.append(Item(name, size, sha256, "", lambda at, p=address, s=size: client.range(p, {}, at, s)))
    return Listing(list_revision(items), items)


def size_of(client: Client, url: str) -> int:
    """Return what a HEAD request says a file's size is, -1 if it does not say."""
    try:
        with client.open(url, {}, method="HEAD") as response:
            length = response.headers.get("Content-Length") or ""
    except (Missing, Transient):
        raise
    except FetchError:  # no HEAD here; signed URLs are for GET only
        return -1
    return int(length) if length.isdigit() else -1


@contextlib.contextmanager
def opened(source: Dict[str, Any], options: Options, _dest: str, _inherited: Tuple) -> Iterator[Source]:
    """Yield a source of kind http; the token goes to the host of its url, or of its first file."""
    home = source["url"] or str(source["files"][0].get("url", ""))
    client = Client(home, "Bearer " + options.token if options.token else "", options.timeout)
    yield Source(lambda: "", lambda _commit: listing(client, source["url"], source["files"]))
