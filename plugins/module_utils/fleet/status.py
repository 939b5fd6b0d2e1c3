"""The status of a fleet: one row for each unit, and all faults."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from .faults import gpu_faults, unit_faults, worker_faults
from .releases import drifts
from .tables import aligned

COLUMNS = ("host", "unit", "state", "environment", "release", "controller", "queue", "probe", "gpu")


def short_name(unit: str) -> str:
    """Return worker@0 for fastchat-worker@0.service; other kinds of units keep theirs."""
    return unit.removeprefix("fastchat-").removesuffix(".service")


def should_run(unit: dict) -> bool:
    """Return whether a unit is meant to be up all the time; one without [Install] (static) is started by others."""
    return unit["enabled"] != "static"


def memory_used(gpus: dict, wanted: list[int]) -> str:
    """Return "3072 of 32510 MiB, 1 of 32510 MiB": the memory used of the GPUs with these numbers."""
    cards = [gpus["gpus"][index] for index in wanted if index < len(gpus.get("gpus", []))]
    return ", ".join(f"{card.get('memory_used_mb') or 0} of {card.get('memory_mb') or 0} MiB" for card in cards)


def host_rows(host: str, found: dict, registry: dict | None) -> tuple[list[dict], list[str]]:
    """Return the rows and the faults of one host that was reached; ``registry`` is None when nobody could be asked."""
    units = {unit["name"]: unit for unit in found["units"] if should_run(unit)}
    gpus = found.get("gpus") or {}
    rows, faults = [], gpu_faults(host, gpus)
    for name, unit in units.items():
        worker = found["plan"].get(name.removesuffix(".service"), {})
        probe = found["probe"].get(name.removesuffix(".service"), {}) if worker else {}
        known = (registry or {}).get(worker.get("url"), {})
        row = dict.fromkeys(COLUMNS, "")
        row.update(
            host=host,
            unit=short_name(name),
            state=unit["state"] if unit["state"] == "active" else f"{unit['state']} ({unit['sub']})",
            environment=unit["runs"]["env"],
            release=" ".join(part for part in (unit["runs"]["model"], unit["runs"]["release"]) if part),
        )
        faults += unit_faults(host, unit)
        if worker:
            row["controller"] = "?" if registry is None else known.get("state", "not registered")
            row["queue"] = str(known.get("queue_length", ""))
            row["probe"] = probe.get("state", "")
            row["gpu"] = memory_used(gpus, worker.get("gpus", []))
            if registry is not None and unit["state"] == "active":
                faults += worker_faults(row, name, known, probe, found["clock"])
        if name.endswith(".service") or unit["state"] != "active":
            rows.append(row)
    for name in sorted(set(found["plan"]) - {name.removesuffix(".service") for name in units}):
        faults.append(f"{host}: the plan has {name} and there is no such unit: run serve.yml.")
    if found.get("worker") and not found["plan"]:
        faults.append(f"{host} is in group workers and has no worker: run site.yml, or take it out of the inventory.")
    if not rows:
        # A builder serves nothing; it has releases.
        rows.append({**dict.fromkeys(COLUMNS, ""), "host": host, "state": "no services"})
    return rows, faults


def table(rows: list[dict]) -> list[str]:
    """Return the lines of a table; columns in which nobody has anything are left out."""
    columns = [name for name in COLUMNS if any(row[name] for row in rows)]
    return aligned([[name.upper() for name in columns], *([row[name] for name in columns] for row in rows)])


def fleet_status(hosts: dict, registry: dict | None = None, asked: str = "", whole: bool = True) -> dict:
    """Return {table: lines, rows, faults: sentences} of a fleet.

    ``hosts`` is {name: what unit_facts returned, with gpus of gpu_facts; {} when it was not reached}, ``registry`` what
    GET /fleet returned, None when nobody answered at ``asked``. Only over the ``whole`` fleet a worker
    that no host has is one too many.
    """
    rows, faults = [], []
    workers = None if registry is None else registry.get("workers", {})
    if workers is None:
        faults.append(f"{asked} does not say whom it knows: workers are shown without their state there.")
    reached = {host: found for host, found in hosts.items() if found}
    for host, found in hosts.items():
        if not found:
            rows.append({**dict.fromkeys(COLUMNS, ""), "host": host, "state": "not reached"})
            faults.append(f"{host} was not reached.")
            continue
        own, wrong = host_rows(host, found, workers)
        rows += own
        faults += wrong
    planned = {worker["url"] for found in reached.values() for worker in found["plan"].values()}
    if whole and len(reached) == len(hosts):
        faults += [
            f"{url} is registered ({entry['state']}) and is no host's here: POST {asked}/fleet/forget takes it out."
            for url, entry in sorted((workers or {}).items())
            if url not in planned
        ]
    faults += drifts(reached)
    return {"table": table(rows), "rows": rows, "faults": faults}


def status_answers(hostvars: Mapping, hosts: Iterable[str], workers: Collection[str]) -> dict[str, dict]:
    """Return {host: what it said}, as fleet_status takes it, from what playbooks/status.yml registered on each host.

    ``workers`` are the hosts of that group. A host that did not say which units it has is {}.
    """
    found = {}
    for host in hosts:
        said, gpus = hostvars[host].get("__status_units", {}), hostvars[host].get("__status_gpus", {})
        found[host] = {**said, "gpus": gpus, "worker": host in workers} if "units" in said else {}
    return found
