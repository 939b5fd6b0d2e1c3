"""What the view asks about a run while it goes on: long tasks, failures that are handled, progress. Python >= 3.10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .lines import Line, column, row
from .progress import cells_of
from .state import Run
from .words import duration, group_of


def look(view: Any, now: float) -> None:
    """Ask hosts that work for long how far they are."""


def is_local(view: Any, host: str) -> bool:
    """Return whether a host is reached without ssh, which may ask a question."""
    return view.play is not None and view.play.connection == "local"


def long_lines(run: Run, now: float, every: float) -> list[Line]:
    """Return what a pipe should hear of tasks that take long, each once in a while; hosts that say the same together."""
    groups: dict[str, list[str]] = {}
    for host, work in run.working.items():
        if now - work.told >= every:
            work.told = now
            figures = ", ".join(cell for cell in cells_of(work.figures) if cell)
            said = f"{work.task}{f' ({work.note})' if work.note else ''}: {figures or 'still at it'}"
            groups.setdefault(f"{said}, {duration(now - work.since)} so far", []).append(host)
    wide = column(run.hosts)
    return [line for said, hosts in groups.items() for line in row(group_of(hosts, run.hosts, wide), [(said, "quiet")], wide, 0)]


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
    failed = [item for item in items if isinstance(item, dict) and item.get("failed")] if isinstance(items, list) else []
    return failed or [result]


def counted(summary: Mapping[str, int]) -> dict[str, int]:
    """Return what the result shows of Ansible's own counts of a host."""
    return {"changed": summary["changed"], "failed": summary["failures"], "unreachable": summary["unreachable"]}
