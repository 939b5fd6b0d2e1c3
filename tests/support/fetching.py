"""Files, sources and refusals that all tests of fetching share."""

import contextlib
import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.errors import FetchError
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.names import STATE
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options

from tests.support.standin_hub import content_of

SEED = 11
QUICK = Options(retries=2, timeout=5)
LARGE = {"a.bin": content_of(1, 3_000_001), "sub/b.bin": content_of(2, 2_000_000)}
SMALL = {"config.json": b'{"a": 1}\n', "tokenizer.model": content_of(3, 5000), "empty.txt": b""}


def files_below(folder: Path) -> dict[str, bytes]:
    """Return {name: content} of all files below a folder but the state."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != STATE
    }


def http_source(hub, names=LARGE):
    """Return an http source of these files."""
    hub.files.update(LARGE)
    files = [{"name": name, "sha256": hashlib.sha256(LARGE[name]).hexdigest()} for name in names]
    return {"kind": "http", "url": f"{hub.url}/files", "files": files}


def refusal(source, dest, options=QUICK) -> str:
    """Return the one sentence that a fetch fails with."""
    with pytest.raises(FetchError) as caught:
        fetch(source, str(dest), options)
    said = str(caught.value)
    assert "\n" not in said and said.endswith(".")
    return said


def git_lfs_source(hub, **more):
    """Return a git_lfs source of the usual files, and its commit."""
    url, identity = hub.repository("model.git", LARGE, SMALL)
    return {"url": url, "revision": "main", **more}, identity


def on_disk(folder: Path) -> int:
    """Return the bytes that all files below a folder take on the disk."""
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total
