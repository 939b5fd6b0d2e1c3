"""Ask every worker of this host for a real generation, and restart those that do not answer.

``fastchat-probe.service`` runs this as root, every few seconds. ``/etc/fastchat/plan.json`` lists the workers. A
worker that fails to answer twice is killed, and systemd starts it again. After RESTARTS without a good answer it is
stopped and left out. A worker whose slots leaked (FastChat loses one for each malformed request that reaches it) is
drained and restarted. One that its controller does not know is registered again. ``/run/fastchat/probe.json`` has the
state of each.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import time

from services.common.asking import generation_fault, post
from services.common.files import replace_json

from .leave import connections

FAILURES, RESTARTS = 2, 3
GOOD, LOADING, FAILING, LEFT_OUT, STOPPED = "good", "loading", "failing", "left out", "stopped"


def systemctl(*words):
    """Return what systemctl printed."""
    return subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True).stdout.strip()


def show(unit, name):
    """Return one property of a unit."""
    return systemctl("show", "--property=" + name, unit).partition("=")[2]


def register_again(controller, worker, status):
    """Register a worker that its controller does not know; FastChat itself tries that only once."""
    url = worker["url"]
    known = json.loads(post(controller + "/receive_heart_beat", {"worker_name": url, "queue_length": 0}, 5))
    if not known["exist"]:
        body = {"worker_name": url, "check_heart_beat": True, "worker_status": status}
        post(controller + "/register_worker", body, 5)
        return "its controller did not know it; registered again"
    return ""


def look(worker, arguments):
    """Return (fault, leaked slots, what was done, seconds) of a running worker.

    The fault is None while it loads; the seconds are those of the generation, None without one.
    """
    try:
        status = json.loads(post(worker["url"] + "/worker_get_status", {}, arguments.patience))
    except ConnectionRefusedError:
        return None, 0, "", None
    except (OSError, ValueError) as error:
        refused = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
        return (None, 0, "", None) if refused else (f"it does not say how it is: {error}", 0, "", None)
    leaked = max(0, status["queue_length"] - connections(worker["port"]))
    fault, seconds = "", None
    if status["queue_length"] < worker["concurrency"]:  # when all slots are busy, our question would only wait
        began = time.monotonic()
        fault = generation_fault(worker["url"], worker["model"], arguments.generation)
        seconds = None if fault else round(time.monotonic() - began, 3)
    try:
        done = register_again(arguments.controller, worker, status)
    except (OSError, ValueError) as error:
        done = f"its controller does not answer: {error}"
    return fault, leaked, done, seconds


def judge(unit, worker, was, arguments):
    """Return the new entry of a worker in the report, and restart or register it where that is needed."""
    now = {"state": GOOD, "failures": 0, "restarts": was.get("restarts", 0), "leaked": 0, "said": ""}
    now["at"] = int(time.time())
    if show(unit, "ActiveState") not in ("active", "activating"):
        state = LEFT_OUT if was.get("state") == LEFT_OUT else STOPPED
        return {**now, "state": state, "said": was.get("said", "") if state == LEFT_OUT else ""}
    fault, leaked, done, seconds = look(worker, arguments)
    if fault is None:
        return {**now, "state": LOADING, "failures": was.get("failures", 0)}
    if not fault:
        now.update(restarts=0, leaked=leaked, said=done, seconds=seconds)
        # A leak must be seen twice, because a request may come between the two questions.
        if min(leaked, was.get("leaked", 0)) >= max(1, worker["concurrency"] - 2):
            now.update(leaked=0, said=f"{leaked} of {worker['concurrency']} slots had leaked; restarted")
            systemctl("--no-block", "restart", unit)
        return now
    now.update(state=FAILING, failures=was.get("failures", 0) + 1, said=fault)
    if now["failures"] >= FAILURES and now["restarts"] >= RESTARTS:
        now.update(state=LEFT_OUT, said=f"{RESTARTS} restarts did not help: {fault}")
        systemctl("kill", "--signal=KILL", unit)
        systemctl("--no-block", "stop", unit)
    elif now["failures"] >= FAILURES:
        now.update(failures=0, restarts=now["restarts"] + 1, said=fault + "; killed, to start again")
        systemctl("kill", "--signal=KILL", unit)
    return now


def ask_all(arguments, was):
    """Ask every worker of the plan in parallel, write the report, and return it."""
    with open(arguments.plan) as stream:
        workers = json.load(stream)["workers"]
    # They are asked in parallel, so that a silent one does not hold up the others.
    with concurrent.futures.ThreadPoolExecutor(max(1, len(workers))) as pool:
        asked = {unit: pool.submit(judge, unit, one, was.get(unit, {}), arguments) for unit, one in workers.items()}
    report = {unit: answer.result() for unit, answer in asked.items()}
    for unit, entry in report.items():
        if entry["said"] != was.get(unit, {}).get("said", ""):
            print(f"{unit}: {entry['state']}{', ' if entry['said'] else ''}{entry['said']}", flush=True)
    os.makedirs(os.path.dirname(arguments.report), exist_ok=True)
    replace_json(arguments.report, report, indent=1)
    return report


def main():
    """Ask the workers again and again, and go on from the report of an earlier process."""
    parser = argparse.ArgumentParser(prog="services.worker.probe", description=__doc__)
    parser.add_argument("--controller", required=True)
    parser.add_argument("--plan", default="/etc/fastchat/plan.json")
    parser.add_argument("--report", default="/run/fastchat/probe.json")
    parser.add_argument("--interval", type=float, default=15, help="seconds between two questions")
    parser.add_argument("--patience", type=float, default=10, help="seconds in which a worker must report its status")
    parser.add_argument("--generation", type=float, default=60, help="seconds in which it must generate two tokens")
    arguments = parser.parse_args()
    report = {}
    if os.path.exists(arguments.report):
        with open(arguments.report) as stream:
            report = json.load(stream)
    while True:
        report = ask_all(arguments, report)
        time.sleep(arguments.interval)


if __name__ == "__main__":
    main()
