# ruff: noqa: INP001  (a script that runs on a host)
"""Ask a worker again and again how many of its slots are taken: ``watch.py WORKER MORE``, until standard input ends.

Then it goes on for MORE seconds, and prints JSON: [[time, taken], ...].
"""

import json
import select
import sys
import time
import urllib.request

WORKER, MORE = sys.argv[1], float(sys.argv[2])
samples, until = [], None
print("ready", flush=True)
while until is None or time.time() < until:
    request = urllib.request.Request(f"{WORKER}/worker_get_status", b"{}")
    with urllib.request.urlopen(request, timeout=20) as said:
        samples.append([time.time(), json.load(said)["queue_length"]])
    if select.select([] if until else [sys.stdin], [], [], 0.05)[0]:
        until = time.time() + MORE
print(json.dumps(samples))
