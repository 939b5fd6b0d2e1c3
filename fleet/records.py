"""What is kept of each run: one directory with ``run.json`` and ``events.jsonl``, and what later runs learn from it."""

import json
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from fleet.collection import files

KEPT = 200  # runs
LEARNED_FROM = 5  # runs
Record = dict[str, Any]


def begin(folder: Path, record: Record) -> Path:
    """Make a run's directory (mode 0700) and write its record; return the directory. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(record["started"]))
    path = folder / f"{name}-{record['command']}-{os.getpid()}"
    path.mkdir(mode=0o700)
    save(path, record)
    for old in sorted(folder.glob("*/run.json"))[:-KEPT]:
        shutil.rmtree(old.parent, ignore_errors=True)
    return path


def save(path: Path, record: Record) -> None:
    """Write a run's record in one step. Raises OSError."""
    files.write(str(path / "run.json"), files.json_bytes(record), mode=0o600, durable=False)


def load(path: Path) -> Record | None:
    """Return the record in a run's directory, None where it can not be read."""
    try:
        record = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "command" in record else None


def known(folder: Path) -> list[Record]:
    """Return the records of all runs, the newest first."""
    try:
        paths = sorted(folder.iterdir(), reverse=True)
    except OSError:
        return []
    return [record for record in map(load, paths) if record]


def alike(record: Record, other: Record) -> bool:
    """Return whether two runs take about the same time: the same command, tags and check mode."""
    return all(record.get(key) == other.get(key) for key in ("command", "tags", "check"))


def usual(record: Record, earlier: list[Record]) -> float | None:
    """Return how long such a run usually takes, in seconds; None where that is not known.

    It is the median of the last runs that succeeded, on the number of hosts that is nearest to this run's.
    """
    done = [other for other in earlier if other.get("exit") == 0 and alike(record, other)]
    away = [abs(len(other["hosts"]) - len(record["hosts"])) for other in done]
    taken = [other["seconds"] for other, far in zip(done, away, strict=True) if far == min(away)]
    return statistics.median(taken[:LEARNED_FROM]) if taken else None


def last(record: Record, earlier: list[Record]) -> Record | None:
    """Return the last run of the same command, over the same inventories and in the same mode, or None."""
    keys = ("command", "inventories", "check")
    return next((other for other in earlier if all(other.get(key) == record[key] for key in keys)), None)
