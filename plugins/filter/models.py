"""Filters of the models' descriptions: they read the files, the rules are in module_utils/descriptions."""

from pathlib import Path

import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.descriptions.models import model_faults


def models_faults(names: list[str], folder: str) -> list[str]:
    """Return one sentence for each fault of models' descriptions; inventory_faults reports those without a file."""
    faults = []
    for name in dict.fromkeys(map(str, names)):
        path = Path(folder) / f"{name}.yml"
        if path.is_file():
            try:
                faults += model_faults(yaml.safe_load(path.read_text()), name)
            except yaml.YAMLError as error:
                faults.append(f"{path} is no YAML ({' '.join(str(error).split())}): correct it.")
    return faults


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {"models_faults": models_faults}
