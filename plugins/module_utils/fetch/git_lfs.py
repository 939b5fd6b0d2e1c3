"""Weights of a git-lfs repository: git fetches the pointers, and our own client fetches each object to its place.

Git's part is in git_remote.py, the server's in lfs_batch.py; git-lfs itself is not needed. Python >= 3.6.
"""

import contextlib
import os
import shutil
import tempfile
from typing import Any, Dict, Iterator, Tuple

from ..storage.stand_ins import POINTER_LIMIT
from .errors import FetchError
from .git_remote import Git
from .http_client import Client, basic, login_in, netrc_login
from .items import Item, Listing, Source
from .lfs_batch import Batch, pointer_in
from .options import Options


def listing(git: Git, client: Client, revision: str, commit: str) -> Listing:
    """Return what a git-lfs repository has at a revision; ``commit`` is its id if already resolved."""
    commit = git.fetched(revision, commit)
    items, pointers = [], {}
    batch = Batch(client, git.lfs_url(commit))
    for mode, blob, name, size in git.tree(commit):
        if mode not in ("100644", "100755", "100664"):
            kind = {"120000": "symlink", "160000": "submodule"}.get(mode, "entry of mode " + mode)
            raise FetchError("%s is a %s in %s: only plain files are fetched." % (name, kind, git.url))
        pointer = pointer_in(git.blob(blob), name) if 0 < size < POINTER_LIMIT else None
        if pointer:
            pointers[name] = pointer
            items.append(Item(name, pointer.size, pointer.oid, "", lambda at, n=name, p=pointer: batch.open(n, p, at)))
        else:
            items.append(Item(name, size, "", blob, lambda at, b=blob: (git.stream(b), 0)))
    return Listing(
        commit, items, lambda rest: batch.ask_all([(i.name, pointers[i.name]) for i in rest if i.name in pointers])
    )


def pointer_folder(dest: str, writable: bool) -> str:
    """Return a new temporary directory for the pointers, beside the destination if we may write there.

    What a killed run left there is removed: the caller holds the destination's lock.
    """
    if not writable:
        return tempfile.mkdtemp(prefix="weights_fetch-")
    parent, base = os.path.split(dest.rstrip("/"))
    for name in os.listdir(parent):
        if name.startswith(base + ".git-"):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return tempfile.mkdtemp(prefix=base + ".git-", dir=parent)


@contextlib.contextmanager
def opened(source: Dict[str, Any], options: Options, dest: str, inherited: Tuple) -> Iterator[Source]:
    """Yield a source of kind git_lfs, its pointers in a temporary directory that goes with it.

    ``inherited`` are descriptors that git holds open too: the lock of ``dest``, () while it is not held.
    """
    url, token = source["url"], options.token
    # Servers take a token as the password of any user; git-lfs itself sends it by Basic authentication.
    login = ("token", token) if token else login_in(url)
    client = Client(url, basic(*login) if login else "", options.timeout)
    folder = pointer_folder(dest, bool(inherited) and not options.check_mode)
    try:
        git = Git(url, folder, login or netrc_login(client.home[1]), options.timeout, inherited)
        yield Source(
            lambda: git.resolved(source["revision"]),
            lambda commit: listing(git, client, source["revision"], commit),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
