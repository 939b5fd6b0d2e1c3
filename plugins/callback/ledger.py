"""Records every run into the ledger: docs/operations/report.md."""

import atexit
import getpass
import os
import platform
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from ansible import __version__, context
from ansible.parsing.yaml.objects import AnsibleVaultEncryptedUnicode
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible.utils.vars import combine_vars
from ansible.vars.plugins import get_vars_from_inventory_sources
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger import spool
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger.results import kept_of
from ansible_collections.fastchat.fleet.plugins.module_utils.ledger.secrets import NAME, Censor, secrets_in

DOCUMENTATION = """
name: ledger
type: notification
short_description: Records every run into a database of ARA on the control node
description:
  - Appends what happens to a file of this run, without secrets. When the run has ended, a process of its own records
    the file with ARA into C(ledger.sqlite). A run never waits for its record and never fails because of it.
requirements: [ara]
options:
  ledger:
    description: C(off), or the directory of the ledger. Empty for C(.fleet/ledger) in the project.
    type: str
    default: ""
    env: [{name: FLEET_LEDGER}]
    ini: [{section: fleet, key: ledger}]
"""

PROJECT = Path(__file__).resolve().parents[2]
# What of the command line is kept. Extra variables are not: they are where keys are given.
ARGUMENTS = ("check", "diff", "forks", "inventory", "skip_tags", "start_at_task", "subset", "tags", "verbosity")


def guarded(method):
    """Return a method of the callback that turns a fault into one warning, after which nothing more is recorded."""

    def called(self, *args, **kwargs):
        if self.spool is None and method.__name__ != "v2_playbook_on_start":
            return
        try:
            method(self, *args, **kwargs)
        except Exception as fault:
            self.give_up(fault)

    called.__name__ = method.__name__
    return called


