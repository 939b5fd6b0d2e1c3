"""``fleet`` on a terminal, without one, and when somebody presses Ctrl-C."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.terminal import CTRL_C, Terminal

ESCAPE = "\x1b"
# A view that draws on one line again and again, without an end of line, and says how wide it finds the terminal.
VIEW = """
import os, signal, sys, time
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "stdout", "view"

    def v2_playbook_on_start(self, playbook):
        resized = []
        signal.signal(signal.SIGWINCH, lambda *_: resized.append(1))
        width = lambda: os.get_terminal_size(1).columns
        sys.stdout.write(f"\\r\\x1b[2K\\x1b[32mdrawn {width()} wide\\x1b[0m")
        sys.stdout.flush()
        end = time.time() + 30
        while not resized and time.time() < end:
            time.sleep(0.05)
        sys.stdout.write(f"\\r\\x1b[2Kredrawn {width()} wide")
        sys.stdout.flush()
        time.sleep(0.5)
"""


@pytest.fixture
def terminal(place):
    """Return a function that starts ``fleet`` on a terminal."""
    terminals = []

    def start(*arguments: str, columns: int = 100, **environment: str) -> Terminal:
        options = {"cwd": str(place.folder), "env": {**place.environment, **environment}}
        terminals.append(Terminal.run(place.words(*arguments), columns, **options))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


def test_a_view_draws_in_colour_on_the_terminal_itself_and_hears_of_a_new_width(place, terminal):
    (place.folder / "views").mkdir()
    (place.folder / "views" / "view.py").write_text(VIEW)
    own = {"ANSIBLE_CALLBACK_PLUGINS": str(place.folder / "views"), "ANSIBLE_STDOUT_CALLBACK": "view"}
    screen = terminal("up", columns=77, **own)
    screen.until("\x1b[2K\x1b[32mdrawn 77 wide")  # no line has ended yet
    screen.resize(61)
    screen.until("\x1b[2Kredrawn 61 wide")
    assert screen.end() == 0
    (record,) = place.records()
    assert record["exit"] == 0
    events = next((place.folder / "runs").glob("*/events.jsonl")).read_text()
    assert '"event": "recap"' in events
    assert "drawn" not in events


def test_ctrl_c_ends_the_playbook_with_a_sentence_and_sets_the_hosts_free(place, terminal):
    screen = terminal("up", "-e", "nap=60")
    screen.until("TASK [Tiny | Nap]")
    time.sleep(1)
    screen.press(CTRL_C)
    assert screen.end() == 130
    assert "up: interrupted after" in screen.drawn
    assert "fleet status" in screen.drawn
    assert "Traceback" not in screen.drawn
    assert place.records()[-1]["exit"] == 130
    assert place.fleet("up").returncode == 0


def living(group: int) -> list[str]:
    """Return the command lines of a group's processes, without those that have ended and wait to be noticed."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _parent, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # gone since we looked
            continue
    return found


def left(group: int, seconds: float = 15) -> list[str]:
    """Return what still lives of a group when all of it should have ended."""
    end = time.monotonic() + seconds
    while living(group) and time.monotonic() < end:
        time.sleep(0.2)
    return living(group)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_from_a_script_ends_the_playbook_too(place, started, number, status):
    run = started(place.words("up", "-e", "nap=60"), cwd=place.folder, env=place.environment, text=True,
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    while "Nap" not in run.stdout.readline():
        assert run.poll() is None
    while living(run.pid).count("sleep 60 ") < 3:  # on each host; what is just being started hears of nothing
        assert run.poll() is None
    run.send_signal(number)
    _output, errors = run.communicate(timeout=30)
    assert run.returncode == status
    assert "up: interrupted after" in errors
    assert left(run.pid) == []


def test_a_run_that_was_started_with_nohup_outlives_its_terminal(place, started):
    words = ["nohup", *place.words("up", "-e", "nap=3")]
    run = started(words, cwd=place.folder, env=place.environment, text=True, stdin=subprocess.DEVNULL,
                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    while "Nap" not in run.stdout.readline():
        assert run.poll() is None
    os.killpg(run.pid, signal.SIGHUP)
    run.communicate(timeout=60)
    assert (run.returncode, place.records()[-1]["exit"]) == (0, 0)


def test_a_question_for_a_password_is_asked_on_the_terminal(place, terminal):
    screen = terminal("up", "--ask-become-pass")
    screen.until("BECOME password:")
    screen.press("typed-in-this-test\r")
    assert screen.end() == 0
    assert "typed-in-this-test" not in screen.drawn
    kept = [path for path in place.folder.rglob("*") if path.is_file()]
    assert [path for path in kept if "typed-in-this-test" in path.read_text()] == []


def test_on_60_columns_nothing_of_our_own_is_wider(place, terminal):
    place.fleet("up", "-e", "bad=a,b")
    for arguments in (
        ["runs"],
        ["up", "--help"],
        ["up", "--inventory", "/no/such/inventory/in/a/deep/folder"],
        ["nosuch"],
    ):
        screen = terminal(*arguments, columns=60)
        screen.end()
        plain = re.sub(r"\x1b\[[0-9;]*m", "", screen.drawn)
        assert [line for line in plain.splitlines() if len(line.rstrip()) > 60] == []
        assert "Traceback" not in plain


def test_a_dumb_terminal_gets_no_escapes(place, terminal):
    place.fleet("up", "-e", "bad=a")
    for arguments in (["runs"], ["up", "--help"], ["up", "--nosuch"], ["up", "--inventory", "/none"]):
        screen = terminal(*arguments, TERM="dumb")
        screen.end()
        assert screen.drawn
        assert ESCAPE not in screen.drawn


@pytest.mark.parametrize("arguments", [["up"], ["runs"], ["--help"], ["up", "--nosuch"]])
def test_a_reader_that_has_gone_away_is_no_fault(place, arguments):
    place.fleet("up")
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        place.words(*arguments), cwd=place.folder, env=place.environment, stdout=writer, stderr=subprocess.PIPE,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(writer)
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
    if arguments == ["up"]:
        assert (run.returncode, place.records()[-1]["exit"]) == (0, 0)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_has_closed_is_no_fault(place, closed):
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", *place.words("up")]
    run = subprocess.run(
        words, cwd=place.folder, env=place.environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0
    assert "Traceback" not in run.stdout + run.stderr
