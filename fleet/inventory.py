"""Which inventory a run takes, and which hosts of it: what Ansible itself says, asked in this process."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from fleet.paths import CLONE

# What decides where a name leads. An ssh configuration file can lead the same name to two machines.
ADDRESS = ("ansible_host", "ansible_port", "ansible_connection", "ansible_ssh_common_args")
LOCAL = ("local",)


class Unusable(Exception):
    """There is no inventory, or it can not be read; the text says what to do."""


@dataclass(frozen=True)
class Host:
    """A host of the inventory: its name, and the name of its lock, which goes by its address."""

    name: str
    lock: str


def configuration() -> str:
    """Return the ansible.cfg of a run: ANSIBLE_CONFIG, else the project's."""
    return os.environ.get("ANSIBLE_CONFIG") or str(CLONE / "ansible.cfg")


def setting(name: str) -> list[str]:
    """Return a setting of Ansible that is a list, by environment and ansible.cfg; empty where it has its default."""
    from ansible.config.manager import ConfigManager  # noqa: PLC0415  (completion must not wait for Ansible)

    value, origin = ConfigManager(configuration()).get_config_value_and_origin(name)
    return [] if origin == "default" else [str(each) for each in value]


def chosen(given: list[str]) -> list[str]:
    """Return the inventories of a run: those given, else FLEET_INVENTORY's, else those of Ansible's own settings.

    Paths come back absolute; ``a,b`` is a list of hosts and stays. Raises Unusable.
    """
    named = given or [part for part in os.environ.get("FLEET_INVENTORY", "").split(os.pathsep) if part]
    if not named:
        named = setting("DEFAULT_HOST_LIST")
    if not named:
        raise Unusable(
            "No inventory was named. Give -i inventory/NAME, set FLEET_INVENTORY, or set 'inventory' in ansible.cfg; "
            "inventory/example is there to copy."
        )
    absent = [source for source in named if "," not in source and not Path(source).expanduser().exists()]
    if absent:
        raise Unusable(f"The inventory {absent[0]} does not exist. Give the path of a file or directory with -i.")
    return [source if "," in source else str(Path(source).expanduser().absolute()) for source in named]


def lock_name(name: str, variables: dict[str, object], sources: list[str]) -> str:
    """Return the name of a host's lock: what people read, and a digest of its address.

    A template can mean something else in each inventory, so then the inventory is part of the address.
    """
    address = [str(variables.get("ansible_host") or name), *(str(variables.get(key, "")) for key in ADDRESS[1:])]
    if any("{{" in part for part in address):
        address += sources
    words = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    shown = "" if variables.get("ansible_host") else f"{words[:60]}-"
    return f"{shown}{hashlib.sha256(json.dumps(address).encode()).hexdigest()[:16]}"


def hosts_of(sources: list[str], limit: str | None) -> list[Host]:
    """Return the hosts of inventories that a limit leaves. Raises Unusable where there is none or Ansible refuses."""
    from ansible.errors import AnsibleError  # noqa: PLC0415
    from ansible.inventory.helpers import get_group_vars  # noqa: PLC0415
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415

    try:
        manager = InventoryManager(loader=DataLoader(), sources=sources)
        manager.subset(limit)
        found = manager.list_hosts("all")
    except AnsibleError as error:
        raise Unusable(f"The inventory can not be used: {error.message}") from error
    if not found and limit:
        raise Unusable(f"--limit {limit} leaves no host of {', '.join(sources)}.")
    if not found:
        raise Unusable(f"There is no host in {', '.join(sources)}.")
    return [
        Host(host.name, lock_name(host.name, {**get_group_vars(host.get_groups()), **host.vars}, sources))
        for host in found
    ]


def names_for_completion(given: list[str]) -> list[str]:
    """Return hosts and groups that ``--limit`` can name; an empty list where the inventory can not be read."""
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415

    try:
        manager = InventoryManager(loader=DataLoader(), sources=chosen(given))
    except Exception:  # completion says nothing rather than disturb a line that is being typed
        return []
    return sorted({*manager.hosts, *manager.groups} - {"ungrouped"})
