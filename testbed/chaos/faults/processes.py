"""Faults of processes: a worker, the controller or an API server is killed, stopped or restarted."""

from collections.abc import Callable

from testbed.chaos import hosts
from testbed.chaos.hosts import CONTROLLER, WORKERS
from testbed.chaos.stage import Stage


def signal_worker(stage: Stage, signal: str) -> None:
    """Send a signal to the first worker's process while it writes at least one answer."""
    # The script counts and sends at once: each connection to the worker's port is a request that it has. The
    # controller's question, asked each second and answered at once, may count as one more; so it looks twice.
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
    said = hosts.shell(WORKERS[0], script)
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
        hosts.on(CONTROLLER, "systemctl", "kill", "--signal=KILL", unit)

    return inject


def controller_restarted(stage: Stage) -> None:
    """Restart the controller as an update does."""
    stage.begins()
    hosts.on(CONTROLLER, "systemctl", "restart", "fastchat-controller")
    stage.lifted()


def api_killed(stage: Stage) -> None:
    """Kill one API server."""
    units = hosts.on(CONTROLLER, "systemctl", "list-units", "--no-legend", "--plain", "fastchat-api*.service")
    killed(units.split()[0])(stage)
