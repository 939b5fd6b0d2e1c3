"""Runs operations over the tests' own fleet, and a client that keeps asking meanwhile."""

import contextlib
import json
import os
import time

from testbed.containers import fleet, runs

# KEPT_FLEET names one that an earlier run left standing (KEEP_FLEET=1).
FLEET = os.environ.get("KEPT_FLEET", "operations")

# Asks the API again and again, every other time streamed, until /run/asking is gone. Then prints the count and the
# failures.
CLIENT = """
import json, os, sys, time, urllib.request
ask = {"model": "smollm2-demo", "max_tokens": 4, "messages": [{"role": "user", "content": "Say hello."}]}
url, head = "http://ctl01:8000/v1/chat/completions", {"Content-Type": "application/json"}
sent, failed = 0, []
while os.path.exists("/run/asking"):
    sent += 1
    request = urllib.request.Request(url, json.dumps({**ask, "stream": sent % 2 == 0}).encode(), head)
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            said = reply.read().decode()
        if ("[DONE]" if sent % 2 == 0 else '"finish_reason"') not in said or '"error_code"' in said:
            failed.append(said[:300])
    except OSError as error:
        failed.append(repr(error))
    time.sleep(0.2)
with open("/run/asked.part", "w") as stream:
    json.dump({"sent": sent, "failed": failed}, stream)
os.rename("/run/asked.part", "/run/asked.json")
"""


class Site:
    """Playbooks over the fleet; every run returns ansible-runner's Runner."""

    def run(self, playbook, *arguments, inventories=(), **variables):
        """Run a playbook to its end; arguments are ansible-playbook's, variables are extra variables."""
        return runs.run(FLEET, playbook, (runs.DEMO, *inventories), arguments, variables, quiet=True)

    def on(self, host, *command, check=True):
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{host}", *command, check=check)

    def main_pid(self, host, unit="fastchat-worker@0"):
        """Return the process id of a unit."""
        return self.on(host, "systemctl", "show", "--property=MainPID", unit)

    def registry(self):
        """Return what the controller says of its workers."""
        script = "import urllib.request as u; print(u.urlopen('http://ctl01:21001/fleet', timeout=10).read().decode())"
        return json.loads(self.on("ctl01", "python3", "-c", script))["workers"]

    def wait_serving(self, url, seconds=120):
        """Wait until the controller dispatches to a worker."""
        deadline = time.monotonic() + seconds
        while self.registry().get(url, {}).get("state") != "serving":
            assert time.monotonic() < deadline, self.registry()
            time.sleep(1)

    @contextlib.contextmanager
    def asked_meanwhile(self):
        """Yield a dict that has, at the end, how many requests were sent (sent), and what went wrong (failed)."""
        report = {}
        self.on("ctl01", "rm", "-f", "/run/asked.json")
        self.on("ctl01", "touch", "/run/asking")
        fleet.podman("exec", "--detach", f"{fleet.prefix(FLEET)}-ctl01", "python3", "-c", CLIENT)
        try:
            yield report
        finally:
            self.on("ctl01", "rm", "-f", "/run/asking")
            deadline, said = time.monotonic() + 150, ""
            while not said and time.monotonic() < deadline:
                time.sleep(1)
                said = self.on("ctl01", "cat", "/run/asked.json", check=False)
            report.update(json.loads(said or '{"sent": 0, "failed": ["the client did not end"]}'))
