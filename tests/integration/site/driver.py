"""``site.yml`` and other playbooks driven over the tests' own fleet by ansible-runner, and what its events say."""

import os
import signal
import threading
import time

from testbed.containers import fleet, runs

FLEET = "test"


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
