"""The fetch engine against a stand-in hub that fails on demand, and against a real git-lfs server."""

import ast
import base64
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from testbed import environment
from testbed.paths import IMPORTS
from tests.support.standin_hub import COMMIT, REPOSITORY, commit, content_of, git, pointer_of, served

ROOT = Path(__file__).resolve().parents[2]
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import base as fetch_base
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import engine as weights_fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import git_lfs as fetch_lfs
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import http_client as fetch_http
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import sources as fetch_sources
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.base import STATE, FetchError
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import Options, fetch

SEED = 11
QUICK = Options(retries=2, timeout=5)
LARGE = {"a.bin": content_of(1, 3_000_001), "sub/b.bin": content_of(2, 2_000_000)}
SMALL = {"config.json": b'{"a": 1}\n', "tokenizer.model": content_of(3, 5000), "empty.txt": b""}


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """No proxy, no login of the machine's, no waiting between attempts."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(fetch_http, "backoff", lambda attempt, wait: wait or 0.01)
    monkeypatch.setattr(weights_fetch, "backoff", lambda attempt, wait: wait or 0.01)


@pytest.fixture
def hub(tmp_path):
    with served(tmp_path / "hub") as server:
        yield server


def there(folder: Path) -> dict[str, bytes]:
    """Return {name: content} of all files below a folder but the state."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != STATE
    }


def listed(hub, names=LARGE):
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


def lfs(hub, **more):
    """Return a git_lfs source of the usual files, and its commit."""
    url, identity = hub.repository("model.git", LARGE, SMALL)
    return {"url": url, "revision": "main", **more}, identity


# --- each kind brings the files, and a second run does nothing


def test_git_lfs_brings_the_files_of_the_revision(hub, tmp_path):
    source, identity = lfs(hub)
    dest = tmp_path / "dest"
    result = fetch(source, str(dest), QUICK)
    assert there(dest) == {**LARGE, **SMALL}
    assert result["changed"] and result["revision"] == identity
    assert result["bytes_total"] == sum(map(len, {**LARGE, **SMALL}.values())) == result["bytes_fetched"]
    assert result["files"]["a.bin"] == {"size": 3_000_001, "sha256": hashlib.sha256(LARGE["a.bin"]).hexdigest()}
    assert sorted(path.name for path in tmp_path.iterdir() if "dest" in path.name) == ["dest"]


@pytest.mark.parametrize("kind", ["git_lfs", "hub", "http", "path"])
def test_a_second_run_changes_and_fetches_nothing(hub, tmp_path, kind):
    hub.files.update({**LARGE, **SMALL})
    commit(tmp_path / "folder", {**LARGE, **SMALL})
    source = {
        "git_lfs": lambda: lfs(hub)[0],
        "hub": lambda: {"kind": "hub", "url": REPOSITORY, "revision": "main", "endpoint": hub.url},
        "http": lambda: listed(hub),
        "path": lambda: {"kind": "path", "url": str(tmp_path / "folder")},
    }[kind]()
    dest = tmp_path / "dest"
    first = fetch(source, str(dest), QUICK)
    expected = LARGE if kind == "http" else {**LARGE, **SMALL}
    assert there(dest) == expected
    hub.seen.clear()
    second = fetch(source, str(dest), QUICK)
    assert (second["changed"], second["bytes_fetched"]) == (False, 0)
    assert (second["revision"], second["files"]) == (first["revision"], first["files"])
    assert not hub.requests("/lfs-objects/") and not hub.requests("/resolve/")


def test_a_pinned_commit_that_is_there_asks_no_server(hub, tmp_path):
    source, identity = lfs(hub)
    source["revision"] = identity
    fetch(source, str(tmp_path / "dest"), QUICK)
    hub.seen.clear()
    assert not fetch(source, str(tmp_path / "dest"), QUICK)["changed"]
    assert hub.seen == []


def test_a_finished_file_is_not_read_again(hub, tmp_path):
    source, _identity = lfs(hub)
    fetch(source, str(tmp_path / "dest"), QUICK)
    path = tmp_path / "dest" / "a.bin"
    facts = path.stat()
    path.write_bytes(b"x" * facts.st_size)  # as a disk that lies: same size, same time
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert not fetch(source, str(tmp_path / "dest"), QUICK)["changed"]