class CallbackModule(CallbackBase):
    """Ansible's events, appended to the run's file."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "fastchat.fleet.ledger"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        """Have no file yet."""
        super().__init__()
        self.spool = self.ledger = self.manager = None
        self.censor = Censor()
        self.started, self.tasks = {}, {}
        self.inventory_read, self.shared = False, {}

    def give_up(self, fault):
        """Warn once; the run goes on without its record."""
        self.disabled = True
        self.spool = None
        reason = getattr(fault, "strerror", None) or str(fault)
        self._display.warning(
            f"This run is not recorded in the ledger ({self.ledger}): {reason}. The run itself goes on. "
            "FLEET_LEDGER=off turns the ledger off, FLEET_LEDGER=/a/directory keeps it elsewhere."
        )

    def say(self, kind, **event):
        """Append one event, without secrets."""
        self.spool.write({"event": kind, "at": time.time(), **self.censor.data(event)})

    @guarded
    def v2_playbook_on_start(self, playbook):
        """Open the run's file, unless the ledger is off."""
        self.ledger = spool.directory(self.get_option("ledger") or "", PROJECT)
        if self.ledger is None or any(
            "fleet_ledger=off" in str(given) for given in context.CLIARGS.get("extra_vars", ())
        ):
            self.disabled = True
            return
        if find_spec("ara") is None or find_spec("django") is None:
            raise RuntimeError("ARA is not installed beside Ansible (pip install 'ara[server]')")
        if fault := spool.take_fault(self.ledger):
            self._display.warning(f"The ledger of runs: {fault}")
        self.spool = spool.Spool(self.ledger)
        atexit.register(self.finish)
        # A single word of the command line may be a secret (--extra-vars are not kept, a host pattern is).
        arguments = {key: context.CLIARGS.get(key) for key in ARGUMENTS}
        self.say(
            "run",
            path=os.path.abspath(playbook._file_name),
            user=getpass.getuser(),
            controller=socket.gethostname(),
            ansible=__version__,
            python=platform.python_version(),
            arguments={key: value for key, value in arguments.items() if value not in (None, False, 0, (), [])},
        )

    @guarded
    def v2_playbook_on_play_start(self, play):
        """Learn the secrets that the play can see, and say that it began."""
        self.manager = manager = play.get_variable_manager()
        self.learn(play, manager)
        self.tasks = {}
        self.say("play", uuid=str(play._uuid)[:36], name=play.get_name())

    def learn(self, play, manager):
        """Learn the secrets of the play's variables and, once, of the inventory's: as written, and templated."""
        # The variables of a play include extra variables and what its vars_files hold.
        seen = manager.get_vars(play=play, include_hostvars=False)
        self.censor.learn(secrets_in(seen, AnsibleVaultEncryptedUnicode))
        own = [{name: seen[name] for name in seen if NAME.search(str(name))}]
        if not self.inventory_read:
            self.inventory_read = True
            inventory = manager._inventory
            for entity in [*inventory.groups.values(), *inventory.hosts.values()]:
                found = get_vars_from_inventory_sources(manager._loader, inventory._sources, [entity], "all")
                own.append(combine_vars(entity.vars, found))
                self.shared.update(own[-1])
        templar = Templar(loader=manager._loader, variables={**self.shared, **seen})
        for variables in own:
            self.censor.learn(secrets_in(variables, AnsibleVaultEncryptedUnicode))
            for name, value in variables.items():
                if NAME.search(str(name)):
                    self.censor.learn(secrets_in({"secret": templated(templar, value)}))

    def learn_facts(self, host):
        """Learn the secrets that tasks gave a host: by set_fact or include_vars, or registered; with no_log too."""
        for cache in (self.manager._nonpersistent_fact_cache, self.manager._vars_cache):
            named = {name: value for name, value in cache.get(host, {}).items() if NAME.search(str(name))}
            self.censor.learn(secrets_in(named, AnsibleVaultEncryptedUnicode))

    def task_started(self, task, handler):
        """Say that a task began, once for each play."""
        if task._uuid in self.tasks:
            return
        self.tasks[task._uuid] = time.time()
        path, _, line = (task.get_path() or "").rpartition(":")
        self.say(
            "task",
            uuid=str(task._uuid)[:36],
            name=task.get_name(),
            action=task.action,
            path=os.path.relpath(path, PROJECT) if path.startswith(f"{PROJECT}/") else path,
            line=int(line) if line.isdigit() else 1,
            tags=[str(tag) for tag in task.tags],
            handler=handler,
        )

    @guarded
    def v2_playbook_on_task_start(self, task, is_conditional):
        """Say that a task began."""
        self.task_started(task, False)

    @guarded
    def v2_playbook_on_handler_task_start(self, task):
        """Say that a handler began."""
        self.task_started(task, True)

    @guarded
    def v2_runner_on_start(self, host, task):
        """Remember when a task began on a host."""
        self.started[host.get_name(), task._uuid] = time.time()

    def result(self, result, status, ignored=False):
        """Say how a task ended on a host. What was skipped is only counted, at the end."""
        host, task = result._host.get_name(), result._task
        began = self.started.pop((host, task._uuid), None)
        if status == "skipped":
            return
        kept = kept_of(result._result, status, task.action)
        if kept:
            self.learn_facts(host)
        self.say(
            "result",
            task=str(task._uuid)[:36],
            host=host,
            status=status,
            changed=bool(result._result.get("changed", False)),
            ignored=bool(ignored),
            # Not every strategy says when a task begins on a host.
            began=began or self.tasks.get(task._uuid) or time.time(),
            kept=kept,
        )

    @guarded
    def v2_runner_on_ok(self, result):
        """Say so."""
        self.result(result, "ok")

    @guarded
    def v2_runner_on_failed(self, result, ignore_errors=False):
        """Say so, with the message."""
        self.result(result, "failed", ignore_errors)

    @guarded
    def v2_runner_on_unreachable(self, result):
        """Say so, with the message."""
        self.result(result, "unreachable", result._task.ignore_unreachable)

    @guarded
    def v2_runner_on_skipped(self, result):
        """Forget when it began."""
        self.result(result, "skipped")

    @guarded
    def v2_playbook_on_stats(self, stats):
        """Say how the run ended for each host, and have it recorded."""
        self.say("stats", hosts={host: stats.summarize(host) for host in sorted(stats.processed)})
        self.finish()

    def finish(self):
        """Close the file and start the recorder, which lives on alone; also when the run was stopped."""
        if self.spool is None or os.getpid() != int(self.spool.path.stem.rpartition("-")[2]):
            return
        ended, self.spool = self.spool, None
        try:
            ended.close()
            subprocess.Popen(
                [sys.executable, "-m", "report.record", str(self.ledger)],
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'collections'}"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as fault:
            self.give_up(fault)


def templated(templar, value):
    """Return a variable's value as tasks see it; as it is written when it can not be templated here."""
    try:
        return templar.template(value)
    except Exception:
        return value
