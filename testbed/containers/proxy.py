"""A proxy of a fleet: the one host of its network that also has a way out."""

from testbed.containers.fleet import podman, start

PORT = 8888
LOG = "/var/log/tinyproxy/tinyproxy.log"
CONFIG = f"""User tinyproxy
Group tinyproxy
Port {PORT}
LogFile "{LOG}"
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
    """Return the proxy's log: one line names the host of each request."""
    return podman("exec", start(fleet, "proxy", "proxy", []), "cat", LOG)
