"""Filters of stacks and environments: they read the files, the rules, the choice and the table are in module_utils."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.descriptions.stacks import (
    environment_file_faults,
    stack_file_faults,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.preflight import (
    preflight_refusal,
    preflight_table,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.health import gpu_notes
from ansible_collections.fastchat.fleet.plugins.module_utils.placement.stacks import (
    environment_reasons,
    resolve,
)


def stacks_read(folder: str) -> list[dict]:
    """Return every stack of a directory, sorted by file name."""
    return [yaml.safe_load(path.read_text()) for path in sorted(Path(folder).glob("*.yml"))]


def files_faults(folder: str, file_faults: Callable[[Any, str], list[str]]) -> list[str]:
    """Return what ``file_faults`` says of each description of a directory, and which file is no YAML."""
    faults = []
    for path in sorted(Path(folder).glob("*.yml")):
        try:
            faults += file_faults(yaml.safe_load(path.read_text()), path.stem)
        except yaml.YAMLError as error:
            faults.append(f"{path} is no YAML ({' '.join(str(error).split())}): correct it.")
    return faults


def stacks_faults(folder: str) -> list[str]:
    """Return one sentence for each fault of the stacks of a directory; [] when there is none."""
    return files_faults(folder, stack_file_faults)


def environments_faults(folder: str) -> list[str]:
    """Return one sentence for each fault of the environments of a directory; [] when there is none."""
    return files_faults(folder, environment_file_faults)


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "environment_reasons": lambda described, host: environment_reasons(described, dict(host)),
            "environments_faults": environments_faults,
            "gpu_notes": gpu_notes,
            "preflight_refusal": preflight_refusal,
            "preflight_table": preflight_table,
            "stack_resolve": lambda host, stacks, wish: dict(resolve(stacks, host, wish)),
            "stacks_faults": stacks_faults,
            "stacks_read": stacks_read,
        }
