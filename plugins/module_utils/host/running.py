"""What a host serves, and with what. Python 2.7 and 3; reads only.

A link says what the next process will get. What a running one has is read from the process itself: its environment from
the path of its python, its weights from FASTCHAT_RELEASE, which /usr/local/lib/fastchat/run sets when it starts.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import glob
import io
import json
import os
import re

PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "MainPID")
RUN = re.compile(r"^ExecStart=/usr/local/lib/fastchat/run (\S+) (.*)$", re.MULTILINE)
DIGEST = re.compile(r"^(?:Environment=)?FASTCHAT_DIGEST=(\S+)$", re.MULTILINE)
MODEL_PATH = re.compile(r"--model-path=(\S+)")
# .../models/<model>/releases/<digest>
RELEASE = re.compile(r".*/([^/]+)/releases/([^/]+)/*$")


def text_of(path):
    """Return the text of a file, '' when it is not there or its process has gone."""
    try:
        with io.open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except (IOError, OSError) as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return ""
        raise


def json_of(path):
    """Return the dict of a JSON file, {} when it is not there or not whole."""
    try:
        return json.loads(text_of(path) or "{}")
    except ValueError:
        return {}


def release_of(path):
    """Return (model, digest) of a release's directory, ('', '') for another path."""
    found = RELEASE.match(path)
    return found.groups() if found else ("", "")


def environment_of(path):
    """Return the name of a python's environment: cpu-0123 for /opt/fastchat/envs/cpu-0123/bin/python."""
    folder, name = os.path.split(path)
    return os.path.basename(os.path.dirname(folder)) if name.startswith("python") else ""


def process(pid, proc="/proc"):
    """Return what a process started with: digest, env, model, release; '' for what it does not say."""
    found = {"digest": "", "env": "", "model": "", "release": ""}
    if pid in ("", "0"):
        return found
    folder = os.path.join(proc, pid)
    words = text_of(os.path.join(folder, "environ")).split("\0")
    environ = dict(word.split("=", 1) for word in words if "=" in word)
    found["digest"] = environ.get("FASTCHAT_DIGEST", "")
    found["env"] = environment_of(text_of(os.path.join(folder, "cmdline")).split("\0")[0])
    found["model"], found["release"] = release_of(environ.get("FASTCHAT_RELEASE", ""))
    return found


def written(path, settings):
    """Return what the next process of a unit would start with, in the same shape as ``process``."""
    found = {"digest": "", "env": "", "model": "", "release": ""}
    name = os.path.basename(path)[len("fastchat-") :].rsplit(".", 1)[0]
    unit = text_of(path)
    digest = DIGEST.search(text_of(os.path.join(settings, name + ".env"))) or DIGEST.search(unit)
    found["digest"] = digest.group(1) if digest else ""
    command = RUN.search(unit)
    if command and os.path.exists(command.group(1)):
        found["env"] = os.path.basename(os.path.realpath(command.group(1)))
    weights = MODEL_PATH.search(command.group(2)) if command else None
    if weights:
        found["model"], found["release"] = release_of(os.path.realpath(weights.group(1)))
    return found


def unit_of(systemd, path, settings, proc):
    """Return what there is to say of the unit whose file is given."""
    name = os.path.basename(path)
    said = systemd.show(name, PROPERTIES)
    return {
        "name": name,
        "state": said["ActiveState"],
        "sub": said["SubState"],
        "result": said["Result"],
        "loaded": said["LoadState"] == "loaded",
        "enabled": said["UnitFileState"],
        "runs": process(said["MainPID"], proc),
        "written": written(path, settings),
    }


def models_below(root):
    """Return {model: {current, releases}} of the weights that are published on this host."""
    found = {}
    for home in sorted(glob.glob(os.path.join(root, "models", "*"))):
        link = os.path.join(home, "current")
        found[os.path.basename(home)] = {
            "current": os.path.basename(os.readlink(link)) if os.path.islink(link) else "",
            "releases": sorted(os.path.basename(path) for path in glob.glob(os.path.join(home, "releases", "*"))),
        }
    return found


def gather(systemd, options, proc="/proc"):
    """Return {units, plan, probe, models} of this host; options are folder, settings, plan, probe and weights."""
    paths = [
        path for kind in ("service", "socket", "timer") for path in glob.glob(options["folder"] + "/fastchat-*." + kind)
    ]
    return {
        "units": [unit_of(systemd, path, options["settings"], proc) for path in sorted(paths)],
        "plan": json_of(options["plan"]).get("workers", {}),
        "probe": json_of(options["probe"]),
        "models": models_below(options["weights"]),
    }
