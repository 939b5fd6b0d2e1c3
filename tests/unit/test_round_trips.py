"""The counter of round trips, over real playbooks on this machine: one stand-in connection leads to made-up hosts."""

import json
import os
import subprocess
import sys

import pytest

from testbed import round_trips
from testbed.paths import CLONE, IMPORTS

# Ansible's own local connection under another name, so that it counts as a way to another host.
CONNECTION = """
from ansible.plugins.connection import local
DOCUMENTATION = local.DOCUMENTATION.replace("name: local", "name: elsewhere")
class Connection(local.Connection):
    transport = "elsewhere"
    has_pipelining = True  # as ssh with this project's ansible.cfg
"""
PLAY = """
- name: Verify | Ask
  hosts: one:two
  gather_facts: false
  tasks:
    - name: Ask | Skip it
      ansible.builtin.command: "true"
      when: false
    - name: Ask | Say it
      ansible.builtin.debug: {msg: hello}
    - name: Ask | Run it three times
      ansible.builtin.command: "true"
      loop: [1, 2, 3]
      changed_when: false
    - name: Ask | Run it on the other
      ansible.builtin.command: "true"
      delegate_to: two
      when: inventory_hostname == 'one'
      changed_when: false
    - name: Ask | Run it here
      ansible.builtin.command: "true"
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
      run_once: true
      changed_when: false
- name: Services | Copy
  hosts: two
  gather_facts: false
  tasks:
    - name: Copy | Copy a file
      ansible.builtin.copy: {content: x, dest: "{{ folder }}/x", mode: "0600"}
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("round_trips")
    (folder / "elsewhere.py").write_text(CONNECTION)
    (folder / "play.yml").write_text(PLAY)
    hosts = {"one": {}, "two": {"ansible_host": "192.0.2.2"}}
    variables = {"ansible_connection": "elsewhere", "ansible_pipelining": True, "folder": str(folder)}
    variables["ansible_python_interpreter"] = sys.executable
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))
    environment = {
        **os.environ,
        **round_trips.environment(folder / "counts.json"),
        "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
        "ANSIBLE_CONNECTION_PLUGINS": str(folder),
        "PYTHONPATH": IMPORTS,
    }
    command = ["ansible-playbook", "-i", str(folder / "hosts.json"), str(folder / "play.yml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "counts.json").read_text())


def test_each_item_is_a_round_trip_and_what_is_skipped_or_said_is_none(counted):
    assert counted["hosts"]["one"]["tasks"] == {"Ask | Run it three times": 3}
    assert counted["hosts"]["one"]["round_trips"] == 3


def test_a_delegated_task_counts_for_the_host_that_it_goes_to_by_its_name_in_the_inventory(counted):
    assert counted["hosts"]["two"]["tasks"]["Ask | Run it on the other"] == 1
    assert "192.0.2.2" not in counted["hosts"]


def test_what_runs_on_the_control_node_is_counted_apart(counted):
    assert set(counted["hosts"]["(control node)"]["tasks"]) == {"Ask | Run it here"}


def test_a_copied_file_is_several_round_trips(counted):
    two = counted["hosts"]["two"]
    assert two["tasks"]["Copy | Copy a file"] > 1
    assert two["kinds"]["put_file"] == 1
    assert sum(two["phases"].values()) == sum(two["tasks"].values()) == two["round_trips"]
    assert two["phases"]["Verify"] == 4


def test_phases_and_tasks_have_their_seconds(counted):
    assert list(counted["phases"]) == ["Verify", "Services"]
    assert 0 < sum(counted["phases"].values()) <= counted["seconds"]
    assert sum(step["seconds"] for step in counted["tasks"]) == pytest.approx(sum(counted["phases"].values()))


def test_a_file_that_can_not_be_written_fails_no_run(tmp_path):
    environment = {**os.environ, **round_trips.environment(tmp_path / "absent" / "counts.json")}
    (tmp_path / "play.yml").write_text("- hosts: localhost\n  gather_facts: false\n  tasks: []\n")
    command = ["ansible-playbook", "-i", "localhost,", str(tmp_path / "play.yml")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "The counts of round trips were not written" in done.stderr


def test_the_budget_is_for_the_kinds_of_hosts_that_a_fleet_has():
    assert set(round_trips.budget()) == {"controllers", "workers"}
    assert all(0 < most <= 40 for most in round_trips.budget().values())


def test_a_host_above_its_budget_is_named_with_its_most_frequent_tasks():
    counts = {"gpu01": {"round_trips": 5, "tasks": {"Plan | Read": 1, "Install | Write": 4}}}
    (said,) = round_trips.over_budget(counts, {"gpu01": "workers"}, {"workers": 4})
    assert said == ("gpu01: 5 round trips, wanted at most 4 for workers; most: 4 x Install | Write, 1 x Plan | Read.")
    assert round_trips.over_budget(counts, {"gpu01": "workers"}, {"workers": 5}) == []


def test_a_host_that_nothing_was_sent_to_is_a_fault():
    (said,) = round_trips.over_budget({}, {"gpu01": "workers"}, {"workers": 40})
    assert "no round trip was counted" in said
