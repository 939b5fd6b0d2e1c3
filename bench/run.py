"""A run of site.yml that has nothing to change: seconds by hosts, commits and phases, beside a pyinfra deploy.

    export PYTHONPATH=$PWD:$PWD/collections
    python bench/run.py --sizes 1 3 10 --commits 7a009b2 . --repeat 3 --record docs/run.json
    python bench/run.py --report docs/run.json        # draws docs/run-phases.svg and prints the tables

A commit is checked out below .testbed, and ``.`` is this clone as it is. For each number of hosts, each commit runs
until nothing changes; then it and pyinfra take turns. The first commit is the base and runs once for each size.
``--down`` removes the fleet, its image and the checkouts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import run_hosts, run_peer, run_plot
from testbed import round_trips
from testbed.containers import layouts
from testbed.paths import CLONE, STATE

PYINFRA = "pyinfra"
GENERATION = ("Verify", "Ask | ")  # phase and name of the tasks in which a model generates
CONVERGING = 4  # runs until nothing changes; more is a fault


def generating(steps: list[dict]) -> list[dict]:
    """Return the steps in which a model generates; preflight asks as well, but hosts."""
    return [step for step in steps if step["phase"] == GENERATION[0] and step["task"].startswith(GENERATION[1])]


def site(checkout: Path, name: str, size: int, asks: bool = True) -> dict:
    """Run site.yml of a checkout once; return {seconds, generation, phases, round_trips, changed} without generation.

    ``phases`` is {phase: seconds} and ends with what ansible-playbook needs to start and end.
    """
    variables = json.dumps(run_hosts.extra_variables(name, size))
    command = ["ansible-playbook", "-i", str(run_hosts.inventory(checkout, name, size)), "site.yml", "-e", variables]
    command += [] if asks else ["--skip-tags", "verify"]
    with tempfile.TemporaryDirectory(prefix="fleet-run-") as folder:
        output = Path(folder) / "counts.json"
        # Before the plugins were a collection, its filters imported each other by their files' names.
        plugins = "collections" if (checkout / "collections").is_dir() else "plugins/filter"
        own = {"ANSIBLE_CONFIG": str(checkout / "ansible.cfg"), "PYTHONPATH": f"{checkout}:{checkout / plugins}"}
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=checkout,
            env={**os.environ, **own, **round_trips.environment(output)},
            capture_output=True,
            text=True,
            check=False,
        )
        whole = time.monotonic() - began
        if done.returncode:
            sys.exit(f"site.yml of {checkout} failed over {size} hosts:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        counts = json.loads(output.read_text())
    asked = generating(counts["tasks"])
    if asks and not asked:
        sys.exit(f"No task of {checkout} is {GENERATION}: the generation can not be told apart.")
    generation = sum(step["seconds"] for step in asked)
    phases = dict(counts["phases"])
    for step in asked:
        phases[step["phase"]] -= step["seconds"]
    phases["Start and end"] = whole - sum(counts["phases"].values())
    trips = {host: count["round_trips"] for host, count in counts["hosts"].items()}
    changed = sum(host["changed"] for host in counts["stats"].values())
    return {
        "seconds": whole - generation,
        "generation": generation,
        "phases": phases,
        "round_trips": trips,
        "changed": changed,
    }


def prepare(given: argparse.Namespace) -> dict:
    """Make the demo's hosts from bare and an image of a worker, unless there are both; return {from_bare: seconds}."""
    known = (STATE / given.fleet / "ssh_config").exists()
    layouts.bring_up(given.fleet)
    took = {}
    if not known:
        found = site(CLONE, given.fleet, 3, not given.skip_verify)
        took = {"from_bare": found["seconds"] + found["generation"]}
        say(f"3 hosts from bare to an answer: {took['from_bare']:.0f} s")
    if set(given.sizes) - {3} and not run_hosts.has_image(given.fleet):
        run_hosts.make_image(given.fleet)
    return took


def converge(checkout: Path, name: str, size: int, asks: bool = True) -> dict:
    """Run site.yml until nothing changes; return the last run, which is a measurement too."""
    for _number in range(CONVERGING):
        found = site(checkout, name, size, asks)
        say(f"{size} hosts, {checkout.name}: {found['seconds']:.1f} s, changed={found['changed']}")
        if not found["changed"]:
            return found
    sys.exit(f"site.yml of {checkout} still changes something in run {CONVERGING}.")


def peer(name: str, size: int) -> dict:
    """Run pyinfra's deploy over the hosts once; return {seconds, checked}."""
    folder, config = STATE / f"{name}-peer", STATE / name / "ssh_config"
    hosts = run_hosts.names_of(size)
    checked = run_peer.expect(hosts, config, folder)
    seconds, said = run_peer.deploy(hosts, config, folder)
    if not said.startswith("Grand total") or said.split()[2] != said.split()[-1]:
        sys.exit(f"pyinfra did not find what site.yml left: {said}")
    say(f"{size} hosts, pyinfra: {seconds:.1f} s, {sum(checked.values())} checked, nothing to do")
    return {"seconds": seconds, "checked": checked}


