"""A real git-lfs server gives the same files as the stand-in."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import http_client, lfs_batch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.errors import FetchError

from testbed import environment
from testbed.paths import IMPORTS
from tests.support.fetching import LARGE, QUICK, SMALL, files_below
from tests.support.standin_hub import commit, git, pointer_of

SUPPORT = Path(__file__).resolve().parents[2] / "support"


@pytest.fixture(scope="module")
def giftless(tmp_path_factory):
    """Yield (URL, commit, files) of a repository on a real giftless and dulwich, in an environment of its own."""
    python = environment.ensure("lfs-test", ("lfs-test",)) / "bin" / "python"
    folder = tmp_path_factory.mktemp("giftless")
    work = folder / "work"
    identity = commit(work, {**SMALL, **{name: pointer_of(data) for name, data in LARGE.items()}})
    bare = folder / "git" / "demo" / "model.git"
    bare.parent.mkdir(parents=True)
    git(folder, "clone", "--quiet", "--bare", str(work), str(bare))
    store = folder / "lfs" / "demo" / "model"
    store.mkdir(parents=True)
    for data in LARGE.values():
        (store / hashlib.sha256(data).hexdigest()).write_bytes(data)
    server = subprocess.Popen(
        [str(python), str(SUPPORT / "lfs_server.py"), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": IMPORTS},
    )
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/demo/model.git", identity, {**LARGE, **SMALL}
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize("revision", ["main", "HEAD", "commit"])
def test_a_real_server_gives_the_same_files(giftless, tmp_path, revision):
    url, identity, files = giftless
    source = {"url": url, "revision": identity if revision == "commit" else revision}
    result = fetch(source, str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == files and result["revision"] == identity
    assert not fetch(source, str(tmp_path / "dest"), QUICK)["changed"]


def test_a_real_server_goes_on_after_a_kill(giftless, tmp_path):
    url, _identity, files = giftless
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "a.bin.part").write_bytes(LARGE["a.bin"][:1_234_567])
    fetch({"url": url, "revision": "main"}, str(dest), QUICK)
    assert files_below(dest) == files


def test_a_real_server_names_the_object_it_has_not(giftless, tmp_path):
    url, _identity, _files = giftless
    pointer = lfs_batch.Pointer("1" * 64, 5)
    batch = lfs_batch.Batch(http_client.Client(url), url + "/info/lfs")
    with pytest.raises(FetchError, match=r"has no x\.bin \(object 111111111111, 5 bytes\)"):
        batch.ask([("x.bin", pointer)])
