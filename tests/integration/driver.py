"""``site.yml`` and other playbooks driven over the tests' own fleet by ansible-runner, and what its events say."""

import json
import os
import signal
import threading
import time

from testbed import demo, fleet

FLEET = "test"


class Site:
    """``site.yml`` over the tests' fleet; every call returns ansible-runner's Runner."""

    def run(self, *arguments, inventories=(), playbook="site.yml", **variables):
        """Run a playbook to its end; arguments are ansible-playbook's, variables are extra variables."""
        words = [*arguments, *[f"--extra-vars={json.dumps(variables)}"] * bool(variables)]
        return demo.run_site(FLEET, inventories, playbook, cmdline=" ".join(f"'{word}'" for word in words), quiet=True)

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

        runner = demo.run_site(FLEET, event_handler=watch, quiet=True)
        assert killed.wait(seconds + 5), f"the task {task!r} never began"
        assert runner.rc != 0 and "stats" not in {event["event"] for event in runner.events}
        return runner

    def on(self, host, *command, check=True):
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{host}", *command, check=check)


def results(runner, kind):
    """Return [(host, task, result)] of one kind of event: ok, failed, skipped."""
    return [
        (event["event_data"]["host"], event["event_data"]["task"], event["event_data"].get("res", {}))
        for event in runner.events
        if event["event"] == f"runner_on_{kind}"
    ]


def changed(runner):
    """Return the tasks that changed something."""
    return [(host, task) for host, task, result in results(runner, "ok") if result.get("changed")]


def words(runner):
    """Return the messages of the failed tasks as one text."""
    return "\n".join(str(result.get("msg", result)) for _host, _task, result in results(runner, "failed"))
