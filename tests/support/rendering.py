"""The project's templates as Ansible renders them: real plays, roles, inventories and variables, but no host is asked.

Plays are compiled as ``ansible-playbook`` compiles them, and the template tasks among their tasks are rendered with the
variables that Ansible's own variable manager gives them. Facts and what earlier tasks registered come from FACTS and
REGISTERED: they stand in for the host.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.block import Block
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.fastchat.fleet.plugins.module_utils.host.nvidia_smi import facts_of

from testbed.paths import CLONE
from tests.support.recordings import recorded

FACTS = {
    "ansible_default_ipv4": {"address": "10.1.2.3", "interface": "eth0"},
    "ansible_os_family": "RedHat",
    "ansible_distribution": "CentOS",
    "ansible_distribution_version": "7.9",
    "ansible_distribution_major_version": "7",
    "ansible_architecture": "x86_64",
    "ansible_service_mgr": "systemd",
    "ansible_pkg_mgr": "yum",
    "ansible_memtotal_mb": 515000,
}
# The machine that the example inventory is written for; of hosts with eight V100, only one with 16 GB is recorded.
EIGHT = facts_of(recorded("v100-sxm2-16gb-x8_550.127.05.txt"))
GPUS = {**EIGHT, "gpus": [{**card, "memory_mb": 32510} for card in EIGHT["gpus"]], "fault": "", "hint": ""}
REGISTERED = {
    "__fastchat_service_read": {"results": [{"stat": {"lnk_target": f"envs/x-{n}"}} for n in range(16)]},
    "__fastchat_worker_gpus": GPUS,
}
TEMPLATE = {"ansible.builtin.template", "template"}
HANDED = re.compile(r"lookup\('template', '([^']+)'\)")  # a module that gets a rendered text
DYNAMIC = {"include_role", "include_tasks"}


class Rendered(NamedTuple):
    """One file that a play would write on a host."""

    host: str
    source: str
    path: str
    text: str


def tasks_of(blocks):
    """Yield the tasks of blocks, however deep."""
    for item in blocks:
        if isinstance(item, Block):
            yield from tasks_of([*item.block, *item.rescue, *item.always])
        else:
            yield item


def has_templates(task):
    """Return whether the role that a task is of, or that it includes into a playbook, has templates."""
    role = CLONE / "roles" / str(task.args.get("name")) if task._role is None else Path(task._role._role_path)
    return not role.is_dir() or (role / "templates").is_dir()


class Fleet:
    """An inventory with the variables that a person would give on the command line."""

    def __init__(self, inventory, **extra):
        self.loader = DataLoader()
        self.loader.set_basedir(str(CLONE / "playbooks"))  # what playbook_dir is
        self.inventory = InventoryManager(loader=self.loader, sources=[str(inventory)])
        self.variables = VariableManager(loader=self.loader, inventory=self.inventory)
        self.variables._extra_vars = extra
        HostVars(self.inventory, self.variables, self.loader)  # the variable manager keeps it
        for host in self.inventory.get_hosts():
            self.variables.set_host_facts(host.name, dict(FACTS))
            self.variables.set_nonpersistent_facts(host.name, dict(REGISTERED))

    def join(self, group, host):
        """Put a host into a group that the inventory leaves to operators."""
        self.inventory.add_group(group)
        self.inventory.add_host(host, group)
        return self

    def plays(self, playbook):
        """Return the plays of a playbook below ``playbooks``."""
        path = str(CLONE / "playbooks" / playbook)
        return Playbook.load(path, variable_manager=self.variables, loader=self.loader).get_plays()

    def templates(self, playbook):
        """Return every file that a playbook's tasks would write from templates, on every host of its plays.

        The path of a text that a module is handed is the module's name and the template's, without .j2.
        """
        found = []
        for play in self.plays(playbook):
            for task in tasks_of(play.compile()):
                if task.action.split(".")[-1] in DYNAMIC and has_templates(task):
                    raise AssertionError(f"{task.get_path()}: {task.action} is not seen here; import it, or teach me.")
                if task.action in TEMPLATE or HANDED.search(str(task.args)):
                    for host in self.inventory.get_hosts(play.hosts):
                        found += self.render(play, task, host)
        return found

    def render(self, play, task, host):
        """Return what a task would write on a host from templates, each time of its loop."""
        variables = self.variables.get_vars(play=play, host=host, task=task)
        variables["ansible_search_path"] = task.get_search_path()
        items = [None]
        if task.loop is not None:
            items = Templar(loader=self.loader, variables=variables).template(task.loop)
        if task.action in TEMPLATE:
            return [self.written(task, host, {**variables, "item": item}) for item in items]
        names = HANDED.findall(" ".join(str(value) for value in task.args.values()))
        return [
            Rendered(
                host.name,
                name,
                f"{task.action}/{name.removesuffix('.j2')}",
                self.text(name, {**variables, "item": item}),
            )
            for item in items
            for name in names
        ]

    def text(self, source, variables):
        """Return a template's text with these variables."""
        templar = Templar(loader=self.loader, variables=variables)
        return templar.template("{{ lookup('template', '" + source + "', convert_data=false) }}", convert_data=False)

    def written(self, task, host, variables):
        """Return what a template task would write on a host with these variables."""
        templar = Templar(loader=self.loader, variables=variables)
        source, path = templar.template(task.args["src"]), templar.template(task.args["dest"])
        return Rendered(host.name, source, path, self.text(source, variables))
