"""Writes one line of JSON for each task and host of a run that ``fleet`` started, and the recap at its end.

A line says when, what, where and how it ended. It has no result and no argument, so no secret can be in it.
"""

import ctypes
import json
import os
import signal
import time

from ansible.plugins.callback import CallbackBase

PR_SET_PDEATHSIG = 1

DOCUMENTATION = """
name: fleet_record
type: notification
short_description: Keeps what the command fleet needs to know of a run
description: Writes events to the file that FLEET_EVENTS names, if any. A run never fails because of it.
"""


def opened(variable):
    """Return the file that an environment variable names, open for lines; None without it or where it can not be."""
    path = os.environ.get(variable)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600) if path else None
    except OSError:
        return None
    return None if descriptor is None else os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)


def end_with_parent():
    """Have the kernel interrupt this playbook when ``fleet`` is killed, since its locks end with it; see prctl(2)."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    except (OSError, AttributeError):  # not Linux
        return


class CallbackModule(CallbackBase):
    """Append events to a file; the first error (a full disk) ends the record and not the run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "fleet_record"
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *arguments, **named):
        """Open the file that FLEET_EVENTS names."""
        super().__init__(*arguments, **named)
        self.started, self.fatal = {}, set()
        self.file = opened("FLEET_EVENTS")
        if "FLEET_RECAP" in os.environ:
            end_with_parent()

    def note(self, event, **more):
        """Append one line."""
        if self.file is None:
            return
        try:
            self.file.write(json.dumps({"at": round(time.time(), 3), "event": event, **more}) + "\n")
        except (OSError, ValueError):
            self.file = None

    def ended(self, event, result):
        """Append how a task ended on a host."""
        host, task = result._host.get_name(), result._task
        begun = self.started.pop((host, task._uuid), None)
        seconds = round(time.time() - begun, 3) if begun else None
        self.note(event, host=host, task=task.get_name(), seconds=seconds)

    def v2_playbook_on_play_start(self, play):
        """Append that a play begins; whatever failed before it has not stopped the run."""
        self.fatal = set()
        self.note("play", name=play.get_name())

    def v2_runner_on_start(self, host, task):
        """Remember when a task begins on a host."""
        self.started[host.get_name(), task._uuid] = time.time()

    def v2_runner_on_ok(self, result):
        """Append a task that went well."""
        self.ended("changed" if result._result.get("changed") else "ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        """Append a task that failed."""
        self.ended("ignored" if ignore_errors else "failed", result)
        self.remember_fatal(result)

    def v2_runner_on_unreachable(self, result):
        """Append a host that was not reached."""
        self.ended("unreachable", result)
        self.remember_fatal(result)

    def remember_fatal(self, result):
        """Remember a host whose fault stops the run on all hosts, unless the fault is ignored or rescued."""
        if result._task.any_errors_fatal or result._task.run_once:
            self.fatal.add(result._host.get_name())

    def v2_playbook_on_stats(self, stats):
        """Append the recap, {host: {ok, changed, failures, unreachable, ...}}, and leave it where FLEET_RECAP says.

        ``stopped`` says that a fault on one host has stopped the run on all of them.
        """
        recap = {host: stats.summarize(host) for host in sorted(stats.processed)}
        stopped = any(
            counts["failures"] or counts["unreachable"] for host, counts in recap.items() if host in self.fatal
        )
        self.note("recap", hosts=recap, stopped=stopped)
        self.file = opened("FLEET_RECAP")
        self.note("recap", hosts=recap, stopped=stopped)
