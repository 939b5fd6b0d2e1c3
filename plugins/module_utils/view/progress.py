"""What a host says about its long work, as words. Python >= 3.10.

Figures are {bytes_done, bytes_total, bytes_per_second, seconds_remaining, ...}; any of them may be missing or None.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .words import duration, size

STALE = 15  # seconds, by the host's own clock, after which a report is of something that died
MARK = "fastchat-progress"
WIDE = 1 << 62  # a figure that is no size


def cells_of(figures: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return (amount, rate, time left) in words, '' for what is not known."""
    done, total, rate, left = (
        number(figures.get(key)) for key in ("bytes_done", "bytes_total", "bytes_per_second", "seconds_remaining")
    )
    if done is None:
        return "", "", ""
    amount = part_of(size(min(done, total)), size(total)) if total else size(done)
    said = f"{duration(left)} left" if left is not None else "waiting" if total and done < total and not rate else ""
    return amount, f"{size(rate)}/s" if rate else "", said


def part_of(part: str, whole: str) -> str:
    """Return '3.1 of 13.5 GB', or '84 MB of 13.5 GB' where the units differ."""
    same = part.rpartition(" ")[2] == whole.rpartition(" ")[2]
    return f"{part.rpartition(' ')[0] if same else part} of {whole}"


def number(value: Any) -> float | None:
    """Return a figure that makes sense, else None: what a host wrote is not trusted to be one."""
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < WIDE
    return value if fine else None


def parsed(text: str) -> dict[str, Any]:
    """Return the newest figures of what ``remote.SCRIPT`` prints: the host's clock, then one JSON object a work.

    What is no figure is left out, so that nobody has to look again at what a host wrote. Their ``at`` is when they were
    written, 0 for what the kernel counts now, which is used where nothing else is.
    """
    head, _, body = text.partition("\n")
    try:
        clock = int(head)
    except ValueError:
        return {}
    found: dict[str, Any] = {}
    for line in body.split(MARK):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        figures = {key: said[key] for key in said if number(said[key]) is not None} if isinstance(said, dict) else {}
        at = figures.get("at")
        if at is not None and (clock - at <= STALE or not at) and at >= found.get("at", 0):
            found = figures
    return found