@pytest.mark.parametrize("damage", [b"", b"short", "touched", "flipped"])
def test_a_damaged_file_alone_comes_again(hub, tmp_path, damage):
    source, _identity = lfs(hub)
    fetch(source, str(tmp_path / "dest"), QUICK)
    path, data = tmp_path / "dest" / "a.bin", LARGE["a.bin"]
    path.write_bytes({"touched": data, "flipped": b"x" + data[1:]}.get(damage, damage))
    hub.seen.clear()
    result = fetch(source, str(tmp_path / "dest"), QUICK)
    assert there(tmp_path / "dest") == {**LARGE, **SMALL}
    assert result["bytes_fetched"] == (0 if damage == "touched" else len(data))
    assert len(hub.requests("/lfs-objects/")) == (0 if damage == "touched" else 1)


def test_a_newer_revision_takes_away_what_it_no_longer_has(hub, tmp_path):
    source, _identity = lfs(hub)
    dest = tmp_path / "dest"
    fetch(source, str(dest), QUICK)
    (dest / "mine.txt").write_text("not the source's")
    work = tmp_path / "hub" / "work-model.git"
    git(work, "rm", "--quiet", "sub/b.bin")
    hub.repository("model.git", {"a.bin": b"new" * 100}, {})
    assert fetch(source, str(dest), QUICK)["changed"]
    assert there(dest) == {**SMALL, "a.bin": b"new" * 100, "mine.txt": b"not the source's"}


def test_an_older_commit_a_tag_and_an_abbreviation_are_found(hub, tmp_path):
    source, first = lfs(hub)
    work = tmp_path / "hub" / "work-model.git"
    git(work, "tag", "--annotate", "--message", "v1", "v1")
    hub.repository("model.git", {"a.bin": b"second"}, {})
    for revision in (first, "v1", first[:9]):
        dest = tmp_path / revision
        assert fetch({**source, "revision": revision}, str(dest), QUICK)["revision"] == first
        assert (dest / "a.bin").read_bytes() == LARGE["a.bin"]
    assert weights_fetch.resolve({**source, "revision": "v1"}, QUICK) == first


def test_patterns_choose_and_leave_out(hub, tmp_path):
    source, _identity = lfs(hub, files=["*.bin", "*.json", "!sub/*"])
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert sorted(there(tmp_path / "dest")) == ["a.bin", "config.json"]
    assert "*.safetensors" in refusal({**source, "files": ["*.safetensors"]}, tmp_path / "other")


@pytest.mark.parametrize("kind", ["git_lfs", "hub", "http", "path"])
def test_a_part_now_and_the_rest_later(hub, tmp_path, kind):
    """Only what is named comes, what is there stays, and the state never says that all were there."""
    everything = {**LARGE, **SMALL}
    hub.files.update(everything)
    commit(tmp_path / "folder", everything)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in everything.items()}
    source = {
        "git_lfs": lambda: lfs(hub)[0],
        "hub": lambda: {"kind": "hub", "url": REPOSITORY, "revision": "main", "endpoint": hub.url},
        "http": lambda: {
            "kind": "http",
            "url": f"{hub.url}/files",
            "files": [{"name": name, "sha256": sums[name]} for name in everything],
        },
        "path": lambda: {"kind": "path", "url": str(tmp_path / "folder")},
    }[kind]()
    dest = tmp_path / "dest"

    def part(*only, **options):
        return fetch(source, str(dest), QUICK._replace(only=only, **options))

    would = part("*.json", "nothing", check_mode=True)
    assert would["changed"] and not dest.exists()
    first = part("*.json", "nothing")
    assert there(dest) == {"config.json": SMALL["config.json"]} and set(first["files"]) == {"config.json"}
    assert first["names"] == would["names"] == sorted(everything)
    assert json.loads((dest / STATE).read_text())["revision"] == ""
    assert part("*.json")["changed"] is False
    second = part("sub/b.bin")
    assert set(there(dest)) == {"config.json", "sub/b.bin"} and second["changed"]
    assert second["bytes_fetched"] == (0 if kind == "path" else 2_000_000)
    (dest / "sub/b.bin").unlink()  # or a hard link's source would change too
    (dest / "sub/b.bin").write_bytes(b"rotten")
    hub.seen.clear()
    whole = fetch(source, str(dest), QUICK)
    assert there(dest) == everything and whole["changed"] and set(whole["files"]) == set(everything)
    if kind != "path":
        assert whole["bytes_fetched"] == sum(map(len, everything.values())) - len(SMALL["config.json"])
        assert "config.json" not in [path.rpartition("/")[2] for method, path, _ in hub.seen if method == "GET"]
    assert json.loads((dest / STATE).read_text())["revision"] == whole["revision"] != ""
    again = part("*.json")
    assert not again["changed"] and set(again["files"]) == {"config.json"} and again["names"] == sorted(everything)
    assert fetch(source, str(dest), QUICK)["changed"] is False
    (dest / "a.bin").unlink()
    assert not part("*.json")["changed"]
    assert json.loads((dest / STATE).read_text())["revision"] == ""
    fetch(source, str(dest), QUICK)
    assert there(dest) == everything


