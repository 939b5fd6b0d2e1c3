"""Which inventory a run takes, and which hosts of it: what Ansible itself says, asked in this process."""

import contextlib
import functools
import hashlib
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.paths import CLONE

# What decides where a name leads. An ssh configuration file can lead the same name to two machines.
ADDRESS = ("ansible_host", "ansible_port", "ansible_connection", "ansible_ssh_common_args")


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


@functools.lru_cache(maxsize=4)
def manager_of(path: str) -> Any:
    """Return Ansible's settings by an ansible.cfg; reading them takes a tenth of a second."""
    from ansible.config.manager import ConfigManager  # noqa: PLC0415  (completion must not wait for Ansible)

    return ConfigManager(path)


def setting(name: str) -> list[str]:
    """Return a setting of Ansible, by environment and ansible.cfg, as texts; empty where it has its default."""
    value, origin = manager_of(configuration()).get_config_value_and_origin(name)
    if origin == "default" or not value:
        return []
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def reader(vault_password_file: str = "", ask: bool = False) -> Any:
    """Return Ansible's loader of files, with the vault's password where one is named, configured or asked for.

    Raises AnsibleError where the file of the password can not be read.
    """
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.parsing.vault import PromptVaultSecret, get_file_vault_secret  # noqa: PLC0415

    loader, secrets = DataLoader(), []
    if named := vault_password_file or next(iter(setting("DEFAULT_VAULT_PASSWORD_FILE")), ""):
        secrets.append(get_file_vault_secret(filename=named, vault_id="default", loader=loader))
    if ask:
        secrets.append(PromptVaultSecret(vault_id="default", prompt_formats=["Vault password: "]))
    for secret in secrets:
        secret.load()
    loader.set_vault_secrets([("default", secret) for secret in secrets])
    return loader


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


def lock_name(name: str, variables: dict[str, Any], sources: list[str]) -> str:
    """Return the name of a host's lock: what people read, and a digest of its address.

    A template can mean something else in each inventory, so then the inventory is part of the address.
    """
    values = [variables.get(key) or (name if key == "ansible_host" else "") for key in ADDRESS]
    address = [str(getattr(value, "_ciphertext", value)) for value in values]  # of what the vault has encrypted
    if any("{{" in part for part in address):
        address += sources
    words = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    shown = "" if variables.get("ansible_host") else f"{words[:60]}-"
    return f"{shown}{hashlib.sha256(json.dumps(address).encode()).hexdigest()[:16]}"


def hosts_of(sources: list[str], limit: str, vault_password_file: str = "") -> list[Host]:
    """Return the hosts of inventories that a limit leaves. Raises Unusable where there is none or Ansible refuses.

    Ansible's warnings are printed only then; else the playbook prints them.
    """
    from ansible.errors import AnsibleError  # noqa: PLC0415
    from ansible.inventory.helpers import get_group_vars  # noqa: PLC0415
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415

    with contextlib.redirect_stderr(io.StringIO()) as warnings:
        try:
            manager = InventoryManager(loader=reader(vault_password_file), sources=sources)
            manager.subset(limit or None)
            found, fault = manager.list_hosts("all"), ""
        except AnsibleError as error:
            found, fault = [], f"The inventory can not be used: {error.message}"
    if not found:
        sys.stderr.write(warnings.getvalue())
        left = f"--limit {limit} leaves no host of" if limit else "There is no host in"
        raise Unusable(fault or f"{left} {', '.join(sources)}.")
    return [
        Host(host.name, lock_name(host.name, {**get_group_vars(host.get_groups()), **host.vars}, sources))
        for host in found
    ]


def names_for_completion(given: list[str]) -> list[str]:
    """Return hosts and groups that ``--limit`` can name; an empty list where the inventory can not be read."""
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415

    try:
        manager = InventoryManager(loader=reader(), sources=chosen(given))
    except Exception:  # completion says nothing rather than disturb a line that is being typed
        return []
    return sorted({*manager.hosts, *manager.groups} - {"ungrouped"})
