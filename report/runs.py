"""Reads runs out of the ledger as plain data, through ARA's models."""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

from django.db.models import Count, Q

from report.store import models


def unpacked(stored: bytes) -> object:
    """Return what ARA stored: JSON, compressed by zlib."""
    return json.loads(zlib.decompress(bytes(stored)))


def phase_of(play: str) -> str:
    """Return the phase of a play: what stands before the bar in its name (``Services | Run the gateway``)."""
    return play.partition("|")[0].strip() or play


def listed() -> list[dict]:
    """Return [{id, name, status, started, seconds, hosts, changed, failed}] of all runs, the newest first."""
    found = models.Playbook.objects.order_by("-started", "-id").annotate(
        number_of_hosts=Count("hosts", distinct=True),
        failed_hosts=Count("hosts", distinct=True, filter=Q(hosts__failed__gt=0) | Q(hosts__unreachable__gt=0)),
        changed_hosts=Count("hosts", distinct=True, filter=Q(hosts__changed__gt=0)),
    )
    return [
        {
            "id": book.id,
            "name": book.name or Path(book.path).name,
            "status": book.status,
            "started": book.started,
            "seconds": book.duration.total_seconds() if book.duration else 0.0,
            "hosts": book.number_of_hosts,
            "changed": book.changed_hosts,
            "failed": book.failed_hosts,
        }
        for book in found
    ]


def chosen(run: int | None) -> int:
    """Return the id of a run: the newest for None. Raises LookupError with a sentence when there is none."""
    ids = models.Playbook.objects.order_by("-started", "-id").values_list("id", flat=True)
    if run is None and ids:
        return ids[0]
    if run in ids:
        return run
    there = ", ".join(str(number) for number in ids[:10]) or "none yet: run a playbook first"
    raise LookupError(f"The ledger has no run {'' if run is None else run}, it has {there}.")


def before(run: int) -> int | None:
    """Return the id of the run of the same playbook before a run; None when there is none."""
    this = models.Playbook.objects.get(id=run)
    earlier = models.Playbook.objects.filter(path=this.path, started__lt=this.started).order_by("-started")
    return earlier.values_list("id", flat=True).first()


def read(run: int) -> dict:
    """Return a run as {id, name, path, status, started, seconds, user, controller, ansible, arguments, ...}.

    The rest is ``plays``, ``tasks``, ``hosts`` (with their counts) and ``results``. Times are seconds since the run
    began. ``tasks`` is {id: {name, action, path, line, phase, warnings}} in their order, ``results`` a list of {task,
    host, status, changed, ignored, from, to, kept}, in which ``kept`` is as in ``module_utils/ledger/results.py``.
    """
    book = models.Playbook.objects.get(id=run)

    def since(moment) -> float:
        return (moment - book.started).total_seconds() if moment else 0.0

    plays = {
        play.id: {"phase": phase_of(play.name), "from": since(play.started), "to": since(play.ended)}
        for play in book.plays.order_by("id")
    }
    tasks = {
        task.id: {
            "name": task.name,
            "action": task.action,
            "path": task.file.path,
            "line": task.lineno,
            "phase": plays[task.play_id]["phase"],
            "warnings": task.warnings,
        }
        for task in book.tasks.select_related("file").order_by("id")
    }
    names = ("name", "ok", "changed", "failed", "unreachable", "skipped")
    hosts = list(book.hosts.order_by("id").values(*names))
    results = [
        {
            "task": result.task_id,
            "host": result.host.name,
            "status": result.status,
            "changed": result.changed,
            "ignored": result.ignore_errors,
            "from": since(result.started),
            "to": since(result.ended),
            "kept": unpacked(result.content),
        }
        for result in book.results.select_related("host").order_by("started", "id")
    ]
    return {
        "id": book.id,
        "name": book.name or Path(book.path).name,
        "path": book.path,
        "status": book.status,
        "started": book.started,
        "seconds": since(book.ended),
        "user": book.user,
        "controller": book.controller,
        "ansible": book.ansible_version,
        "arguments": unpacked(book.arguments),
        "plays": list(plays.values()),
        "tasks": tasks,
        "hosts": hosts,
        "results": results if book.status == "expired" else without_rescued(results, hosts),
    }


def without_rescued(results: list[dict], hosts: list[dict]) -> list[dict]:
    """Return results in which a failure that was rescued is ignored.

    Ansible counts only the failures that ended a host's run, and these are its last ones.
    """
    for host in hosts:
        own = [result for result in results if result["host"] == host["name"] and not result["ignored"]]
        for status, count in (("failed", host["failed"]), ("unreachable", host["unreachable"])):
            failed = [result for result in own if result["status"] == status]
            for result in failed[: max(len(failed) - count, 0)]:
                result["ignored"] = True
    return results


def last_state(run: int) -> dict | None:
    """Return {rows, faults, at, run} of the fleet as ``status.yml`` saw it last, up to a run; None if it never ran."""
    until = models.Playbook.objects.get(id=run).ended
    asked = models.Result.objects.filter(ended__lte=until, task__action__endswith="set_fact", status="ok")
    for result in asked.order_by("-ended").iterator():
        kept = unpacked(result.content)
        if "fleet" in kept:
            return {**kept["fleet"], "at": result.ended, "run": result.playbook_id}
    return None


def warnings_of(tasks: Iterable[dict]) -> list[str]:
    """Return the warnings of a run, each once, in their order."""
    return list(dict.fromkeys(str(warning) for task in tasks for warning in task["warnings"]))