def test_lfsconfig_names_the_server(hub, tmp_path):
    config = b"[lfs]\n\turl = %s/elsewhere/info/lfs\n" % hub.url.encode()
    url, _identity = hub.repository("model.git", LARGE, {".lfsconfig": config})
    fetch({"url": url, "revision": "main"}, str(tmp_path / "dest"), QUICK)
    assert hub.requests("/elsewhere/info/lfs/objects/batch") and not hub.requests("/model.git/info/lfs")


def test_check_mode_says_how_much_and_writes_nothing(hub, tmp_path):
    source, _identity = lfs(hub)
    dest = tmp_path / "dest"
    result = fetch(source, str(dest), QUICK._replace(check_mode=True))
    assert (result["changed"], result["bytes_fetched"]) == (True, sum(map(len, {**LARGE, **SMALL}.values())))
    assert not dest.exists() and not hub.requests("/lfs-objects/")
    fetch(source, str(dest), QUICK)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert not fetch(source, str(dest), QUICK._replace(check_mode=True))["changed"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    (dest / "a.bin").rename(dest / "a.bin.part")
    os.truncate(dest / "a.bin.part", 1_000_000)
    assert fetch(source, str(dest), QUICK._replace(check_mode=True))["bytes_fetched"] == 2_000_001


# --- resuming and retrying


@pytest.mark.parametrize("at", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000, 3_000_001])
def test_a_part_is_gone_on_with_at_its_byte(hub, tmp_path, at):
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "a.bin.part").write_bytes(LARGE["a.bin"][:at])
    result = fetch(listed(hub, ["a.bin"]), str(dest), QUICK)
    assert there(dest) == {"a.bin": LARGE["a.bin"]}
    assert result["bytes_fetched"] == 3_000_001 - at
    ranges = [headers.get("Range") for method, _path, headers in hub.seen if method == "GET"]
    assert ranges == ([] if at == 3_000_001 else [f"bytes={at}-" if at else None])


