"""What ``fleet runs`` shows: the records of earlier runs, as a table or as JSON."""

import json
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fleet import outcome
from fleet.records import Record
from fleet.saying import duration, several

ENDS = {
    outcome.OK: ("done", "green"),
    outcome.WRONG: ("not begun", "red"),
    outcome.FAILED: ("failed", "red"),
    outcome.UNREACHABLE: ("unreachable", "red"),
    outcome.INTERRUPTED: ("interrupted", "yellow"),
    outcome.TERMINATED: ("interrupted", "yellow"),
}
WIDE = 200  # columns of a pipe, so that no line is cut there


def end_of(record: Record) -> tuple[str, str]:
    """Return how a run ended, in words, and a colour."""
    words, colour = ENDS.get(record.get("exit", -1), ("killed or running", "yellow"))
    hosts = sorted({*record.get("failed", []), *record.get("unreachable", [])})
    return (f"{words}: {several(hosts)}" if hosts else words), colour


def row(record: Record) -> list[str | Text]:
    """Return the cells of a run."""
    words, colour = end_of(record)
    name = " ".join([record["command"], *(["--check"] if record["check"] and record["command"] != "check" else [])])
    seconds = record.get("seconds")
    return [
        time.strftime("%Y-%m-%d %H:%M", time.localtime(record["started"])),
        name,
        record["user"],
        str(len(record["hosts"])),
        str(record.get("changed", "-")),
        "-" if seconds is None else duration(seconds),
        Text(words, style=colour),
    ]


def show(found: list[Record], as_json: bool) -> None:
    """Print records, the newest last, where the next command is typed."""
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("WHEN", "COMMAND", "BY", "HOSTS", "CHANGES", "TOOK", "END"):
        table.add_column(title, overflow="fold", justify="right" if title in ("HOSTS", "CHANGES", "TOOK") else "left")
    for record in reversed(found):
        table.add_row(*row(record))
    terminal: dict[str, Any] = {} if sys.stdout.isatty() else {"width": WIDE}
    Console(highlight=False, **terminal).print(table)
