"""Filters of the operations: the fleet as one table, and a sentence for each thing that is not well."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

OLD_SECONDS = 300  # the probe runs every 15 s
COLUMNS = ("host", "unit", "state", "environment", "release", "controller", "queue", "probe", "gpu")
WELL = {"controller": ("", "serving"), "probe": ("", "good", "loading")}


def kind_of(unit: str) -> str:
    """Return worker for fastchat-worker@0.service."""
    return unit.removeprefix("fastchat-").split(".")[0].split("@")[0]


def short(unit: str) -> str:
    """Return worker@0 for fastchat-worker@0.service; other kinds of units keep theirs."""
    return unit.removeprefix("fastchat-").removesuffix(".service")


def stack_of(environment: str) -> str:
    """Return cpu for cpu-0123456789ab."""
    return environment.rpartition("-")[0]


def should_run(unit: dict) -> bool:
    """Return whether a unit is meant to be up all the time; one without [Install] (static) is started by others."""
    return unit["enabled"] != "static"


def gpu_words(gpus: dict, wanted: list[int]) -> str:
    """Return "3 GiB of 32, 1 of 32" of the GPUs with these numbers."""
    cards = [gpus["gpus"][index] for index in wanted if index < len(gpus.get("gpus", []))]
    return ", ".join(f"{card.get('memory_used_mb') or 0} of {card.get('memory_mb') or 0} MiB" for card in cards)


def gpu_faults(host: str, gpus: dict) -> list[str]:
    """Return one sentence for each fault that the driver reports of a GPU."""
    faults = [f"{host}: {gpus['fault']}"] if gpus.get("fault") else []
    for index, card in enumerate(gpus.get("gpus", [])):
        retired, rows = card.get("retired_pages") or {}, card.get("remapped_rows") or {}
        errors = (card.get("ecc_uncorrected") or {}).get("volatile") or 0
        name = f"{host}: GPU {index} ({card.get('bus', '')})"
        if errors:
            faults.append(f"{name} had {errors} memory errors that ECC could not correct since the driver was loaded.")
        if retired.get("pending") or rows.get("pending"):
            faults.append(f"{name} waits for a reset to take bad memory out of use: reboot the host.")
        if rows.get("failed"):
            faults.append(f"{name} could not remap bad memory: have it replaced.")
    return faults


def unit_faults(host: str, unit: dict) -> list[str]:
    """Return one sentence for each thing that is wrong with a unit by itself."""
    name, runs, written = f"{host}: {unit['name']}", unit["runs"], unit["written"]
    if not unit["loaded"]:
        return [f"{name} is not known to systemd there: run serve.yml."]
    if unit["state"] != "active":
        why = f", {unit['result']}" if unit["result"] not in ("", "success") else ""
        return [f"{name} is {unit['state']} ({unit['sub']}{why}), wanted active: read its journal, or start it."]
    faults = (
        [] if unit["enabled"] == "enabled" else [f"{name} is {unit['enabled']}: it would not come back after a reboot."]
    )
    if runs["digest"] and runs["digest"] != written["digest"]:
        faults.append(f"{name} runs with other settings than those that are written for it: run rolling_update.yml.")
    for what, where in (("env", "environment"), ("release", "release")):
        if runs[what] and runs[what] != written[what]:
            faults.append(
                f"{name} runs {where} {runs[what]}, the link says {written[what] or 'nothing'}: run rolling_update.yml."
            )
    return faults


def worker_faults(row: dict, name: str, known: dict, probe: dict, clock: int) -> list[str]:
    """Return one sentence for each thing that controller and probe say against a worker."""
    faults, host = [], row["host"]
    if row["controller"] not in WELL["controller"]:
        why = f" ({known['why']})" if known.get("why") else ""
        faults.append(f"{host}: {name} is {row['controller']} for its controller{why}, wanted serving.")
    if probe.get("state", "") not in WELL["probe"]:
        faults.append(f"{host}: the probe of {name} says {probe['state']}: {probe.get('said') or 'nothing more'}.")
    elif probe and clock - probe.get("at", clock) > OLD_SECONDS:
        faults.append(f"{host}: {name} was asked last {clock - probe['at']} s ago: look at fastchat-probe.")
    return faults


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
            unit=short(name),
            state=unit["state"] if unit["state"] == "active" else f"{unit['state']} ({unit['sub']})",
            environment=unit["runs"]["env"],
            release=" ".join(part for part in (unit["runs"]["model"], unit["runs"]["release"]) if part),
        )
        faults += unit_faults(host, unit)
        if worker:
            row["controller"] = "?" if registry is None else known.get("state", "not registered")
            row["queue"] = str(known.get("queue_length", ""))
            row["probe"] = probe.get("state", "")
            row["gpu"] = gpu_words(gpus, worker.get("gpus", []))
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


def drifts(hosts: dict) -> list[str]:
    """Return one sentence for each process that has another release or environment than most of its kind.

    Releases are compared by model, environments by kind of unit and stack: a fleet may have several of these.
    """
    having: dict[tuple, list[tuple[str, str]]] = {}
    for host, found in hosts.items():
        for unit in found["units"]:
            runs, name = unit["runs"], f"{host}: {unit['name']}"
            if runs["release"]:
                having.setdefault(("release", runs["model"], ""), []).append((name, runs["release"]))
            if runs["env"]:
                group = ("environment", kind_of(unit["name"]), stack_of(runs["env"]))
                having.setdefault(group, []).append((name, runs["env"]))
    faults = []
    for (what, of, _stack), members in sorted(having.items()):
        counted = Counter(value for _name, value in members).most_common()
        if len(counted) == 1:
            continue
        most, number = counted[0]
        if counted[1][1] == number:
            said = " and ".join(f"{value} ({count})" for value, count in sorted(counted))
            faults.append(f"The {what}s of {of} differ, and no one has the most: {said}.")
        else:
            faults += [
                f"{name} runs {what} {value}, {number} of {len(members)} ({of}) run {most}."
                for name, value in members
                if value != most
            ]
    return faults


def table(rows: list[dict]) -> list[str]:
    """Return the lines of a table; columns in which nobody has anything are left out."""
    columns = [name for name in COLUMNS if any(row[name] for row in rows)]
    lines = [[name.upper() for name in columns], *([row[name] or "-" for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


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


def release_peers(asked: list[dict], models: list[str]) -> dict[str, dict]:
    """Return {model: {host, release}}: who can give the release that most have; nothing for a model that nobody has.

    ``asked`` are the results of unit_facts in a loop over hosts; one that runs workers goes before one that does not.
    """
    found = {}
    for model in models:
        having = [
            (not entry["plan"], entry["item"], entry["models"][model]["current"])
            for entry in asked
            if entry.get("models", {}).get(model, {}).get("current")
        ]
        if having:
            most = Counter(release for _idle, _host, release in having).most_common(1)[0][0]
            found[model] = {"host": min(entry for entry in having if entry[2] == most)[1], "release": most}
    return found


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"fleet_status": fleet_status, "release_peers": release_peers, "status_answers": status_answers}
