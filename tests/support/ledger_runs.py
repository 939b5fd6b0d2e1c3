"""Runs for the ledger's tests: real ones over this machine, and events as the callback writes them."""

import contextlib
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

from ansible_collections.fastchat.fleet.plugins.module_utils.ledger import spool

from testbed.paths import CLONE, IMPORTS

PHASES = ("Preflight", "Runtime", "Weights", "Services", "Verify")
TASKS = ("Ask the host", "Write the settings", "Wait until it answers")
BEGAN = 1_790_000_000.0


def play(ledger: Path, playbook: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a playbook with the project's own settings and a ledger of the test's own."""
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", playbook, *arguments],
        env={**os.environ, **surroundings(ledger), **environment},
        cwd=playbook.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def surroundings(ledger: Path) -> dict[str, str]:
    """Return the environment variables of such a run; Ansible's own view writes warnings to stderr, as they come."""
    own = {"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"), "PYTHONPATH": IMPORTS, "FLEET_LEDGER": str(ledger)}
    return {**own, "ANSIBLE_STDOUT_CALLBACK": "default"}


def inventory(path: Path, hosts: int, variables: str = "") -> Path:
    """Write an inventory of hosts that are all this machine."""
    names = "\n".join(f"gpu{number:03d}" for number in range(1, hosts + 1))
    own = f"ansible_connection=local\nansible_python_interpreter={sys.executable}\n{variables}"
    path.write_text(f"[all]\n{names}\n[all:vars]\n{own}\n")
    return path


def events(hosts: int = 3, began: float = BEGAN, failing: str = "", names: tuple = (), diff: bool = True) -> list[dict]:
    """Return the events of a run of five phases: each third host changes in the second task; ``failing`` fails."""
    names = names or tuple(f"gpu{number:03d}" for number in range(1, hosts + 1))
    arguments = {"diff": True, "inventory": ["inventory/mine"]} if diff else {"inventory": ["inventory/mine"]}
    common = {"path": "/fleet/site.yml", "user": "op", "controller": "ctl", "ansible": "2.16", "python": "3.11"}
    told, now = [{"event": "run", "at": began, "arguments": arguments, **common}], began
    for number, phase in enumerate(PHASES):
        told.append({"event": "play", "at": now, "uuid": uuid(number), "name": f"{phase} | Play it"})
        for place, task in enumerate(TASKS):
            key = uuid(100 * number + place + 10)
            head = {"event": "task", "at": now, "uuid": key, "name": f"{phase} | {task}", "action": "copy", "tags": []}
            told.append({**head, "path": f"roles/{phase.lower()}/tasks/main.yml", "line": 7, "handler": False})
            for order, host in enumerate(names):
                failed = failing == host and (phase, task) == ("Verify", TASKS[-1])
                told.append(result(key, host, order, now=now, place=place, failed=failed))
            now += 1.0 + number
    counts = {"ok": 15, "changed": 5, "failures": 0, "unreachable": 0, "skipped": 2}
    stats = {host: {**counts, "failures": int(host == failing)} for host in names}
    return [*told, {"event": "stats", "at": now, "hosts": stats}]


def result(task: str, host: str, order: int, *, now: float, place: int, failed: bool) -> dict:
    """Return the event of one result."""
    changed = place == 1 and order % 3 == 0
    kept: dict = {}
    if changed:
        kept = {"subject": f"/etc/fastchat/{host}.env", "diff": [{"before": "A=1\nB=2\n", "after": "A=1\nB=3\n"}]}
    if failed:
        kept = {"msg": "It does not answer.", "stderr": "CUDA out of memory"}
    ended = {"event": "result", "at": now + 0.5 + 0.01 * order, "began": now + 0.01 * order, "task": task, "host": host}
    return {**ended, "status": "failed" if failed else "ok", "changed": changed, "ignored": False, "kept": kept}


def uuid(number: int) -> str:
    """Return a UUID."""
    return f"00000000-0000-0000-0000-{number:012d}"


def spooled(ledger: Path, told: list[dict]) -> Path:
    """Leave events as a run that has ended leaves them."""
    written = spool.Spool(ledger)
    for event in told:
        written.write(event)
    written.close()
    return written.path


def everything_in(folder: Path) -> bytes:
    """Return all bytes below a folder, and behind them what any piece of them holds when it is decompressed."""
    raw = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    found, start = [raw], 0
    while (start := raw.find(b"\x78", start)) >= 0:
        if int.from_bytes(raw[start : start + 2], "big") % 31 == 0:
            unpacker = zlib.decompressobj()
            with contextlib.suppress(zlib.error):
                found.append(unpacker.decompress(raw[start : start + 10_000_000]))
        start += 1
    return b"\n".join(found)


def everything_kept(folder: Path) -> str:
    """Return the same through ARA's models: every field of every row, decompressed."""
    from report.store import models, opened  # noqa: PLC0415  # Django needs its settings at the import

    opened(folder / spool.DATABASE)
    tables = (models.Playbook, models.Play, models.Task, models.Host, models.Result, models.FileContent, models.File)
    told = []
    for table in tables:
        for row in table.objects.values():
            told += [zlib.decompress(part).decode() if isinstance(part, bytes) else str(part) for part in row.values()]
    return json.dumps(told, ensure_ascii=False)
