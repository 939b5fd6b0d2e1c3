"""``make demo``: hosts, hub and wheelhouse up, ``site.yml`` over them, the model's answer at the end."""

import json
import sys
import time

import ansible_runner

from testbed import fleet, hub, wheelhouse
from testbed.paths import CLONE, STATE

HOSTS = ["ctl01", "gpu01", "gpu02"]
GOODBYE = """
Chat on:    make chat
Status:     make status
Clean up:   make clean
"""


def bring_up(name: str = "demo") -> None:
    """Bring up what stands in for hosts, hub and wheelhouse; all of it stays as it is when it is there."""
    wheels = wheelhouse.ensure("cpu")
    fleet.up(name, HOSTS, [f"{wheels}:/srv/wheelhouse:ro"])
    hub.up(name)


def run_site() -> ansible_runner.Runner:
    """Run ``site.yml`` on the demo's inventory, printing what Ansible prints."""
    data = STATE / "runner"
    data.mkdir(parents=True, exist_ok=True)
    return ansible_runner.run(
        private_data_dir=str(data),
        project_dir=str(CLONE),
        inventory=str(CLONE / "inventory" / "demo"),
        playbook="site.yml",
        envvars={"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg")},
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
    answers = [e["event_data"]["res"]["msg"] for e in runner.events if "tokens/s" in json.dumps(e.get("event_data", {}))
               and e["event"] == "runner_on_ok" and "msg" in e["event_data"]["res"]]  # fmt: skip
    changed = sum(runner.stats["changed"].values())
    said = "nothing changed: changed=0" if changed == 0 else f"changed={changed}"
    print(f"\n{answers[-1]}\n\nDone in {time.monotonic() - started:.0f} s, {said}.\n{GOODBYE}")


if __name__ == "__main__":
    main()
