"""The faults, each a small function that hurts the stage, and the table of them.

A fault calls ``stage.begins()`` right before it hurts, ``stage.lifted()`` when what it holds is let go, and returns
what it has to say ('' when all went as it should). What must not be under load comes in ``before`` and ``after``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from testbed.chaos.stage import CONTROLLER, FLEET, WORKERS, Stage
from testbed.containers import fleet

HELD_SECONDS = 20
UNDER_WAY_SECONDS = 30
MODEL = "/srv/fastchat/models/smollm2-demo"
ROOM_MB = 1600  # for base, delta and what becomes of them: with less it is refused before a byte is written
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
CLOCKS = ((CONTROLLER, "fastchat-controller"), (WORKERS[0], "fastchat-worker@0"))


@dataclass(frozen=True)
class Fault:
    """``goal`` is one of ``counting.GOALS``, ``deadline`` the seconds in which the fleet must be whole again."""

    name: str
    title: str
    inject: Callable[[Stage], str | None]
    goal: str
    deadline: float
    before: Callable[[Stage], None] | None = None
    after: Callable[[Stage], None] | None = None


# --- processes ---


def signal_worker(stage: Stage, signal: str) -> None:
    """Send a signal to the first worker's process while it writes at least one answer."""
    # Counted where it is sent, in one breath: connections to the worker's port are requests that it has. One look at
    # the controller's question, which comes each second and is answered at once, would count as one more.
    script = f"""
        pid=$(systemctl show --property=MainPID fastchat-worker@0); pid=${{pid#*=}}
        for try in $(seq 200); do
            writing=$(ss --no-header --tcp --numeric state established '( sport = :21002 )' | wc -l)
            test "$writing" -gt 0 && sleep 0.1 && break; sleep 0.05
        done
        writing=$(ss --no-header --tcp --numeric state established '( sport = :21002 )' | wc -l)
        kill -{signal} "$pid"; echo "$writing"
    """
    stage.begins()
    said = stage.shell(WORKERS[0], script)
    stage.begins(int(said))


def worker_killed(stage: Stage) -> None:
    """Kill the first worker."""
    signal_worker(stage, "KILL")


def worker_hung(stage: Stage) -> None:
    """Stop the first worker as a debugger does: its port is open, its connections stay, nothing answers."""
    signal_worker(stage, "STOP")


def killed(unit: str) -> Callable[[Stage], None]:
    """Return the fault that kills a unit of the controller's host."""

    def inject(stage: Stage) -> None:
        stage.begins()
        stage.on(CONTROLLER, "systemctl", "kill", "--signal=KILL", unit)

    return inject


def controller_restarted(stage: Stage) -> None:
    """Restart the controller as an update does."""
    stage.begins()
    stage.on(CONTROLLER, "systemctl", "restart", "fastchat-controller")
    stage.lifted()


def api_killed(stage: Stage) -> None:
    """Kill one API server."""
    listed = stage.on(CONTROLLER, "systemctl", "list-units", "--no-legend", "--plain", "fastchat-api*.service")
    killed(listed.split()[0])(stage)


# --- hosts ---


def host_gone(stage: Stage) -> None:
    """Cut a worker host's power, and switch it on again later.

    A host without power says nothing any more; of killed processes the kernel would close the connections first.
    """
    name = stage.container(WORKERS[1])
    stage.drops(WORKERS[1], "insert")
    stage.begins()
    fleet.podman("kill", name)
    time.sleep(HELD_SECONDS)
    fleet.podman("start", name)
    stage.lifted()


def rebooted(host: str) -> Callable[[Stage], None]:
    """Return the fault that shuts a host down in order and starts it again."""

    def inject(stage: Stage) -> None:
        name = stage.container(host)
        stage.begins()
        fleet.podman("stop", "--time", "120", name)
        fleet.podman("start", name)
        stage.lifted()

    return inject


def network_cut(stage: Stage) -> None:
    """Drop every packet between a worker host and the controller's, both ways, and let them through again."""
    there = fleet.address_of(FLEET, CONTROLLER)
    stage.drops(WORKERS[1], "insert", there)
    stage.begins()
    time.sleep(HELD_SECONDS)
    stage.drops(WORKERS[1], "delete", there)
    stage.lifted()


def other_release(stage: Stage) -> dict[str, str]:
    """Return the variables of a release that is not the last worker's: the same model, written in the other format."""
    binary = stage.shell(WORKERS[-1], f"ls {MODEL}/current/ | grep -c '[.]bin$' || true")
    return {"vicuna_weights_output": "safetensors" if int(binary) else "bin"}


def only_one_release(stage: Stage) -> None:
    """Take from the first worker's host the releases that are not current: what was published is not made again."""
    stage.shell(
        WORKERS[0],
        f'cd {MODEL}/releases && ls | grep -v "$(basename $(readlink -f ../current))" | xargs --no-run-if-empty rm -r',
    )


