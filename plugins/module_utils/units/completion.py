"""The keys of a unit as a role gives it to role fastchat_service, and their defaults."""

from __future__ import annotations

DEFAULTS = {
    "environment": {},
    "follows": [],
    "env": "/opt/fastchat/env",
    "programs": [],
    "wait_for": "",
    "memory_limit": "infinity",
    "gpu": False,
    "stop_seconds": 90,
    "stop": [],
    "stopped": [],
    "cpus": "",
    "socket": "",
}
REQUIRED = ("name", "description", "command", "gates")


def completed_units(units: list[dict]) -> list[dict]:
    """Return units with every key that their templates read; ValueError for a key that is missing or unknown.

    ``follows`` of the result has the environment's own link first.
    """
    completed = []
    for unit in units:
        missing = [name for name in REQUIRED if name not in unit]
        unknown = sorted(set(unit) - {*REQUIRED, *DEFAULTS})
        if missing or unknown:
            raise ValueError(
                f"unit {unit.get('name', 'without a name')} lacks {missing} and has the unknown keys {unknown};"
                f" wanted {list(REQUIRED)} and of {sorted(DEFAULTS)} what it needs."
            )
        unit_in_full = {**DEFAULTS, **unit}
        follows = list(dict.fromkeys([unit_in_full["env"], *unit_in_full["follows"]]))
        completed.append({**unit_in_full, "follows": follows, "stop_seconds": int(unit_in_full["stop_seconds"])})
    return completed
