"""The view of a run: phases, what each host does now, what changed, and what went wrong."""

from __future__ import annotations

DOCUMENTATION = r"""
name: live
type: stdout
short_description: Phases, what runs now, what changed, and what went wrong
description:
  - Prints the phases of a run as headings, what each host changed (the file, the unit), messages for the operator,
    failures with their reason, and the result. There is no line for what was skipped or already right.
  - On a terminal it also draws, at the end, what each host is doing, with bytes, rate and time left. In a pipe, in CI
    or with C(TERM=dumb) it prints lines only, and says every minute what takes long.
  - C(-v) prints the results of all tasks, C(--diff) prints diffs, and any other callback can be chosen as usual
    (C(ANSIBLE_STDOUT_CALLBACK=default)).
requirements: [rich, for drawing]
extends_documentation_fragment: [default_callback, result_format_callback]
author: [fastchat-fleet]
"""

import atexit
import functools
import logging
import os
import sys
import threading
import time

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible.utils import color
from ansible_collections.fastchat.fleet.plugins.module_utils.view import lines, state, watch
from ansible_collections.fastchat.fleet.plugins.module_utils.view.changes import names_of
from ansible_collections.fastchat.fleet.plugins.module_utils.view.region import region
from ansible_collections.fastchat.fleet.plugins.module_utils.view.screen import Lines, Terminal, redraws

PROMPTS = ("pause", "ansible.builtin.pause", "ansible.legacy.pause")
DEBUG = ("debug", "ansible.builtin.debug", "ansible.legacy.debug")
TICK = 0.25  # seconds between two drawings
PATIENCE = 2  # seconds that news waits for other hosts with the same
TOLD_EVERY = 60  # seconds after which a pipe hears of a long task again


def calmly(hook):
    """Wrap a hook: the run goes on when its view can not be made, and from then on the view is lines only."""

    @functools.wraps(hook)
    def wrapped(self, *args, **kwargs):
        try:
            with self.guard:
                return hook(self, *args, **kwargs)
        except Exception as error:
            self.give_up(hook.__name__, error)

    return wrapped