def another_release(stage: Stage) -> None:
    """Let every worker's host have a release to go back to."""
    if all(int(stage.shell(host, f"ls {MODEL}/releases | wc -l")) > 1 for host in WORKERS):
        return
    if fault := stage.playbook("site.yml", "--tags=weights,services", **other_release(stage)):
        raise SystemExit(f"The other release could not be served: {fault}")


def disk_full(stage: Stage) -> str:
    """Fill the disk while another release is written, then publish it where there is room."""
    host, staging = WORKERS[0], "/srv/fastchat/staging"
    variables = other_release(stage)
    fills = f"""
        until ls {staging}/*/target-*.part/*.part; do sleep 0.02; done
        fallocate --length $(df --output=avail --block-size=1 {staging} | tail -1) {staging}/full
    """
    stage.shell(host, f"mkdir -p {staging} && mount -t tmpfs -o size={ROOM_MB}m,mode=755 small {staging}")
    stage.on(host, "systemd-run", "--quiet", "--unit=filling", "bash", "-c", fills)
    try:
        stage.begins()
        first = stage.playbook("playbooks/weights.yml", f"--limit={host}", **variables)
    finally:
        stage.shell(host, f"systemctl stop filling; umount {staging}")
    stage.lifted()
    if "No space left" not in first:
        return f"On a full disk the playbook said: {first or 'nothing, it ended well'}"
    second = stage.playbook("playbooks/weights.yml", f"--limit={host}", **variables)
    return f"With room it said: {second}" if second else ""


# --- the clock ---


def false_clocks(stage: Stage) -> None:
    """Give the controller and one worker a clock that can be set: the machine's own is shared by all containers.

    libfaketime answers what a process asks of its wall clock by a file; CLOCK_MONOTONIC stays true, as it does when a
    real clock is set.
    """
    for host, unit in CLOCKS:
        stage.shell(
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
        stage.shell(host, f"rm -rf {away}; systemctl daemon-reload; systemctl restart {unit}")


def clock_jump(stage: Stage) -> None:
    """Set the clocks of a controller and of one worker an hour ahead, and later back."""
    stage.begins()
    for jump in ("+1h", "+0"):
        for host, _unit in CLOCKS:
            stage.shell(host, f"echo {jump} > /etc/fastchat/clock")
        time.sleep(HELD_SECONDS)
    stage.lifted()


# --- operations ---


def operation(playbook: str, variables: Callable[[Stage], dict[str, str]] | None = None) -> Callable[[Stage], str]:
    """Return the fault that is a playbook: what it says when it fails is the fault's."""

    def inject(stage: Stage) -> str:
        wanted = variables(stage) if variables else {}
        stage.begins()
        fault = stage.playbook(f"playbooks/{playbook}", **wanted)
        stage.lifted()
        return fault and f"{playbook} failed: {fault}"

    return inject


def rebuild(stage: Stage) -> str:
    """Take a worker host out as its operator does, give it an empty disk and another ssh host key, and rebuild it."""
    host = WORKERS[-1]
    stage.begins()
    stage.on(host, "systemctl", "stop", "fastchat-worker@0")
    fingerprint = stage.reimage(host)
    fault = stage.playbook("playbooks/rebuild.yml", f"--limit={host}", rebuild_host_key=fingerprint)
    stage.lifted()
    return fault and f"rebuild.yml failed: {fault}"


def baseline(stage: Stage) -> None:
    """Hurt nothing."""
    stage.begins()
    time.sleep(UNDER_WAY_SECONDS)


FAULTS = (
    Fault("baseline", "none", baseline, "none", 60),
    Fault("worker-killed", "worker killed (-9)", worker_killed, "own", 90),
    Fault("worker-hung", "worker hung (STOP)", worker_hung, "recovers", 240),
    Fault("controller-killed", "controller killed (-9)", killed("fastchat-controller"), "recovers", 60),
    Fault("controller-restarted", "controller restarted", controller_restarted, "recovers", 60),
    Fault("api-killed", "API server killed (-9)", api_killed, "recovers", 60),
    Fault("host-gone", "worker host without power for a while", host_gone, "recovers", 120),
    Fault("host-rebooted", "worker host rebooted", rebooted(WORKERS[1]), "recovers", 120),
    Fault("controller-host-rebooted", "controller's host rebooted", rebooted(CONTROLLER), "recovers", 120),
    Fault("network-cut", "network cut between controller and worker", network_cut, "recovers", 120),
    Fault("disk-full", "disk full while weights are published", disk_full, "none", 60, only_one_release),
    Fault("clock-jump", "clock one hour ahead, and back", clock_jump, "none", 60, false_clocks, true_clocks),
    Fault("rolling-update", "rolling update", operation("rolling_update.yml", other_release), "none", 60),
    Fault("rollback", "rollback", operation("rollback.yml"), "none", 60, another_release),
    Fault("rebuild", "rebuild of a drained host", rebuild, "none", 60),
)
