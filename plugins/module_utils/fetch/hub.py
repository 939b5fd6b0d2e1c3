"""Weights of a model hub, by the API of huggingface_hub. Nothing is written. Python >= 3.6."""

import contextlib
import os
import re
import urllib.parse
from typing import Any, Dict, Iterator, List, Tuple

from .errors import FetchError, Missing
from .http_client import Client, text_of, whole_of
from .items import COMMIT, SHA256, Item, Listing, Source
from .options import Options
from .urls import origin, public

HUB = "https://huggingface.co"
PAGES = 1000  # of a listing; a server that always names a next page is left


def endpoint_and_repository(url: str, endpoint: str) -> Tuple[str, str]:
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


def commit_of(client: Client, endpoint: str, repository: str, revision: str) -> str:
    """Return the commit of a branch, tag or commit; the API is huggingface_hub's ``model_info``."""
    quoted = urllib.parse.quote(revision, safe="")
    try:
        answer, _headers = client.json("%s/api/models/%s/revision/%s" % (endpoint, repository, quoted), {})
    except Missing:
        raise Missing("%s has no %s at revision %s: check both." % (public(endpoint), repository, revision)) from None
    commit = text_of(answer, "sha") if isinstance(answer, dict) else ""
    if not re.match(r"[0-9a-f]{40,64}$", commit):
        raise FetchError(
            "%s named no commit for %s: check that the URL is that of a model hub." % (public(endpoint), repository)
        )
    return commit


def listing(client: Client, endpoint: str, repository: str, commit: str) -> Listing:
    """Return a repository's files by the tree API; each comes from its ``resolve`` URL, as in huggingface_hub."""
    url = "%s/api/models/%s/tree/%s?recursive=true" % (endpoint, repository, commit)
    items: List[Item] = []
    for _page in range(PAGES):
        entries, headers = client.json(url, {})
        if not isinstance(entries, list):
            raise FetchError(
                "%s listed no files for %s: check that the URL is that of a model hub." % (public(endpoint), repository)
            )
        items += [
            item_of(client, endpoint, repository, commit, entry)
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
    raise FetchError(
        "%s lists %s without end: check that the URL is that of a model hub." % (public(endpoint), repository)
    )


def item_of(client: Client, endpoint: str, repository: str, commit: str, entry: Dict[str, Any]) -> Item:
    """Return one file of a tree listing: ``lfs.oid`` is its sha256, else ``oid`` is git's object id."""
    name, lfs = text_of(entry, "path"), entry.get("lfs")
    facts = lfs if isinstance(lfs, dict) else entry
    size, oid = whole_of(facts, "size"), text_of(facts, "oid")
    if size < 0 or not re.match(r"[0-9a-f]{40,64}$", oid) or (lfs and not SHA256.match(oid)):
        raise FetchError(
            "%s lists %r of %s without size or digest: check that the URL is that of a model hub."
            % (public(endpoint), name, repository)
        )
    url = "%s/%s/resolve/%s/%s" % (endpoint, repository, commit, urllib.parse.quote(name))
    return Item(name, size, oid if lfs else "", "" if lfs else oid, lambda at: client.range(url, {}, at, size))


@contextlib.contextmanager
def opened(source: Dict[str, Any], options: Options, _dest: str, _inherited: Tuple) -> Iterator[Source]:
    """Yield a source of kind hub; a mirror and a token may also come from the environment, as with huggingface_hub."""
    endpoint, repository = endpoint_and_repository(
        source["url"], source["endpoint"] or os.environ.get("HF_ENDPOINT", "")
    )
    token = options.token or os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or ""
    client = Client(endpoint, "Bearer " + token if token else "", options.timeout)
    revision = source["revision"]
    yield Source(
        lambda: revision if COMMIT.match(revision) else commit_of(client, endpoint, repository, revision),
        lambda commit: listing(client, endpoint, repository, commit),
    )
