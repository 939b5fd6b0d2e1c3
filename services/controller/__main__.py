"""Run the controller: ``python -m services.controller``."""

import argparse
import asyncio
import concurrent.futures
import os
import socket

import fastchat.serve.controller as fastchat
import uvicorn

import services.controller

from .fleet import Fleet
from .requests import application


def listening(host, port):
    """Return the socket that systemd holds for us (sd_listen_fds(3)), or one of our own."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.bind((host, port))
    return own


async def serve(arguments):
    """Restore, then serve and watch until a signal ends it."""
    # Names are looked up in these threads. Generations have their own, so a slow one does not hide that a worker died.
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(64))
    fastchat.controller = fastchat.Controller("shortest_queue")
    fleet = Fleet(fastchat.controller, arguments.state_file, arguments.patience, arguments.interval)
    await fleet.restore()
    watch = asyncio.ensure_future(fleet.watch())
    config = uvicorn.Config(application(fleet, fastchat.app), log_level="warning", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listening(arguments.host, arguments.port)])
    watch.cancel()


def main():
    """Run the controller, and end the process without waiting for FastChat's own thread, which never ends."""
    parser = argparse.ArgumentParser(prog="services.controller", description=services.controller.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=21001)
    parser.add_argument("--state-file", default="/var/lib/fastchat/controller.json")
    parser.add_argument("--patience", type=float, default=3.0, help="seconds in which a worker must report its status")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two checks of a worker")
    asyncio.run(serve(parser.parse_args()))
    os._exit(0)


if __name__ == "__main__":
    main()
