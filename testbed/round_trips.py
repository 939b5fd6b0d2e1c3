"""Count the round trips of a run, and hold them against the budget in ``tests/data/round_trips.yml``."""

from pathlib import Path

import yaml

from testbed.paths import CLONE

BUDGET = CLONE / "tests" / "data" / "round_trips.yml"
CALLBACKS = CLONE / "testbed" / "callback"


def environment(output: Path) -> dict[str, str]:
    """Return the environment variables with which ansible-playbook counts and writes its counts to ``output``."""
    return {
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "round_trips",
        "FASTCHAT_FLEET_ROUND_TRIPS": str(output),
    }


def budget(of: str = "round_trips") -> dict[str, int]:
    """Return {group of hosts: round trips that a run with nothing to change may make on each of them}.

    ``of`` is what is run: round_trips for site.yml, monitoring for what it does more where a host is in monitors.
    """
    return yaml.safe_load(BUDGET.read_text())[of]


def over_budget(counts: dict[str, dict], kinds: dict[str, str], wanted: dict[str, int]) -> list[str]:
    """Return one sentence for each host above its budget, and for each that nothing was sent to.

    ``counts`` is ``hosts`` of the callback's file, ``kinds`` {host: group}, ``wanted`` {group: round trips}.
    """
    faults = []
    for host, kind in sorted(kinds.items()):
        count = counts.get(host, {"round_trips": 0, "tasks": {}})
        if count["round_trips"] == 0:
            faults.append(f"{host}: no round trip was counted, so the run did not reach it or the counter is broken.")
        elif count["round_trips"] > wanted[kind]:
            most = sorted(count["tasks"].items(), key=lambda item: -item[1])[:8]
            names = ", ".join(f"{number} x {name}" for name, number in most)
            faults.append(
                f"{host}: {count['round_trips']} round trips, wanted at most {wanted[kind]} for {kind}; most: {names}."
            )
    return faults
