"""A run's own file of the ledger: one line of JSON for each event, which the recorder turns into rows of ARA later.

The run appends to this file and does nothing else, because a row of ARA takes milliseconds and a line microseconds.
The file is locked while the run lives. One that is not locked is finished, or its run was killed: it can be recorded.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

OFF = ("off", "no", "false", "0")
DATABASE = "ledger.sqlite"
FAULT = "fault"
SUFFIX = ".jsonl"
# More runs than this wait only when the recorder can not work. The ledger then stops, and the disk does not fill up.
MOST_WAITING = 100


def directory(wanted: str, project: Path) -> Path | None:
    """Return where the ledger lies; None when it is off. ``wanted`` is off, on (or empty), or a path."""
    wanted = wanted.strip()
    if wanted.lower() in OFF:
        return None
    if wanted.lower() in ("", "on", "yes", "true", "1"):
        return project / ".fleet" / "ledger"
    return Path(wanted).expanduser().absolute()


def waiting(ledger: Path) -> list[Path]:
    """Return the files of runs that are not recorded yet, the oldest first."""
    return sorted((ledger / "spool").glob("*" + SUFFIX))


def take_fault(ledger: Path) -> str:
    """Return the sentence that the recorder left, and remove it; empty when it left none."""
    try:
        said = (ledger / FAULT).read_text(encoding="utf-8").strip()
        (ledger / FAULT).unlink()
    except OSError:
        return ""
    return said


class Spool:
    """The file of one run. Every method may raise OSError."""

    def __init__(self, ledger: Path) -> None:
        """Make the directories (0700) and the file (0600), and lock the file."""
        for made in (ledger, ledger / "spool"):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        if len(waiting(ledger)) >= MOST_WAITING:
            raise OSError(f"{MOST_WAITING} runs wait in {ledger / 'spool'} to be recorded; `python -m report` says why")
        name = f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        self.path = ledger / "spool" / name
        # It gets its name when it is locked, so the recorder of another run never takes it for finished.
        hidden = self.path.with_name("." + name)
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self.descriptor = descriptor
        hidden.rename(self.path)

    def write(self, event: dict) -> None:
        """Append one event."""
        line = json.dumps(event, ensure_ascii=False, default=str, separators=(",", ":")) + "\n"
        data = line.encode("utf-8", "replace")
        if os.write(self.descriptor, data) < len(data):
            raise OSError("the disk is full")

    def close(self) -> None:
        """Give the file to the recorder. A worker process that still has it open does not keep the lock."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)


def finished(path: Path) -> Iterator[dict] | None:
    """Return the events of a run that has ended; None while it runs. A torn last line is left out."""
    with path.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        lines = opened.read().decode("utf-8", "replace").splitlines()
    return events(lines)


def events(lines: list[str]) -> Iterator[dict]:
    """Yield the events of lines; one that can not be parsed was cut when the run died."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
