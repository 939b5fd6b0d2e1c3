"""How a run ended: the exit status for scripts, and the sentence for people."""

import signal
from typing import Any

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


def closing(name: str, record: dict[str, Any], retry: bool) -> str:
    """Return what to say at the end of a run, by its record; ``retry`` says whether to offer that option."""
    status = record["exit"]
    if status == OK:
        return f"{name}: done in {duration(record['seconds'])}."
    if status in (INTERRUPTED, TERMINATED):
        ended = f"{name}: interrupted after {duration(record['seconds'])}."
        more = (
            f"The fleet serves what it did. 'fleet {name}' goes on where this stopped; 'fleet status' shows the fleet."
        )
        return f"{ended} {more}" if record["changes"] else ended
    if status == WRONG:
        return f"{name}: ansible-playbook did not come to its end; its message above says why."
    parts = [
        f"{verb} on {several(record[key])}"
        for key, verb in (("failed", "failed"), ("unreachable", "no connection"))
        if record[key]
    ]
    ended = f"{name}: {' and '.join(parts) or 'stopped'} after {duration(record['seconds'])}."
    return f"{ended} When that is repaired: 'fleet {name} --retry' takes only these hosts." if retry else ended