@pytest.mark.parametrize("part", [b"not the beginning", bytes(3_000_001), bytes(4_000_000)])
def test_a_part_that_is_not_the_beginning_is_thrown_away(hub, tmp_path, part):
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "a.bin.part").write_bytes(part)
    fetch(listed(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK)
    assert there(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(hub, tmp_path):
    hub.faults = [("a.bin", {"cut": 0}), ("a.bin", {"cut": 1_500_000}), ("a.bin", {"ignore_range": True})]
    result = fetch(listed(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK)
    assert there(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}
    assert result["bytes_fetched"] == 1_500_000 + 3_000_001


@pytest.mark.parametrize("seed", range(8))
def test_any_mixture_of_cuts_and_errors_ends_with_the_file(hub, tmp_path, seed):
    dice = random.Random(f"{SEED}-{seed}")  # noqa: S311 (no secret)
    kinds = [
        lambda: {"cut": dice.randrange(3_000_001)},
        lambda: {"status": dice.choice([408, 429, 500, 502, 503, 504])},
        lambda: {"ignore_range": True, "cut": dice.randrange(2_000_000)},
    ]
    hub.faults = [("/files/", dice.choice(kinds)()) for _ in range(6)]
    fetch(listed(hub), str(tmp_path / "dest"), QUICK._replace(retries=8))
    assert there(tmp_path / "dest") == LARGE


def test_retry_after_is_waited_for(hub, tmp_path):
    hub.faults = [("objects/batch", {"status": 429, "headers": {"Retry-After": "1"}})]
    source, _identity = lfs(hub)
    began = time.monotonic()
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert time.monotonic() - began >= 1


def test_backoff_doubles_with_jitter_and_ends():
    waits = [fetch_base_backoff(attempt) for attempt in range(12)]
    assert all(0.25 * 2**n <= wait <= 0.5 * 2**n for n, wait in enumerate(waits[:6]))
    assert max(waits) <= fetch_http.LONGEST_BACKOFF


def fetch_base_backoff(attempt, real=fetch_http.backoff):
    """Return the real back-off, which the fixture replaces."""
    return real(attempt, None)


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("99999", 300), ("", None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)]
)
def test_retry_after_in_all_its_forms(value, seconds):
    assert fetch_http.wait_asked({"Retry-After": value}) == seconds


def test_progress_resets_the_count_of_failures(hub, tmp_path):
    hub.files["a.bin"] = LARGE["a.bin"]
    hub.faults = [("a.bin", {"cut": 0})] + [("a.bin", {"cut": 1_100_000})] * 2
    fetch(listed(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK._replace(retries=1))
    assert there(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}


def test_links_that_end_are_asked_for_again(hub, tmp_path):
    source, _identity = lfs(hub)
    hub.link_seconds = 1  # less than the margin: each file asks for its own
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert len(hub.requests("objects/batch")) == 3
    shutil.rmtree(tmp_path / "dest")
    hub.link_seconds = 3600
    hub.faults = [("/lfs-objects/" + hashlib.sha256(LARGE["a.bin"]).hexdigest(), {"status": 403})]
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert there(tmp_path / "dest") == {**LARGE, **SMALL}


def test_wrong_bytes_come_once_more_and_are_then_refused(hub, tmp_path):
    hub.faults = [("a.bin", {"cut": 0}), ("a.bin", {"wrong": True})]
    fetch(listed(hub, ["a.bin"]), str(tmp_path / "dest"), QUICK)
    assert there(tmp_path / "dest") == {"a.bin": LARGE["a.bin"]}
    hub.faults = [("a.bin", {"cut": 0})] + [("a.bin", {"wrong": True})] * 2
    said = refusal(listed(hub, ["a.bin"]), tmp_path / "other")
    assert "a.bin came twice with sha256" in said and hashlib.sha256(LARGE["a.bin"]).hexdigest() in said
    assert there(tmp_path / "other") == {}


# --- refusals


def test_an_object_that_the_server_has_not_is_named_before_the_first_byte(hub, tmp_path):
    source, _identity = lfs(hub)
    del hub.objects[hashlib.sha256(LARGE["sub/b.bin"]).hexdigest()]
    assert re.search(r"sub/b\.bin .*2000000 bytes.* is not on .*404", refusal(source, tmp_path / "dest"))
    assert there(tmp_path / "dest") == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n", "oid"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize -5\n", "size"),
        (b"version https://git-lfs.github.com/spec/v1\n", "oid"),
    ],
)
def test_a_malformed_pointer_is_refused(hub, tmp_path, text, line):
    url, _identity = hub.repository("model.git", {}, {"a.bin": text})
    said = refusal({"url": url, "revision": "main"}, tmp_path / "dest")
    assert "a.bin" in said and f"valid {line} line" in said


def test_a_size_beyond_the_disk_is_refused_before_the_first_byte(hub, tmp_path):
    pointer = pointer_of(LARGE["a.bin"]).replace(b"3000001", b"9" * 17)
    url, _identity = hub.repository("model.git", {}, {"a.bin": pointer})
    said = refusal({"url": url, "revision": "main"}, tmp_path / "dest")
    assert re.search(r"dest needs .* TB more .* are free: make room for", said)
    assert not hub.requests("/lfs-objects/") and not hub.requests("/objects/batch")


def test_space_counts_what_is_there(tmp_path):
    item = fetch_base.Item("a", 10**15, "0" * 64, "", lambda at: None)
    with pytest.raises(FetchError):
        weights_fetch.check_space([item], str(tmp_path))
    with open(tmp_path / "a.part", "wb") as stream:
        stream.truncate(10**12)
    weights_fetch.check_space([item._replace(size=10**12)], str(tmp_path))
    assert fetch_sources.space_fault(10**9, 5, 2 * 10**9, "d") == ""
    assert "d needs 1.0 GB more (500 bytes are there already), and 1.0 MB are free" in fetch_sources.space_fault(
        10**9, 500, 10**6, "d"
    )


def test_a_disk_that_fills_up_all_the_same_is_said(hub, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights_fetch.Task, "copy", full)
    assert "is full: make room; the next run goes on" in refusal(listed(hub), tmp_path / "dest")


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refused"), (403, "refused"), (404, "not exist"), (410, "not exist"), (418, "HTTP 418")]
)
def test_http_refusals_name_url_and_status(hub, tmp_path, status, words):
    hub.faults = [("a.bin", {"status": status})] * 3
    said = refusal(listed(hub, ["a.bin"]), tmp_path / "dest")
    assert f"{hub.url}/files/a.bin" in said and words in said and str(status) in said


