"""The disk is never overfilled, and nothing is written outside the destination."""

import re
import threading
import time

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.errors import FetchError
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.items import Item
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.names import STATE
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.space import check_space, space_fault
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.task import Task

from tests.support.fetching import LARGE, QUICK, SMALL, files_below, http_source, on_disk, refusal
from tests.support.standin_hub import REPOSITORY, commit, content_of, git, pointer_of


def test_a_size_beyond_the_disk_is_refused_before_the_first_byte(hub, tmp_path):
    pointer = pointer_of(LARGE["a.bin"]).replace(b"3000001", b"9" * 17)
    url, _identity = hub.repository("model.git", {}, {"a.bin": pointer})
    said = refusal({"url": url, "revision": "main"}, tmp_path / "dest")
    assert re.search(r"dest needs .* TB more .* are free: make room for", said)
    assert not hub.requests("/lfs-objects/") and not hub.requests("/objects/batch")


def test_space_counts_what_is_there(tmp_path):
    item = Item("a", 10**15, "0" * 64, "", lambda at: None)
    with pytest.raises(FetchError):
        check_space([item], str(tmp_path))
    with open(tmp_path / "a.part", "wb") as stream:
        stream.truncate(10**12)
    check_space([item._replace(size=10**12)], str(tmp_path))
    assert space_fault(10**9, 5, 2 * 10**9, "d") == ""
    assert "d needs 1.0 GB more (500 bytes are there already), and 1.0 MB are free" in space_fault(
        10**9, 500, 10**6, "d"
    )


def test_a_disk_that_fills_up_all_the_same_is_said(hub, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Task, "copy", full)
    assert "is full: make room; the next run goes on" in refusal(http_source(hub), tmp_path / "dest")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\nb", ".git/config", "", STATE])
def test_names_that_leave_the_destination_are_refused(hub, tmp_path, name):
    source = http_source(hub, ["a.bin"])
    source["files"][0].update(name=name, url=f"{hub.url}/files/a.bin")
    assert "can not be written below the destination" in refusal(source, tmp_path / "dest")
    hub.files = {name: b"x"}
    hubs = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url, "revision": "main"}
    assert "can not be written below the destination" in refusal(hubs, tmp_path / "dest")


def test_symlinks_are_not_written_through(hub, tmp_path):
    outside, dest = tmp_path / "outside", tmp_path / "dest"
    outside.mkdir()
    dest.mkdir()
    (dest / "sub").symlink_to(outside)
    assert "symlink on the way to sub/b.bin" in refusal(http_source(hub), dest)
    (dest / "sub").unlink()
    (outside / "kept").write_text("kept")
    for name in ("a.bin", "a.bin.part"):
        (dest / name).symlink_to(outside / "kept")
    fetch(http_source(hub), str(dest), QUICK)
    assert files_below(dest) == LARGE and files_below(outside) == {"kept": b"kept"}


def test_a_destination_may_itself_be_a_symlink(hub, tmp_path):
    (tmp_path / "large").mkdir()
    (tmp_path / "dest").symlink_to("large")
    fetch(http_source(hub), str(tmp_path / "dest"), QUICK)
    assert files_below(tmp_path / "large") == LARGE


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
    assert "a.bin" not in files_below(tmp_path / "other")


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
    assert files_below(tmp_path / "dest") == {"b": b"inside", "c": b"inside"}


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
    assert len(samples) > 20 and files_below(place / "dest") == {**large, **SMALL}
    assert max(samples) < 1.1 * total
