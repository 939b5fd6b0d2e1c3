"""``make demo``: hosts, hub and wheelhouse up, ``site.yml`` over them, the model's answer at the end."""

import sys
import time

from testbed.containers import layouts, runs

GOODBYE = """
Chat on:    make chat
Status:     make status
Clean up:   make clean
"""


def main() -> None:
    """Run the demo; exit non-zero with Ansible's own message when a phase fails."""
    started = time.monotonic()
    layouts.bring_up()
    runner = runs.run("demo")
    if runner.rc:
        sys.exit(
            f"site.yml ended with {runner.rc}: see the message above; run `make demo` again, it goes on from there."
        )
    changed = sum(runner.stats["changed"].values())
    said = "nothing changed: changed=0" if changed == 0 else f"changed={changed}"
    verdicts = runs.messages(runner, "Verdict | Say it")
    print("\n" + "\n".join(f"{host}  {verdict.strip()}" for host, verdict in verdicts.items()))
    print(f"\nDone in {time.monotonic() - started:.0f} s, {said}.\n{GOODBYE}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:  # podman's
        sys.exit(
            f"{error}\nThe demo's hosts are containers with systemd, which podman starts. If this machine is itself a "
            "container, run the demo on a real or a virtual machine instead."
        )
