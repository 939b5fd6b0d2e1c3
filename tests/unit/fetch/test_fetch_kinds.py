"""Each kind of source brings its files, and a second run brings nothing."""

import hashlib
import json
import os

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch, resolve
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.names import STATE

from tests.support.fetching import LARGE, QUICK, SMALL, files_below, git_lfs_source, http_source, refusal
from tests.support.standin_hub import REPOSITORY, commit, git


def test_git_lfs_brings_the_files_of_the_revision(hub, tmp_path):
    source, identity = git_lfs_source(hub)
    dest = tmp_path / "dest"
    result = fetch(source, str(dest), QUICK)
    assert files_below(dest) == {**LARGE, **SMALL}
    assert result["changed"] and result["revision"] == identity
    assert result["bytes_total"] == sum(map(len, {**LARGE, **SMALL}.values())) == result["bytes_fetched"]
    assert result["files"]["a.bin"] == {"size": 3_000_001, "sha256": hashlib.sha256(LARGE["a.bin"]).hexdigest()}
    assert sorted(path.name for path in tmp_path.iterdir() if "dest" in path.name) == ["dest"]


@pytest.mark.parametrize("kind", ["git_lfs", "hub", "http", "path"])
def test_a_second_run_changes_and_fetches_nothing(hub, tmp_path, kind):
    hub.files.update({**LARGE, **SMALL})
    commit(tmp_path / "folder", {**LARGE, **SMALL})
    source = {
        "git_lfs": lambda: git_lfs_source(hub)[0],
        "hub": lambda: {"kind": "hub", "url": REPOSITORY, "revision": "main", "endpoint": hub.url},
        "http": lambda: http_source(hub),
        "path": lambda: {"kind": "path", "url": str(tmp_path / "folder")},
    }[kind]()
    dest = tmp_path / "dest"
    first = fetch(source, str(dest), QUICK)
    expected = LARGE if kind == "http" else {**LARGE, **SMALL}
    assert files_below(dest) == expected
    hub.seen.clear()
    second = fetch(source, str(dest), QUICK)
    assert (second["changed"], second["bytes_fetched"]) == (False, 0)
    assert (second["revision"], second["files"]) == (first["revision"], first["files"])
    assert not hub.requests("/lfs-objects/") and not hub.requests("/resolve/")


def test_a_pinned_commit_that_is_there_asks_no_server(hub, tmp_path):
    source, identity = git_lfs_source(hub)
    source["revision"] = identity
    fetch(source, str(tmp_path / "dest"), QUICK)
    hub.seen.clear()
    assert not fetch(source, str(tmp_path / "dest"), QUICK)["changed"]
    assert hub.seen == []


def test_a_finished_file_is_not_read_again(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    fetch(source, str(tmp_path / "dest"), QUICK)
    path = tmp_path / "dest" / "a.bin"
    facts = path.stat()
    path.write_bytes(b"x" * facts.st_size)  # as a disk that lies: same size, same time
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert not fetch(source, str(tmp_path / "dest"), QUICK)["changed"]


@pytest.mark.parametrize("damage", [b"", b"short", "touched", "flipped"])
def test_a_damaged_file_alone_comes_again(hub, tmp_path, damage):
    source, _identity = git_lfs_source(hub)
    fetch(source, str(tmp_path / "dest"), QUICK)
    path, data = tmp_path / "dest" / "a.bin", LARGE["a.bin"]
    path.write_bytes({"touched": data, "flipped": b"x" + data[1:]}.get(damage, damage))
    hub.seen.clear()
    result = fetch(source, str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "dest") == {**LARGE, **SMALL}
    assert result["bytes_fetched"] == (0 if damage == "touched" else len(data))
    assert len(hub.requests("/lfs-objects/")) == (0 if damage == "touched" else 1)


def test_a_newer_revision_takes_away_what_it_no_longer_has(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    dest = tmp_path / "dest"
    fetch(source, str(dest), QUICK)
    (dest / "mine.txt").write_text("not the source's")
    work = tmp_path / "hub" / "work-model.git"
    git(work, "rm", "--quiet", "sub/b.bin")
    hub.repository("model.git", {"a.bin": b"new" * 100}, {})
    assert fetch(source, str(dest), QUICK)["changed"]
    assert files_below(dest) == {**SMALL, "a.bin": b"new" * 100, "mine.txt": b"not the source's"}


def test_an_older_commit_a_tag_and_an_abbreviation_are_found(hub, tmp_path):
    source, first = git_lfs_source(hub)
    work = tmp_path / "hub" / "work-model.git"
    git(work, "tag", "--annotate", "--message", "v1", "v1")
    hub.repository("model.git", {"a.bin": b"second"}, {})
    for revision in (first, "v1", first[:9]):
        dest = tmp_path / revision
        assert fetch({**source, "revision": revision}, str(dest), QUICK)["revision"] == first
        assert (dest / "a.bin").read_bytes() == LARGE["a.bin"]
    assert resolve({**source, "revision": "v1"}, QUICK) == first


def test_patterns_choose_and_leave_out(hub, tmp_path):
    source, _identity = git_lfs_source(hub, files=["*.bin", "*.json", "!sub/*"])
    fetch(source, str(tmp_path / "dest"), QUICK)
    assert sorted(files_below(tmp_path / "dest")) == ["a.bin", "config.json"]
    assert "*.safetensors" in refusal({**source, "files": ["*.safetensors"]}, tmp_path / "other")


@pytest.mark.parametrize("kind", ["git_lfs", "hub", "http", "path"])
def test_a_part_now_and_the_rest_later(hub, tmp_path, kind):
    """Only what is named comes, what is there stays, and the state never says that all were there."""
    everything = {**LARGE, **SMALL}
    hub.files.update(everything)
    commit(tmp_path / "folder", everything)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in everything.items()}
    source = {
        "git_lfs": lambda: git_lfs_source(hub)[0],
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
    assert files_below(dest) == {"config.json": SMALL["config.json"]} and set(first["files"]) == {"config.json"}
    assert first["names"] == would["names"] == sorted(everything)
    assert json.loads((dest / STATE).read_text())["revision"] == ""
    assert part("*.json")["changed"] is False
    second = part("sub/b.bin")
    assert set(files_below(dest)) == {"config.json", "sub/b.bin"} and second["changed"]
    assert second["bytes_fetched"] == (0 if kind == "path" else 2_000_000)
    (dest / "sub/b.bin").unlink()  # or a hard link's source would change too
    (dest / "sub/b.bin").write_bytes(b"broken")
    hub.seen.clear()
    whole = fetch(source, str(dest), QUICK)
    assert files_below(dest) == everything and whole["changed"] and set(whole["files"]) == set(everything)
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
    assert files_below(dest) == everything


def test_lfsconfig_names_the_server(hub, tmp_path):
    config = b"[lfs]\n\turl = %s/elsewhere/info/lfs\n" % hub.url.encode()
    url, _identity = hub.repository("model.git", LARGE, {".lfsconfig": config})
    fetch({"url": url, "revision": "main"}, str(tmp_path / "dest"), QUICK)
    assert hub.requests("/elsewhere/info/lfs/objects/batch") and not hub.requests("/model.git/info/lfs")


def test_check_mode_says_how_much_and_writes_nothing(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
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
        assert files_below(dest) == {**LARGE, **SMALL} and outside.read_text() == "kept"
