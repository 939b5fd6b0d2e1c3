"""Count what a run sends to each host, and time its phases; ``testbed/round_trips.py`` turns it on."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import connection_loader

DOCUMENTATION = """
name: round_trips
type: aggregate
short_description: Counts round trips for each host and times phases
description:
  - A round trip is one call of a connection's exec_command, put_file or fetch_file, counted for the host that the
    connection leads to. A task that is skipped or acts on the control node makes none, a copy of a file several.
  - Each play and task lasts from its start to the next one's, so the numbers hold for the strategy linear.
  - A phase is the beginning of a play's name, up to C( | ).
options:
  output:
    description: The file that gets the counts as JSON. Nothing is counted without it.
    env: [{name: FASTCHAT_FLEET_ROUND_TRIPS}]
    type: path
"""

CALLS = ("exec_command", "put_file", "fetch_file")
CONTROL_NODE = "(control node)"


def counted(call: Callable, host: Callable[[], str], kind: str, task: str, log: int) -> Callable:
    """Return a connection's method that also appends one line to the log: Ansible's forks share its descriptor."""

    def wrapper(*arguments: Any, **named: Any) -> Any:
        line = json.dumps({"host": host(), "kind": kind, "task": task})
        os.write(log, line.encode() + b"\n")  # shorter than a page, at the end of the file: written whole
        return call(*arguments, **named)

    return wrapper


def count_connections(log: int) -> None:
    """Make Ansible's loader hand out connections that count; the forks in which tasks run inherit it."""
    load = connection_loader.get_with_context

    def load_counted(name: str, *arguments: Any, **named: Any) -> Any:
        found = load(name, *arguments, **named)
        connection = found.object
        # It also loads classes, which have no play.
        if connection is None or not hasattr(connection, "_play_context"):
            return found

        def host() -> str:
            return CONTROL_NODE if connection.transport == "local" else str(connection._play_context.remote_addr)

        for kind in CALLS:
            counted_call = counted(getattr(connection, kind), host, kind, str(named.get("task_uuid")), log)
            setattr(connection, kind, counted_call)
        return found

    connection_loader.get_with_context = load_counted


def summary(calls: list[dict], tasks: dict[str, dict], names: dict[str, str]) -> dict[str, dict]:
    """Return {host: {round_trips, kinds, phases, tasks}} of calls ({host, kind, task}).

    ``tasks`` is {uuid: {name, phase}} and ``names`` {address: host of the inventory}.
    """
    hosts: dict[str, dict] = {}
    for call in calls:
        task = tasks.get(call["task"], {"name": "(outside a task)", "phase": "(none)"})
        host = hosts.setdefault(names.get(call["host"], call["host"]), {"round_trips": 0})
        host["round_trips"] += 1
        for key, value in (("kinds", call["kind"]), ("phases", task["phase"]), ("tasks", task["name"])):
            counts = host.setdefault(key, {})
            counts[value] = counts.get(value, 0) + 1
    return hosts


class CallbackModule(CallbackBase):
    """Notes when plays and tasks start, and writes the counts at the end of the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "round_trips"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Start the clock."""
        super().__init__()
        self.began = time.monotonic()
        self.phase = "(none)"
        self.tasks: dict[str, dict] = {}
        self.names: dict[str, str] = {}
        self.steps: list[dict] = []

    def set_options(self, *arguments: Any, **named: Any) -> None:
        """Begin to count, or turn itself off when no file is named."""
        super().set_options(*arguments, **named)
        self.output = self.get_option("output")
        self.disabled = not self.output
        if self.output:
            self.log = tempfile.TemporaryFile(mode="a+b", buffering=0)  # noqa: SIM115  (until the run ends)
            count_connections(self.log.fileno())

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Begin a phase."""
        self.phase = play.get_name().strip().split(" | ")[0]
        for host in play.get_variable_manager()._inventory.get_hosts():
            self.names[str(host.vars.get("ansible_host", host.name))] = host.name
        self._step("(start of the play)")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Begin a task."""
        name = task.get_name().strip().split(" : ")[-1]
        self.tasks[task._uuid] = {"name": name, "phase": self.phase}
        self._step(name)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Begin a handler."""
        self.v2_playbook_on_task_start(task, False)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write everything; a run does not fail because it could not be counted."""
        self._step("(end)")
        seconds: dict[str, float] = {}
        for step in self.steps[:-1]:
            seconds[step["phase"]] = seconds.get(step["phase"], 0) + step["seconds"]
        self.log.seek(0)
        result = {
            "seconds": time.monotonic() - self.began,
            "phases": seconds,
            "hosts": summary([json.loads(line) for line in self.log], self.tasks, self.names),
            "tasks": self.steps[:-1],
            "stats": {host: stats.summarize(host) for host in sorted(stats.processed)},
        }
        try:
            with open(self.output, "w", encoding="utf-8") as file:
                json.dump(result, file, indent=1)
        except OSError as error:
            self._display.warning(f"The counts of round trips were not written: {error}")

    def _step(self, task: str) -> None:
        now = time.monotonic()
        if self.steps:
            self.steps[-1]["seconds"] = now - self.steps[-1]["seconds"]
        self.steps.append({"phase": self.phase, "task": task, "seconds": now})
