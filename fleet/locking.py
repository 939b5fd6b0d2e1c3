"""One lock for each host on the control node: two runs never work on the same host at once."""

import contextlib
import getpass
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fleet.collection import files, locks
from fleet.inventory import Host
from fleet.saying import several


class Taken(Exception):
    """Another run has a host; the text says who, since when, and what it does."""


def note() -> dict[str, object]:
    """Return who takes a lock: user, process and time (seconds since the epoch)."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    return {"user": user, "pid": os.getpid(), "since": time.time()}


def read(path: Path) -> dict[str, object]:
    """Return what the holder of a lock wrote about itself; an empty dictionary where it could not write."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and {"user", "pid", "since", "command"} <= set(known) else {}


def sentence(busy: dict[str, dict[str, object]], command: str) -> str:
    """Return what to say of hosts that others hold, {host: note}."""
    known = next((each for each in busy.values() if each), {})
    by = "another run"
    if known:
        since = time.strftime("%H:%M:%S", time.localtime(float(str(known["since"]))))
        by = f"'fleet {known['command']}' of {known['user']} (process {known['pid']}) since {since}"
    verb = "is" if len(busy) == 1 else "are"
    return (
        f"{several(sorted(busy))} {verb} in use by {by}, so 'fleet {command}' was not started. "
        "Wait until that run has ended, or leave out with --limit what it uses."
    )


@contextlib.contextmanager
def held(folder: Path, hosts: list[Host], command: str) -> Iterator[None]:
    """Hold the locks of hosts. Raises Taken when another process has one, OSError where no lock can be made."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    busy: dict[str, dict[str, object]] = {}
    mine = {**note(), "command": command}
    with contextlib.ExitStack() as stack:
        for host in sorted(hosts, key=lambda host: host.lock):
            path = folder / host.lock
            path.touch(mode=0o644)
            try:
                stack.enter_context(locks.held(str(path)))
            except locks.Busy:
                busy[host.name] = read(folder / f"{host.lock}.by")
                continue
            with contextlib.suppress(OSError):  # a full disk: the lock holds, only its note is missing
                files.write(f"{path}.by", files.json_bytes(mine), durable=False)
        if busy:
            raise Taken(sentence(busy, command))
        yield
