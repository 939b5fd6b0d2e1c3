"""Rules for the keys of a description, and the sentences about what breaks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]
Rule = tuple[bool, Check, str]  # whether it is required, the check, what is wanted


def text(value: Any) -> bool:
    """Return whether a value is text that says something."""
    return isinstance(value, str) and bool(value.strip())


def whole(value: Any) -> bool:
    """Return whether a value is a whole number above zero."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def mapping(value: Any) -> bool:
    """Return whether a value is a mapping with text for keys."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def faults_of(value: Any, rules: dict[str, Rule], where: str) -> list[str]:
    """Return one sentence for each key that is missing, unknown or has a wrong value."""
    if not mapping(value):
        return [f"{where} is {value!r}, wanted a mapping of {', '.join(rules)}."]
    faults = [
        f"{where}.{key} is unknown, there are {', '.join(rules)}: remove it." for key in value if key not in rules
    ]
    for key, (required, check, wanted) in rules.items():
        if key not in value:
            faults += [f"{where}.{key} is missing, wanted {wanted}: add it."] if required else []
        elif not check(value[key]):
            faults.append(f"{where}.{key} is {value[key]!r}, wanted {wanted}.")
    return faults
