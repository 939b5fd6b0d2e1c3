"""What the ledger costs a run: beside no record at all, and beside ARA's own callback, in turns.

    export PATH=$PWD/.venv/bin:$PATH PYTHONPATH=$PWD:$PWD/collections
    python bench/ledger.py --hosts 20 --tasks 10 --rounds 3

Hosts are all this machine and their tasks are ``debug``, which costs as little as a task can, so the record's share is
at its largest. CPU is user and system time of the run and its processes. The ledger's recorder outlives the run: it is
not in its CPU, and in the next run's seconds.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ara.setup import callback_plugins

from testbed.paths import CLONE, IMPORTS

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")


def measured(command: list, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command to its end and return (seconds, seconds of CPU)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def ways(folder: Path) -> dict[str, dict[str, str]]:
    """Return {way: its environment variables}; the first is what the others are compared with."""
    config = folder / "ansible.cfg"
    config.write_text("[defaults]\nforks = 10\n")
    common = {**os.environ, "PYTHONPATH": IMPORTS, "ANSIBLE_CONFIG": str(config)}
    ours = {
        "ANSIBLE_COLLECTIONS_PATH": str(CLONE / "collections"),
        "ANSIBLE_CALLBACKS_ENABLED": "fastchat.fleet.ledger",
    }
    aras = {"ANSIBLE_CALLBACK_PLUGINS": callback_plugins, "ANSIBLE_CALLBACKS_ENABLED": "ara_default"}
    return {
        "no record": common,
        "ledger": common | ours | {"FLEET_LEDGER": str(folder / "ledger")},
        "ARA's callback": common | aras | {"ARA_BASE_DIR": str(folder / "ara")},
    }


def ranged(numbers: list[float]) -> str:
    """Return a median with its range."""
    return f"{statistics.median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f})"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-aras", action="store_true", help="leave ARA's own callback out; it is slow")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        hosts, book = folder / "hosts", folder / "run.yml"
        hosts.write_text("".join(f"gpu{number:03d} ansible_connection=local\n" for number in range(wanted.hosts)))
        tasks = "".join(f"    - ansible.builtin.debug: {{msg: {number}}}\n" for number in range(wanted.tasks))
        book.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
        told: dict[str, list[tuple[float, float]]] = {}
        print(f"{wanted.hosts} hosts, {wanted.tasks} tasks each; load {os.getloadavg()[0]:.1f}")
        for _ in range(wanted.rounds):
            for way, environment in ways(folder).items():
                if not (wanted.without_aras and way.startswith("ARA")):
                    told.setdefault(way, []).append(measured([ANSIBLE, book, "-i", hosts], environment))
        results, plain = wanted.hosts * wanted.tasks, told["no record"]
        for way, rounds in told.items():
            ratios = [mine[0] / base[0] for mine, base in zip(rounds, plain, strict=True)]
            each = [1000 * (mine[1] - base[1]) / results for mine, base in zip(rounds, plain, strict=True)]
            wall, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
            print(f"{way:<15} {wall:6.1f} s, {ranged(ratios)}; CPU {cpu:.1f} s, {ranged(each)} ms a result")
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