def test_an_unknown_revision_and_repository_are_named(hub, tmp_path):
    source, _identity = lfs(hub)
    said = refusal({**source, "revision": "v9"}, tmp_path / "dest")
    assert "revision v9 is not in" in said and "main" in said
    assert "d" * 40 in refusal({**source, "revision": "d" * 40}, tmp_path / "dest")
    assert "is no git repository" in refusal({**source, "url": f"{hub.url}/none.git"}, tmp_path / "dest")
    hubs = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url}
    assert "at revision v9" in refusal({**hubs, "revision": "v9"}, tmp_path / "dest")
    assert "demo/none" in refusal({**hubs, "url": "demo/none", "revision": "main"}, tmp_path / "dest")


@pytest.mark.parametrize("kind", ["git_lfs", "hub", "http"])
def test_a_refused_connection_is_said(tmp_path, kind):
    source = {"kind": kind, "url": "http://127.0.0.1:9/demo/model", "revision": "main"}
    if kind == "http":
        source["files"] = [{"name": "a", "sha256": "0" * 64}]
    said = refusal(source, tmp_path / "dest")
    assert "127.0.0.1:9/" in said and "(3 attempts)" in said and ("refused" in said or "connect" in said)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/srv/git", "git@host:a/b", "ssh://h/x", "http://h:x/y", "--x"])
def test_only_http_repositories_are_asked(tmp_path, url):
    assert "no http or https URL" in refusal({"url": url, "revision": "main"}, tmp_path / "dest")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\nb", ".git/config", "", STATE])
def test_names_that_leave_the_destination_are_refused(hub, tmp_path, name):
    source = listed(hub, ["a.bin"])
    source["files"][0].update(name=name, url=f"{hub.url}/files/a.bin")
    assert "would leave the destination" in refusal(source, tmp_path / "dest")
    hub.files = {name: b"x"}
    hubs = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url, "revision": "main"}
    assert "would leave the destination" in refusal(hubs, tmp_path / "dest")


def test_symlinks_are_not_written_through(hub, tmp_path):
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    (dest / "sub").symlink_to(outside)
    assert "symlink on the way to sub/b.bin" in refusal(listed(hub), dest)
    (dest / "sub").unlink()
    (outside / "kept").write_text("kept")
    for name in ("a.bin", "a.bin.part"):
        (dest / name).symlink_to(outside / "kept")
    fetch(listed(hub), str(dest), QUICK)
    assert there(dest) == LARGE and there(outside) == {"kept": b"kept"}


def test_a_repository_with_a_symlink_is_refused(hub, tmp_path):
    work = tmp_path / "hub" / "work"
    commit(work, SMALL)
    (work / "config.json").unlink()
    (work / "config.json").symlink_to("/etc/passwd")
    git(work, "commit", "--quiet", "--all", "--message", "link")
    url = hub.publish("model.git", work)
    assert "config.json is a symlink" in refusal({"url": url, "revision": "main"}, tmp_path / "dest")


def test_a_directory_is_hard_linked_and_small_files_are_copied(tmp_path):
    folder, dest = tmp_path / "folder", tmp_path / "dest"
    commit(folder, {**LARGE, **SMALL})
    fetch({"kind": "path", "url": str(folder)}, str(dest), QUICK)
    assert (dest / "a.bin").samefile(folder / "a.bin")
    assert not (dest / "config.json").samefile(folder / "config.json")
    (folder / "config.json").write_text("{}")
    assert fetch({"kind": "path", "url": str(folder)}, str(dest), QUICK)["changed"]
    assert (dest / "config.json").read_text() == "{}"
    sums = {"a.bin": "0" * 64}
    assert "a.bin has sha256" in refusal({"kind": "path", "url": str(folder), "sha256": sums}, tmp_path / "other")
    assert "a.bin" not in there(tmp_path / "other")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "missing"])
def test_a_link_out_of_a_directory_is_refused(tmp_path, target):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "a").symlink_to(target)
    (folder / "b").symlink_to("c")
    (folder / "c").write_text("inside")
    assert str(folder / "a") in refusal({"kind": "path", "url": str(folder)}, tmp_path / "dest")
    (folder / "a").unlink()
    fetch({"kind": "path", "url": str(folder)}, str(tmp_path / "dest"), QUICK)
    assert there(tmp_path / "dest") == {"b": b"inside", "c": b"inside"}


