"""``make demo``: hosts, hub and wheelhouse up, ``site.yml`` over them, the model's answer at the end."""

import sys
import time

from testbed.containers import layouts, runs
from testbed.paths import CLONE

MONITORED = CLONE / "inventory" / "demo_monitored"
WATCH = """
The page of the fleet: https://ctl01/status, name status; .testbed/demo/status-key has the key
Prometheus and Alertmanager: ssh -F .testbed/demo/ssh_config -L 21095:ctl01:21095 -L 21096:ctl01:21096 -N ctl01,
then http://localhost:21095 and http://localhost:21096
"""
GOODBYE = """
Chat on:    make chat
Status:     make status
Clean up:   make clean
"""


def main() -> None:
    """Run the demo, with --monitor a watched one; exit non-zero with Ansible's own message when a phase fails."""
    started, watched = time.monotonic(), "--monitor" in sys.argv[1:]
    layouts.bring_up()
    runner = runs.run("demo", inventories=(runs.DEMO, MONITORED) if watched else (runs.DEMO,))
    if runner.rc:
        sys.exit(
            f"site.yml ended with {runner.rc}: see the message above; run `make demo` again, it goes on from there."
        )
    changed = sum(runner.stats["changed"].values())
    said = "nothing changed: changed=0" if changed == 0 else f"changed={changed}"
    verdicts = runs.messages(runner, "Verdict | Say it")
    print("\n" + "\n".join(f"{host}  {verdict.strip()}" for host, verdict in verdicts.items()))
    print(f"\nDone in {time.monotonic() - started:.0f} s, {said}.\n{GOODBYE}")
    if watched:
        print(WATCH)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:  # podman's
        sys.exit(
            f"{error}\nThe demo's hosts are containers with systemd, which podman starts. If this machine is itself a "
            "container, run the demo on a real or a virtual machine instead."
        )
