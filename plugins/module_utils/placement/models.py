"""Which models a host serves, and which weights it must have room for."""

from __future__ import annotations

from collections.abc import Mapping


def models_of(variables: Mapping) -> list[str]:
    """Return the names of the models that a host serves: fastchat_models, or fastchat_model alone."""
    names = variables.get("fastchat_models") or [variables.get("fastchat_model")]
    return [names] if isinstance(names, str) else list(names)


def models_here(hostvars: Mapping, host: str, groups: Mapping) -> list[str]:
    """Return the models whose weights a host must have: what it serves; a builder has what any worker serves."""
    workers = list(groups.get("workers", []))
    asked = [host] if host in workers else []
    asked += workers if host in groups.get("builders", []) else []
    return list(dict.fromkeys(name for one in asked for name in models_of(hostvars[one])))


def models_room(models: list[dict], makes: bool) -> list[dict]:
    """Return [{weights_mb, disk: {path, mb, done}}] of some models' descriptions, as role preflight wants disks.

    Who ``makes`` a release has its sources beside it.
    """
    found = []
    for model in models:
        copies = 1 + (len(model["sources"]) if makes else 0)
        disk = {
            "path": "/srv/fastchat",
            "mb": int(model["weights_mb"] * copies * 1.05),
            "done": f"/srv/fastchat/models/{model['name']}/current",
        }
        found.append({"weights_mb": model["weights_mb"], "disk": disk})
    return found
