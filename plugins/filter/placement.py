"""Filters of placement: they read the data files, the decisions are in module_utils/placement."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.placement import models as served
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.hosts import OPTIONS, wish_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.models import models_here, models_of
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.plan import placement_plan

# Beside the plugins, in the project and in a collection that is built of it.
SPEC = Path(__file__).resolve().parents[2] / "roles" / "fastchat_worker" / "meta" / "argument_specs.yml"


def descriptions(names: list[str], folder: str) -> list[dict[str, Any]]:
    """Return the descriptions of some models from the directory that holds a file for each."""
    return [yaml.safe_load((Path(folder) / f"{name}.yml").read_text()) for name in names]


def models_room(names: list[str], folder: str, makes: bool) -> list[dict]:
    """Return the room on disk of some models, as ``models_room`` of module_utils says; ``folder`` describes them."""
    return served.models_room(descriptions(names, folder), makes)


@cache
def worker_options() -> dict[str, dict]:
    """Return the options of role fastchat_worker by name, as its argument spec has them."""
    return yaml.safe_load(SPEC.read_text())["argument_specs"]["main"]["options"]


def placement_options(prefix: str) -> list[str]:
    """Return the names of the variables of a role that placement_wish reads, beside fastchat_models."""
    return [prefix + name for name in OPTIONS]


def placement_wish(variables: Mapping, folder: str, memory_mb: int = 0) -> dict[str, Any]:
    """Return what a host's variables ask of placement_plan; ``folder`` is the directory of the models' descriptions.

    A variable that is not among them has the default of role fastchat_worker. ``memory_mb`` is the host's memory, 0 to
    look at none.
    """
    return wish_of(variables, worker_options(), descriptions(models_of(variables), folder), memory_mb)


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "models_here": models_here,
            "models_room": models_room,
            "models_served": models_of,
            "placement_options": placement_options,
            "placement_plan": placement_plan,
            "placement_wish": placement_wish,
        }
