"""``python -m testbed.suites TARGET ... [--record FILE]``: make each target in turn, then print a table of them.

A target that fails does not keep the next from its turn. The exit status is 1 when one failed. What a target printed is
in ``.testbed/suites/``. ``--record`` writes the table into a document, between the lines ``BEGIN`` and ``END``.
"""

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from testbed.paths import CLONE, STATE

TITLES = ("suite", "result", "time", "tests passed", "skipped, and why")
LOGS = STATE / "suites"
BEGIN, END = "<!-- suites: begin -->", "<!-- suites: end -->"
COUNTS = re.compile(r"^=+ (?:.*, )?(\d+) passed.* in [\d.]+s", re.MULTILINE)
SKIPPED = re.compile(r"^SKIPPED \[(\d+)\] \S+ (.+)$", re.MULTILINE)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Suite:
    """How a target of the Makefile ended: its exit status, its seconds, the tests that passed and what was skipped."""

    target: str
    status: int
    seconds: float
    passed: int
    skips: list[str]  # "number × reason"

    def cells(self) -> list[str]:
        """Return the cells of its row."""
        minutes, seconds = divmod(round(self.seconds), 60)
        ended = "passed" if self.status == 0 else f"FAILED ({self.status})"
        return [
            self.target,
            ended,
            f"{minutes} min {seconds:02d} s",
            str(self.passed or "-"),
            "; ".join(self.skips) or "-",
        ]


def counted(output: str) -> tuple[int, list[str]]:
    """Return the number of tests that passed and the skips with their reasons, from the output of pytest runs."""
    plain = COLOURS.sub("", output)
    passed = sum(int(number) for number in COUNTS.findall(plain))
    return passed, [f"{number} × {reason}" for number, reason in SKIPPED.findall(plain)]


def made(target: str) -> Suite:
    """Make a target, show what it prints, and keep it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log, began = LOGS / f"{target}.log", time.monotonic()
    with log.open("w", encoding="utf-8") as kept:
        process = subprocess.Popen(
            ["make", "--no-print-directory", target],
            cwd=CLONE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        for line in process.stdout or ():
            sys.stdout.write(line)
            kept.write(line)
        status = process.wait()
    return Suite(target, status, time.monotonic() - began, *counted(log.read_text(encoding="utf-8")))


def shown(suites: list[Suite]) -> Table:
    """Return the table for a terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in TITLES:
        table.add_column(title, overflow="fold")
    for suite in suites:
        table.add_row(*suite.cells(), style="" if suite.status == 0 else "red")
    return table


def recorded(document: str, suites: list[Suite], commit: str, day: str) -> str:
    """Return a document with the table between its two lines. Raises ValueError where it does not have them."""
    before, begin, rest = document.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The document has no lines {BEGIN} and {END}, between which the table belongs.")
    rows = [TITLES, ("---",) * len(TITLES), *(suite.cells() for suite in suites)]
    lines = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return f"{before}{BEGIN}\nCommit {commit}, {day}:\n\n{lines}\n{END}{after}"


def commit() -> str:
    """Return the commit that is tested, and whether something was changed since."""
    git = ["git", "-C", str(CLONE)]
    name = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    return f"{name} with changes" if changed else name


def main() -> None:
    """Make all targets, then show and record how they ended."""
    parser = argparse.ArgumentParser(prog="python -m testbed.suites", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    parser.add_argument("--record", type=Path, metavar="FILE", help="the document that gets the table")
    asked = parser.parse_args()
    tested, day = commit(), time.strftime("%Y-%m-%d")
    suites = [made(target) for target in asked.targets]
    Console().print(shown(suites))
    if asked.record:
        text = recorded(asked.record.read_text(encoding="utf-8"), suites, tested, day)
        asked.record.write_text(text, encoding="utf-8")
    sys.exit(1 if any(suite.status for suite in suites) else 0)


if __name__ == "__main__":
    main()