def measure(size: int, given: argparse.Namespace) -> list[dict]:
    """Return the runs of all contenders over one number of hosts, each {size, contender, seconds, …}."""
    run_hosts.bring_up(given.fleet, size)
    base, *others = given.commits
    runs = []

    def add(contender: str, found: dict) -> None:
        runs.append({"size": size, "contender": contender, "load": round(os.getloadavg()[0], 1), **found})

    if not others:
        base, others = "", given.commits
    if base and size in (given.base_sizes or given.sizes):
        add(base, converge(run_hosts.checkout_of(base), given.fleet, size, not given.skip_verify))
    # Whoever ran last left its own settings, so each commit has its turns in a row, and pyinfra one between each two.
    for commit in others:
        checkout = run_hosts.checkout_of(commit)
        add(commit, converge(checkout, given.fleet, size, not given.skip_verify))
        for number in range(given.repeat):
            if number:
                add(commit, site(checkout, given.fleet, size, not given.skip_verify))
            if not given.no_peer:
                add(PYINFRA, peer(given.fleet, size))
    return runs


def spread(values: list[float]) -> str:
    """Return ``median (lowest - highest)``, or the one value."""
    middle = f"{statistics.median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} - {max(values):.3g})"


def tables(record: dict) -> list[str]:
    """Return the lines of both Markdown tables: seconds and ratios, and seconds by phase."""
    runs, lines = record["runs"], []
    contenders = list(dict.fromkeys(run["contender"] for run in runs))
    now = record["commits"][-1]
    lines += [
        "| hosts | contender | seconds | generation apart | against this commit | round trips: most on a host | load |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for size in record["sizes"]:
        ours = [run["seconds"] for run in runs if (run["size"], run["contender"]) == (size, now)]
        for contender in contenders:
            own = [run for run in runs if (run["size"], run["contender"]) == (size, contender)]
            if not own:
                continue
            seconds = [run["seconds"] for run in own]
            ratio = f"{statistics.median(seconds) / statistics.median(ours):.2f}" if ours else "-"
            apart = spread([run["generation"] for run in own]) if "generation" in own[0] else "-"
            trips = [
                max(n for host, n in run["round_trips"].items() if host[0] != "(")
                for run in own
                if "round_trips" in run
            ]
            load = spread([run["load"] for run in own])
            cells = [
                str(size),
                run_plot.called(contender),
                spread(seconds),
                apart,
                ratio,
                str(max(trips)) if trips else "-",
                load,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| hosts, contender | {' | '.join(run_plot.phases_of(runs))} |"]
    lines += [f"|{'---|' * (len(run_plot.phases_of(runs)) + 1)}"]
    for label, phases in run_plot.bars([run for run in runs if "phases" in run]):
        lines.append(f"| {label} | {' | '.join(f'{phases.get(phase, 0):.1f}' for phase in run_plot.phases_of(runs))} |")
    if "from_bare" in record:
        lines += ["", f"Three bare hosts to an answer: {record['from_bare']:.0f} s."]
    lines += ["", *(f"Not measured: {why}" for why in record["left_out"])]
    return lines


def report(path: Path) -> None:
    """Print the tables of a record, and draw it beside the record."""
    record = json.loads(path.read_text())
    print("\n".join(tables(record)))
    run_plot.draw(record["runs"], path.with_name("run-phases.svg"))


def say(words: str) -> None:
    """Print what was measured just now."""
    print(words, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and record, or report a record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 3, 10], help="hosts")
    parser.add_argument("--commits", nargs="+", default=["7a009b2", "."], help="the base, then the others")
    parser.add_argument("--base-sizes", type=int, nargs="+", help="sizes at which the base runs too; all unless given")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each contender, besides the base")
    parser.add_argument("--fleet", default="bench", help="the name of the fleet in the testbed")
    parser.add_argument("--no-peer", action="store_true", help="without pyinfra")
    parser.add_argument("--skip-verify", action="store_true", help="ask nothing, for a quick look")
    parser.add_argument("--record", type=Path, default=CLONE / "docs" / "run.json", help="where the measurements go")
    parser.add_argument("--report", type=Path, help="report this record and measure nothing")
    parser.add_argument("--down", action="store_true", help="remove the fleet, its image and the checkouts")
    given = parser.parse_args()
    if given.report or given.down:
        report(given.report) if given.report else run_hosts.take_down(given.fleet)
        return
    record = {
        "commits": given.commits,
        "sizes": sorted(given.sizes),
        "cores": os.cpu_count(),
        "runs": [],
        "left_out": [],
    }
    record |= prepare(given)
    for size in record["sizes"]:
        if why := run_hosts.room_for(size, given.fleet):
            record["left_out"].append(why)
            say(why)
            continue
        record["runs"] += measure(size, given)
        given.record.write_text(json.dumps(record, indent=1) + "\n")  # after each size, so that a kill loses one
    report(given.record)


if __name__ == "__main__":
    main()
