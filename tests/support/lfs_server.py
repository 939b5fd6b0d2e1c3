"""Serve a testbed hub (real giftless and dulwich) on a random port of 127.0.0.1: ``lfs_server.py HUB``; prints it."""

import sys
from pathlib import Path

import waitress

from testbed.hub import serve

if __name__ == "__main__":
    server = waitress.create_server(serve.application(Path(sys.argv[1])), host="127.0.0.1", port=0, threads=8)
    print(server.effective_port, flush=True)
    server.run()
