"""A proxy of a fleet: the one host of its network that also has a way out."""

from testbed.containers.fleet import podman, start
from testbed.paths import prefix

PORT = 8888
CONFIG = f"""User tinyproxy
Group tinyproxy
Port {PORT}
Syslog On
LogLevel Connect
MaxClients 100
"""


def up(fleet: str) -> None:
    """Start the proxy, which everybody in the fleet's network may use."""
    name = start(fleet, "proxy", "proxy", [])
    if '"podman"' not in podman("inspect", "--format", "{{json .NetworkSettings.Networks}}", name):
        podman("network", "connect", "podman", name)
    podman("exec", "--interactive", name, "tee", "/etc/tinyproxy/tinyproxy.conf", stdin=CONFIG)
    podman("exec", name, "systemctl", "restart", "tinyproxy")


def asked(fleet: str) -> str:
    """Return the first line of each request that the proxy got, which names the host that was asked."""
    return podman("exec", f"{prefix(fleet)}-proxy", "journalctl", "--unit=tinyproxy", "--no-pager", "--grep=Request")
