"""``make demo``: hosts, hub and wheelhouse up, ``site.yml`` over them, the model's answer at the end."""

import sys
import time
from pathlib import Path

import yaml

from testbed import fleet, hub, paths, runs, wheelhouse

LAYOUTS = Path(__file__).with_name("layouts.yml")
GOODBYE = """
Chat on:    make chat
Status:     make status
Clean up:   make clean
"""


def bring_up(name: str = "demo", layout: str = "demo") -> None:
    """Bring up what stands in for hosts, hub and wheelhouse; all of it stays as it is when it is there."""
    wanted = yaml.safe_load(LAYOUTS.read_text())[layout]
    with paths.cache_held():
        _bring_up(name, wanted)


def _bring_up(name: str, wanted: dict) -> None:
    """Do what ``bring_up`` says, the cache being ours."""
    houses = wanted.get("wheelhouse", [])
    houses = [houses] if isinstance(houses, dict) else houses
    wheels = f"{wheelhouse.together(houses)}:/srv/wheelhouse:ro" if houses else ""
    internal = wanted.get("internal", False)
    fleet.up(name, wanted["hosts"], [wheels] if wheels and not internal else [], internal)
    if wanted["hub"]:
        hub.up(name)


def main() -> None:
    """Run the demo; exit non-zero with Ansible's own message when a phase fails."""
    started = time.monotonic()
    bring_up()
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
    main()
