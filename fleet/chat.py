"""A chat on a worker: ssh with a terminal, by the address and the options that the inventory has for that host."""

import os
import shlex
import shutil
from typing import Any

from fleet.inventory import Unusable, reader

PROGRAM = "fastchat-chat"
OPTIONS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
NAMED = ("ansible_connection", "ansible_host", "ansible_port", "ansible_user", "ansible_ssh_private_key_file")
WANTED = OPTIONS + NAMED
Variables = dict[str, Any]


def variables_of(sources: list[str], limit: str, vault_file: str = "", ask: bool = False) -> tuple[str, Variables]:
    """Return the name and the final variables of the first worker that a limit leaves. Raises Unusable."""
    from ansible.errors import AnsibleError  # noqa: PLC0415  (completion must not wait for Ansible)
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
    from ansible.template import Templar  # noqa: PLC0415
    from ansible.vars.manager import VariableManager  # noqa: PLC0415

    try:
        loader = reader(vault_file, ask)
        manager = InventoryManager(loader=loader, sources=sources)
        manager.subset(limit or None)
        workers = manager.list_hosts("workers") if "workers" in manager.groups else []
        if not workers:
            raise Unusable(f"--limit {limit} leaves no worker." if limit else "Group workers has no host to chat on.")
        variables = VariableManager(loader=loader, inventory=manager).get_vars(host=workers[0])
        templar = Templar(loader=loader, variables=variables)
        return workers[0].name, {key: templar.template(variables[key]) for key in WANTED if key in variables}
    except AnsibleError as error:
        raise Unusable(f"The inventory can not be used: {error.message}") from error


def command(name: str, variables: Variables, user: str, arguments: list[str], terminal: bool) -> list[str]:
    """Return the command line of a chat: ssh to the worker, or the program itself where the connection is local."""
    if variables.get("ansible_connection") == "local":
        return [PROGRAM, *arguments]
    words = ["ssh", "-q", *(["-t"] if terminal else [])]
    for key in OPTIONS:
        words += shlex.split(str(variables.get(key) or ""))
    login, port = user or variables.get("ansible_user"), variables.get("ansible_port")
    words += ["-l", str(login)] if login else []
    words += ["-p", str(port)] if port else []
    if identity := variables.get("ansible_ssh_private_key_file"):
        words += ["-i", os.path.expanduser(str(identity))]
    # ssh hands one text to the shell of the host.
    return [*words, str(variables.get("ansible_host") or name), shlex.join([PROGRAM, *arguments])]


def begin(sources: list[str], options: dict[str, Any], arguments: list[str]) -> None:
    """Become the chat: this process is replaced. ``options`` are those of SHARED that a chat has. Raises Unusable."""
    user = options["user"]
    name, variables = variables_of(sources, options["limit"], options["vault_password_file"], options["ask_vault_pass"])
    words = command(name, variables, user, arguments, os.isatty(0) and os.isatty(1))
    if not shutil.which(words[0]):
        raise Unusable(f"{words[0]} is not installed on this machine, so there is no way to chat on {name}.")
    os.execvp(words[0], words)  # noqa: S606
