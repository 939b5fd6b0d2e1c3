"""The table of faults. Each is a small function, in the file of the part of the fleet that it hurts.

A fault calls ``stage.begins()`` right before it hurts and ``stage.lifted()`` when it lets go of what it holds. It
returns what there is to say of it, '' when all went as it should. ``before`` and ``after`` are run without load.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from testbed.chaos.faults import machines, operations, processes
from testbed.chaos.hosts import CONTROLLER, WORKERS
from testbed.chaos.stage import Stage

BASELINE_SECONDS = 30


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


def baseline(stage: Stage) -> None:
    """Hurt nothing."""
    stage.begins()
    time.sleep(BASELINE_SECONDS)


FAULTS = (
    Fault("baseline", "none", baseline, "none", 60),
    Fault("worker-killed", "worker killed (-9)", processes.worker_killed, "own", 90),
    Fault("worker-hung", "worker hung (STOP)", processes.worker_hung, "recovers", 240),
    Fault("controller-killed", "controller killed (-9)", processes.killed("fastchat-controller"), "recovers", 60),
    Fault("controller-restarted", "controller restarted", processes.controller_restarted, "recovers", 60),
    Fault("api-killed", "API server killed (-9)", processes.api_killed, "recovers", 60),
    Fault("host-gone", "worker host without power for a while", machines.host_gone, "recovers", 120),
    Fault("host-rebooted", "worker host rebooted", machines.rebooted(WORKERS[1]), "recovers", 120),
    Fault("controller-host-rebooted", "controller's host rebooted", machines.rebooted(CONTROLLER), "recovers", 120),
    Fault("network-cut", "network cut between controller and worker", machines.network_cut, "recovers", 120),
    Fault(
        "disk-full",
        "disk full while weights are published",
        operations.disk_full,
        "none",
        60,
        operations.only_one_release,
    ),
    Fault(
        "clock-jump",
        "clock one hour ahead, and back",
        machines.clock_jump,
        "none",
        60,
        machines.false_clocks,
        machines.true_clocks,
    ),
    Fault(
        "rolling-update",
        "rolling update",
        operations.operation("rolling_update.yml", operations.other_release),
        "none",
        60,
    ),
    Fault("rollback", "rollback", operations.operation("rollback.yml"), "none", 60, operations.another_release),
    Fault("rebuild", "rebuild of a drained host", operations.rebuild, "none", 60),
)
