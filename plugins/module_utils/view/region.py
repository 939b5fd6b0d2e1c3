"""The part of a terminal that is drawn again and again: one line a host, with what runs now. Python >= 3.10, rich."""

from __future__ import annotations

from typing import Any

from .lines import column
from .progress import cells_of
from .state import WATCHED, Run, remaining, watched
from .words import count, duration, size

SPARE = 6  # rows of the terminal that are left to what stays
BAR_FROM = 110  # columns
FIGURES_FROM = 72
SLOW = 5  # seconds after which the time of a task without figures is shown


def shown_hosts(run: Run, rows: int) -> list[str]:
    """Return the hosts to show: all of a small play in their order, else those longest at work."""
    room = max(1, min(WATCHED, rows - SPARE))
    return run.hosts if len(run.hosts) <= room else watched(run)[:room]


def region(run: Run, now: float, columns: int, rows: int) -> Any:
    """Return the region as rich draws it; None when no host is at work."""
    if not run.working:
        return None
    from rich.console import Group  # noqa: PLC0415  (only a terminal needs it)
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 3, 0, 0), expand=True)
    hosts = shown_hosts(run, rows)
    table.add_column(no_wrap=True, width=min(column(run.hosts), columns // 4))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    figured = any(run.working[host].figures for host in hosts if host in run.working)
    bars = figured and columns >= BAR_FROM
    if bars:
        table.add_column(width=20)
    if figured and columns >= FIGURES_FROM:
        for _ in range(3):
            table.add_column(no_wrap=True, justify="right")
    else:
        table.add_column(no_wrap=True, justify="right")
    for host in hosts:
        work = run.working.get(host)
        if work is None:
            blanks = [""] * (len(table.columns) - 2)
            table.add_row(Text(host, "dim"), idle(run, host), *blanks)
            continue
        task = Text(work.task + (f" ({work.note})" if work.note else ""))
        cells = cells_of(work.figures)
        amount, rate, left = cells if any(cells) else ("", "", Text(waited(now - work.since), "dim"))
        if figured and columns >= FIGURES_FROM:
            last: list[Any] = [amount, Text(rate, "dim"), left]
        else:
            last = ["   ".join(part for part in (share(work.figures), left) if part) if rate or amount else left]
        if bars:
            total = work.figures.get("bytes_total") or 0
            bar = ProgressBar(total=total, completed=work.figures.get("bytes_done", 0), width=20, style="dim")
            last.insert(0, bar if total else "")
        table.add_row(host, task, *last)
    more = len(run.working) - sum(host in run.working for host in hosts)
    waiting = len(run.hosts) - len(run.working)
    parts = [run.phase, duration(run.seconds.get(run.phase, 0.0) + now - run.since)]
    ahead = remaining(run, now)
    parts += [f"the run usually ends in {duration(ahead)}"] if ahead >= 1 else []
    parts += [f"{count(more, 'more host')} at work"] if more > 0 else []
    parts += [f"{waiting} of {len(run.hosts)} wait"] if waiting > 0 and len(run.hosts) > len(hosts) else []
    return Group("", padded(table), Text("  " + ", ".join(parts), "dim", no_wrap=True, overflow="ellipsis"))


def idle(run: Run, host: str) -> Any:
    """Return what is said of a host that does nothing now."""
    from rich.text import Text  # noqa: PLC0415

    if host in run.failed:
        return Text("failed", "red")
    return Text("waits for the others", "dim") if host in run.begun else ""


def share(figures: dict[str, Any]) -> str:
    """Return how much is done, for a terminal on which bytes and rate have no room."""
    done, total = figures.get("bytes_done"), figures.get("bytes_total")
    return f"{min(100, int(100 * done / total))} %" if done is not None and total else size(done or 0)


def padded(table: Any) -> Any:
    """Return a table that begins where the lines above it begin."""
    from rich.padding import Padding  # noqa: PLC0415

    return Padding(table, (0, 0, 0, 2))


def waited(seconds: float) -> str:
    """Return how long a task runs, '' while that is short."""
    return duration(seconds) if seconds >= SLOW else ""
