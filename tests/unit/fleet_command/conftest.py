"""A place to run ``fleet`` in: real ansible-playbook, hosts that are this machine, and playbooks of a few lines."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from testbed.paths import CLONE, IMPORTS

# A host naps, fails or is away where a variable says so; the key is what must not be found in any record.
PLAYBOOK = """
- name: Tiny
  hosts: all
  gather_facts: false
  tasks:
    - name: Tiny | Be reached
      ansible.builtin.ping:
      vars:
        ansible_connection: "{{ 'ssh' if inventory_hostname in away | default('') else 'local' }}"
        ansible_port: 1
        ansible_host: 127.0.0.1
    - name: Tiny | Nap
      ansible.builtin.command: sleep {{ nap | default(0) }}
      when: nap is defined
    - name: Tiny | Use a key
      ansible.builtin.shell: test "$KEY" = "{{ key | default('') }}"
      environment: {KEY: "{{ key | default('') }}"}
      no_log: true
      when: key is defined
    - name: Tiny | Break
      ansible.builtin.fail: {msg: it is broken}
      when: inventory_hostname in bad | default('')
"""


@dataclass
class Place:
    """A folder with an inventory and a playbook, and the environment in which ``fleet`` runs there."""

    folder: Path
    environment: dict[str, str]

    def words(self, *arguments: str, playbook: str = "tiny.yml") -> list[str]:
        """Return the command line of ``fleet`` with the tiny playbook behind its command."""
        module = ["-m", "tests.support.tiny_playbook", str(self.folder / playbook)]
        return [sys.executable, *module, *arguments]

    def fleet(self, *arguments: str, playbook: str = "tiny.yml", before: str = "", **environment: str):
        """Run ``fleet`` to its end without a terminal; ``before`` are commands for a mount namespace of its own."""
        words = self.words(*arguments, playbook=playbook)
        if before:
            words = ["unshare", "--mount", "--map-root-user", "sh", "-ec", f'{before}\nexec "$@"', "sh", *words]
        return subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def records(self) -> list[dict]:
        """Return the records of all runs, the oldest first."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / "runs").glob("*/run.json"))]

    def write(self, name: str, content: object) -> Path:
        """Write a file of YAML; return its path."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(content))
        return path

    def inventory(self, name: str, **hosts: dict) -> Path:
        """Write an inventory of hosts that are this machine; return its path."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        return self.write(name, {"all": {"vars": local, "hosts": hosts}})


@pytest.fixture
def place(tmp_path):
    """Return a place with three hosts, a, b and c."""
    # COLUMNS, which pytest-xdist sets, would stand for a terminal's own width.
    others = ("FLEET_", "ANSIBLE_", "COLUMNS", "LINES")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(others)}
    place = Place(
        tmp_path,
        environment
        | {
            "PYTHONPATH": IMPORTS,
            "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
            "FLEET_INVENTORY": str(tmp_path / "hosts.yml"),
            "FLEET_RECORDS": str(tmp_path / "runs"),
            "FLEET_LOCKS": str(tmp_path / "locks"),
            "FLEET_LEDGER": "off",
            # Ansible's own view says when a task begins, which these tests wait for.
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "TERM": "xterm-256color",
        },
    )
    (tmp_path / "tiny.yml").write_text(PLAYBOOK)
    place.inventory("hosts.yml", a={}, b={}, c={})
    return place


@pytest.fixture
def started():
    """Return a function that starts a process in a group of its own; what is left of it is ended after the test."""
    processes = []

    def start(words: list[str], **options) -> subprocess.Popen:
        processes.append(subprocess.Popen(words, start_new_session=True, **options))
        return processes[-1]

    yield start
    for process in processes:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()
