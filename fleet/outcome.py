"""How a run ended: the exit status for scripts, and the sentence for people."""

import signal
from typing import Any

from fleet.commands import Command
from fleet.saying import duration, several

OK, WRONG, FAILED, UNREACHABLE, BUSY, INTERRUPTED, TERMINATED = 0, 1, 2, 4, 5, 130, 143
Recap = dict[str, dict[str, int]]


def status_of(code: int, recap: Recap, came: list[int]) -> int:
    """Return the exit status of a run by ansible-playbook's own, its recap and the signals that came.

    Without a recap the playbook did not come to its end, so ansible-playbook refused its arguments or files.
    """
    if code == OK:
        return OK
    if came:
        return INTERRUPTED if signal.SIGINT in came else TERMINATED
    if not recap:
        return WRONG
    if unreachable(recap) and not failed(recap):
        return UNREACHABLE
    return FAILED


def failed(recap: Recap) -> list[str]:
    """Return the hosts on which a task failed."""
    return [host for host, counts in recap.items() if counts["failures"]]


def unreachable(recap: Recap) -> list[str]:
    """Return the hosts that were not reached."""
    return [host for host, counts in recap.items() if counts["unreachable"]]


def closing(command: Command, record: dict[str, Any]) -> str:
    """Return what to say at the end of a run of a command, by its record."""
    name, status, after = record["command"], record["exit"], duration(record["seconds"])
    if status == OK:
        return f"{name}: done in {after}."
    if status in (INTERRUPTED, TERMINATED):
        more = f"'fleet {name}' goes on where this stopped; 'fleet status' shows the fleet."
        stopped = f"{name}: interrupted after {after}."
        return f"{stopped} The fleet serves what it did. {more}" if record["changes"] else stopped
    if status == WRONG:
        return f"{name}: ansible-playbook did not come to its end; its message above says why."
    if not command.retry:
        return f"{name}: not all is well, as said above ({after})."
    verbs = {"failed": "failed", "unreachable": "no connection"}
    parts = [f"{verb} on {several(record[key])}" for key, verb in verbs.items() if record[key]]
    ended = f"{name}: {' and '.join(parts) or 'stopped'} after {after}."
    if record["stopped"]:
        return f"{ended} That stopped the run on all hosts: run the same again when it is repaired."
    again = f" When that is repaired: 'fleet {name} --retry' takes only these hosts."
    return ended + (again if record["check"] == ("--check" in command.always) else "")