def test_a_pinned_sum_that_the_source_contradicts_is_refused(hub, tmp_path):
    source, _identity = lfs(hub, sha256={"a.bin": "0" * 64})
    assert "a.bin has sha256" in refusal(source, tmp_path / "dest")
    assert "none.bin" in refusal({**source, "sha256": {"none.bin": "0" * 64}}, tmp_path / "dest")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no basic LFS batch"),
        (b'{"objects": [], "transfer": "tus"}', "no basic LFS batch"),
        (b'{"objects": [1, null, {"oid": 3}]}', "is not on"),
        (b" " * ((32 << 20) + 1), "more than"),
    ],
)
def test_a_batch_answer_that_is_none_is_refused(hub, tmp_path, body, words):
    source, _identity = lfs(hub)
    hub.faults = [("objects/batch", {"body": body})]
    assert words in refusal(source, tmp_path / "dest")


@pytest.mark.parametrize("href", ["file:///etc/passwd", "ftp://x/y", "gopher://", "/objects/x"])
def test_a_link_to_anything_but_http_is_refused(hub, tmp_path, href):
    source, _identity = lfs(hub)
    entries = [
        {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "actions": {"download": {"href": href}}}
        for data in LARGE.values()
    ]
    hub.faults = [("objects/batch", {"body": json.dumps({"objects": entries}).encode()})]
    assert "no http or https URL" in refusal(source, tmp_path / "dest")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"kind": "ftp"}, "source kind is 'ftp'"),
        ({"url": "http://h/x"}, "wants a revision"),
        ({"kind": "hub", "revision": "main"}, "wants a url"),
        ({"kind": "http", "url": "http://h"}, "wants files"),
        ({"kind": "http", "url": "http://h", "files": ["*.bin"]}, "wanted {name, sha256}"),
        ({"kind": "http", "url": "http://h", "files": [{"name": "a"}]}, "a has sha256 ''"),
        ({"kind": "hub", "url": "a/b/c/d", "revision": "main"}, "no repository of a hub"),
        ({"kind": "path", "url": "/none"}, "/none is no directory"),
    ],
)
def test_a_source_that_is_incomplete_is_refused(tmp_path, source, words):
    assert words in refusal(source, tmp_path / "dest")


# --- credentials


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("way", ["token", "netrc", "url"])
def test_a_login_reaches_git_and_lfs_and_no_error_says_it(hub, tmp_path, way):
    source, _identity = lfs(hub)
    hub.wanted_login = login("token" if way == "token" else "ann", "s3cret")
    options = QUICK
    said = refusal(source, tmp_path / "none")
    assert "refused" in said
    if way == "token":
        options = QUICK._replace(token="s3cret")  # noqa: S106
    elif way == "netrc":
        for name in ("netrc", ".netrc"):  # ours reads $NETRC, git's curl reads the home directory's
            (tmp_path / name).write_text("machine 127.0.0.1 login ann password s3cret\n")
            (tmp_path / name).chmod(0o600)
    else:
        source["url"] = source["url"].replace("http://", "http://ann:s3cret@")
    fetch(source, str(tmp_path / "dest"), options)
    assert there(tmp_path / "dest") == {**LARGE, **SMALL}
    assert "s3cret" not in (tmp_path / "dest" / STATE).read_text()
    said = refusal({**source, "revision": "v9"}, tmp_path / "dest", options)
    hub.wanted_login = login("other", "password")
    said += refusal({**source, "revision": "main"}, tmp_path / "other", options)
    assert "s3cret" not in said and "ann" not in said


def test_a_token_stands_in_no_argument_of_git(hub, tmp_path, monkeypatch):
    seen, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: seen.append(a[0]) or popen(*a, **k))
    source, _identity = lfs(hub)
    source["url"] = source["url"].replace("http://", "http://ann:s3cret@")
    fetch(source, str(tmp_path / "dest"), QUICK._replace(token="t0ken"))  # noqa: S106
    assert seen and not any("s3cret" in word or "t0ken" in word for command in seen for word in command)


