"""What systemd says of units, and whether they answer. Python 2.7 and 3.

A process is out of date when the FASTCHAT_DIGEST in its environment is not the one that was written for its unit: that
is read from the process itself, so that a run which was killed between writing and restarting is noticed by the next.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import hashlib
import json
import os
import shutil
import subprocess

try:
    from urllib.request import ProxyHandler, Request, build_opener
except ImportError:  # Python 2.7
    from urllib2 import ProxyHandler, Request, build_opener

PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "MainPID", "ControlPID", "Listen")
# What would start others again is stopped before them.
KINDS = (".timer", ".socket", ".service")


class Systemd:
    """The commands of one systemd; each raises RuntimeError with what systemctl said when it fails."""

    def __init__(self, run=None):
        """Use another way to run a command (arguments -> (code, output)), such as a test's."""
        self.run = run or self._run

    @staticmethod
    def _run(arguments):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = process.communicate()[0].decode("utf-8", "replace").strip()
        return process.returncode, said

    def call(self, *arguments):
        """Run systemctl and return what it printed."""
        code, said = self.run(["systemctl"] + list(arguments))
        if code:
            raise RuntimeError("systemctl %s ended with %d: %s" % (" ".join(arguments), code, said))
        return said

    def show(self, unit, properties=PROPERTIES):
        """Return the properties of a unit, {} of strings; a property that this systemd does not have is ''."""
        said = self.call("show", *(["--property=" + name for name in properties] + [unit]))
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        return dict((name, found.get(name, "")) for name in properties)

    def runs(self, unit):
        """Return whether a unit is started and enabled, and systemd has read its file since it was written."""
        wanted = {"ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
        return self.show(unit, sorted(wanted)) == wanted

    def take_away(self, folder, names):
        """Stop units, all of a kind at once and each as its ExecStop= says; disable them and remove their files."""
        for kind in KINDS:
            of_kind = [name for name in names if name.endswith(kind)]
            if of_kind:
                self.call("stop", *of_kind)
        self.call("disable", *names)
        for name in names:
            os.remove(os.path.join(folder, name))
            shutil.rmtree(os.path.join(folder, name + ".d"), ignore_errors=True)
        self.call("daemon-reload")
        self.run(["systemctl", "reset-failed"] + list(names))  # says so when none had failed, which is as good

    def journal(self, unit, lines=30):
        """Return the last lines of a unit's journal."""
        return self.run(["journalctl", "--no-pager", "--lines=%d" % lines, "--unit=" + unit])[1]


def running_digest(shown, proc="/proc"):
    """Return the FASTCHAT_DIGEST that a unit's process started with; '' without one, None when nothing runs."""
    for pid in (shown["MainPID"], shown["ControlPID"]):
        if pid in ("", "0"):
            continue
        try:
            with open(os.path.join(proc, pid, "environ"), "rb") as stream:
                words = stream.read().decode("utf-8", "replace").split("\0")
        except (IOError, OSError):  # gone since we looked
            continue
        for word in words:
            if word.startswith("FASTCHAT_DIGEST="):
                return word.split("=", 1)[1]
        return ""
    return None


def digest_with_links(digest, links):
    """Return 12 hexadecimal digits of a digest and of where links point; an absent link points to ''."""
    lines = [digest] + ["%s %s" % (link, os.readlink(link) if os.path.islink(link) else "") for link in links]
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()[:12]


def plan(unit, shown):
    """Return what a unit needs: enable, socket, and of start and restart at most one; in the order of doing."""
    steps = []
    if shown["UnitFileState"] != "enabled":
        steps.append("enable")
    now = running_digest(shown)
    if now is None or shown["ActiveState"] in ("inactive", "failed", "deactivating"):
        steps.append("start")
    elif now != unit["digest"]:
        steps.append("restart")
    return steps


def answers(gate, timeout=5):
    """Return '' when a gate (url, method, body, expect) answers as expected, else one clause that says what it did."""
    body = gate.get("body")
    data = json.dumps(body).encode() if body is not None else (b"" if gate["method"] == "POST" else None)
    request = Request(gate["url"], data=data, headers={"Content-Type": "application/json"} if body is not None else {})
    try:
        # A site's proxy does not know the fleet (FastChat #1282).
        reply = build_opener(ProxyHandler({})).open(request, timeout=timeout)
        try:
            said = reply.read().decode("utf-8", "replace")
        finally:
            reply.close()
    except (IOError, OSError, ValueError) as error:  # HTTP errors and timeouts are among them
        return "%s: %s" % (gate["url"], error)
    if gate.get("expect", "") not in said:
        return "%s said %s, wanted %s" % (gate["url"], said[:200], gate["expect"])
    return ""
