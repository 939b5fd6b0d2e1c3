"""Count the cost of a fault: pure functions from observations to one row of the table.

A *record* is a request (see ``load.py``), a *look* what the controller said at a moment (see ``watch.py``); *marks* are
the moments of the fault: ``began``, ``lifted`` (by whoever made it: a host is switched on again; the same moment where
a fault is over at once) and ``in_flight``, the requests that the worker was writing then. Times are monotonic seconds.
"""

from collections import Counter
from typing import Any

Record = dict[str, Any]
Look = dict[str, Any]

ELSEWHERE_SECONDS = 2.0  # within these after a worker's death the next request goes to another one
GOALS = {
    "none": "no request is lost",
    "own": "no more is lost than the worker was writing, and after 2 s nothing",
    "recovers": "it recovers by itself",
}


def is_whole(look: Look, before: Look) -> bool:
    """Return whether a look shows the same workers serving and the same API servers answering as before the fault."""
    if look["workers"] is None:
        return False
    serving = {url for url, state in (before["workers"] or {}).items() if state == "serving"}
    answering = {url for url, does in before["apis"].items() if does}
    return all(look["workers"].get(url) == "serving" for url in serving) and all(look["apis"].get(u) for u in answering)


def lost(records: list[Record]) -> list[Record]:
    """Return the requests without a complete answer."""
    return [one for one in records if one["outcome"] != "answered"]


def whole_again(looks: list[Look], before: Look, lifted: float) -> float | None:
    """Return when, after the fault was lifted, the fleet began to be whole and stayed so; None when it is not.

    It counts from the first look that saw the fleet whole.
    """
    since = None
    for look in looks:
        if not is_whole(look, before):
            since = None
        elif since is None:
            since = look["at"]
    return None if since is None else max(since, lifted)


def recovery(records: list[Record], looks: list[Look], before: Look, marks: dict[str, float]) -> float | None:
    """Return the seconds from the fault's end until the fleet was whole and had answered a request sent after it."""
    since = whole_again(looks, before, marks["lifted"])
    if since is None:
        return None
    answers = [
        one["ended"]
        for one in records
        if one["outcome"] == "answered" and one["began"] >= marks["began"] and one["ended"] >= since
    ]
    return min(answers) - marks["lifted"] if answers else None


def longest_gap(records: list[Record]) -> float:
    """Return the longest time in which nobody got an answer."""
    ends = sorted(one["ended"] for one in records if one["outcome"] == "answered")
    begin, end = min(one["began"] for one in records), max(one["ended"] for one in records)
    moments = [begin, *ends, end]
    return max(later - earlier for earlier, later in zip(moments, moments[1:], strict=False))


def reasons(records: list[Record], began: float) -> list[str]:
    """Return why requests were lost: their number, when they began and ended by the fault's clock, and their errors."""
    kinds: dict[tuple[str, str], list[Record]] = {}
    for one in lost(records):
        kinds.setdefault((one["kind"], one["error"]), []).append(one)
    found = []
    for (kind, error), some in sorted(kinds.items(), key=lambda item: min(one["began"] for one in item[1])):
        times = ", ".join(f"{one['began'] - began:+.1f}…{one['ended'] - began:+.1f} s" for one in some[:4])
        more = ", …" if len(some) > 4 else ""  # noqa: PLR2004
        found.append(f"{len(some)} {kind} ({times}{more}): {error}")
    return found


def missed(row: dict[str, Any], goal: str, deadline: float) -> list[str]:
    """Return one sentence for each goal that a row misses."""
    found = []
    if row["recovery"] is None:
        found.append(f"It had not recovered after {deadline:.0f} s.")
    elif row["recovery"] > deadline:
        found.append(f"It recovered after {row['recovery']:.0f} s, wanted within {deadline:.0f} s.")
    if goal == "none" and row["lost"]:
        found.append(f"{row['lost']} requests were lost, wanted none.")
    if goal == "own" and row["lost"] > row["in_flight"]:
        found.append(f"{row['lost']} requests were lost, and the worker was writing {row['in_flight']}.")
    if goal == "own" and row["lost_later"]:
        found.append(f"{row['lost_later']} requests were lost that began {ELSEWHERE_SECONDS:.0f} s after it.")
    return found


def row(records: list[Record], looks: list[Look], before: Look, marks: dict[str, float]) -> dict[str, Any]:
    """Return the counts and measurements of a fault."""
    counts = Counter(one["outcome"] for one in records)
    gone = lost(records)
    later = [one for one in gone if one["began"] > marks["began"] + ELSEWHERE_SECONDS]
    again = recovery(records, looks, before, marks)
    return {
        "sent": len(records),
        "answered": counts["answered"],
        "failed": counts["failed"],
        "truncated": counts["truncated"],
        "lost": len(gone),
        "lost_under_way": sum(one["began"] <= marks["began"] for one in gone),
        "lost_later": len(later),
        "in_flight": int(marks.get("in_flight", 0)),
        "last_loss": round(max(one["began"] for one in gone) - marks["began"], 1) if gone else None,
        "held": round(marks["lifted"] - marks["began"], 1),
        "recovery": None if again is None else round(again, 1),
        "gap": round(longest_gap(records), 1) if records else None,
        "reasons": reasons(records, marks["began"]),
    }
