"""Containers with real systemd, reached over real ssh.

State (key, ssh_config) lies in ``.testbed/<fleet>``. ``python -m testbed`` is the command.
"""

import ipaddress
import json
import resource
import shutil
import subprocess
import time
from pathlib import Path

from testbed import tools
from testbed.containers import images
from testbed.paths import STATE, digest_of, prefix

BOOT_SECONDS = 60


def podman(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run podman and return its standard output; its standard error goes into the exception."""
    done = subprocess.run(["podman", *runtime(), *arguments], input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"podman {' '.join(arguments[:3])} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def runtime() -> list[str]:
    """Return podman's runtime option: crun refuses a hybrid cgroup hierarchy, runc does not."""
    hybrid = Path("/sys/fs/cgroup/unified").is_dir()
    return ["--runtime", shutil.which("runc") or "runc"] if hybrid else []


def limits() -> list[str]:
    """Return explicit ulimits within this machine's own: podman's defaults need CAP_SYS_RESOURCE to be raised."""
    chosen = []
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text())
    for name, kind, ceiling in (("nofile", resource.RLIMIT_NOFILE, 65536), ("nproc", resource.RLIMIT_NPROC, pid_max)):
        hard = resource.getrlimit(kind)[1]
        value = ceiling if hard == resource.RLIM_INFINITY else min(hard, ceiling)
        chosen += ["--ulimit", f"{name}={value}:{value}"]
    return chosen


def network_of(fleet: str) -> dict:
    """Return what podman knows of a fleet's network."""
    return json.loads(podman("network", "inspect", prefix(fleet)))[0]


def address_of(fleet: str, host: str) -> str:
    """Return a host's fixed address: it must be the same after a reboot, as a server's is, since services bind to it.

    The last part is 10 + the sum of the name's bytes modulo 200: the testbed's few names differ in it.
    """
    return address_at(fleet, 10 + sum(host.encode()) % 200)


def address_at(fleet: str, number: int) -> str:
    """Return the address with a number in a fleet's network."""
    return str(ipaddress.ip_network(network_of(fleet)["subnets"][0]["subnet"]).network_address + number)


def subnet6(fleet: str) -> str:
    """Return a fleet's own network of 64 bits among the private addresses of IPv6."""
    digits = digest_of(prefix(fleet).encode())
    return f"fd{digits[:2]}:{digits[2:6]}:{digits[6:10]}::/64"


def is_reached_directly(fleet: str) -> bool:
    """Return whether ssh goes to a host's own address: a port can be published only from IPv4 with a way out.

    This machine, on the bridge itself, reaches a host in any case.
    """
    network = network_of(fleet)
    return bool(network.get("internal")) or ":" in network["subnets"][0]["subnet"]


def start(fleet: str, host: str, kind: str, volumes: list[str]) -> str:
    """Start one container of a kind of image unless it runs already; return its name once systemd has booted."""
    name = f"{prefix(fleet)}-{host}"
    image = images.ensure(kind)
    if podman("ps", "--quiet", "--filter", f"name=^{name}$"):
        return name
    create(fleet, host, address_of(fleet, host), image, volumes)
    wait_booted(name)
    return name


def create(fleet: str, host: str, address: str, image: str, volumes: list[str]) -> None:
    """Start a new container of an image that is here as a host with an address, whatever was there before."""
    name = f"{prefix(fleet)}-{host}"
    podman("rm", "--force", "--ignore", name)
    published = [] if is_reached_directly(fleet) else ["--publish", "127.0.0.1::22"]
    mounts = [part for volume in volumes for part in ("--volume", volume)]
    podman(
        "run", "--detach", "--name", name, "--hostname", host, "--label", f"fastchat-fleet={prefix(fleet)}",
        "--network", prefix(fleet), "--network-alias", host, "--ip6" if ":" in address else "--ip", address,
        "--systemd=always", "--cap-add", "SYS_ADMIN,AUDIT_WRITE,NET_ADMIN", "--security-opt", "label=disable",
        *limits(), *mounts, *published, "--pull=never", image, "/sbin/init",
    )  # fmt: skip