class CallbackModule(CallbackBase):
    """Maps Ansible's events onto the state of the run, and that onto lines."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "fastchat.fleet.live"

    def __init__(self, *args, **kwargs):
        """Choose between a terminal and lines."""
        super().__init__(*args, **kwargs)
        # One lock for all: Ansible prints and forks under its display's, and ansible-runner calls hooks under it. With
        # a second one, two threads could each hold one and wait for the other.
        self.run, self.guard = state.Run(usual=state.usual_seconds(os.environ)), self._display._lock
        self.diffs, self.failing = {}, {}
        self.labels, self.play, self.broken = {}, None, False
        self.screen, self.ticker, self.ended = self.choose_screen(), None, threading.Event()
        self.asker = watch.Asker(self.guard, watch.AGAIN if self.screen.live else watch.SELDOM)
        logging.raiseExceptions = False  # a log on a full disk must not fill the terminal with tracebacks
        self.gather_warnings()
        atexit.register(self.stop)

    def choose_screen(self):
        """Return where lines go."""
        colour = bool(color.ANSIBLE_COLOR) and not os.environ.get("NO_COLOR")
        device = redraws(sys.stdout, os.environ)
        try:
            return Terminal(self._display, colour, device) if device else Lines(self._display, colour)
        except (ImportError, OSError):
            return Lines(self._display, colour)

    def gather_warnings(self):
        """Keep the warnings of the control node for the end; those of a fork come to us through the queue."""
        display, said = self._display, self._display.warning

        def warning(msg, formatted=False):
            if getattr(display, "_final_q", None) is not None or self.ended.is_set():
                return said(msg, formatted)
            with self.guard:
                state.warn(self.run, msg)

        display.warning = warning

    def give_up(self, where, error):
        """Warn once that the view is not whole, and print lines only."""
        if self.broken:
            return
        self.broken = True
        try:
            self.screen.rest()
            self.screen = Lines(self._display, False)
            state.warn(self.run, f"The view of this run is not whole: {where}: {type(error).__name__}: {error}.")
        except Exception:  # there is nobody left to tell
            return

    def say(self, told):
        """Print lines as they are, after what was not told yet."""
        self.tell()
        self.screen.say(lambda _width: told)

    def tell(self):
        """Print what was not told yet, hosts with the same news together."""
        if self.run.news:
            news, hosts = state.grouped(self.run), self.run.hosts
            self.screen.say(lambda width: [line for one in news for line in self.lines_of(*one, hosts, width)])

    def lines_of(self, who, news, hosts, width):
        """Return the lines of one piece of news, in the plainest words when others can not be found for it."""
        try:
            return lines.news_lines(who, news, hosts, width)
        except Exception as error:
            self.give_up("news_lines", error)
            return [[(f"  {', '.join(who)}   {news.kind}: {news.task}: {news.what}", "")]]

    def tell_warnings(self):
        """Print the warnings that were gathered."""
        told, self.run.warnings = self.run.warnings, {}
        self.screen.say(lambda width: lines.warning_lines(told, self.run.hosts, width))

    def keep(self, kind, host, task, what):
        """Keep news until the task has ended on all hosts, or for a moment."""
        self.run.news.append(state.News(kind, host, task, what, repr(what), time.monotonic()))

    def tick(self):
        """Draw, or tell a pipe what takes long, until the end."""
        while not self.ended.wait(TICK):
            try:
                now = time.monotonic()
                with self.guard:
                    self.asker.look(self.play, self.run, now)
                    if self.run.news and now - self.run.news[0].at > PATIENCE:
                        self.tell()
                    if self.screen.live:
                        self.draw(now)
                    else:
                        told = watch.long_lines(self.run, now, TOLD_EVERY)
                        if told:
                            self.say(told)
            except Exception as error:
                self.give_up("tick", error)

    def draw(self, now):
        """Draw what runs now; nothing while ssh may still ask whether it knows a host."""
        silent = not (self.play and self.play.connection == "local") and not self.run.heard.issuperset(self.run.working)
        self.screen.draw(lambda columns, rows: None if silent else region(self.run, now, columns, rows))

    def stop(self):
        """Leave only lines, the warnings at their end; this also runs when the run is interrupted."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.screen.rest()
        self.tell()
        self.tell_warnings()

    @calmly
    def v2_playbook_on_start(self, playbook):
        """Begin to draw."""
        self.ticker = threading.Thread(target=self.tick, daemon=True)
        self.ticker.start()

    @calmly
    def v2_playbook_on_play_start(self, play):
        """Print a heading when a new phase begins."""
        self.tell()
        self.play = play
        hosts = [host.name for host in play.get_variable_manager()._inventory.get_hosts(play.hosts)]
        if state.enter(self.run, play.get_name(), hosts, time.monotonic()):
            self.screen.rest()
            check = " (check mode: nothing is changed)" if play.check_mode else ""
            self.say(lines.heading(self.run.phase + check))

    @calmly
    def v2_playbook_on_task_start(self, task, is_conditional):
        """Tell what the task before changed."""
        self.tell()
        self.labels, self.diffs, self.failing = {}, {}, {}
        if task.action in PROMPTS:
            self.screen.rest()
        if self._display.verbosity:
            self.say([[], [(f"Task: {task.get_name()}", "quiet")]])
            self._print_task_path(task)

    def v2_playbook_on_handler_task_start(self, task):
        """Do as with any task."""
        self.v2_playbook_on_task_start(task, False)

    @calmly
    def v2_runner_on_start(self, host, task):
        """Show what the host does."""
        if task.action not in PROMPTS:
            name, command = state.split(task.name or task.action)[1], task.action.endswith(("command", "shell"))
            state.begin(self.run, host.name, name, time.monotonic(), command)

    def ended_by(self, result):
        """Take a result in: its host works no more, its warnings are kept for the end. Return (host, task)."""
        host = result._host.get_name()
        state.end(self.run, host)
        self.run.heard.add(host)
        self._handle_warnings(result._result, host)
        return host, state.split(result.task_name or result._task.action)[1]

    def _handle_warnings(self, res, host=""):
        """Keep warnings and deprecations for the end."""
        if C.ACTION_WARNINGS:
            for text in res.pop("warnings", None) or []:
                state.warn(self.run, text, host)
            for one in res.pop("deprecations", None) or []:
                state.warn(self.run, f"Deprecated: {one.get('msg', one)}", host)

    @calmly
    def v2_runner_on_ok(self, result):
        """Keep a change until its task has ended; print what a debug task says, and with -v everything."""
        host, task = self.ended_by(result)
        found = result._result
        # What always speaks, such as the success of an assertion, speaks to the operator.
        speaks = result._task.action in DEBUG or (not self._display.verbosity and found.get("_ansible_verbose_always"))
        if not speaks and self._run_is_verbose(result):
            word = "changed" if found.get("changed") else "ok"
            self._clean_results(found, result._task.action)
            self.say([[(f"  {host}   {word}: {task} => {self._dump_results(found)}", "quiet")]])
            self.say(lines.diff_lines("\n".join(self.diffs.pop(host, [])), everything=True))
        elif speaks:
            self.say_message(host, task, result)
        elif found.get("changed"):
            names = names_of(found, self.labels.pop(host, []))
            self.keep("change", host, task, (names, "\n".join(self.diffs.pop(host, []))))

    def say_message(self, host, task, result):
        """Print what a debug task says; of a loop, what each item says."""
        found = result._result
        for one in found["results"] if isinstance(found.get("results"), list) else [found]:
            if one.get("skipped") or one.get("skipped_reason"):
                continue
            self._clean_results(one, "debug")
            said = one.get("msg")
            if isinstance(said, list) and all(isinstance(line, str) for line in said):
                said = "\n".join(said)
            if not isinstance(said, str):
                said = self._dump_results(one if said is None else {"msg": said})
            self.keep("message", host, task, said)

    @calmly
    def v2_runner_on_skipped(self, result):
        """Print nothing, but with -v."""
        host, task = self.ended_by(result)
        if self._display.verbosity:
            self.say([[(f"  {host}   skipped: {task}", "quiet")]])

    @calmly
    def v2_runner_on_failed(self, result, ignore_errors=False):
        """Print a failure; one that is allowed or has a rescue in one quiet line."""
        host, task = self.ended_by(result)
        if self._display.verbosity:
            self._handle_exception(result._result)
        told = watch.handled(result._task, ignore_errors)
        if told and not self._display.verbosity:
            self.keep("handled", host, task, f"{told} {lines.shortly(watch.failures(result._result))}".strip())
            return
        if not told:
            self.run.failed.append(host)
        labels = self.failing.pop(host, [])
        for number, one in enumerate(watch.failures(result._result)):
            self._clean_results(one, result._task.action)
            item = f" ({labels[number]})" if number < len(labels) else ""
            self.keep("failure", host, task + item, lines.said_by(one))

    @calmly
    def v2_runner_on_unreachable(self, result):
        """Print that a host can not be reached."""
        host, task = self.ended_by(result)
        self.run.failed.append(host)
        self.keep("unreachable", host, task, lines.said_by(result._result))

    @calmly
    def v2_runner_item_on_ok(self, result):
        """Remember the names of the items that changed."""
        host = result._host.get_name()
        label = str(self._get_item_label(result._result) or "")
        if result._result.get("changed"):
            self.labels.setdefault(host, []).append(label)
        if host in self.run.working:
            self.run.working[host].note = label if len(label) < lines.WIDEST else ""

    @calmly
    def v2_runner_item_on_failed(self, result):
        """Remember the names of the items that failed."""
        label = self._get_item_label(result._result)
        self.failing.setdefault(result._host.get_name(), []).append(str(label)[: lines.WIDEST])

    @calmly
    def v2_runner_retry(self, result):
        """Show the attempt."""
        work = self.run.working.get(result._host.get_name())
        if work:
            work.note = f"attempt {result._result.get('attempts', 0) + 1} of {result._result.get('retries', 0)}"

    @calmly
    def v2_on_file_diff(self, result):
        """Keep the diff that the task gives; it is printed with the change."""
        found = result._result
        told = found["results"] if result._task.loop and isinstance(found.get("results"), list) else [found]
        for one in told:
            text = self._get_diff(one["diff"]) if one.get("diff") and one.get("changed") else ""
            if text:
                self.diffs.setdefault(result._host.get_name(), []).append(text)

    @calmly
    def v2_playbook_on_no_hosts_matched(self):
        """Say so where details are asked for; most fleets have no builder and no mirror."""
        if self._display.verbosity:
            self.say([[("  No host of the inventory belongs to this play.", "quiet")]])

    @calmly
    def v2_playbook_on_no_hosts_remaining(self):
        """Say so."""
        self.say([[("  No host is left that could go on.", "bad")]])

    @calmly
    def v2_playbook_on_vars_prompt(self, *args, **kwargs):
        """Leave the terminal to the question."""
        self.screen.rest()

    @calmly
    def v2_playbook_on_stats(self, stats):
        """Print warnings, the result and the next step."""
        state.leave(self.run, time.monotonic())
        self.stop()
        hosts = sorted(stats.processed)
        counts = {host: watch.counted(stats.summarize(host)) for host in hosts}
        failed = [host for host in hosts if counts[host]["failed"] or counts[host]["unreachable"]]
        self.screen.say(lambda width: lines.result_lines(counts, self.run.seconds, width))
        self.screen.say(lambda width: lines.next_lines(failed, width))
