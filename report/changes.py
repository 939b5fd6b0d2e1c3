"""What a run changed and where it failed, told once for all hosts to which the same happened."""

import difflib
import json
from collections.abc import Iterable

from report.timeline import spoken, state_of

MOST_LINES = 160
# A difference of fewer seconds than this is none.
LEAST = 0.1
# All diffs of a page together: a page stays small enough to be sent by mail.
MOST_SHOWN = 250_000


def text_of(value: object) -> list[str]:
    """Return one side of a diff as lines; some modules give data and not text."""
    if value in (None, "", {}, []):
        return []
    text = value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return text.splitlines()


def kind_of(line: str) -> str:
    """Return what a line of a unified diff is: add, del, hunk or same."""
    return {"+": "add", "-": "del", "@": "hunk"}.get(line[:1], "same")


def lines_of(diff: dict) -> list[tuple[str, str]]:
    """Return a diff as [(kind, line)], of at most ``MOST_LINES`` lines."""
    if diff.get("prepared"):
        lines = [line for line in text_of(diff["prepared"]) if not line.startswith(("---", "+++"))]
    else:
        unified = difflib.unified_diff(text_of(diff.get("before")), text_of(diff.get("after")), n=2, lineterm="")
        lines = list(unified)[2:]
    shown = [(kind_of(line), line) for line in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append(("hunk", f"… {len(lines) - MOST_LINES} more lines"))
    return shown


def headed(diff: dict) -> dict:
    """Return {header, lines, added, removed} of a diff."""
    lines = lines_of(diff)
    kinds = [kind for kind, _line in lines]
    header = str(diff.get("after_header") or diff.get("before_header") or "")
    return {"header": header, "lines": lines, "added": kinds.count("add"), "removed": kinds.count("del")}


def told(kept: dict) -> list[dict]:
    """Return what happened in a result, and in each item of its loop, as [{label, subject, msg, rc, output, diffs}]."""
    parts = kept.get("items") or [kept]
    return [
        {
            "label": part.get("label", ""),
            "subject": part.get("subject", ""),
            "msg": part.get("msg", ""),
            "rc": part.get("rc"),
            "output": part.get("stderr") or part.get("stdout") or "",
            "diffs": [headed(diff) for diff in part.get("diff", [])],
        }
        for part in parts
    ]


def without_host(value: object, host: str) -> str:
    """Return data as one text in which the host's own name is a placeholder, so that hosts can be compared."""
    return json.dumps(value, sort_keys=True).replace(host, "\N{BULLET}")


def grouped(run: dict, states: Iterable[str]) -> list[dict]:
    """Return [{name, phase, path, line, state, hosts, variants, added, removed}] of a run's results in these states.

    ``variants`` are [{hosts, parts, left_out}]: what happened alike on some hosts, but for their names. It is shown as
    it was on the first of them. ``added`` and ``removed`` count the lines of all diffs.
    """
    groups: dict[tuple, dict] = {}
    for result in run["results"]:
        state = state_of(result)
        if state not in states:
            continue
        task = run["tasks"][result["task"]]
        told_of = {key: task[key] for key in ("name", "phase", "path", "line")}
        group = groups.setdefault((result["task"], state), told_of | {"state": state, "hosts": [], "variants": {}})
        group["hosts"].append(result["host"])
        alike = without_host(result["kept"], result["host"])
        variant = group["variants"].setdefault(alike, {"hosts": [], "kept": result["kept"]})
        variant["hosts"].append(result["host"])
    left = MOST_SHOWN
    for group in groups.values():
        variants = sorted(group["variants"].values(), key=lambda variant: -len(variant["hosts"]))
        group["variants"] = []
        for variant in variants:
            left -= len(json.dumps(variant["kept"]))
            # The parts of a variant for which there is no room are left out, and the page says so.
            parts = told(variant["kept"]) if left > 0 else []
            group["variants"].append({"hosts": variant["hosts"], "parts": parts, "left_out": left <= 0})
        lines = [diff for variant in group["variants"] for part in variant["parts"] for diff in part["diffs"]]
        group["added"] = sum(diff["added"] for diff in lines)
        group["removed"] = sum(diff["removed"] for diff in lines)
    return list(groups.values())


def slowest(run: dict, most: int = 12) -> list[dict]:
    """Return the tasks that took longest as [{name, seconds, spoken, share, hosts, middle, longest, slowest}].

    The longest comes first. ``seconds`` is from its first start to its last end, ``middle`` the median of its hosts,
    ``slowest`` the host that needed longest, which is ``longest``.
    """
    results: dict[int, list[dict]] = {}
    for result in run["results"]:
        results.setdefault(result["task"], []).append(result)
    tasks = []
    for task, done in results.items():
        took = sorted(done, key=lambda result: result["to"] - result["from"])
        seconds = max(result["to"] for result in done) - min(result["from"] for result in done)
        middle, longest = took[len(took) // 2], took[-1]
        tasks.append(
            {
                "name": run["tasks"][task]["name"],
                "seconds": seconds,
                "spoken": spoken(seconds),
                "hosts": len(done),
                "middle": middle["to"] - middle["from"],
                "longest": longest["to"] - longest["from"],
                "slowest": longest["host"],
            }
        )
    tasks.sort(key=lambda task: -task["seconds"])
    widest = tasks[0]["seconds"] if tasks else 1.0
    return [task | {"share": 100 * task["seconds"] / (widest or 1.0)} for task in tasks[:most]]


def compared(now: dict, then: dict | None) -> dict:
    """Return {phases, tasks: [{name, phase, now, then}], same, came, went} of a run and the one before.

    ``phases`` are [{phase, now, then, now_share, then_share: percent, difference, slower}]. ``tasks`` are those that
    changed something in one of both; ``now`` and ``then`` are numbers of hosts.
    """
    times = [phase_times(run) for run in (now, then) if run]
    names = list(dict.fromkeys(name for run in reversed(times) for name in run))
    names.sort(key=lambda name: list(times[0]).index(name) if name in times[0] else len(names))
    widest = max((seconds for run in times for seconds in run.values()), default=1.0) or 1.0
    phases = []
    for name in names:
        new, old = (run.get(name) for run in (times[0], times[1] if then else {}))
        phases.append(
            {
                "phase": name,
                "now": spoken(new or 0.0) if new is not None else "not run",
                "then": spoken(old) if old is not None else "",
                "now_share": 100 * (new or 0.0) / widest,
                "then_share": 100 * (old or 0.0) / widest,
                "difference": difference(new, old),
                "slower": bool(new and old and new > old),
            }
        )
    changed = [changed_hosts(run) for run in (now, then) if run]
    before = changed[1] if then else {}
    tasks = [
        {"name": name, "phase": phase, "now": changed[0].get((phase, name), 0), "then": before.get((phase, name), 0)}
        for phase, name in dict.fromkeys([*changed[0], *before])
    ]
    hosts = [{host["name"] for host in run["hosts"]} for run in (now, then) if run]
    return {
        "phases": phases,
        "tasks": [task for task in tasks if task["now"] != task["then"]],
        "same": sum(1 for task in tasks if task["now"] == task["then"]),
        "came": sorted(hosts[0] - hosts[1]) if then else [],
        "went": sorted(hosts[1] - hosts[0]) if then else [],
    }


def phase_times(run: dict) -> dict[str, float]:
    """Return {phase: seconds} of a run, in its order."""
    times: dict[str, float] = {}
    for play in run["plays"]:
        times[play["phase"]] = times.get(play["phase"], 0.0) + play["to"] - play["from"]
    return times


def difference(new: float | None, old: float | None) -> str:
    """Return how much longer or shorter something took, in words; empty when that is less than a tenth of a second."""
    if new is None or old is None or abs(new - old) < LEAST:
        return ""
    return f"{'+' if new > old else '−'}{spoken(abs(new - old))}"


def changed_hosts(run: dict) -> dict[tuple[str, str], int]:
    """Return {(phase, task): number of hosts that it changed}."""
    counts: dict[tuple[str, str], int] = {}
    for result in run["results"]:
        if state_of(result) == "changed":
            task = run["tasks"][result["task"]]
            key = (task["phase"], task["name"])
            counts[key] = counts.get(key, 0) + 1
    return counts
