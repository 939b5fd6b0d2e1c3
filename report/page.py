"""One run as one page of HTML that loads nothing: what it holds, and how it is written."""

from base64 import b64encode
from collections import Counter
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from report import runs
from report.changes import compared, difference, grouped, slowest
from report.collection import files
from report.store import opened
from report.timeline import spoken, timeline, worst_of

TEMPLATES = Path(__file__).with_name("templates")
# With more hosts than this, the fleet and its hosts are shown as tiles first and as a table on demand.
FEW = 12
SHOWN_HOSTS = 8
GOOD = {"state": ("active", "no services"), "controller": ("serving", "-", ""), "probe": ("good", "-", "")}


def report(database: Path, out: Path, run: int | None = None) -> Path:
    """Write the page of a run (the newest for None) of a ledger's database, and return where it is.

    Raises FileNotFoundError when there is no ledger, LookupError when there is no such run, django.db.DatabaseError
    when the ledger can not be read, OSError when the page can not be written. A page that was there stays until the new
    one is whole.
    """
    opened(Path(database))
    now = runs.chosen(run)
    earlier = runs.before(now)
    page = rendered(runs.read(now), runs.read(earlier) if earlier else None, runs.last_state(now), runs.listed())
    # It shows a fleet's inside, so it is its owner's alone.
    files.write(str(out), page.encode(), mode=0o600, durable=False)
    return Path(out)


def rendered(run: dict, earlier: dict | None, state: dict | None, others: list[dict]) -> str:
    """Return the page of a run: see ``runs.read``, ``runs.last_state`` and ``runs.listed`` for what it is made from."""
    found = FileSystemLoader(TEMPLATES)
    world = Environment(loader=found, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    world.filters |= {"spoken": spoken, "when": when, "few": few}
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = b64encode(sha256(script.encode()).digest()).decode()
    return world.get_template("page.html.j2").render(
        style=Markup(style),  # noqa: S704  # both are files of ours
        script=Markup(script),  # noqa: S704
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{policy}'",
        **content(run, earlier, state, others),
    )


def content(run: dict, earlier: dict | None, state: dict | None, others: list[dict]) -> dict:
    """Return everything that the template shows."""
    worst, seconds = worst_of(run), busy(run)
    return {
        "run": run,
        "earlier": earlier,
        "headline": headline(run),
        "tone": tone(run),
        "counts": counts(run),
        "faster": difference(run["seconds"], earlier["seconds"])[1:] if earlier else "",
        "slower": bool(earlier and run["seconds"] > earlier["seconds"]),
        "command": command(run),
        "timeline": timeline(run) if run["results"] else None,
        "failures": grouped(run, ("failed", "unreachable")),
        "changes": grouped(run, ("changed",)),
        "slowest": slowest(run),
        "compared": compared(run, earlier),
        "fleet": fleet(state, run),
        "verdicts": verdicts(run),
        "hosts": [
            {**host, "worst": worst.get(host["name"], "ok"), "busy": seconds.get(host["name"], 0.0)}
            for host in run["hosts"]
        ],
        "few_hosts": len(run["hosts"]) <= FEW,
        "warnings": runs.warnings_of(run["tasks"].values()),
        "others": [other for other in others if other["id"] != run["id"]][:8],
    }


def when(moment: datetime) -> str:
    """Return a moment in the control node's time: 25 Nov 2026, 14:05."""
    local = moment.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M}"


def few(names: list[str]) -> dict:
    """Return names as {first, rest}: the first few, and those that are shown on demand."""
    shown = len(names) if len(names) <= SHOWN_HOSTS + 2 else SHOWN_HOSTS
    return {"first": names[:shown], "rest": names[shown:]}


def counts(run: dict) -> dict:
    """Return the numbers of hosts by what happened to them, and of tasks."""
    hosts = run["hosts"]
    return {
        "hosts": len(hosts),
        "changed": sum(1 for host in hosts if host["changed"]),
        "failed": sum(1 for host in hosts if host["failed"]),
        "unreachable": sum(1 for host in hosts if host["unreachable"]),
        "tasks": len({result["task"] for result in run["results"]}),
    }