def test_a_redirect_elsewhere_takes_no_credentials_along(hub, tmp_path):
    other = hub.url.replace("127.0.0.1", "localhost")
    hub.files.update(LARGE)
    hub.faults = [("/resolve/", {"status": 302, "headers": {"Location": f"{other}/files/a.bin?sig=x"}})]
    source = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url, "revision": "main", "files": ["a.bin"]}
    fetch(source, str(tmp_path / "dest"), QUICK._replace(token="s3cret"))  # noqa: S106
    assert [headers.get("Authorization") for headers in hub.requests("sig=x")] == [None]
    assert hub.requests("/tree/")[0]["Authorization"] == "Bearer s3cret"
    hub.faults = [("/resolve/", {"status": 302, "headers": {"Location": "file:///etc/passwd"}})]
    assert refusal(source, tmp_path / "other", QUICK)


def test_mirror_and_token_of_a_hub_come_from_the_environment(hub, tmp_path, monkeypatch):
    hub.files.update({**LARGE, **SMALL})
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    hub.wanted_login = "Bearer s3cret"
    result = fetch(
        {"kind": "hub", "url": f"https://huggingface.co/{REPOSITORY}", "revision": "main"}, str(tmp_path / "d")
    )
    assert result["revision"] == COMMIT and there(tmp_path / "d") == {**LARGE, **SMALL}


# --- progress, disk, kills


def test_progress_is_written_while_it_runs_and_goes_with_success(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(weights_fetch, "PROGRESS_EVERY", 0.05)
    source, stream, path = listed(hub), io.StringIO(), tmp_path / "dest.progress"
    hub.rate = 10_000_000
    worker = threading.Thread(target=fetch, args=(source, str(tmp_path / "dest"), QUICK._replace(stream=stream)))
    worker.start()
    samples = []
    while worker.is_alive():
        with contextlib.suppress(FileNotFoundError):
            samples.append(json.loads(path.read_text()))
        time.sleep(0.02)
    done = [sample["bytes_done"] for sample in samples]
    assert done == sorted(done) and done[0] < done[-1] <= samples[-1]["bytes_total"] == 5_000_001
    assert any(sample["bytes_per_second"] > 1_000_000 and sample["seconds_remaining"] == 0 for sample in samples)
    assert not path.exists()
    assert re.match(r"[\d.]+ \w+ of 5\.0 MB, .*/s, .*, \d of 2 files$", stream.getvalue().splitlines()[-1])


def on_disk(folder: Path) -> int:
    """Return the bytes that all files below a folder take on the disk."""
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total


def test_the_disk_never_holds_more_than_a_tenth_above_the_files(hub, tmp_path):
    large = {f"{n}.bin": content_of(n, 8_000_000) for n in range(4)}
    url, _identity = hub.repository("model.git", large, SMALL)
    hub.rate, place = 40_000_000, tmp_path / "place"
    place.mkdir()
    worker = threading.Thread(target=fetch, args=({"url": url, "revision": "main"}, str(place / "dest"), QUICK))
    worker.start()
    samples = []
    while worker.is_alive():
        samples.append(on_disk(place))
        time.sleep(0.005)
    total = sum(map(len, {**large, **SMALL}.values()))
    assert len(samples) > 20 and there(place / "dest") == {**large, **SMALL}
    assert max(samples) < 1.1 * total


def fetch_in_child(source, dest) -> int:
    """Fetch in a child of its own process group; return its process id."""
    child = os.fork()
    if child:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(child, child)
        return child
    os.setpgid(0, 0)
    try:
        fetch(source, dest, QUICK)
    finally:
        os._exit(0)


def wait_for_bytes(dest: Path, count: float) -> None:
    """Wait until this many bytes have come, whatever the machine's load makes of the time; ten seconds at most."""
    end = time.monotonic() + 10
    while time.monotonic() < end and on_disk(dest) < count:
        time.sleep(0.001)


@pytest.mark.parametrize(("kind", "kills"), [("git_lfs", 20), ("hub", 30)])
def test_fifty_kills_end_in_the_same_directory(hub, tmp_path, kind, kills):
    source, _identity = lfs(hub)
    if kind == "hub":
        hub.files.update({**LARGE, **SMALL})
        source = {"kind": "hub", "url": REPOSITORY, "revision": "main", "endpoint": hub.url}
    hub.rate = 20_000_000  # 0.15 s for the largest file
    began = time.monotonic()
    undisturbed = fetch(source, str(tmp_path / "undisturbed"), QUICK)
    whole, cut = time.monotonic() - began, 0
    dice = random.Random(f"{SEED}-{kind}")  # noqa: S311 (no secret)
    for number in range(kills):
        dest = tmp_path / f"killed-{number}"
        child = fetch_in_child(source, str(dest))
        if number % 2:
            wait_for_bytes(dest, dice.uniform(0, sum(map(len, LARGE.values()))))
            os.kill(child, signal.SIGKILL)  # git survives, as when only the module is killed
        else:
            time.sleep(dice.uniform(0, whole))
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        cut += any(dest.rglob("*.part"))
        hub.rate = 0
        result = fetch(source, str(dest), QUICK)
        hub.rate = 20_000_000
        assert there(dest) == {**LARGE, **SMALL}, f"after kill {number} with seed {SEED}"
        assert (result["files"], result["revision"]) == (undisturbed["files"], undisturbed["revision"])
        shutil.rmtree(dest)
    assert cut >= kills // 5  # or the moments were chosen badly
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("killed")]
    assert left == [], "pointers or progress were left behind"


