"""Run ``site.yml`` and other playbooks over the tests' own fleet by ansible-runner, and read its events."""

import os
import signal
import subprocess
import sys
import threading
import time

from testbed.containers import fleet, runs
from testbed.paths import CLONE, STATE

FLEET = "test"
HOSTS = ["ctl01", "gpu01", "gpu02"]
CURRENT = "/srv/fastchat/models/smollm2-demo/current"
ASK = (
    "import openai; print(openai.OpenAI(base_url='http://ctl01:8000/v1', api_key='none').chat.completions.create("
    "model='smollm2-demo', temperature=0, max_tokens=60, messages=[{'role': 'user', 'content': "
    "'What is the capital of France?'}]).choices[0].message.content)"
)


class Site:
    """``site.yml`` over the tests' fleet; every call returns ansible-runner's Runner."""

    def run(self, *arguments, inventories=(), playbook="site.yml", **variables):
        """Run a playbook to its end; arguments are ansible-playbook's, variables are extra variables."""
        return runs.run(FLEET, playbook, (runs.DEMO, *inventories), arguments, variables, quiet=True)

    def run_and_kill(self, task, seconds):
        """Kill ansible-playbook and all its forks (SIGKILL) some seconds after a task began; assert that it did."""
        killed = threading.Event()

        def kill(pid):
            time.sleep(seconds)
            os.killpg(os.getpgid(pid), signal.SIGKILL)
            killed.set()

        def watch(event):
            if event["event"] == "playbook_on_task_start" and event["event_data"]["task"] == task:
                threading.Thread(target=kill, args=(event["pid"],)).start()

        runner = runs.run(FLEET, event_handler=watch, quiet=True)
        assert killed.wait(seconds + 5), f"the task {task!r} never began"
        assert runner.rc != 0 and "stats" not in {event["event"] for event in runner.events}
        return runner

    def on(self, host, *command, check=True):
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{host}", *command, check=check)

    def is_bare(self):
        """Return whether no host has anything of ours."""
        found = (self.on(host, "ls", "-A", "/opt", "/srv", "/etc/fastchat", check=False) for host in HOSTS)
        return not any("fastchat" in listing for listing in found)

    def releases(self):
        """Return where the link to the current release points, for each worker host."""
        return [self.on(host, "readlink", CURRENT).strip() for host in HOSTS[1:]]

    def verified(self):
        """Return (exit status, output) of the tests that verify Molecule's default scenario, over this fleet."""
        words = ["tests/testinfra/default", f"--ssh-config={STATE / FLEET / 'ssh_config'}", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words], cwd=CLONE, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def answer(self):
        """Return what the API answers to the question about France; an empty string when it fails."""
        return self.on("ctl01", "/opt/fastchat/env/bin/python", "-c", ASK, check=False)
