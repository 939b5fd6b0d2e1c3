"""What one setting of Ansible is worth on a fleet of the testbed: the same small play with each, in turn.

    export PYTHONPATH=$PWD:$PWD/collections
    python -m testbed up demo && python bench/run_settings.py --repeat 3

The play gathers facts, runs one module twenty times, copies a file of ten lines and asks another host once; a second
play gathers facts again. Only names of groups are read from the inventory. The time on the wall and the processor's
time on the control node (with its ssh clients) are both given, each against the project's own ansible.cfg in the same
round.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testbed import environment
from testbed.paths import CLONE, IMPORTS

PLAY = """
- name: Settings | A play of every kind of task
  hosts: controllers:workers
  become: true
  tasks:
    - name: Settings | Ask for a file's state
      ansible.builtin.stat: {path: /etc/passwd}
      loop: "{{ range(20) | list }}"
    - name: Settings | Copy a file
      ansible.builtin.copy: {content: "{{ 'line\\n' * 10 }}", dest: /run/bench-settings, mode: "0600"}
    - name: Settings | Ask on another host
      ansible.builtin.command: {argv: ["true"]}
      delegate_to: "{{ groups['controllers'][0] }}"
      changed_when: false
    - name: Settings | Ask once for all
      ansible.builtin.command: {argv: ["true"]}
      run_once: true
      changed_when: false
- name: Settings | A second play
  hosts: controllers:workers
  become: true
  tasks: []
"""
OURS = "as ansible.cfg has it"
SSH = "-o ControlMaster=auto"


def settings() -> dict[str, dict[str, str]]:
    """Return {name: environment variables}; the first is what ansible.cfg says."""
    packages = environment.ensure("mitogen", ("mitogen",)) / "lib" / "python3.11" / "site-packages"
    mitogen = {
        "ANSIBLE_STRATEGY": "mitogen_linear",
        "ANSIBLE_STRATEGY_PLUGINS": str(packages / "ansible_mitogen" / "plugins" / "strategy"),
        "PYTHONPATH": f"{IMPORTS}:{packages}",
    }
    return {
        OURS: {},
        "without pipelining": {"ANSIBLE_PIPELINING": "false"},
        "forks 20": {"ANSIBLE_FORKS": "20"},
        "ControlPersist 1800 s": {"ANSIBLE_SSH_ARGS": f"{SSH} -o ControlPersist=1800s"},
        "without ControlPersist": {"ANSIBLE_SSH_ARGS": "-o ControlMaster=no"},
        "cipher aes128-gcm": {"ANSIBLE_SSH_ARGS": f"{SSH} -o ControlPersist=60s -o Ciphers=aes128-gcm@openssh.com"},
        "facts: smallest subset": {"ANSIBLE_GATHER_SUBSET": "min", "ANSIBLE_GATHERING": "implicit"},
        "facts: smart, kept in memory": {"ANSIBLE_GATHERING": "smart", "ANSIBLE_CACHE_PLUGIN": "memory"},
        "facts: none": {"ANSIBLE_GATHERING": "explicit"},
        "poll interval 0.01 s": {"ANSIBLE_INTERNAL_POLL_INTERVAL": "0.01"},
        "mitogen 0.3.54": mitogen,
    }


def once(inventory: str, play: Path, variables: dict[str, str]) -> tuple[float, float]:
    """Run the play once; return (seconds on the wall, seconds of the control node's processors)."""
    own = {"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"), "PYTHONPATH": IMPORTS}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, str(play)],
        env={**os.environ, **own, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"The play failed with {json.dumps(variables)}:\n{done.stdout[-2000:]}{done.stderr[-1000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def spread(values: list[float]) -> str:
    """Return ``median (lowest - highest)``."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})"


def main() -> None:
    """Print one row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inventory", default=str(CLONE / "inventory" / "demo"))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="settings by name, besides the first")
    given = parser.parse_args()
    chosen = {name: found for name, found in settings().items() if name in (OURS, *(given.only or settings()))}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(prefix="fleet-settings-") as folder:
        play = Path(folder) / "play.yml"
        play.write_text(PLAY)
        once(given.inventory, play, {})  # opens the connections
        for _round in range(given.repeat):
            for name, variables in chosen.items():
                took[name].append(once(given.inventory, play, variables))
                print(f"{name}: {took[name][-1][0]:.1f} s, load {os.getloadavg()[0]:.0f}", file=sys.stderr, flush=True)
    print("| setting | seconds | ratio | processor seconds, control node | ratio |\n|---|---|---|---|---|")
    for name, runs in took.items():
        cells = [name]
        for part in (0, 1):
            ratios = [run[part] / base[part] for run, base in zip(runs, took[OURS], strict=True)]
            cells += [spread([run[part] for run in runs]), spread(ratios)]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
