"""``python -m testbed.chaos [--only NAME ...] [--json FILE] [--table FILE]``: faults under load, counted.

Exit status 1 when a goal is missed. FILE of ``--json`` keeps the rows of the faults that are not run this time.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from testbed.chaos import counting, hosts, table
from testbed.chaos.faults import FAULTS, Fault
from testbed.chaos.hosts import CONTROLLER, FLEET
from testbed.chaos.stage import Endpoint, Stage, own_endpoint
from testbed.containers import fleet
from testbed.paths import CLONE

WARM_SECONDS = 6.0
VERSIONS = "import fastchat, platform; print('FastChat', fastchat.__version__ + ', Python', platform.python_version())"


def git(*words: str) -> str:
    """Return git's output about this clone."""
    return subprocess.run(["git", "-C", str(CLONE), *words], check=True, capture_output=True, text=True).stdout.strip()


def circumstances(stage: Stage, patience: float) -> str:
    """Return the machine, the versions and the load, in one line."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    source = git("rev-parse", "--short", "HEAD")
    if git("status", "--porcelain", "--", ".", ":(exclude)docs"):  # the files into which the table is written
        source += " with changes"
    versions = hosts.on(CONTROLLER, "/opt/fastchat/env/bin/python", "-c", VERSIONS)
    kernel = ".".join(platform.release().split(".")[:2])
    machine = f"{os.cpu_count()} cores ({cpu.split(': ')[1]}), Linux {kernel}"
    asked = f"{stage.concurrency} askers at {stage.endpoint.url}, deadlines times {patience:g}"
    return f"commit {source}, {versions}, {machine}, {asked}"


def run(stage: Stage, fault: Fault, patience: float) -> dict[str, Any]:
    """Make one fault under load, and return its row."""
    deadline = fault.deadline * patience
    print(f"{fault.name}: {fault.title} …", flush=True)
    if fault.before:
        fault.before(stage)
    with stage.watching(), stage.load():
        before = stage.serving_now()
        time.sleep(WARM_SECONDS)
        load = os.getloadavg()[0]
        said = fault.inject(stage) or ""
        stage.until_whole(before, deadline)
    load = max(load, os.getloadavg()[0])
    row = {"name": fault.name, "said": said} | counting.row(stage.records, stage.looks, before, stage.marks)
    row["missed"] = counting.missed(row, fault.goal, deadline) + ([said] if said else [])
    row |= {"title": fault.title, "goal": counting.GOALS[fault.goal], "load": round(load, 1)}
    row |= {"when": time.strftime("%Y-%m-%d", time.gmtime()), "under": circumstances(stage, patience)}
    print("  " + table.line(row), *row["reasons"], *row["missed"], sep="\n  ", flush=True)
    if row["recovery"] is None and (failed := hosts.playbook("site.yml", "--tags=services")):
        raise SystemExit(f"After {fault.name} not even site.yml brought the fleet back: {failed}")
    if fault.after:
        fault.after(stage)
    return row


def arguments() -> argparse.Namespace:
    """Return the parsed arguments."""
    parser = argparse.ArgumentParser(prog="python -m testbed.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[fault.name for fault in FAULTS], default=[])
    parser.add_argument("--json", type=Path, help="keeps all rows, also of earlier runs")
    parser.add_argument("--table", type=Path, help="the document that gets the table")
    parser.add_argument("--url", default="", help="the API that the client asks; without it the fleet's own")
    parser.add_argument("--key", default="none")
    parser.add_argument(
        "--ca", default="", help="a file on this machine: the authority that signed the API's certificate"
    )
    parser.add_argument("--model", default="smollm2-demo")
    parser.add_argument("--concurrency", type=int, default=3)
    parser.add_argument("--patience", type=float, default=1, help="all deadlines so many times: for a busy machine")
    parser.add_argument("--as-it-is", action="store_true", help="the fleet is up, from --keep: do not provision it")
    parser.add_argument("--keep", action="store_true", help="leave the fleet up")
    return parser.parse_args()


def main() -> None:
    """Run the faults, write the table, and exit with 1 when a goal was missed."""
    asked = arguments()
    stage = Stage(asked.model, asked.concurrency)
    known = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else []
    rows = {row["name"]: row for row in known}
    missed = []
    try:
        if not asked.as_it_is:
            hosts.bring_up()
        hosts.install_client()
        stage.endpoint = Endpoint(asked.url, asked.key, asked.ca) if asked.url else own_endpoint()
        for fault in FAULTS:
            if asked.only and fault.name not in asked.only:
                continue
            row = rows[fault.name] = run(stage, fault, asked.patience)
            missed += [f"{fault.name}: {sentence}" for sentence in row["missed"]]
            ordered = [rows[one.name] for one in FAULTS if one.name in rows]
            if asked.json:
                asked.json.write_text(json.dumps(ordered, indent=1) + "\n")
            if asked.table:
                table.put(asked.table, ordered)
    finally:
        if not asked.keep:
            fleet.down(FLEET)
    if missed:
        sys.exit("\n".join(["Goals missed:", *missed]))


if __name__ == "__main__":
    main()
