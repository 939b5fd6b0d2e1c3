"""Runs the converge playbook of ``molecule/rpm`` on its second host, and looks at that host before and after."""

import json
import os
import shutil
from pathlib import Path

import ansible_runner
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FLEET = f"molecule-{os.environ.get('MOLECULE_SCENARIO_NAME', 'rpm')}"
STATE = ROOT / ".testbed" / FLEET
STAND_INS = yaml.safe_load((ROOT / "molecule" / "rpm" / "vars" / "stand_ins.yml").read_text())
# These are not compared: logs, caches, Ansible's own files, and the rpm database, which `rpm -qa` stands for.
PASSING = ["/var/log", "/var/cache", "/var/lib/rpm", "/var/lib/dnf", "/root/.ansible"]


@pytest.fixture(scope="session")
def repository():
    """What the testbed wrote about its RPM repository."""
    return json.loads((STATE / "rpm_repository.json").read_text())


@pytest.fixture(scope="session")
def converge():
    """Run it on hosts of the inventory; return {host: {"failed": messages, "changed": tasks}}."""

    def run(hosts, *arguments, **variables):
        data = STATE / "runner"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        runner = ansible_runner.run(
            private_data_dir=str(data),
            project_dir=str(ROOT),
            inventory=str(ROOT / "molecule" / "rpm" / "inventory"),
            playbook="molecule/rpm/converge.yml",
            envvars={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORKS": "9"},
            extravars={**STAND_INS, "testbed_fleet": FLEET, "testbed_hosts": hosts, **variables},
            cmdline=" ".join(arguments),
            quiet=True,
        )
        told = {}
        for event in runner.events:
            kind, data = event["event"], event["event_data"]
            if kind in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable"):
                one = told.setdefault(data["host"], {"failed": [], "changed": [], "facts": {}, "said": []})
                if kind != "runner_on_ok":
                    one["failed"].append(str(data["res"]["msg"]))
                elif data["res"].get("changed"):
                    one["changed"].append(data["task"])
                if data["task"] == "Reboot | Say it":
                    one["said"].append(data["res"]["msg"])
                if data["task_action"].endswith("set_fact"):
                    one["facts"].update(data["res"].get("ansible_facts", {}))
        return told

    run.fleet = FLEET
    return run


@pytest.fixture(scope="module")
def state(host):
    """Return a function that lists packages and files (with size and time) of the host."""

    def look():
        pruned = " -o ".join(f"-path {folder}" for folder in PASSING)
        listed = f"find / /tmp -xdev \\( {pruned} \\) -prune -o -type d -printf '%p\\n' -o -printf '%p %s %T@\\n'"
        return {
            "packages": host.check_output("rpm -qa | sort"),
            "files": set(host.check_output(listed).splitlines()),
        }

    return look
