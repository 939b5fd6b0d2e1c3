"""A fetch shows its progress, and a killed one leaves only files that the next one uses."""

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import progress
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch, locked

from tests.support.fetching import LARGE, QUICK, SEED, SMALL, files_below, git_lfs_source, http_source, on_disk, refusal
from tests.support.standin_hub import REPOSITORY


def test_progress_is_written_while_it_runs_and_goes_with_success(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "PROGRESS_EVERY", 0.05)
    source, stream, path = http_source(hub), io.StringIO(), tmp_path / "dest.progress"
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
    source, _identity = git_lfs_source(hub)
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
        assert files_below(dest) == {**LARGE, **SMALL}, f"after kill {number} with seed {SEED}"
        assert (result["files"], result["revision"]) == (undisturbed["files"], undisturbed["revision"])
        shutil.rmtree(dest)
    assert cut >= kills // 5  # or the moments were chosen badly
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("killed")]
    assert left == [], "pointers or progress were left behind"


def test_what_a_kill_after_the_last_byte_left_is_tidied_though_nothing_is_fetched(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    dest = tmp_path / "dest"
    fetch(source, str(dest), QUICK)
    for name in (".progress", ".progress.part"):
        (tmp_path / f"dest{name}").write_text("{}")
    assert not fetch(source, str(dest), QUICK)["changed"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("dest")] == ["dest"]


def test_two_runs_on_one_directory_wait_for_each_other(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
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
    with locked(str(tmp_path / "dest"), 1):
        assert "another process" in refusal(source, tmp_path / "dest", QUICK._replace(lock_wait=0.1))
