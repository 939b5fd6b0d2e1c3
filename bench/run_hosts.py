"""Fleets of N hosts for bench/run.py: one that site.yml made, and copies of its worker.

``ctl01``, ``gpu01`` and ``gpu02`` are the demo's hosts, made from bare. Every further worker starts from an image of
``gpu01`` as it then was, with its own name, address and ssh host key; site.yml gives it its own settings. One host that
is all of a fleet is such a copy too.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import yaml

from testbed.containers import fleet, layouts
from testbed.paths import CLONE, STATE

FIRST_ADDRESS = 150  # the last byte of the first copy's address; the demo's names are all below
WORKER_MB = 1050  # of a worker's host with the demo's model: 910 of its process alone, measured
SPARE_MB = 1500


def hosts_of(size: int) -> dict[str, list[str]]:
    """Return {group: hosts} of a fleet of some size: one controller and workers, or one host that is everything."""
    workers = [f"gpu{number:02d}" for number in range(1, size)]
    return (
        {"controllers": ["ctl01"], "workers": workers} if workers else {"controllers": ["all01"], "workers": ["all01"]}
    )


def names_of(size: int) -> list[str]:
    """Return the hosts of a fleet of some size."""
    return sorted({host for hosts in hosts_of(size).values() for host in hosts})


def room_for(size: int, name: str) -> str:
    """Return why the hosts of that size do not fit into this machine's memory, or an empty string."""
    running = fleet.podman("ps", "--format", "{{.Names}}").split()
    missing = [host for host in names_of(size) if f"{fleet.prefix(name)}-{host}" not in running]
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))
    wanted = len(missing) * WORKER_MB + SPARE_MB
    if free >= wanted:
        return ""
    return f"{size} hosts: {free} MiB of memory are available, wanted {wanted} for {len(missing)} more hosts."


def image_of(name: str) -> str:
    """Return the name of the image of a fleet's worker; not one of images.py's, which any clone may remove."""
    return f"localhost/fastchat-fleet-bench:{fleet.prefix(name)}-gpu01"


def has_image(name: str) -> bool:
    """Return whether the fleet's worker was made an image of."""
    return subprocess.run(["podman", "image", "exists", image_of(name)], check=False).returncode == 0


def make_image(name: str) -> None:
    """Make an image of the finished worker; what serves while it is copied could leave half-written files in it."""
    template = f"{fleet.prefix(name)}-gpu01"
    units = ["fastchat-firewall", "fastchat-worker@0", "fastchat-probe"]
    fleet.podman("exec", template, "systemctl", "stop", *units)
    fleet.podman("exec", template, "rm", "-f", "/etc/ssh/.own")
    fleet.podman("commit", "--quiet", template, image_of(name))
    fleet.podman("exec", template, "touch", "/etc/ssh/.own")
    fleet.podman("exec", template, "systemctl", "start", *units)


def bring_up(name: str, size: int) -> None:
    """Start the copies that a fleet of some size needs beside the demo's hosts; what runs already stays as it is."""
    layout = layouts.layout_of("demo")["hosts"]
    for host in names_of(size):
        if host not in layout:
            start_copy(name, host, image_of(name))


def last_byte(host: str) -> int:
    """Return the last byte of a copy's address: ``all01`` has the first, and each ``gpuNN`` one by its number."""
    return FIRST_ADDRESS + (int(host.removeprefix("gpu")) if host.startswith("gpu") else 0)


def start_copy(name: str, host: str, image: str) -> None:
    """Start one copy unless it runs already, give it a host key of its own, and add it to the fleet's ssh_config."""
    container, state = f"{fleet.prefix(name)}-{host}", STATE / name
    reached = f"Host {host}\n" in (state / "ssh_config").read_text()  # bringing up the demo's hosts writes it anew
    if reached and fleet.podman("ps", "--quiet", "--filter", f"name=^{container}$"):
        return
    address = fleet.address_at(name, last_byte(host))
    mounts = json.loads(fleet.podman("inspect", f"{fleet.prefix(name)}-gpu01"))[0]["HostConfig"]["Binds"]
    volumes = [":".join(mount.split(":")[:2]) + ":ro" for mount in mounts]
    fleet.create(name, host, address, image, volumes)
    # Its services first start with another host's settings, and wait for a controller that does not let it in.
    fleet.podman("exec", container, "sh", "-c", "timeout 15 systemctl is-system-running --wait || true")
    line, entry = fleet.introduced(name, host, address)
    known, config = state / "known_hosts", state / "ssh_config"
    lines = [kept for kept in known.read_text().splitlines() if not kept.startswith(f"{host} ")]
    known.write_text("\n".join([*lines, line]) + "\n")
    entries = [kept for kept in config.read_text().split("\n\n") if not kept.startswith(f"Host {host}\n")]
    config.write_text("\n\n".join([*(kept.strip("\n") for kept in entries), entry]))


def inventory(checkout: Path, name: str, size: int) -> Path:
    """Write the inventory of a fleet of some size for one checkout, with the demo's variables; return its folder."""
    folder = checkout / ".testbed" / f"{name}-{size}-hosts"
    folder.mkdir(parents=True, exist_ok=True)
    for link, target in (
        (checkout / ".testbed" / name, STATE / name),
        (folder / "group_vars", checkout / "inventory" / "demo" / "group_vars"),
    ):
        if not link.exists():
            os.symlink(target, link)
    whole = yaml.safe_load((checkout / "inventory" / "demo" / "hosts.yml").read_text())
    groups = hosts_of(size)
    groups["gateways"] = groups["controllers"]
    for group, described in whole["all"]["children"].items():
        described["hosts"] = dict.fromkeys(groups.get(group, []))
    (folder / "hosts.yml").write_text(yaml.safe_dump(whole, sort_keys=False))
    return folder


def extra_variables(name: str, size: int) -> dict[str, str]:
    """Return the fleet's name, and for one host what the demo's group_vars say otherwise."""
    one = {"fleet_controller": "http://all01:21001", "fleet_api": "http://all01:8000/v1"}
    return {"testbed_fleet": name} | (one if size == 1 else {})


def checkout_of(commit: str) -> Path:
    """Return a folder with the files of a commit: this clone for ``.``, else a worktree below ``.testbed``."""
    if commit == ".":
        return CLONE
    folder = STATE / "checkouts" / commit
    if not folder.exists():
        command = ["git", "-C", str(CLONE), "worktree", "add", "--quiet", "--force", "--detach", str(folder), commit]
        subprocess.run(command, check=True)
    return folder


def take_down(name: str) -> None:
    """Remove a fleet, what was read from it, the image of its worker, and the worktrees."""
    fleet.down(name)
    for folder in (STATE / f"{name}-peer", *STATE.glob(f"{name}-*-hosts")):  # the first holds keys of the gateway
        shutil.rmtree(folder, ignore_errors=True)
    fleet.podman("rmi", "--force", image_of(name), check=False)
    for folder in (STATE / "checkouts").glob("*"):
        command = ["git", "-C", str(CLONE), "worktree", "remove", "--force", str(folder)]
        subprocess.run(command, check=False)
