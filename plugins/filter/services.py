"""Filters of fastchat_service: a unit's description, completed and checked."""

from ansible.errors import AnsibleFilterError

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


def service_units(units: list[dict]) -> list[dict]:
    """Return units with every key that their templates read; AnsibleFilterError for a key that is missing or unknown.

    ``follows`` of the result has the environment's own link first.
    """
    found = []
    for unit in units:
        missing = [name for name in REQUIRED if name not in unit]
        unknown = sorted(set(unit) - {*REQUIRED, *DEFAULTS})
        if missing or unknown:
            raise AnsibleFilterError(
                f"unit {unit.get('name', 'without a name')} lacks {missing} and has the unknown keys {unknown};"
                f" wanted {list(REQUIRED)} and of {sorted(DEFAULTS)} what it needs."
            )
        whole = {**DEFAULTS, **unit}
        follows = list(dict.fromkeys([whole["env"], *whole["follows"]]))
        found.append({**whole, "follows": follows, "stop_seconds": int(whole["stop_seconds"])})
    return found


def cpu_list(cpus: str) -> str:
    """Return "0 1 2 8" for "0-2,8": systemd 219 knows no ranges in CPUAffinity=."""
    found: list[int] = []
    for part in str(cpus).replace(",", " ").split():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return " ".join(map(str, found))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict:
        """Return the filters by the names that roles use."""
        return {"service_units": service_units, "cpu_list": cpu_list}
