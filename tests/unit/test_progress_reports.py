"""How far a long work is: the report that it writes, and the question that the view asks over an open connection."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import progress
from ansible_collections.fastchat.fleet.plugins.module_utils.view import remote
from ansible_collections.fastchat.fleet.plugins.modules import weights_receive


def test_a_work_reports_each_second_and_leaves_nothing(tmp_path):
    folder, done = str(tmp_path / "reports"), [0]
    seen = []
    with progress.reported(1000, lambda: done[0], folder):
        for count in (100, 300):
            done[0] = count
            time.sleep(1.3)
            seen.append(json.loads((tmp_path / "reports" / f"{os.getpid()}.json").read_text()))
    assert [one["bytes_done"] for one in seen] == [100, 300]
    assert seen[1]["bytes_total"] == 1000 and 0 < seen[1]["bytes_per_second"] < 300
    assert seen[1]["seconds_remaining"] > 0 and abs(seen[1]["at"] - time.time()) < 5
    assert os.listdir(folder) == []


def test_a_work_that_fails_leaves_nothing_and_fails_as_it_would(tmp_path):
    with pytest.raises(KeyError), progress.reported(1, lambda: 0, str(tmp_path)):
        raise KeyError("its own")
    assert os.listdir(tmp_path) == []


def test_reports_of_killed_works_are_removed_by_the_next(tmp_path):
    (tmp_path / "1.json").write_text("{}")
    (tmp_path / "2.json").write_text("{}")
    os.utime(tmp_path / "1.json", (0, 0))
    progress.withdraw(str(tmp_path))
    assert os.listdir(tmp_path) == ["2.json"]


def test_nothing_is_written_through_somebody_else_s_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert progress.report({}, str(tmp_path / "link")) is False
    assert progress.report({}, "/proc/none") is False
    assert os.listdir(tmp_path / "real") == []


def test_a_rate_is_that_of_the_last_seconds():
    meter = progress.Meter(100)
    assert meter.facts(0)["seconds_remaining"] is None
    meter.samples = [(time.time() - 5, 0)]
    facts = meter.facts(50)
    assert 9 <= facts["bytes_per_second"] <= 10 and facts["seconds_remaining"] == 5


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Read no report of another work of this machine, which may be one that was killed; return where they lie."""
    assert progress.FOLDER in remote.REPORTS
    monkeypatch.setattr(remote, "REPORTS", remote.REPORTS.replace(progress.FOLDER, str(tmp_path / "run")))
    monkeypatch.setattr(progress, "FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_local_host_is_asked_and_its_report_read(alone):
    with progress.reported(1000, lambda: 10):
        time.sleep(0.3)
        found = remote.ask(remote.LOCAL, threading.RLock())
    assert found["bytes_total"] == 1000 and found["bytes_done"] == 10
    assert "bytes_total" not in remote.ask(remote.LOCAL, threading.RLock())


def test_a_work_that_acts_as_another_user_is_heard_too(alone):
    with progress.reported(1000, lambda: 10, str(alone / "fastchat-progress-4242")):
        time.sleep(0.3)
        assert remote.ask(remote.LOCAL, threading.RLock())["bytes_total"] == 1000


def test_a_release_is_fetched_and_reported_by_one_user(monkeypatch):
    told = []

    @contextlib.contextmanager
    def noted(what):
        told.append(what)
        yield
        told.append(f"end {what}")

    monkeypatch.setattr(weights_receive, "make_folder", lambda *_: None)
    monkeypatch.setattr(weights_receive, "acting_as", lambda user: noted(f"acting as {user}"))
    monkeypatch.setattr(weights_receive, "reported", lambda *_: noted("report"))
    monkeypatch.setattr(weights_receive.receive, "fetch_http", lambda *_: told.append("fetch"))
    given = {"manifest": {"files": {}}, "stall": 1, "method": "http", "url": "http://gpu01", "user": "ada"}
    weights_receive.complete(given, "/nowhere")
    assert told == ["acting as ada", "report", "fetch", "end report", "end acting as ada"]


def test_a_host_that_hangs_costs_two_seconds_and_its_process_is_gone(tmp_path):
    fake = tmp_path / "ssh"
    fake.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    fake.chmod(0o755)
    begun = time.monotonic()
    assert remote.ask([str(fake), "gpu01"], threading.RLock()) is None
    assert time.monotonic() - begun < 2 * remote.LIMIT
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}")


def test_without_an_open_connection_ssh_ends_at_once_and_asks_nobody():
    settings = [word for key, value in remote.SHARED.items() for word in ("-o", f"{key}={value}")]
    begun = time.monotonic()
    # 192.0.2.1 is an address that nobody has (RFC 5737): a connection to it would wait, and here none is made.
    assert (
        remote.ask(["ssh", *settings, "-o", "ControlPath=/nonexistent/socket", "192.0.2.1"], threading.RLock()) is None
    )
    assert time.monotonic() - begun < 1.5


def test_the_question_is_right_for_a_plain_shell():
    done = subprocess.run(["sh", "-n", "-c", remote.SCRIPT], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
