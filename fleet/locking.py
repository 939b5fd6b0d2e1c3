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


class Taken(Exception):
    """Another run has a host; the text says who, since when, and what it does."""


def user() -> str:
    """Return the name of who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def read(path: Path) -> dict[str, object]:
    """Return what the holder of a lock wrote about itself; an empty dictionary where it could not write."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and {"user", "pid", "since", "command"} <= set(known) else {}


def sentence(host: str, known: dict[str, object], command: str) -> str:
    """Return what to say of a host that another run has, by that run's note."""
    by = "another run"
    if known:
        since = time.strftime("%H:%M:%S", time.localtime(float(str(known["since"]))))
        by = f"'fleet {known['command']}' of {known['user']} (process {known['pid']}) since {since}"
    return (
        f"{host} is in use by {by}, so 'fleet {command}' was not started. "
        "Wait until that run has ended, or leave its hosts out with --limit."
    )


@contextlib.contextmanager
def held(folder: Path, hosts: list[Host], command: str) -> Iterator[None]:
    """Hold the locks of hosts, or none. Raises Taken when another process has one, OSError where none can be made.

    All take them in the same order and stop at the first that is taken, so of two runs one always gets all.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    mine = {"user": user(), "pid": os.getpid(), "since": time.time(), "command": command}
    with contextlib.ExitStack() as stack:
        for host in sorted(hosts, key=lambda host: host.lock):
            path, by = folder / host.lock, folder / f"{host.lock}.by"
            if not path.exists():
                path.touch(mode=0o644)
            try:
                stack.enter_context(locks.held(str(path)))
            except locks.Busy as busy:
                raise Taken(sentence(host.name, read(by), command)) from busy
            with contextlib.suppress(OSError):  # a full disk: the lock holds, only its note is missing
                files.write(str(by), files.json_bytes(mine), durable=False)
        yield
