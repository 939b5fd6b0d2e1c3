"""The callback over real runs of a small playbook: in a pipe, on terminals, and for readers that go away."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_runner
import pytest
import yaml

from testbed.containers import runs
from testbed.paths import CLONE, IMPORTS
from tests.support.terminal import Terminal

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
REASON = "The worker did not answer within 60 s; wanted an answer. Look at its journal, then run this again."
VERDICT = "The fleet serves.\nIt says: Paris."
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def playbook(folder: Path) -> list[dict]:
    """Return plays that do each kind of thing once; every run finds the same state."""
    target = str(folder / "changed-{{ inventory_hostname }}")
    first = [
        {"name": "Build | Right already", "ansible.builtin.file": {"path": str(folder), "state": "directory"}},
        {"name": "Build | Skipped", "ansible.builtin.command": "false", "when": False},
        {"name": "Build | Write it", "ansible.builtin.copy": {"content": "new\n", "dest": target, "mode": "0600"}},
        {"name": "Build | Take long", "ansible.builtin.command": "sleep 1.5", "changed_when": False},
    ]
    second = [
        {"name": "Verdict | Say it", "ansible.builtin.debug": {"msg": VERDICT}, "run_once": True},
        {
            "name": "Verdict | Try",
            "block": [{"name": "Verdict | Try it", "ansible.builtin.command": "false", "changed_when": False}],
            "rescue": [{"name": "Verdict | Undo", "ansible.builtin.debug": {"msg": "undone"}}],
        },
        {"name": "Verdict | Judge", "ansible.builtin.fail": {"msg": REASON}, "when": "inventory_hostname == 'gpu02'"},
    ]  # fmt: skip
    both = {"hosts": "all", "gather_facts": False}
    return [
        {"name": "Runtime | Build it", **both, "tasks": first},
        {"name": "Verify | Ask it", **both, "tasks": second},
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    hosts = {f"gpu{number:02d}": {} for number in (1, 2, 3)}
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": variables}}))
    (folder / "site.yml").write_text(yaml.safe_dump(playbook(folder)))
    return folder


def environment(**variables: str) -> dict[str, str]:
    """Return this project's environment, without what the surroundings of the tests say about terminals."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in ("CI", "COLUMNS", "NO_COLOR", "ANSIBLE_FORCE_COLOR")
    }
    return {**kept, "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"), "TERM": "xterm-256color", **variables}


def command(folder: Path, *arguments: str) -> list[str]:
    """Return the run as words, over files that are not there yet."""
    for path in folder.glob("changed-*"):
        path.unlink()
    return [str(PLAYBOOK), "-i", str(folder / "hosts.yml"), *arguments, str(folder / "site.yml")]


