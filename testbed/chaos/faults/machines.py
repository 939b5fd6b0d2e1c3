"""Faults of whole hosts and of the network between them: power, a reboot, a cut, a clock that jumps."""

import time
from collections.abc import Callable

from testbed.chaos import hosts
from testbed.chaos.hosts import CONTROLLER, FLEET, WORKERS
from testbed.chaos.stage import Stage
from testbed.containers import fleet

HELD_SECONDS = 20
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
CLOCKS = ((CONTROLLER, "fastchat-controller"), (WORKERS[0], "fastchat-worker@0"))


def host_gone(stage: Stage) -> None:
    """Cut a worker host's power, and switch it on again later.

    Its packets are dropped first: the kernel of a host without power can not close the connections either.
    """
    name = hosts.container(WORKERS[1])
    hosts.dropped_packets(WORKERS[1], "insert")
    stage.begins()
    fleet.podman("kill", name)
    time.sleep(HELD_SECONDS)
    fleet.podman("start", name)
    stage.lifted()


def rebooted(host: str) -> Callable[[Stage], None]:
    """Return the fault that shuts a host down in order and starts it again."""

    def inject(stage: Stage) -> None:
        name = hosts.container(host)
        stage.begins()
        fleet.podman("stop", "--time", "120", name)
        fleet.podman("start", name)
        stage.lifted()

    return inject


def network_cut(stage: Stage) -> None:
    """Drop every packet between a worker host and the controller's, both ways, and let them through again."""
    there = fleet.address_of(FLEET, CONTROLLER)
    hosts.dropped_packets(WORKERS[1], "insert", there)
    stage.begins()
    time.sleep(HELD_SECONDS)
    hosts.dropped_packets(WORKERS[1], "delete", there)
    stage.lifted()


def false_clocks(stage: Stage) -> None:
    """Give the controller and one worker a clock that can be set: the machine's own is shared by all containers.

    libfaketime answers what a process asks of its wall clock by a file; CLOCK_MONOTONIC stays true, as it does when a
    real clock is set.
    """
    for host, unit in CLOCKS:
        hosts.shell(
            host,
            f"""
            set -e; test -e {FAKETIME} || {{ apt-get -qq update; apt-get -qq install -y --no-install-recommends libfaketime; }}
            mkdir -p /etc/systemd/system/{unit}.service.d; echo +0 > /etc/fastchat/clock; chmod 644 /etc/fastchat/clock
            printf '[Service]\\nEnvironment=LD_PRELOAD={FAKETIME} FAKETIME_TIMESTAMP_FILE=/etc/fastchat/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1\\n' > /etc/systemd/system/{unit}.service.d/clock.conf
            systemctl daemon-reload; systemctl restart {unit}
            """,  # noqa: E501
        )


def true_clocks(stage: Stage) -> None:
    """Take the false clocks away."""
    for host, unit in CLOCKS:
        away = f"/etc/systemd/system/{unit}.service.d /etc/fastchat/clock"
        hosts.shell(host, f"rm -rf {away}; systemctl daemon-reload; systemctl restart {unit}")


def clock_jump(stage: Stage) -> None:
    """Set the clocks of a controller and of one worker an hour ahead, and later back."""
    stage.begins()
    for jump in ("+1h", "+0"):
        for host, _unit in CLOCKS:
            hosts.shell(host, f"echo {jump} > /etc/fastchat/clock")
        time.sleep(HELD_SECONDS)
    stage.lifted()
