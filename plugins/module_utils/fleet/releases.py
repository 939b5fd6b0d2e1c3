"""Hosts compared: who runs another release or environment than most, and who can give a release to others."""

from __future__ import annotations

from collections import Counter


def kind_of(unit: str) -> str:
    """Return worker for fastchat-worker@0.service."""
    return unit.removeprefix("fastchat-").split(".")[0].split("@")[0]


def stack_of(environment: str) -> str:
    """Return cpu for cpu-0123456789ab."""
    return environment.rpartition("-")[0]


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
