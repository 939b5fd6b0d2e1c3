"""Run playbooks over a fleet of the testbed by ansible-runner, and read their events."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ansible_runner
from ansible_collections.fastchat.fleet.plugins.module_utils.view.screen import TERMINAL, draws

from testbed.paths import CLONE, STATE

LIVE = "fastchat.fleet.live"
DEMO = CLONE / "inventory" / "demo"
Result = tuple[str, str, dict[str, Any]]


def run(
    fleet: str,
    playbook: str = "site.yml",
    inventories: Sequence[str | Path] = (DEMO,),
    arguments: Sequence[str] = (),
    variables: dict[str, Any] | None = None,
    *,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> ansible_runner.Runner:
    """Run a playbook to its end; arguments are ansible-playbook's, variables extra ones, options ansible_runner's."""
    data = STATE / fleet / "runner"
    shutil.rmtree(data, ignore_errors=True)  # it keeps the last run's arguments and would use them again
    data.mkdir(parents=True)
    # What tests do is not in the operator's ledger; the demo is an operator's fleet.
    ledger = {} if fleet == "demo" else {"FLEET_LEDGER": str(STATE / fleet / "ledger")}
    words = [*arguments, f"--extra-vars={json.dumps({'testbed_fleet': fleet, **(variables or {})})}"]
    seen = {**view(options), **ledger, **(environment or {})}
    runner = ansible_runner.run(
        private_data_dir=str(data),
        project_dir=str(CLONE),
        inventory=[str(path) for path in inventories],
        playbook=playbook,
        envvars=seen,
        cmdline=" ".join(f"'{word}'" for word in words),
        **options,
    )
    if TERMINAL in seen and not any(event["event"] == "playbook_on_stats" for event in runner.events):
        print(runner.stdout.read())  # it ended before, or outside of, what the callback shows
    return runner


def view(options: dict[str, Any]) -> dict[str, str]:
    """Return the environment in which a run looks as it does without ansible-runner.

    ansible-runner puts its own callback around the one that this variable names, and does not read ansible.cfg for it.
    Its output is a pipe to Ansible, so on a terminal the callback is told where to draw and ansible-runner stays quiet.
    """
    environment = {"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg")}
    environment["ANSIBLE_STDOUT_CALLBACK"] = os.environ.get("ANSIBLE_STDOUT_CALLBACK", LIVE)
    if not sys.stdout.isatty():
        environment["ANSIBLE_NOCOLOR"] = "1"
    elif environment["ANSIBLE_STDOUT_CALLBACK"] == LIVE and not options.get("quiet") and draws(os.environ):
        environment[TERMINAL] = os.ttyname(sys.stdout.fileno())
        options["quiet"] = True
    return environment


def results(runner: ansible_runner.Runner, kind: str) -> list[Result]:
    """Return [(host, task, result)] of one kind of event: ok, failed, skipped."""
    return [
        (event["event_data"]["host"], event["event_data"]["task"], event["event_data"].get("res", {}))
        for event in runner.events
        if event["event"] == f"runner_on_{kind}"
    ]


def changed(runner: ansible_runner.Runner) -> list[tuple[str, str]]:
    """Return (host, task) of every task that changed something."""
    return [(host, task) for host, task, result in results(runner, "ok") if result.get("changed")]


def words(runner: ansible_runner.Runner) -> str:
    """Return the messages of the failed tasks as one text."""
    return "\n".join(str(result.get("msg", result)) for _host, _task, result in results(runner, "failed"))


def messages(runner: ansible_runner.Runner, task: str) -> dict[str, Any]:
    """Return {host: message} of a task."""
    return {host: result.get("msg") for host, name, result in results(runner, "ok") if name == task}
