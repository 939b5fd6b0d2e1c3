"""The recorder: turns the files of finished runs into rows of ARA's models, each run in one transaction.

``python -m report.record LEDGER`` is started by the callback when a run has ended, and outlives it. A run is recorded
whole or not at all; its file is removed afterwards. What can not be recorded now waits for the next recorder.
"""

import fcntl
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha1
from pathlib import Path

from django.db import DatabaseError, connections, transaction

from report.collection import files, spool
from report.store import models, opened

KEPT_RUNS = 50
BROKEN = ("not a database", "malformed")


def packed(value: object) -> bytes:
    """Return a value as ARA stores it: JSON, compressed by zlib."""
    return zlib.compress(json.dumps(value).encode())


def moment(seconds: float) -> datetime:
    """Return seconds since 1970 as a moment in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc)


def span(began: float, ended: float) -> dict:
    """Return the fields of ARA's models that have a duration."""
    return {"started": moment(began), "ended": moment(ended), "duration": moment(ended) - moment(began)}


def record(events: Iterable[dict]) -> int | None:
    """Record the events of one run (see ``module_utils/ledger``) and return its id; None when it has no beginning."""
    events = list(events)
    if not events or events[0].get("event") != "run":
        return None
    head, last = events[0], events[-1]
    ended = max(event["at"] for event in events)
    results = [event for event in events if event["event"] == "result"]
    broken = any(event["status"] != "ok" and not event["ignored"] for event in results)
    stats = last["hosts"] if last["event"] == "stats" else {}
    if stats:
        broken = any(counts["failures"] or counts["unreachable"] for counts in stats.values())
    status = "expired" if last["event"] != "stats" else "failed" if broken else "completed"
    with transaction.atomic():
        playbook = models.Playbook.objects.create(
            name=Path(head["path"]).name,
            ansible_version=head["ansible"],
            python_version=head["python"],
            status=status,
            arguments=packed(head["arguments"]),
            path=head["path"][:255],
            controller=head["controller"][:255],
            user=head["user"][:255],
            **span(head["at"], ended),
        )
        hosts = recorded_hosts(playbook, results, stats)
        recorded_tasks(playbook, events, hosts, ended)
    return playbook.id


def recorded_hosts(playbook, results: list[dict], stats: dict) -> dict:
    """Record the hosts of a run with their counts and return them by name."""
    names = sorted({event["host"] for event in results} | set(stats))
    hosts = []
    for name in names:
        counts = stats.get(name) or counted([event for event in results if event["host"] == name])
        numbers = {key: counts[key] for key in ("ok", "changed", "skipped", "unreachable")}
        hosts.append(
            models.Host(name=name[:255], playbook=playbook, facts=packed({}), failed=counts["failures"], **numbers)
        )
    models.Host.objects.bulk_create(hosts)
    for host in hosts:
        models.LatestHost.objects.update_or_create(name=host.name, defaults={"host": host})
    return dict(zip(names, hosts, strict=True))


def counted(results: list[dict]) -> dict[str, int]:
    """Return the counts of a host of a run that was stopped: Ansible gives them at a run's end only."""
    failed = [event["status"] for event in results if event["status"] != "ok" and not event["ignored"]]
    return {
        "ok": sum(1 for event in results if event["status"] == "ok"),
        "changed": sum(1 for event in results if event["changed"]),
        "failures": failed.count("failed"),
        "unreachable": failed.count("unreachable"),
        "skipped": 0,
    }


