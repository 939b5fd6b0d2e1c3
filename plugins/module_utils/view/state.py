"""Where a run stands: its phase, what each host does, and what was not told yet. Python >= 3.10."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = re.compile(r"^(?P<phase>[^|]{1,40}?) \| (?P<rest>.+)$", re.DOTALL)
REMARK = re.compile(r"\s+\([^()]*\)$")  # at the end of a task's name, where it would push what it is about away
USUAL = "FLEET_USUAL_SECONDS"  # in the environment: what such a run usually takes, from the command ``fleet``
WATCHED = 10  # hosts that are shown, and asked how far they are


@dataclass
class Work:
    """One task of one host: since when (monotonic seconds) it runs, and how far it is (see progress.py)."""

    task: str
    since: float
    note: str = ""  # an item, an attempt, where it runs
    figures: dict[str, Any] = field(default_factory=dict)
    command: bool = False  # a program and no module of ours, which would say itself how far it is
    told: float = 0.0  # when a pipe heard of it last


@dataclass
class News:
    """What was not told yet, so that hosts that have the same news can be told together."""

    kind: str  # change, message, failure, unreachable, handled
    host: str
    task: str
    what: Any  # (names, diff) of a change, text of a message, what a failure says
    key: str  # news of the same kind, task and key are the same
    at: float


@dataclass
class Run:
    """A run. Times are seconds of one monotonic clock."""

    phase: str = ""
    since: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)  # of the play
    working: dict[str, Work] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)  # hosts that have begun a task of the play
    news: list[News] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)  # {warning: hosts}
    failed: list[str] = field(default_factory=list)
    heard: set[str] = field(default_factory=set)  # hosts that have answered once
    usual: float = 0.0  # seconds that such a run usually takes, 0 where nobody knows


def split(name: str) -> tuple[str, str]:
    """Return (phase, rest) of a name such as ``Runtime | Build it (long)``: Runtime, Build it. The phase may be ''."""
    found = PREFIX.match(REMARK.sub("", name.strip()))
    return (found["phase"].strip(), found["rest"].strip()) if found else ("", REMARK.sub("", name.strip()))


def enter(run: Run, play: str, hosts: list[str], now: float) -> bool:
    """Begin a play; return whether a new phase begins with it."""
    phase = split(play)[0] or play.strip()
    leave(run, now)
    new = phase != run.phase
    run.phase, run.since, run.hosts = phase, now, list(hosts)
    run.begun = set()
    return new


def leave(run: Run, now: float) -> None:
    """Count the time of the play that ends."""
    if run.phase:
        run.seconds[run.phase] = run.seconds.get(run.phase, 0.0) + now - run.since
        run.since = now
    run.working.clear()


def usual_seconds(environ: Mapping[str, str]) -> float:
    """Return the seconds that a run usually takes, as the environment says it; 0 where it says nothing of use."""
    try:
        return max(0.0, float(environ.get(USUAL, "0")))
    except ValueError:
        return 0.0


def remaining(run: Run, now: float) -> float:
    """Return the seconds until a run usually ends; 0 where nobody knows, and when it takes longer than usual."""
    return max(0.0, run.usual - sum(run.seconds.values()) - (now - run.since))


def begin(run: Run, host: str, task: str, now: float, command: bool = False) -> None:
    """Take in that a host begins a task."""
    run.working[host] = Work(task, now, command=command, told=now)
    run.begun.add(host)


def end(run: Run, host: str) -> None:
    """Take in that a host has ended its task, whatever came of it."""
    run.working.pop(host, None)


def watched(run: Run) -> list[str]:
    """Return the hosts at work that are looked at: those that began first, in the play's order."""
    place = {host: number for number, host in enumerate(run.hosts)}
    first = sorted(run.working, key=lambda host: (run.working[host].since, place.get(host, 0)))[:WATCHED]
    return sorted(first, key=lambda host: place.get(host, 0))


def warn(run: Run, text: str, host: str = "") -> None:
    """Keep a warning for the end; the same one of many hosts is kept once."""
    hosts = run.warnings.setdefault(" ".join(text.split()), [])
    if host and host not in hosts:
        hosts.append(host)


def grouped(run: Run) -> list[tuple[list[str], News]]:
    """Return [(hosts, news)] of what was not told yet, the same news once; it counts as told.

    Tasks stand in the order in which they ran, and the hosts of each in the play's.
    """
    place = {host: number for number, host in enumerate(run.hosts)}
    tasks = list(dict.fromkeys((one.kind, one.task) for one in run.news))
    groups: dict[tuple[str, str, str], list[News]] = {}
    for one in sorted(run.news, key=lambda news: (tasks.index((news.kind, news.task)), place.get(news.host, 0))):
        groups.setdefault((one.kind, one.task, one.key), []).append(one)
    run.news = []
    return [(list(dict.fromkeys(one.host for one in group)), group[0]) for group in groups.values()]
