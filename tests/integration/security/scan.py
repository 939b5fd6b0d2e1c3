# ruff: noqa: F821  (`asked` is put before this script, which runs on a host)
"""Print which of all 65535 TCP ports of a host accept a connection; one that is silent for five seconds does not."""

import json
import select
import socket
import time

ADDRESS = socket.gethostbyname(asked["host"])  # once: a question to the name server for each port would take minutes
AT_ONCE = 500


def accepting(ports):
    """Return those of the given ports that accept a connection; all are tried at once."""
    waiting, found, poller = {}, [], select.poll()
    for port in ports:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex((ADDRESS, port))
        waiting[one.fileno()] = one, port
        poller.register(one, select.POLLOUT)
    until = time.monotonic() + 5
    while waiting and time.monotonic() < until:
        for number, _ in poller.poll(500):
            one, port = waiting.pop(number)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(port)
            poller.unregister(one)
            one.close()
    for one, _ in waiting.values():
        one.close()
    return found


everything = (accepting(range(start, min(start + AT_ONCE, 65536))) for start in range(1, 65536, AT_ONCE))
print(json.dumps(sorted(port for found in everything for port in found)))
