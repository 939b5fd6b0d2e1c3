"""The ledger records every run, and no run fails or waits because of it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.plugins.loader import callback_loader
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger import spool
from django.db import OperationalError

from report import record, runs, store
from report.record import settle
from testbed.paths import CLONE
from tests.support import ledger_runs
from tests.support.ledger_runs import events, inventory, play, spooled, surroundings

PLAYBOOK = """
- name: Runtime | Do it
  hosts: all
  gather_facts: false
  tasks:
    - name: Say it
      ansible.builtin.debug: {msg: said}
    - name: Change it
      ansible.builtin.debug: {msg: said}
      changed_when: true
    - name: Wait
      ansible.builtin.command: sleep {{ wait | default(0) }}
      when: wait is defined
"""
WARNING = "This run is not recorded in the ledger"


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "run.yml"
    path.write_text(PLAYBOOK)
    inventory(tmp_path / "hosts", 2)
    return path


def recorded(ledger):
    """Return what the ledger has of its runs, once the recorder is done."""
    settle(ledger)
    store.opened(ledger / spool.DATABASE)
    return runs.listed()


def wait_for(done, seconds=60):
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_is_recorded_by_itself_and_its_numbers_are_right(book, tmp_path):
    ended = play(tmp_path / "ledger", book, "-i", "hosts")
    assert ended.returncode == 0 and ended.stderr == ""
    # The recorder was started by the run; nobody else does it here.
    wait_for(lambda: not spool.waiting(tmp_path / "ledger"))
    (run,) = recorded(tmp_path / "ledger")
    assert (run["name"], run["status"], run["hosts"], run["changed"], run["failed"]) == (
        "run.yml",
        "completed",
        2,
        2,
        0,
    )
    read = runs.read(run["id"])
    assert [task["name"] for task in read["tasks"].values()] == ["Say it", "Change it", "Wait"]
    assert [host["changed"] for host in read["hosts"]] == [1, 1]
    # pause runs once for all hosts.
    assert sorted(host["skipped"] for host in read["hosts"]) == [1, 1]
    assert len(read["results"]) == 4
    assert all(0 <= result["from"] <= result["to"] <= read["seconds"] for result in read["results"])


def test_aras_own_command_reads_the_ledger(book, tmp_path):
    spooled(tmp_path / "ledger", events(2, failing="gpu001"))
    settle(tmp_path / "ledger")
    own = {"ARA_BASE_DIR": str(tmp_path / "ara"), "ARA_DATABASE_NAME": str(tmp_path / "ledger" / spool.DATABASE)}
    command = [
        Path(sys.executable).parent / "ara",
        "result",
        "list",
        "--status",
        "failed",
        "-f",
        "value",
        "-c",
        "status",
    ]
    shown = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True)
    assert shown.stdout.split()[-1] == "failed"


@pytest.mark.parametrize("off", ["off", "no", "0"])
def test_one_variable_turns_it_off(book, tmp_path, off):
    ended = play(tmp_path, book, "-i", "hosts", FLEET_LEDGER=off)
    assert ended.returncode == 0 and ended.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hosts", "run.yml"]


def test_ansible_cfg_turns_it_on_and_where_it_lies_is_ignored_by_git():
    assert "callbacks_enabled = fastchat.fleet.ledger" in (CLONE / "ansible.cfg").read_text()
    assert spool.directory("", CLONE) == CLONE / ".fleet" / "ledger"
    assert ".fleet/" in (CLONE / ".gitignore").read_text().splitlines()


def test_without_ara_there_is_one_warning_and_the_run_goes_on(book, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['ara'] = None\n")
    imports = f"{tmp_path}:{surroundings(tmp_path)['PYTHONPATH']}"
    ended = play(tmp_path / "ledger", book, "-i", "hosts", PYTHONPATH=imports)
    assert ended.returncode == 0
    assert ended.stderr.count(WARNING) == 1 and "ARA is not installed" in " ".join(ended.stderr.split())
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize("where", ["/proc/ledger", "/dev/null/ledger"])
def test_where_nothing_can_be_written_there_is_one_warning(book, tmp_path, where):
    ended = play(Path(where), book, "-i", "hosts")
    assert ended.returncode == 0
    assert ended.stderr.count("[WARNING]") == 1 and WARNING in ended.stderr and where in "".join(ended.stderr.split())


def test_a_disk_that_fills_up_during_the_run_ends_the_record_and_not_the_run(tmp_path):
    callback = callback_loader.get("fastchat.fleet.ledger")
    warnings = []
    callback._display = type("Display", (), {"warning": lambda _self, text: warnings.append(text)})()
    callback.spool = spool.Spool(tmp_path / "ledger")
    os.close(callback.spool.descriptor)
    callback.spool.descriptor = os.open("/dev/full", os.O_WRONLY)
    stats = type("Stats", (), {"processed": {}})()
    for _ in range(3):
        callback.v2_playbook_on_stats(stats)
    assert len(warnings) == 1 and "No space left" in warnings[0]
    assert callback.disabled


def test_a_database_that_is_none_is_put_aside_and_a_new_one_begins(tmp_path):
    ledger = tmp_path / "ledger"
    spooled(ledger, events())
    (ledger / spool.DATABASE).write_bytes(b"this is no database, but somebody's file\n" * 100)
    assert len(recorded(ledger)) == 1
    assert len(list(ledger.glob("*.broken-*"))) == 1
    said = spool.take_fault(ledger)
    assert "was damaged" in said and "new ledger began" in said
    assert spool.take_fault(ledger) == ""


def test_the_next_run_shows_what_the_recorder_met(book, tmp_path):
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    record.leave_fault(ledger, "It was damaged.")
    first, second = (play(ledger, book, "-i", "hosts") for _ in range(2))
    assert "It was damaged." in first.stderr and second.stderr == ""


def test_a_locked_database_loses_nothing(tmp_path, monkeypatch):
    ledger = tmp_path / "ledger"
    spooled(ledger, events())
    settle(ledger)
    path = spooled(ledger, events(began=ledger_runs.BEGAN + 1000))
    monkeypatch.setitem(store.ADDRESS, "timeout", 0.2)
    with sqlite3.connect(ledger / spool.DATABASE, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OperationalError, match="locked"):
            settle(ledger)
        record.main(ledger)
        assert path.exists() and "locked" in spool.take_fault(ledger)
        other.execute("ROLLBACK")
    assert len(recorded(ledger)) == 2


def test_two_runs_at_once_are_both_recorded(book, tmp_path):
    ledger = tmp_path / "ledger"
    command = [Path(sys.executable).parent / "ansible-playbook", book, "-i", "hosts"]
    environment = os.environ | surroundings(ledger)
    started = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate()[1] for process in started] == [b"", b""]
    assert [run["status"] for run in recorded(ledger)] == ["completed", "completed"]


def test_two_recorders_at_once_record_each_run_once(tmp_path):
    ledger = tmp_path / "ledger"
    for number in range(6):
        spooled(ledger, events(2, began=ledger_runs.BEGAN + 100 * number))
    command = [sys.executable, "-m", "report.record", str(ledger)]
    started = [subprocess.Popen(command, env=os.environ | surroundings(ledger), cwd=CLONE) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert len(recorded(ledger)) == 6 and spool.take_fault(ledger) == ""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_is_recorded_as_such(book, tmp_path, sign):
    ledger = tmp_path / "ledger"
    command = [Path(sys.executable).parent / "ansible-playbook", book, "-i", "hosts", "-e", "wait=60"]
    environment, quiet = os.environ | surroundings(ledger), subprocess.DEVNULL
    streams = {"stdin": quiet, "stdout": quiet, "stderr": quiet}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **streams)
    wait_for(lambda: any(b'"name":"Wait"' in path.read_bytes() for path in spool.waiting(ledger)))
    assert settle(ledger) == [], "a run that lives is not recorded"
    os.killpg(process.pid, sign)  # as Ctrl-C does, and forks of a run are part of it
    process.wait(30)
    # After SIGINT the run's own recorder may have been first.
    wait_for(lambda: settle(ledger) or not spool.waiting(ledger))
    (run,) = recorded(ledger)
    assert run["status"] == "expired" and run["hosts"] == 2


def test_only_the_last_runs_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FLEET_LEDGER_RUNS", "3")
    for number in range(5):
        spooled(tmp_path / "ledger", events(2, began=ledger_runs.BEGAN + 100 * number))
    found = recorded(tmp_path / "ledger")
    assert [round(run["started"].timestamp() - ledger_runs.BEGAN) for run in found] == [400, 300, 200]
    assert store.models.Result.objects.count() == 3 * 30
    assert store.models.LatestHost.objects.count() == 2


def test_a_cut_or_foreign_file_ends_nothing(tmp_path):
    ledger = tmp_path / "ledger"
    path = spooled(ledger, events(2))
    path.write_bytes(path.read_bytes()[:-40])
    (ledger / "spool" / "0-1.jsonl").write_text("[1]\n\x00\n")
    (run,) = recorded(ledger)
    assert run["status"] == "expired"
    assert spool.waiting(ledger) == []


def test_the_spool_does_not_grow_without_end(tmp_path):
    for number in range(spool.MOST_WAITING):
        spool.Spool(tmp_path / "ledger").close()
        assert len(spool.waiting(tmp_path / "ledger")) == number + 1
    with pytest.raises(OSError, match="wait in"):
        spool.Spool(tmp_path / "ledger")
