"""Filters of the fleet: they read the project's files, what they say is in module_utils/fleet."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet import inventory
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.addresses import api_url, controller_url, own_address
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.losses import hosts_lost
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.preflight import preflight_faults
from ansible_collections.fastchat.fleet.plugins.module_utils.fleet.sentences import counted
from ansible_collections.fastchat.fleet.plugins.module_utils.units.settings import digest_of


def dict_kept(whole: dict, names: list[str]) -> dict:
    """Return a copy of a dict with only these keys."""
    return {name: whole[name] for name in names}


@cache
def known_variables(root: Path) -> dict[str, set[str]]:
    """Return {role: its public variables} from the argument specs of a project's roles.

    What playbooks read, those of single tasks by -e among them, stands under ``playbooks``.
    """
    specs = {path.parts[-3]: yaml.safe_load(path.read_text()) for path in root.glob("roles/*/meta/argument_specs.yml")}
    known = {role: set(spec["argument_specs"]["main"]["options"]) for role, spec in specs.items()}
    playbooks = yaml.safe_load((root / "playbooks" / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return known | {"playbooks": set().union(*(spec["options"] for spec in playbooks.values()))}


def inventory_faults(variables: dict, root: str) -> list[str]:
    """Return one sentence for each fault of a host's variables that needs no host to be seen; [] when there is none.

    ``groups`` are among the variables; ``root`` is the project's directory.
    """
    files = Path(root) / "files"
    stack = files / "stacks" / f"{variables.get('fastchat_stack')}.yml"
    project = {
        "stacks": sorted(path.stem for path in (files / "stacks").glob("*.yml")),
        "models": sorted(path.stem for path in (files / "models").glob("*.yml")),
        "stack": yaml.safe_load(stack.read_text()) if stack.is_file() else {},
        "roles": known_variables(Path(root)),
    }
    return inventory.inventory_faults(variables, project)


def inventory_report(hostvars: Mapping, hosts: list[str], root: str) -> list[str]:
    """Return the faults of several hosts' variables, each sentence once and with its hosts."""
    return counted({host: inventory_faults(hostvars[host], root) for host in hosts})


class FilterModule:
    """Names for templates."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "api_url": api_url,
            "controller_url": controller_url,
            "dict_kept": dict_kept,
            "input_digest": digest_of,
            "hosts_lost": hosts_lost,
            "inventory_report": inventory_report,
            "own_address": own_address,
            "preflight_faults": preflight_faults,
        }
