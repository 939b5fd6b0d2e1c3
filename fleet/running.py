"""Runs ansible-playbook on the terminal that is there, by ansible-runner in its mode ``subprocess``.

The process has the caller's own stdin, stdout and stderr: colours, width, redraws, SIGWINCH and questions for a
password work as they do without this command. ansible-runner's other mode puts a terminal of its own in between. That
one is 80 columns wide, hands on whole lines only, answers no question, and records each redraw as an event.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_runner.config.command import CommandConfig
from ansible_runner.runner import Runner

from fleet.inventory import configuration, setting
from fleet.outcome import Recap

CALLBACKS = Path(__file__).parent / "callbacks"
HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MEMORY = Path("/dev/shm")  # noqa: S108  (a directory of mode 0700 is made in it)


class Playbook(CommandConfig):
    """ansible-runner's configuration, but with the environment that the caller has.

    Its own would turn off the check of ssh host keys, replace the stdout callback, and write facts to its artifacts.
    """

    def prepare_env(self, runner_mode: str = "pexpect") -> None:
        """Take the environment as it is given."""
        self.runner_mode = runner_mode
        self.settings: dict[str, Any] = {}
        self.env = {**os.environ, **(self.envvars or {})}
        self.subprocess_timeout = None
        self.suppress_output_file = True
        self.suppress_ansible_output = True


def environment(events: Path | None) -> dict[str, str]:
    """Return what ansible-playbook gets besides the caller's environment."""
    paths = [str(CALLBACKS), *setting("DEFAULT_CALLBACK_PLUGIN_PATH")]
    return {
        "ANSIBLE_CONFIG": configuration(),
        "ANSIBLE_CALLBACK_PLUGINS": ":".join(paths),
        "FLEET_EVENTS": str(events or ""),
        # ansible-playbook is the one beside this interpreter, also where .venv was not activated.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    }


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a directory (mode 0700) for ansible-runner's artifacts, in memory if possible: they hold the environment."""
    place = str(MEMORY) if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def descendants(process: int) -> list[int]:
    """Return the processes that a process has started, and theirs, as far as they are still there."""
    try:
        words = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [each for word in words for each in (int(word), *descendants(int(word)))]


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Outlive the playbook: note SIGINT, SIGTERM and SIGHUP, so that it ends in its own time; yield what came.

    Ctrl-C reaches the playbook from the terminal itself. Whatever a script sends to this process is handed on.
    """
    came: list[int] = []

    def noted(number: int, _frame: Any) -> None:
        first = number not in came
        came.append(number)
        if first and (number != signal.SIGINT or not foreground()):
            for process in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGINT)

    heard = [number for number in HEARD if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
    before = {number: signal.signal(number, noted) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def foreground() -> bool:
    """Return whether this process is on its terminal's foreground, where Ctrl-C reaches its children too."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(descriptor)


def forget(_status: dict[str, Any], runner_config: CommandConfig) -> None:
    """Remove what ansible-runner has written of the environment; the playbook has not begun yet."""
    (Path(runner_config.artifact_dir) / "command").unlink(missing_ok=True)


@dataclass(frozen=True)
class Ended:
    """How a playbook ended: ansible-playbook's exit status, the signals that came, and Ansible's recap.

    ``recap`` is {host: {ok, changed, failures, unreachable, ...}}, empty when the playbook did not come to its end.
    ``stopped`` says that a fault on one host has stopped the run on all of them.
    """

    code: int
    signals: list[int]
    recap: Recap
    stopped: bool


def recap_of(path: Path) -> tuple[Recap, bool]:
    """Return the recap that ``callbacks/fleet_record.py`` has left, and whether the run was stopped on all hosts."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, False
    return known["hosts"], known["stopped"]


def run(arguments: list[str], events: Path | None, usual: float | None = None) -> Ended:
    """Run ansible-playbook with arguments; return how it ended.

    ``events`` is the file that keeps the events, None where none is kept. ``usual`` is how many seconds such a run
    usually takes, from which the callback shows how much is left.
    """
    with scratch() as folder, signals() as came:
        config = Playbook(
            private_data_dir=str(folder),
            ident="run",
            host_cwd=os.getcwd(),
            runner_mode="subprocess",
            input_fd=sys.stdin,
            output_fd=sys.stdout,
            error_fd=sys.stderr,
            envvars={
                **environment(events),
                "FLEET_RECAP": str(folder / "recap.json"),
                "FLEET_USUAL_SECONDS": str(usual or 0),
            },
        )
        config.prepare_run_command("ansible-playbook", cmdline_args=arguments)
        runner = Runner(config=config, remove_partials=False, status_handler=forget)
        runner.run()
        return Ended(runner.rc, came, *recap_of(folder / "recap.json"))
