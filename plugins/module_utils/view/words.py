"""Words for numbers and names: sizes, durations, many hosts in few letters. Python >= 3.10."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

UNITS = ("B", "kB", "MB", "GB", "TB")
MINUTE, HOUR = 60, 3600
TAIL = re.compile(r"(.*?)(\d+)(\D*)$")


def size(count: float) -> str:
    """Return bytes as people say them: 13.5 GB."""
    step = 0
    while count >= 999.5 and step < len(UNITS) - 1:  # noqa: PLR2004 (what rounds to 1000 is the next unit's 1)
        count, step = count / 1000, step + 1
    return f"{count:.0f} {UNITS[step]}" if step < 2 or count >= 99.95 else f"{count:.1f} {UNITS[step]}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Return seconds as people say them: 4 s, 2 min 05 s, 1 h 07 min."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"


def count(number: int, word: str) -> str:
    """Return '1 host' or '2 hosts'."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def folded(names: Sequence[str]) -> str:
    """Return names with numbers that follow each other as ranges: gpu01-gpu04, gpu07."""
    runs: list[list[str]] = []
    for name in names:
        if runs and follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)  # noqa: PLR2004


def follows(one: str, other: str) -> bool:
    """Return whether a name is the next one: same words, same digits, and a number greater by one."""
    left, right = TAIL.fullmatch(one), TAIL.fullmatch(other)
    if not left or not right or left[1] != right[1] or left[3] != right[3] or len(left[2]) != len(right[2]):
        return False
    return int(right[2]) == int(left[2]) + 1


def group_of(hosts: Sequence[str], everybody: Iterable[str], width: int) -> str:
    """Return who did the same thing, in one cell: a name, a few, a range, or a number of hosts."""
    everyone = set(everybody)
    if len(hosts) > 1 and set(hosts) == everyone:
        return "both hosts" if len(everyone) == 2 else f"all {len(hosts)} hosts"  # noqa: PLR2004  (both are two)
    said = folded(hosts)
    return said if len(said) <= width or len(hosts) == 1 else count(len(hosts), "host")
