"""What a task's result says that it changed: files, units, packages. Python >= 3.10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The keys that name what a module worked on; in the result itself first, then in the arguments that it returns.
NAMES = ("dest", "path", "unit", "name", "key", "repo")


def names_of(result: Mapping[str, Any], labels: Sequence[str] = ()) -> list[str]:
    """Return the names of what a result changed, each once; ``labels`` are a loop's items that changed."""
    if result.get("changes"):
        return unique(said(change) for change in listed(result["changes"]))
    items = [item for item in listed(result.get("results")) if isinstance(item, Mapping)]
    if items and labels:
        changed = [item for item in items if item.get("changed")]
        return unique(name for item in changed for name in names_of(item)) or unique(labels)
    for source in (result, (result.get("invocation") or {}).get("module_args") or {}):
        for key in NAMES:
            value = source.get(key)
            if isinstance(value, str) and value:
                return [value]
            if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
                return unique(value)
    return []


def listed(value: Any) -> list[Any]:
    """Return a list as it is, nothing as an empty one, and anything else as a list of one."""
    return value if isinstance(value, list) else [] if value is None else [value]


def said(change: Any) -> str:
    """Return one change as text: a text as it is, of a mapping its name and what was done to it."""
    if not isinstance(change, Mapping):
        return str(change)
    name = next((str(change[key]) for key in (*NAMES, "file") if change.get(key)), "")
    what = next((str(change[key]) for key in ("what", "change", "action", "state") if change.get(key)), "")
    return f"{name} ({what})" if name and what else name or what or str(dict(change))


def unique(names: Any) -> list[str]:
    """Return texts in their order, each once."""
    return list(dict.fromkeys(str(name) for name in names))
