"""``make demo``: hosts, hub and wheelhouse up, ``site.yml`` over them, the model's answer at the end."""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import ansible_runner
import yaml

from testbed import fleet, hub, wheelhouse
from testbed.paths import CLONE, STATE

LAYOUTS = Path(__file__).with_name("layouts.yml")
GOODBYE = """
Chat on:    make chat
Status:     make status
Clean up:   make clean
"""


def bring_up(name: str = "demo", layout: str = "demo") -> None:
    """Bring up what stands in for hosts, hub and wheelhouse; all of it stays as it is when it is there."""
    wanted = yaml.safe_load(LAYOUTS.read_text())[layout]
    wheels = f"{wheelhouse.ensure(**wanted['wheelhouse'])}:/srv/wheelhouse:ro" if "wheelhouse" in wanted else ""
    internal = wanted.get("internal", False)
    fleet.up(name, wanted["hosts"], [wheels] if wheels and not internal else [], internal)
    if wanted["hub"]:
        hub.up(name)


def run_site(
    name: str = "demo", inventories: Sequence[str] = (), playbook: str = "site.yml", **options
) -> ansible_runner.Runner:
    """Run a playbook on the demo's inventory over a fleet of the testbed; options are ansible_runner.run's."""
    data = STATE / name / "runner"
    shutil.rmtree(data, ignore_errors=True)  # it keeps the last run's arguments and would use them again
    data.mkdir(parents=True, exist_ok=True)
    return ansible_runner.run(
        private_data_dir=str(data),
        project_dir=str(CLONE),
        inventory=[str(CLONE / "inventory" / "demo"), *inventories],
        playbook=playbook,
        envvars={"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg")},
        extravars={"testbed_fleet": name},
        **options,
    )


def main() -> None:
    """Run the demo; exit non-zero with Ansible's own message when a phase fails."""
    started = time.monotonic()
    bring_up()
    runner = run_site()
    if runner.rc:
        sys.exit(
            f"site.yml ended with {runner.rc}: see the message above; run `make demo` again, it goes on from there."
        )
    verdicts = [
        (event["event_data"]["host"], event["event_data"]["res"]["msg"].strip())
        for event in runner.events
        if event["event"] == "runner_on_ok" and event["event_data"]["task"] == "Verdict | Say it"
    ]
    changed = sum(runner.stats["changed"].values())
    said = "nothing changed: changed=0" if changed == 0 else f"changed={changed}"
    print("\n" + "\n".join(f"{host}  {words}" for host, words in verdicts))
    print(f"\nDone in {time.monotonic() - started:.0f} s, {said}.\n{GOODBYE}")


if __name__ == "__main__":
    main()
