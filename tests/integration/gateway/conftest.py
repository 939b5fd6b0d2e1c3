"""A gateway alone on its host, a stand-in for the API behind it, and an outsider with curl; removed at the end."""

import json
import os
import secrets
from pathlib import Path

import pytest
import yaml

from testbed.containers import fleet, layouts, runs
from testbed.paths import STATE

FLEET = "gateway"
HERE = Path(__file__).parent


class Gateway:
    """The host with the gateway, and who asks it."""

    def __init__(self):
        """Make keys; Ansible gets them in a file, as from a vault."""
        self.keys = {name: f"sk-{secrets.token_hex(20)}" for name in ("alice", "bob")}
        self.vault = STATE / FLEET / "keys.yml"

    def run(self, *arguments, **variables):
        """Run playbooks/gateway.yml to its end; runs.words and runs.changed read what it did."""
        descriptor = os.open(self.vault, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump({"all": {"vars": {"fastchat_gateway_api_keys": self.keys}}}, file)
        inventories = (HERE / "hosts.yml", self.vault)
        return runs.run(FLEET, "playbooks/gateway.yml", inventories, arguments, variables, quiet=True)

    def on(self, host, *command, stdin=None, check=True):
        """Return the standard output of a command on a host."""
        interactive = ["--interactive"] if stdin is not None else []
        return fleet.podman("exec", *interactive, f"{fleet.prefix(FLEET)}-{host}", *command, stdin=stdin, check=check)

    def stand_in(self, port=8000):
        """Start a stand-in for the API on the port of an API server; that of a server without one stays closed."""
        self.on("ctl01", "tee", "/usr/local/lib/standin.py", stdin=(HERE / "standin.py").read_text())
        self.leave(port)  # of a fleet that was kept
        unit = f"--unit=standin-{port}"
        self.on("ctl01", "systemd-run", unit, "python3", "/usr/local/lib/standin.py", "", str(port))

    def leave(self, port):
        """Stop a stand-in, if there is one."""
        self.on("ctl01", "systemctl", "stop", f"standin-{port}", check=False)

    def curl(self, path, *arguments, key="", **headers):
        """Ask from outside; return (status, {header: value}, body). A key travels on curl's standard input."""
        settings = [f'header = "Authorization: Bearer {key}"'] if key else []
        settings += [f'header = "{name.replace("_", "-")}: {value}"' for name, value in headers.items()]
        said = self.on(
            "outsider", "curl", "-sk", "-D", "-", "-K", "-", f"https://ctl01{path}", *arguments,
            stdin="\n".join(settings),
        )  # fmt: skip
        head, _, body = said.replace("\r", "").partition("\n\n")
        first, *lines = head.splitlines()
        found = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in found, f"{name} came twice"
            found[name.lower()] = value
        return int(first.split()[1]), found, body

    def limit_files(self, most):
        """Start nginx anew with a limit of open files for each of its processes, 0 for its own."""
        script = (
            "cd /etc/systemd/system; mkdir -p fastchat-gateway.service.d; rm -f fastchat-gateway.service.d/files.conf\n"
            'test "$1" = 0 || printf "[Service]\\nLimitNOFILE=$1\\n" > fastchat-gateway.service.d/files.conf\n'
            "systemctl daemon-reload; systemctl restart fastchat-gateway; sleep 1"
        )
        self.on("ctl01", "bash", "-ec", script, "-", str(most))

    def room(self, most):
        """Return how many more files nginx's workers may open, all together."""
        count = 'for one in $(pgrep --full "^nginx: worker"); do ls /proc/$one/fd | wc -l; done'
        return sum(most - int(there) for there in self.on("ctl01", "bash", "-ec", count).split())

    def hold(self, count):
        """Open connections to the gateway from outside and keep them, in a unit that ends by itself."""
        keep = f"a = [socket.create_connection(('ctl01', 443)) for _ in range({count})]; time.sleep(15)"
        self.on("outsider", "systemd-run", "--collect", "python3", "-c", f"import socket, time; {keep}")

    def asked(self):
        """Return [method, headers] of everything that reached the stand-in."""
        return json.loads(self.curl("/v1/models/asked", key=self.keys["bob"])[2])

    def with_keys(self):
        """Return the paths on the host that have a key in them, except its memory."""
        key = self.keys["alice"][3:]
        folders = ["/etc", "/var", "/run", "/root", "/home", "/tmp"]  # noqa: S108 (nothing is written there)
        said = self.on(
            "ctl01", "grep", "-rlsF", "-f", "-", *folders, "--exclude-dir=log", stdin=key + "\n", check=False
        )
        return said.split()


@pytest.fixture(scope="session")
def gateway():
    layouts.bring_up(FLEET, FLEET)
    found = Gateway()
    found.stand_in()
    found.on("outsider", "sh", "-c", "command -v curl || (apt-get -qq update && apt-get -qq install --yes curl)")
    yield found
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
