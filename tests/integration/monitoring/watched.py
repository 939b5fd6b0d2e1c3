"""A fleet that is watched: run playbooks over it, ask its Prometheus and Alertmanager, and wait for alerts."""

import json
import subprocess
import time
from pathlib import Path

from testbed.containers import fleet, runs
from testbed.paths import STATE

FLEET = "monitoring"
INVENTORY = Path(__file__).with_name("hosts.yml")
PROMETHEUS, ALERTMANAGER = 21095, 21096
FETCH = """
import base64, json, ssl, sys, urllib.request
url, method, body, word = sys.argv[1:5]
head = {"Authorization": word} if word else {}
if body:
    head["Content-Type"] = "application/json"
request = urllib.request.Request(url, body.encode() or None, head, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=60, context=ssl._create_unverified_context())
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, dict(answer.headers), answer.read().decode()]))
"""


class Site:
    """The fleet, provisioned."""

    def run(self, *arguments, playbook="site.yml", environment=None, **variables):
        """Run a playbook to its end."""
        return runs.run(FLEET, playbook, (INVENTORY,), arguments, variables, environment=environment, quiet=True)

    def on(self, host, *command, check=True, stdin=None):
        """Return the standard output of a command on a host."""
        interactive = ["--interactive"] if stdin is not None else []
        return fleet.podman("exec", *interactive, f"{fleet.prefix(FLEET)}-{host}", *command, check=check, stdin=stdin)

    def put(self, host, source, target):
        """Copy a file of this machine to a host."""
        subprocess.run(["podman", "cp", str(source), f"{fleet.prefix(FLEET)}-{host}:{target}"], check=True)

    def key(self, name):
        """Return a key that the inventory made at the first run."""
        return (STATE / FLEET / f"{name}-key").read_text().strip()

    def ask(self, url, method="GET", body="", word="", host="ctl01"):
        """Return (status, headers, text) of a request that a host makes; ``word`` is its Authorization."""
        return json.loads(self.on(host, "python3", "-c", FETCH, url, method, body, word))

    def address(self, host):
        """Return a host's address in the fleet."""
        return self.on(host, "hostname", "--ip-address").split()[0]

    def query(self, expression):
        """Return [(labels, value)] of an expression now, as Prometheus computes it."""
        url = f"http://ctl01:{PROMETHEUS}/api/v1/query"
        script = "import sys, urllib.parse, urllib.request; print(urllib.request.urlopen(sys.argv[1] + '?' + "
        script += "urllib.parse.urlencode({'query': sys.argv[2]}), timeout=20).read().decode())"
        found = json.loads(self.on("ctl01", "python3", "-c", script, url, expression))
        assert found["status"] == "success", found
        return [(one["metric"], float(one["value"][1])) for one in found["data"]["result"]]

    def alerts(self):
        """Return {(alert, label values)} that Alertmanager has."""
        _status, _headers, text = self.ask(f"http://ctl01:{ALERTMANAGER}/api/v2/alerts?active=true")
        return [one["labels"] for one in json.loads(text)]

    def has(self, alert, **labels):
        """Return whether Alertmanager has an alert with these labels."""
        wanted = {"alertname": alert, **labels}.items()
        return any(wanted <= one.items() for one in self.alerts())

    def fired(self, alert, seconds=240, **labels):
        """Wait until Alertmanager has an alert, and Prometheus says that it fires."""
        within(seconds, lambda: self.has(alert, **labels), f"{alert} {labels} does not fire; there are {self.alerts()}")
        assert any(
            {"alertstate": "firing", **labels}.items() <= one.items()
            for one, _ in self.query(f"ALERTS{{alertname='{alert}'}}")
        )

    def cleared(self, alert, seconds=240, **labels):
        """Wait until Alertmanager has an alert no more."""
        within(seconds, lambda: not self.has(alert, **labels), f"{alert} {labels} does not clear")


def within(seconds, holds, fault):
    """Wait until something holds; fail with a sentence when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, fault
        time.sleep(1)