def recorded_tasks(playbook, events: list[dict], hosts: dict, ended: float) -> None:
    """Record plays, tasks and results. A play ends when the next begins, a task with its last result."""
    empty, _made = models.FileContent.objects.get_or_create(
        sha1=sha1(b"", usedforsecurity=False).hexdigest(), defaults={"contents": zlib.compress(b"")}
    )
    starts = [event["at"] for event in events if event["event"] == "play"] + [ended]
    files, play, plays, tasks, rows = {}, None, 0, {}, []
    for event in events:
        if event["event"] == "play":
            plays += 1
            play = models.Play.objects.create(
                name=event["name"][:255],
                uuid=event["uuid"],
                status="completed",
                playbook=playbook,
                **span(event["at"], starts[plays]),
            )
        elif event["event"] == "task" and play:
            path = event["path"][-255:] or playbook.path
            if path not in files:
                files[path] = models.File.objects.create(path=path, content=empty, playbook=playbook)
            tasks[play.id, event["uuid"]] = models.Task(
                name=event["name"],
                uuid=event["uuid"],
                action=event["action"],
                lineno=event["line"],
                tags=packed(event["tags"]),
                handler=event["handler"],
                status="completed",
                play=play,
                file=files[path],
                playbook=playbook,
                **span(event["at"], event["at"]),
            )
        elif event["event"] == "result" and play and (play.id, event["task"]) in tasks:
            task = tasks[play.id, event["task"]]
            closed(task, event)
            rows.append((task, event))
    models.Task.objects.bulk_create(tasks.values())
    models.Result.objects.bulk_create(
        models.Result(
            status=event["status"],
            changed=event["changed"],
            ignore_errors=event["ignored"],
            content=packed(event["kept"]),
            host=hosts[event["host"]],
            task=task,
            play=task.play,
            playbook=playbook,
            **span(event["began"], event["at"]),
        )
        for task, event in rows
    )


def closed(task, event: dict) -> None:
    """Let a task end with a result, and have its warnings and its failure."""
    task.ended = moment(event["at"])
    task.duration = task.ended - task.started
    if event["status"] != "ok" and not event["ignored"]:
        task.status = "failed"
    task.warnings = list(dict.fromkeys([*task.warnings, *event["kept"].get("warnings", [])]))


def prune(keep: int) -> None:
    """Remove the oldest runs, all but ``keep``."""
    old = list(models.Playbook.objects.order_by("-started").values_list("id", flat=True)[keep:])
    with transaction.atomic():
        models.Playbook.objects.filter(id__in=old).delete()
        models.FileContent.objects.filter(files=None).delete()


@contextmanager
def alone(ledger: Path) -> Iterator[None]:
    """Be the only recorder of a ledger; others wait here."""
    descriptor = os.open(ledger / "recorder.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def settle(ledger: Path) -> list[int]:
    """Record every run of a ledger that has ended, prune, and return the ids of the new records.

    Raises OSError or django.db.DatabaseError, and then what is not recorded still waits.
    """
    recorded = []
    with alone(ledger):
        if not spool.waiting(ledger):
            return []
        usable(ledger / spool.DATABASE, ledger)
        for path in spool.waiting(ledger):
            events = spool.finished(path)
            if events is None:
                continue
            recorded.append(record(events))
            path.unlink()
        prune(int(os.environ.get("FLEET_LEDGER_RUNS", KEPT_RUNS)))
    return [run for run in recorded if run]


def usable(database: Path, ledger: Path) -> None:
    """Open the database. A file that is none, or is damaged, is put aside, and a new one begins."""
    try:
        opened(database, create=True)
    except DatabaseError as fault:
        if not any(word in str(fault) for word in BROKEN):
            raise
        connections["default"].close()
        aside = database.with_name(f"{database.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S}")
        database.rename(aside)
        leave_fault(ledger, f"{database} was damaged ({fault}). It is now {aside.name}, and a new ledger began.")
        opened(database, create=True)


def leave_fault(ledger: Path, sentence: str) -> None:
    """Leave a sentence that the next run and the next report show."""
    files.write(str(ledger / spool.FAULT), f"{sentence}\n".encode(), mode=0o600, durable=False)


def main(ledger: Path) -> None:
    """Record what waits, with what the machine has to spare."""
    os.umask(0o077)
    os.nice(10)
    try:
        settle(ledger)
    except (OSError, DatabaseError) as fault:
        waits = f"The runs wait in {ledger / 'spool'}, and the next run or report tries again."
        leave_fault(ledger, f"{ledger / spool.DATABASE} can not be written ({fault}). {waits}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
