"""Print, four times a second, how a controller sees its workers and which API servers answer; a JSON object a line.

Runs on the controller's host, with the system's Python alone: ``watch.py CONTROLLER API...``. An API server answers
when it says anything at all in HTTP, also that it does not know the path. Ends when its standard input does.
"""

import http.client
import json
import os
import sys
import threading
import time
from urllib.parse import urlsplit

PATIENCE, PAUSE = 1.0, 0.25


def get(url, path):
    """Return the body of an answer; OSError or HTTPException when there is none in time."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def workers(controller):
    """Return {worker: state}; None when the controller does not answer."""
    try:
        return {url: one["state"] for url, one in json.loads(get(controller, "/fleet"))["workers"].items()}
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return None


def answers(url):
    """Return whether an API server answers."""
    try:
        return get(url, "/chaos-is-not-a-path") is not None
    except (OSError, http.client.HTTPException):
        return False


def end_with_input():
    """End this process when nobody holds its standard input any more."""
    sys.stdin.read()
    os._exit(0)


def main():
    """Print looks until the standard output or input is closed."""
    controller, *apis = sys.argv[1:]
    threading.Thread(target=end_with_input, daemon=True).start()
    while True:
        seen = {"workers": workers(controller), "apis": {url: answers(url) for url in apis}}
        print(json.dumps({"at": time.monotonic(), **seen}), flush=True)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
