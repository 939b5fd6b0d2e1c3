# ruff: noqa: INP001  (a script that runs on a host)
"""Ask a worker again and again how many of its slots are taken; print when one was, and when none was any more.

``watch.py WORKER SECONDS`` prints JSON: [time of the first taken slot, time at which all were free again].
"""

import json
import sys
import time
import urllib.request

WORKER, SECONDS = sys.argv[1], float(sys.argv[2])


def taken():
    request = urllib.request.Request(f"{WORKER}/worker_get_status", b"{}")
    with urllib.request.urlopen(request, timeout=20) as said:
        return json.load(said)["queue_length"]


def first(wanted):
    while time.time() < until:
        if (taken() > 0) is wanted:
            return time.time()
        time.sleep(0.05)
    return None


until = time.time() + SECONDS
assert not taken(), "a slot is taken before anybody asks"
print("ready", flush=True)
print(json.dumps([first(True), first(False)]), flush=True)
