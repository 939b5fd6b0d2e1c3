"""Operations under load: an update, a rollback, a rebuild of a host, and publishing onto a full disk."""

from collections.abc import Callable

from testbed.chaos import hosts
from testbed.chaos.hosts import WORKERS
from testbed.chaos.stage import Stage

MODEL = "/srv/fastchat/models/smollm2-demo"
ROOM_MB = 1600  # enough for base, delta and result; with less, the role refuses before it writes a byte


def other_release(stage: Stage) -> dict[str, str]:
    """Return the variables of a release that is not the last worker's: the same model, written in the other format."""
    binary = hosts.shell(WORKERS[-1], f"ls {MODEL}/current/ | grep -c '[.]bin$' || true")
    return {"vicuna_weights_output": "safetensors" if int(binary) else "bin"}


def only_one_release(stage: Stage) -> None:
    """Remove the other releases from the first worker's host: a release that is there would not be made again."""
    hosts.shell(
        WORKERS[0],
        f'cd {MODEL}/releases && ls | grep -v "$(basename $(readlink -f ../current))" | xargs --no-run-if-empty rm -r',
    )


def another_release(stage: Stage) -> None:
    """Let every worker's host have a release to go back to."""
    if all(int(hosts.shell(host, f"ls {MODEL}/releases | wc -l")) > 1 for host in WORKERS):
        return
    if fault := hosts.playbook("site.yml", "--tags=weights,services", **other_release(stage)):
        raise SystemExit(f"The other release could not be served: {fault}")


def disk_full(stage: Stage) -> str:
    """Fill the disk while another release is written, then publish it where there is room."""
    host, staging = WORKERS[0], "/srv/fastchat/staging"
    variables = other_release(stage)
    fills = f"""
        until ls {staging}/*/target-*.part/*.part; do sleep 0.02; done
        fallocate --length $(df --output=avail --block-size=1 {staging} | tail -1) {staging}/full
    """
    hosts.shell(host, f"mkdir -p {staging} && mount -t tmpfs -o size={ROOM_MB}m,mode=755 small {staging}")
    hosts.on(host, "systemd-run", "--quiet", "--unit=filling", "bash", "-c", fills)
    try:
        stage.begins()
        first = hosts.playbook("playbooks/weights.yml", f"--limit={host}", **variables)
    finally:
        hosts.shell(host, f"systemctl stop filling; umount {staging}")
    stage.lifted()
    if "No space left" not in first:
        return f"On a full disk the playbook said: {first or 'nothing, it ended well'}"
    second = hosts.playbook("playbooks/weights.yml", f"--limit={host}", **variables)
    return f"With room it said: {second}" if second else ""


def operation(playbook: str, variables: Callable[[Stage], dict[str, str]] | None = None) -> Callable[[Stage], str]:
    """Return the fault that is a run of a playbook; when it fails, its messages are what the fault says."""

    def inject(stage: Stage) -> str:
        wanted = variables(stage) if variables else {}
        stage.begins()
        fault = hosts.playbook(f"playbooks/{playbook}", **wanted)
        stage.lifted()
        return fault and f"{playbook} failed: {fault}"

    return inject


def rebuild(stage: Stage) -> str:
    """Take a worker host out as its operator does, give it an empty disk and another ssh host key, and rebuild it."""
    host = WORKERS[-1]
    stage.begins()
    hosts.on(host, "systemctl", "stop", "fastchat-worker@0")
    fingerprint = hosts.reimage(host)
    fault = hosts.playbook("playbooks/rebuild.yml", f"--limit={host}", rebuild_host_key=fingerprint)
    stage.lifted()
    return fault and f"rebuild.yml failed: {fault}"