def wait_booted(name: str) -> None:
    """Wait until systemd is ``running``; ``degraded`` (a unit of the image failed) is an error."""
    deadline = time.monotonic() + BOOT_SECONDS
    state = ""
    while time.monotonic() < deadline:
        state = podman("exec", name, "systemctl", "is-system-running", check=False)
        if state == "running":
            return
        time.sleep(0.3)
    if podman("inspect", "--format", "{{.State.Running}}", name, check=False) == "false":
        raise RuntimeError(
            f"{name} ended while it booted: read podman logs {name}. systemd ends so, too, where a machine with many"
            " containers has no inotify instance left: raise fs.inotify.max_user_instances (sysctl) to 512."
        )
    failed = podman("exec", name, "systemctl", "--failed", "--no-legend", check=False)
    raise RuntimeError(f"{name} did not boot within {BOOT_SECONDS} s: {state or 'no systemd'} {failed}")


def authorize(name: str, public_key: str) -> str:
    """Give the container its own ssh host keys and let our key in; return its public host key."""
    script = (
        "set -e; install -d -m 700 /root/.ssh; cat > /root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys;"
        "test -e /etc/ssh/.own || { rm -f /etc/ssh/ssh_host_*; ssh-keygen -A >&2; touch /etc/ssh/.own;"
        "systemctl reset-failed ssh; systemctl restart ssh; }; cat /etc/ssh/ssh_host_ed25519_key.pub"
    )
    return podman("exec", "--interactive", name, "sh", "-c", script, stdin=public_key)


def introduced(fleet: str, host: str, address: str) -> tuple[str, str]:
    """Let our key into a host; return its line of known_hosts and its entry of ssh_config."""
    state, name, port = STATE / fleet, f"{prefix(fleet)}-{host}", "22"
    key = state / "id_ed25519"
    host_key = authorize(name, key.with_suffix(".pub").read_text())
    if not is_reached_directly(fleet):
        address, port = podman("port", name, "22/tcp").rsplit(":", 1)
    return (
        f"{host} {' '.join(host_key.split()[:2])}",
        f"Host {host}\n  HostName {address}\n  Port {port}\n  HostKeyAlias {host}\n  User root\n"
        f"  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {state / 'known_hosts'}\n"
        "  StrictHostKeyChecking yes\n",
    )


def up(fleet: str, hosts: dict[str, str], volumes: list[str], internal: bool = False, ipv6: bool = False) -> None:
    """Bring up a network and its hosts ({name: kind of image}), and write ``.testbed/<fleet>/ssh_config``.

    From an ``internal`` network nothing leads out; in an ``ipv6`` one no host has an address of IPv4. Running it again
    changes nothing.
    """
    tools.ensure(tools.TESTBED)
    state = STATE / fleet
    state.mkdir(parents=True, exist_ok=True)
    key = state / "id_ed25519"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", prefix(fleet), "-f", str(key)], check=True)
    options = (["--internal"] if internal else []) + (["--subnet", subnet6(fleet)] if ipv6 else [])
    subprocess.run(["podman", "network", "create", *options, prefix(fleet)], check=False, capture_output=True)
    known, config = [], []
    for host, kind in hosts.items():
        start(fleet, host, kind, volumes)
        line, entry = introduced(fleet, host, address_of(fleet, host))
        known.append(line)
        config.append(entry)
    (state / "known_hosts").write_text("\n".join(known) + "\n")
    (state / "ssh_config").write_text("\n".join(config))


def fleets() -> list[str]:
    """Return the names of this clone's fleets of which a container, a network or state remains."""
    whole = prefix("")
    names = {path.name for path in STATE.glob("*") if path.is_dir()}
    if shutil.which("podman"):
        label = '{{index .Labels "fastchat-fleet"}}'
        for kind in (("ps", "--all", "--format", label), ("network", "ls", "--format", "{{.Name}}")):
            names |= {name.removeprefix(whole) for name in podman(*kind).split() if name.startswith(whole)}
    return sorted(names)


def down(fleet: str) -> None:
    """Remove the fleet's containers, network and state."""
    if shutil.which("podman"):
        own = podman("ps", "--all", "--quiet", "--filter", f"label=fastchat-fleet={prefix(fleet)}").split()
        if own:
            podman("rm", "--force", "--time", "2", *own)
        podman("network", "rm", "--force", prefix(fleet), check=False)
    shutil.rmtree(STATE / fleet, ignore_errors=True)