def plural(number: int, word: str) -> str:
    """Return a number with its word."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def headline(run: dict) -> str:
    """Return the run in one sentence."""
    found = counts(run)
    all_of = plural(found["hosts"], "host")
    if found["failed"] or found["unreachable"]:
        parts = [f"{found['failed']} failed"] if found["failed"] else []
        parts += [f"{found['unreachable']} not reached"] if found["unreachable"] else []
        return f"{' and '.join(parts)}, of {all_of}"
    if run["status"] == "expired":
        return f"Stopped before its end, on {all_of}"
    if run["status"] == "failed":
        return f"Failed, on {all_of}"
    would = "would change" if run["arguments"].get("check") else "changed"
    if found["changed"]:
        return f"{found['changed']} of {all_of} {would}" if found["hosts"] > 1 else f"{run['hosts'][0]['name']} {would}"
    return f"Nothing {'would change' if would != 'changed' else 'changed'}, on {all_of}"


def tone(run: dict) -> str:
    """Return how a run ended, as the page colours it: failed, expired, changed or ok."""
    if run["status"] in ("failed", "expired"):
        return run["status"]
    return "changed" if counts(run)["changed"] else "ok"


def command(run: dict) -> str:
    """Return the options that the run was given, as far as the ledger keeps them."""
    parts = []
    for name, value in run["arguments"].items():
        option = "--limit" if name == "subset" else f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [value]
        if name == "verbosity":
            parts.append(f"-{'v' * int(value)}")
        elif name == "tags" and values == ["all"]:
            continue
        elif value is True:
            parts.append(option)
        else:
            parts += [f"{option} {part}" for part in values]
    return " ".join(parts)


def busy(run: dict) -> dict[str, float]:
    """Return {host: the seconds in which it had a task}."""
    seconds: dict[str, float] = {}
    for result in run["results"]:
        seconds[result["host"]] = seconds.get(result["host"], 0.0) + result["to"] - result["from"]
    return seconds


def health(row: dict) -> str:
    """Return how a row of ``playbooks/status.yml`` is coloured: good, fair or bad."""
    if row.get("state", "") not in GOOD["state"]:
        return "bad"
    return "good" if all(str(row.get(key, "")) in GOOD[key] for key in ("controller", "probe")) else "fair"


def fleet(state: dict | None, run: dict) -> dict | None:
    """Return {hosts, tally, columns, rows, faults, at, run, old} of a state.

    ``hosts`` are [{name, health, units: [{health, title}]}].
    """
    if not state or not state["rows"]:
        return None
    columns = [name for name in state["rows"][0] if any(row.get(name) for row in state["rows"])]
    hosts: dict[str, list[dict]] = {}
    for row in state["rows"]:
        title = ", ".join(f"{name} {row[name]}" for name in columns if row.get(name) not in ("", "-", None))
        hosts.setdefault(str(row.get("host", "")), []).append({"health": health(row), "title": title})
    order = ("good", "fair", "bad")
    tiles = [
        {"name": name, "health": max((unit["health"] for unit in units), key=order.index), "units": units}
        for name, units in hosts.items()
    ]
    return {
        "hosts": tiles,
        "tally": Counter(tile["health"] for tile in tiles),
        "columns": columns,
        "rows": [{"cells": [row.get(name, "") for name in columns], "health": health(row)} for row in state["rows"]],
        "faults": state["faults"] if isinstance(state["faults"], list) else [state["faults"]],
        "at": state["at"],
        "run": state["run"],
        "old": state["run"] != run["id"],
    }


def verdicts(run: dict) -> list[dict]:
    """Return [{msg, good, hosts}] of what ``verify`` said in a run: the assertions called a verdict."""
    said: dict[tuple[str, bool], list[str]] = {}
    for result in run["results"]:
        task = run["tasks"][result["task"]]
        if task["action"].endswith("assert") and "verdict" in task["name"].lower() and result["kept"].get("msg"):
            said.setdefault((result["kept"]["msg"], result["status"] == "ok"), []).append(result["host"])
    return [{"msg": msg, "good": good, "hosts": hosts} for (msg, good), hosts in said.items()]