def test_what_a_kill_after_the_last_byte_left_is_tidied_though_nothing_is_fetched(hub, tmp_path):
    source, _identity = lfs(hub)
    dest = tmp_path / "dest"
    fetch(source, str(dest), QUICK)
    for name in (".progress", ".progress.new"):
        (tmp_path / f"dest{name}").write_text("{}")
    assert not fetch(source, str(dest), QUICK)["changed"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("dest")] == ["dest"]


def test_two_runs_on_one_directory_wait_for_each_other(hub, tmp_path):
    source, _identity = lfs(hub)
    hub.rate = 10_000_000
    results = []
    runs = [
        threading.Thread(target=lambda: results.append(fetch(source, str(tmp_path / "dest"), QUICK))) for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(result["changed"] for result in results) == [False, True]
    with weights_fetch.locked(str(tmp_path / "dest"), 1):
        assert "another process" in refusal(source, tmp_path / "dest", QUICK._replace(lock_wait=0.1))


# --- small parts


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-11-10T15:29:07Z", 1478791747),
        ("2016-11-10T15:29:07.123Z", 1478791747),
        ("2016-11-10T16:29:07+01:00", 1478791747),
        ("2016-11-10T13:59:07-0130", 1478791747),
        ("0001-01-01T00:00:00Z", float("inf")),
        ("2016-99-10T15:29:07Z", float("inf")),
        ("tomorrow", float("inf")),
        (None, float("inf")),
    ],
)
def test_the_end_of_a_link_is_read(text, moment):
    assert fetch_lfs.expiry_of({"expires_at": text}, 5) == moment
    assert fetch_lfs.expiry_of({"expires_at": text, "expires_in": 10}, 5) == 15


def test_the_state_survives_what_is_written_into_it(hub, tmp_path):
    hub.files.update({**LARGE, **SMALL})
    source = {"kind": "hub", "url": REPOSITORY, "revision": "main", "endpoint": hub.url}
    dest = tmp_path / "dest"
    fetch(source, str(dest), QUICK)
    good = (dest / STATE).read_text()
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    for broken in (
        "",
        "{",
        "[]",
        '{"files": 3}',
        '{"files": {"a": 1}}',
        good.replace("a.bin", "../outside.txt"),
        "[" * 9999,
    ):
        (dest / STATE).write_text(broken)
        assert fetch(source, str(dest), QUICK)["bytes_fetched"] == 0
        assert there(dest) == {**LARGE, **SMALL} and outside.read_text() == "kept"


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9"])
def test_the_engine_parses_as_old_pythons_do(version):
    for path in (ROOT / "plugins" / "module_utils").glob("*fetch*.py"):
        ast.parse(path.read_text(), feature_version=tuple(map(int, version.split("."))))


# --- the real server


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
        [str(python), str(ROOT / "tests" / "support" / "lfs_server.py"), str(folder)],
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
    assert there(tmp_path / "dest") == files and result["revision"] == identity
    assert not fetch(source, str(tmp_path / "dest"), QUICK)["changed"]


def test_a_real_server_goes_on_after_a_kill(giftless, tmp_path):
    url, _identity, files = giftless
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "a.bin.part").write_bytes(LARGE["a.bin"][:1_234_567])
    fetch({"url": url, "revision": "main"}, str(dest), QUICK)
    assert there(dest) == files


def test_a_real_server_names_the_object_it_has_not(giftless, tmp_path):
    url, _identity, _files = giftless
    pointer = fetch_lfs.Pointer("1" * 64, 5)
    batch = fetch_lfs.Batch(fetch_http.Client(url), url + "/info/lfs")
    with pytest.raises(FetchError, match=r"has no x\.bin \(object 111111111111, 5 bytes\)"):
        batch.ask([("x.bin", pointer)])
