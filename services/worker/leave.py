"""Take a worker out of dispatch and let its answers finish: ``ExecStop=`` and ``ExecStopPost=`` of its unit.

With ``--drain SECONDS`` it waits, at most so long, until nobody has been connected to the worker's port for two
seconds. With ``--gone`` it tells the controller that the process has ended. It always exits with 0, so that it never
fails a stop.
"""

import argparse
import os
import time
from urllib.parse import urlsplit

from services.common.asking import post

ESTABLISHED = "01"
LOCAL, STATE = 1, 3  # columns of /proc/net/tcp, see proc(5)
QUIET_SECONDS = 2
LOOK_SECONDS = 0.2


def connections(port):
    """Return how many clients are connected to a port of this host."""
    found = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            with open(table) as stream:
                rows = [line.split() for line in stream][1:]
            found += sum(row[STATE] == ESTABLISHED and int(row[LOCAL].rsplit(":", 1)[1], 16) == port for row in rows)
    return found


def leave(controller, worker, why, gone):
    """Tell the controller. One that does not answer dispatches nothing, so that is only logged."""
    try:
        post(controller + "/fleet/leave", {"worker": worker, "why": why, "gone": gone}, 5)
    except OSError as error:
        print(f"{controller} could not be told that {worker} leaves: {error}", flush=True)


def drain(port, seconds):
    """Wait until a port has been quiet for a while, at most ``seconds``; return how many are still connected."""
    began = quiet = time.monotonic()
    while time.monotonic() - began < seconds:
        if connections(port):
            quiet = time.monotonic()
        elif time.monotonic() - quiet >= QUIET_SECONDS:
            return 0
        time.sleep(LOOK_SECONDS)
    return connections(port)


def main():
    """Take the worker out of dispatch, then drain it."""
    parser = argparse.ArgumentParser(prog="services.worker.leave", description=__doc__)
    parser.add_argument("--controller", required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--drain", type=float, default=0)
    parser.add_argument("--gone", action="store_true")
    arguments = parser.parse_args()
    if arguments.drain and not os.environ.get("MAINPID"):
        return  # the process has ended by itself
    result = os.environ.get("SERVICE_RESULT", "unknown")  # systemd sets it since 232
    leave(arguments.controller, arguments.worker, f"ended ({result})" if arguments.gone else "stopping", arguments.gone)
    if arguments.drain:
        left = drain(urlsplit(arguments.worker).port, arguments.drain)
        if left:
            print(f"{left} requests were not answered within {arguments.drain:.0f} s", flush=True)


if __name__ == "__main__":
    main()
