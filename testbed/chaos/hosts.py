"""The fleet under test and the client's host beside it: run commands on hosts, and change hosts."""

import base64
import hashlib
import re
import subprocess
from typing import Any

from testbed import wheelhouse
from testbed.containers import fleet, layouts, runs
from testbed.paths import STATE

FLEET, CLIENT, CONTROLLER = "chaos", "client01", "ctl01"
WORKERS = ("gpu01", "gpu02")
CLIENT_PYTHON = "/opt/client/bin/python"


def container(host: str) -> str:
    """Return the name of a host's container."""
    return f"{fleet.prefix(FLEET)}-{host}"


def on(host: str, *command: str, check: bool = True) -> str:
    """Return the standard output of a command on a host."""
    return fleet.podman("exec", container(host), *command, check=check)


def shell(host: str, script: str, check: bool = True) -> str:
    """Return the standard output of a bash script on a host."""
    return on(host, "bash", "-c", script, check=check)


def playbook(name: str, *arguments: str, **variables: Any) -> str:
    """Run a playbook over the fleet; return '' when it ended well, else the messages of its failed tasks."""
    runner = runs.run(FLEET, name, (runs.DEMO,), arguments, variables, quiet=True)
    return "" if runner.rc == 0 else runs.words(runner) or f"{name} ended with {runner.rc}"


def bring_up() -> None:
    """Bring up and provision the fleet; whatever is already there stays as it is."""
    layouts.bring_up(FLEET, FLEET)
    if fault := playbook("site.yml"):
        raise SystemExit(f"The fleet does not serve, so it can not be hurt: {fault}")


def install_client() -> None:
    """Give the client's host an environment with ``openai``, from the wheels that the fleet's hosts get."""
    if "openai" in on(CLIENT, CLIENT_PYTHON, "-c", "import openai; print(openai.__name__)", check=False):
        return
    uv = subprocess.run(["which", "uv"], check=True, capture_output=True, text=True).stdout.strip()
    fleet.podman("cp", uv, f"{container(CLIENT)}:/usr/local/bin/uv")
    on(CLIENT, "uv", "venv", "--quiet", "--clear", "--python", "/usr/bin/python3", "/opt/client")
    on(
        CLIENT, "uv", "pip", "install", "--quiet", "--python", CLIENT_PYTHON, "--no-cache", "--offline",
        "--no-index", "--find-links", "/srv/wheelhouse", "openai",
    )  # fmt: skip


def dropped_packets(host: str, action: str, address: str = "") -> None:
    """Insert or delete (the action) a rule that drops every packet of a host, or those from and to an address."""
    pid = fleet.podman("inspect", "--format", "{{.State.Pid}}", container(host))
    source, destination = (f"{side} {address}" if address else "" for side in ("--source", "--destination"))
    script = f"iptables --{action} INPUT {source} --jump DROP; iptables --{action} OUTPUT {destination} --jump DROP"
    subprocess.run(["nsenter", "--target", pid, "--net", "sh", "-ec", script], check=True, capture_output=True)


def reimage(host: str) -> str:
    """Give a host an empty disk and another ssh host key, which nobody here knows yet; return its fingerprint."""
    wanted = layouts.layout_of(FLEET)
    fleet.podman("rm", "--force", "--time", "10", container(host))
    wheels = f"{wheelhouse.ensure(**wanted['wheelhouse'])}:/srv/wheelhouse:ro"
    name = fleet.start(FLEET, host, wanted["hosts"][host], [wheels])
    key = fleet.authorize(name, (STATE / FLEET / "id_ed25519.pub").read_text())
    # The testbed itself keeps the published port up to date; accepting the new key is the operator's work.
    port = fleet.podman("port", name, "22/tcp").rsplit(":", 1)[1]
    config = STATE / FLEET / "ssh_config"
    config.write_text(re.sub(rf"(Host {host}\n  HostName .*\n  Port )\d+", rf"\g<1>{port}", config.read_text()))
    whole = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(whole).decode().rstrip("=")
