"""The firewall's role names the hosts that do not resolve, and no other: tasks of the role, run on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from testbed.paths import CLONE


def members(folder: Path, hosts: list[str]) -> subprocess.CompletedProcess:
    """Run the role's tasks that look for members over these names."""
    task = {
        "ansible.builtin.include_role": {"name": "fleet_firewall", "tasks_from": "members.yml"},
        "vars": {"fleet_firewall_hosts": hosts, "fleet_firewall": True},
    }
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    play["vars"] = {"ansible_python_interpreter": sys.executable}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(folder / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_only_the_hosts_that_do_not_resolve_are_named(tmp_path):
    done = members(tmp_path, ["localhost", "gpu01.invalid", "127.0.0.1"])
    said = "gpu01.invalid: the inventory names 3 hosts, and not all of these resolve here"
    assert done.returncode != 0 and said in done.stdout, done.stdout


def test_hosts_that_resolve_are_taken(tmp_path):
    done = members(tmp_path, ["localhost", "127.0.0.1"])
    assert done.returncode == 0, done.stdout
