"""What the view asks about a run while it goes on: long tasks, failures that are handled, progress. Python >= 3.10."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from . import remote
from .lines import Line, column, row
from .progress import cells_of
from .state import Run, Work, watched
from .words import duration, group_of

LONG = 3  # seconds after which a task is asked about
AGAIN, SELDOM = 2, 20  # seconds between two questions: to a host that answers, and at most to one that does not
FORGOTTEN = 2  # answers that may be missing before old figures are shown no more
AT_ONCE = 8


class Asker:
    """Asks hosts that work for long how far they are, a few at a time and each in a thread of its own."""

    def __init__(self, guard: Any, again: float) -> None:
        """Begin with nobody asked: ``guard`` is the lock that Ansible forks under, ``again`` a pause in seconds.

        It begins in Ansible's main thread, before there is another one.
        """
        remote.load_filters()
        self.guard, self.again, self.commands, self.next, self.asking = guard, again, {}, {}, set()
        self.missed: dict[str, int] = {}
        self.before: dict[str, tuple[float, float]] = {}

    def look(self, play: Any, run: Run, now: float) -> None:
        """Begin to ask the hosts whose turn it is; the answers become the figures of their work."""
        for host, work in [(host, run.working[host]) for host in watched(run)]:
            due = now - work.since >= LONG and now >= self.next.get(host, 0.0)
            if due and host in run.heard and host not in self.asking and len(self.asking) < AT_ONCE:
                self.asking.add(host)
                threading.Thread(target=self.ask, args=(play, run, host, work), daemon=True).start()

    def ask(self, play: Any, run: Run, host: str, work: Work) -> None:
        """Ask one host once. Whatever goes wrong, the host is asked less often."""
        figures = None
        try:
            if host not in self.commands:
                with self.guard:  # a fork must not inherit what is half templated
                    self.commands[host] = remote.command_of(play, host)
            if self.commands[host]:
                figures = remote.ask(self.commands[host], self.guard, work.command)
        except Exception:  # a view is no reason for an error
            self.commands.setdefault(host, [])
        now = time.monotonic()
        with self.guard:
            self.asking.discard(host)
            missed = self.missed[host] = self.missed.get(host, 0) + 1 if figures is None else 0
            self.next[host] = now + min(SELDOM, self.again * 2**missed)
            if run.working.get(host) is work and (figures is not None or missed > FORGOTTEN):
                work.figures = self.rated(host, figures or {}, now)

    def rated(self, host: str, figures: dict[str, Any], now: float) -> dict[str, Any]:
        """Return figures with a rate also where the host gives none, from what it said before."""
        done = figures.get("bytes_done")
        then, before = self.before.get(host, (now, done))
        if done is None or "bytes_per_second" in figures:
            self.before.pop(host, None)
            return figures
        self.before[host] = (now, done)
        return {**figures, "bytes_per_second": (done - before) / (now - then) if now > then and done >= before else 0}


def long_lines(run: Run, now: float, every: float) -> list[Line]:
    """Return what a pipe should hear of tasks that take long, hosts that say the same together."""
    groups: dict[str, list[str]] = {}
    for host, work in run.working.items():
        if now - work.told >= every:
            work.told = now
            figures = ", ".join(cell for cell in cells_of(work.figures) if cell)
            said = f"{work.task}{f' ({work.note})' if work.note else ''}: {figures or 'still at it'}"
            groups.setdefault(f"{said}, {duration(now - work.since)} so far", []).append(host)
    wide = column(run.hosts)
    return [
        line
        for said, hosts in groups.items()
        for line in row(group_of(hosts, run.hosts, wide), [(said, "quiet")], wide, 0)
    ]


def handled(task: Any, ignored: bool) -> str:
    """Return in words why a failure does not end the host's run, '' when it does."""
    if ignored:
        return "this failed, which is allowed."
    block = task._parent
    while block is not None:
        if getattr(block, "rescue", None) and not inside(task, block.rescue + (block.always or [])):
            return "this failed; what is done about it follows."
        block = block._parent
    return ""


def inside(task: Any, tasks: list[Any]) -> bool:
    """Return whether a task stands in a list of tasks and blocks."""
    for one in tasks:
        if one is task or getattr(one, "_uuid", 0) == task._uuid or inside(task, getattr(one, "block", None) or []):
            return True
    return False


def failures(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results that failed: those of a loop's items, else the result itself."""
    items = result.get("results")
    failed = (
        [item for item in items if isinstance(item, dict) and item.get("failed")] if isinstance(items, list) else []
    )
    return failed or [result]


def counted(summary: Mapping[str, int]) -> dict[str, int]:
    """Return what the result shows of Ansible's own counts of a host."""
    return {"changed": summary["changed"], "failed": summary["failures"], "unreachable": summary["unreachable"]}
