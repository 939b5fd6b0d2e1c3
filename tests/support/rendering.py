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
from ansible.playbook.helpers import load_list_of_blocks
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
REGISTERED = {"__fastchat_worker_gpus": GPUS}
TEMPLATE = {"ansible.builtin.template", "template"}
# They take entries, of which some are templates.
ENTRIES = {"fastchat.fleet.host_files", "fastchat.fleet.service_units"}
HANDED = re.compile(r"lookup\('template', '([^']+)'\)")  # a module that gets a rendered text


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


def handed(task):
    """Return the templates whose texts a task hands to its module."""
    return HANDED.findall(" ".join(str(value) for value in task.args.values()))


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
        plays = Playbook.load(path, variable_manager=self.variables, loader=self.loader).get_plays()
        for play in plays:  # the hosts of a play may depend on the groups
            play.hosts = Templar(loader=self.loader, variables=self.variables.get_vars(play=play)).template(play.hosts)
        return plays

    def templates(self, playbook):
        """Return every file that a playbook's tasks would write from templates, on every host of its plays.

        The path of a text that a module is handed is the module's name and the template's, without .j2.
        """
        return [file for play in self.plays(playbook) for file in self.below(play, play.compile())]

    def below(self, play, blocks):
        """Return what ``templates`` does for blocks, and for the files of tasks that these include."""
        found = []
        for task in tasks_of(blocks):
            action = task.action.split(".")[-1]
            if action == "include_role" and has_templates(task):
                raise AssertionError(f"{task.get_path()}: {task.action} is not seen here; import it, or teach me.")
            if action == "include_tasks" and has_templates(task):
                found += self.below(play, self.included(play, task))
            elif task.action in TEMPLATE or (task.action in ENTRIES and has_templates(task)) or handed(task):
                for host in self.inventory.get_hosts(play.hosts):
                    found += self.render(play, task, host)
        return found

    def included(self, play, task):
        """Return the blocks of the files that a task includes on the hosts of its play, as Ansible's strategy does."""
        names = set()
        for host in self.inventory.get_hosts(play.hosts):
            variables = self.variables.get_vars(play=play, host=host, task=task)
            names.add(
                Templar(loader=self.loader, variables=variables).template(
                    task.args.get("file") or task.args["_raw_params"]
                )
            )
        blocks = []
        for name in sorted(names):
            tasks = self.loader.load_from_file(str(Path(task._role._role_path) / "tasks" / name))
            blocks += load_list_of_blocks(
                tasks,
                play=play,
                parent_block=task.copy().build_parent_block(),
                role=task._role,
                loader=self.loader,
                variable_manager=self.variables,
            )
        return blocks

    def render(self, play, task, host):
        """Return what a task would write on a host from templates, each time of its loop."""
        variables = self.variables.get_vars(play=play, host=host, task=task)
        variables["ansible_search_path"] = task.get_search_path()
        templar = Templar(loader=self.loader, variables=variables)
        items = [None] if task.loop is None else templar.template(task.loop)
        found = []
        for item in items:
            found += self.pieces(task, {**variables, "item": item})
        return [Rendered(host.name, source, path, self.text(source, more)) for source, path, more in found]

    def pieces(self, task, variables):
        """Return [(template, path, variables)] of what a task writes."""
        templar = Templar(loader=self.loader, variables=variables)
        if task.action in ENTRIES:
            entries = templar.template(task.args.get("files") or [])
            return [
                (entry["template"], entry["path"], {**variables, **(entry.get("vars") or {})})
                for entry in entries
                if "template" in entry
            ]
        if task.action in TEMPLATE:
            return [(templar.template(task.args["src"]), templar.template(task.args["dest"]), variables)]
        return [(name, f"{task.action}/{name.removesuffix('.j2')}", variables) for name in handed(task)]

    def text(self, source, variables):
        """Return a template's text with these variables."""
        templar = Templar(loader=self.loader, variables={**variables, "rendered": source})
        return templar.template("{{ lookup('template', rendered, convert_data=false) }}", convert_data=False)