def piped(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """Return (status, stdout, stderr) of a run into pipes."""
    done = subprocess.run(
        command(folder, *arguments),
        capture_output=True,
        text=True,
        check=False,
        env=environment(**variables),
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def on_terminal(folder: Path, columns: int, *arguments: str, **variables: str) -> tuple[int, str]:
    """Return (status, all bytes as text) of a run on a terminal of that width."""
    return shown(command(folder, *arguments), columns, **variables)


def shown(words: list[str], columns: int, **variables: str) -> tuple[int, str]:
    """Return (status, all bytes as text) of a program on a terminal of that width."""
    terminal = Terminal.run(words, columns, env=environment(**variables))
    return terminal.end(), terminal.drawn


def settled(said: str) -> list[str]:
    """Return the lines that stay on a terminal: what was drawn is erased by cursor movements over it."""
    lines: list[str] = [""]
    place = 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if piece == "\n":
            place += 1
            lines += [""] * (place + 1 - len(lines))
        elif piece.endswith("A") and piece.startswith("\x1b"):
            place -= int(piece[2:-1] or 1)
        elif piece == "\x1b[2K":
            lines[place] = ""
        elif piece != "\r" and not piece.startswith("\x1b"):
            lines[place] += piece
    return [line.rstrip() for line in lines]


@pytest.fixture(scope="module")
def in_a_pipe(site):
    return piped(site)


def expected(folder: Path) -> list[str]:
    """Return the lines of a run up to the result."""
    files = [f"  gpu0{number}          Write it: {folder}/changed-gpu0{number}" for number in (1, 2, 3)]
    return [
        "",
        "Runtime",
        *files,
        "",
        "Verify",
        "  gpu01          Say it",
        "    The fleet serves.",
        "    It says: Paris.",
        "  all 3 hosts    Try it: this failed; what is done about it follows. Its command ended with status 1: false",
        "  all 3 hosts    undone",
        "  gpu02          Failed: Judge",
        f"                 {REASON}",
        "",
        "Result",
        "  gpu01, gpu03   changed=1",
        "  gpu02          changed=1   failed=1",
    ]


def test_a_pipe_gets_lines_and_nothing_of_what_was_right_or_skipped(site, in_a_pipe):
    status, said, errors = in_a_pipe
    assert status == 2 and errors == ""
    lines = said.splitlines()
    assert lines[: len(expected(site))] == expected(site)
    assert re.fullmatch(r"  time +\d+ s(: Runtime \d+ s, Verify \d+ s)?", lines[len(expected(site))]), said
    assert lines[-1].startswith("Next: ") and lines[-1].endswith("--limit gpu02")
    assert "\x1b" not in said and "Right already" not in said and "Skipped" not in said


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_ends_with_the_same_lines_and_shows_what_runs_meanwhile(site, columns):
    status, said = on_terminal(site, columns)
    assert status == 2
    words = " ".join(" ".join(settled(said)).split())
    for line in expected(site):
        assert " ".join(line.split()) in words, (line, words)
    assert max(map(len, settled(said))) <= max(columns, len(f"{'':19}{site}/changed-gpu01"))
    drawn = CODES.sub("", said)
    assert "Take long" in drawn and "Take long" not in words
    assert "\x1b[?25h" in said, "the cursor is there again"


def test_a_dumb_terminal_gets_lines_only(site):
    status, said = on_terminal(site, 120, TERM="dumb", NO_COLOR="1")
    assert status == 2 and "\x1b" not in said
    assert "Take long" not in said and "changed=1" in said


def test_no_colour_still_draws(site):
    _status, said = on_terminal(site, 120, NO_COLOR="1")
    assert "Take long" in said and not re.search(r"\x1b\[[0-9;]*3[0-7]m", said)


def test_a_reader_that_goes_away_does_not_end_the_run(site):
    run = subprocess.Popen(command(site), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    run.stdout.read(1)
    run.stdout.close()
    errors = run.stderr.read().decode()
    assert run.wait(120) == 2 and errors == ""
    assert (site / "changed-gpu03").read_text() == "new\n"


def test_a_full_disk_below_output_and_log_does_not_end_the_run(site):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(site), stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=environment(ANSIBLE_LOG_PATH="/dev/full"), timeout=120,
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr == ""
    assert (site / "changed-gpu03").read_text() == "new\n"


def test_a_log_gets_the_lines_without_colours(site, tmp_path):
    on_terminal(site, 120, ANSIBLE_LOG_PATH=str(tmp_path / "log"))
    said = (tmp_path / "log").read_text()
    assert REASON in said and "changed-gpu01" in said and "\x1b" not in said


def test_verbose_prints_results_of_tasks_that_changed_nothing(site):
    _status, said, _errors = piped(site, "-v")
    assert re.search(r"gpu01   ok: Right already => \{.*\"state\": \"directory\"", said), said
    assert "skipped: Skipped" in said


def test_diff_prints_a_diff_and_check_changes_nothing(site):
    status, said, _errors = piped(site, "--check", "--diff")
    assert status == 2 and "Runtime (check mode: nothing is changed)" in said
    assert re.search(f"Write it: {site}/changed-gpu01\n    --- before\n.*\n.*\n    \\+new\n", said), said
    assert not list(site.glob("changed-*"))


def test_another_callback_is_chosen_as_usual(site):
    _status, said, _errors = piped(site, ANSIBLE_STDOUT_CALLBACK="default")
    assert "TASK [Build | Right already]" in said and "PLAY RECAP" in said


def test_ansible_runner_has_its_events_and_the_same_lines(site, tmp_path, in_a_pipe):
    words = command(site)
    runner = ansible_runner.run(
        private_data_dir=str(tmp_path), project_dir=str(site), inventory=words[2], playbook="site.yml", quiet=True,
        envvars={**runs.view({"quiet": True}), "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    assert runner.rc == 2
    assert runs.messages(runner, "Verdict | Say it") == {"gpu01": VERDICT}
    assert sorted(runs.changed(runner)) == [(f"gpu0{number}", "Build | Write it") for number in (1, 2, 3)]
    assert REASON in runs.words(runner)
    said = CODES.sub("", runner.stdout.read()).splitlines()
    wanted = [line for line in expected(site) if line]
    assert [line.rstrip() for line in said if line.rstrip() in wanted] == wanted


def test_a_view_that_can_not_be_made_is_one_warning_and_the_run_goes_on(site, tmp_path):
    shutil.copytree(CLONE / "collections", tmp_path / "collections")
    view = tmp_path / "collections/ansible_collections/fastchat/fleet/plugins/module_utils/view/lines.py"
    fault = "    raise KeyError('planted')\n    wide = column(everybody)\n    if news.kind == \"change\""
    view.write_text(view.read_text().replace('    wide = column(everybody)\n    if news.kind == "change"', fault))
    status, said, errors = piped(site, ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "collections"), PYTHONPATH="")
    assert status == 2, errors
    assert said.count("planted") == 1 and "changed=1   failed=1" in said and REASON in said, said
    assert (site / "changed-gpu03").read_text() == "new\n"


def test_a_control_node_without_rich_gets_lines_on_a_terminal_too(site, tmp_path):
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ImportError('rich is not here')\n")
    status, said = on_terminal(site, 120, PYTHONPATH=str(tmp_path))
    assert status == 2 and "Take long" not in said and "rich" not in said
    assert "changed=1" in said and "The fleet serves." in said


def test_ansible_runner_lets_it_draw_on_the_operator_s_terminal(site, tmp_path):
    script = tmp_path / "as_the_demo_does.py"
    script.write_text(
        "import ansible_runner, sys\n"
        "from testbed.containers import runs\n"
        "options = {}\n"
        "envvars = runs.view(options)\n"
        "found = ansible_runner.run(private_data_dir=sys.argv[1], project_dir=sys.argv[2], playbook='site.yml',\n"
        "    inventory=sys.argv[2] + '/hosts.yml', envvars=envvars, **options)\n"
        "print('EVENTS', len(runs.changed(found)), runs.messages(found, 'Verdict | Say it'))\n"
    )
    command(site)  # removes what a run before wrote
    status, said = shown([sys.executable, str(script), str(tmp_path), str(site)], 120, PYTHONPATH=IMPORTS)
    stays = settled(said)
    assert status == 0, said
    assert "Take long" in CODES.sub("", said) and "Take long" not in "".join(stays)
    assert stays.count("Result") == 1 and f"EVENTS 3 {{'gpu01': {VERDICT!r}}}" in stays
