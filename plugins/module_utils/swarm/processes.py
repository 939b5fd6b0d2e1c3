"""Programs that outlive the module that starts them, and end by themselves. Python >= 3.9.

``state`` is a directory: ``<what>.pid`` in it has number and start time of the program that was started as ``what``,
``<what>.log`` its output.
"""

import os
import signal
import socket
import subprocess
import time

from ..storage.files import write
from .users import identity

PROGRAMS = ("server", "aria2", "rsync")


def alive(state, what):
    """Return the process group of a program started here that still runs, else 0.

    The start time of /proc/<pid>/stat (field 22, proc(5)) tells it from another process that got its number.
    """
    try:
        with open(os.path.join(state, what + ".pid")) as stream:
            pid, began = stream.read().split()
        return int(pid) if began == started_at(pid) else 0
    except (OSError, ValueError, IndexError):
        return 0


def started_at(pid):
    """Return when a process started, in clock ticks since boot, as text; OSError when it is gone, '' for a zombie."""
    with open("/proc/%s/stat" % pid) as stream:
        fields = stream.read().rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def start(state, what, command, lifetime, user=None):
    """Start a program in its own session. It ends after ``lifetime`` seconds even when nobody stops it."""
    with open(os.path.join(state, what + ".log"), "ab") as log:
        child = subprocess.Popen(
            ["timeout", "--kill-after=10", str(lifetime)] + command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=state,
            **identity(user),
        )
    number = "%d %s" % (child.pid, started_at(child.pid))
    write(os.path.join(state, what + ".pid"), number.encode(), durable=False)  # it is meaningless after a reboot


def await_port(state, what, address, port, patience=15):
    """Wait until a program started here listens; RuntimeError with its last output when it does not."""
    until = time.monotonic() + patience
    while alive(state, what) and time.monotonic() < until:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(
        "%s does not listen on %s port %d: %s" % (what, address, port, tail(state, what) or "no reason given")
    )


def stop(state, what, patience=10):
    """End a program started here and its children; return whether there was one."""
    group = alive(state, what)
    if not group:
        return False
    os.killpg(group, signal.SIGTERM)
    until = time.monotonic() + patience
    while alive(state, what):
        if time.monotonic() > until:
            os.killpg(group, signal.SIGKILL)
        time.sleep(0.05)
    return True


def tail(state, what, size=400):
    """Return the end of a program's log as one line."""
    try:
        with open(os.path.join(state, what + ".log"), "rb") as stream:
            return " ".join(stream.read()[-size:].decode(errors="replace").split())
    except OSError:
        return ""
