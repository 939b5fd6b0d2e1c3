#!/usr/bin/python
"""Write the files of units, run them with these, and wait for their health checks."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: service_units
short_description: Write the files of units, run them with these, and wait for their health checks
description:
  - Writes all files that differ, as the module host_files does and in the same call. The action of the same name
    renders and reads them on the control node.
  - Starts units that do not run, and restarts those that started with another FASTCHAT_DIGEST than the one given.
    Then it repeats the health checks (gates) of every unit until all answer from a process of that digest.
  - A unit of the family that is not named is stopped (it drains as its ExecStop= says), disabled and removed.
options:
  units:
    description: >-
      Units: name (with .service), digest, gates (url, method, body, expect), socket (address:port), and follows, links
      whose targets go into the digest. The unit's environment file has the digest without them, and gets it with them.
    type: list
    elements: dict
    required: true
  files: {description: 'Entries, as those of host_files.', type: list, elements: dict, default: []}
  family:
    description: Glob over unit names, such as fastchat-worker@*.service; empty removes nothing.
    type: str
    default: ''
  together:
    description: Restart all at once; else one after the other, each answering before the next.
    type: bool
    default: true
  seconds:
    description: How long a unit may take to answer; what the process before it takes to drain does not count.
    type: int
    default: 180
  folder: {description: Where units are., type: path, default: /etc/systemd/system}
  settings:
    description: Where their environment files are, NAME.env without fastchat-.
    type: path
    default: /etc/fastchat
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Two workers
  fastchat.fleet.service_units:
    family: fastchat-worker@*.service
    units:
      - name: fastchat-worker@0.service
        digest: 0123456789ab
        gates: [{url: "http://gpu01:21002/worker_get_status", method: POST}]
"""
RETURN = r"""
changes: {description: "What changed, such as 'started a.service'.", type: list, elements: str, returned: always}
restarted: {description: Units that ran with something else., type: list, elements: str, returned: always}
started: {description: Units that did not run., type: list, elements: str, returned: always}
removed: {description: Units of the family that are no longer wanted., type: list, elements: str, returned: always}
"""

import fnmatch
import os
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.host.units import (
    Systemd,
    answers,
    digest_with_links,
    plan,
    running_digest,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.tree import answer_of, in_place, labelled


def not_ready(unit, shown):
    """Return '' when a unit runs with its digest and all its health checks answer, else what is missing."""
    if running_digest(shown) != unit["digest"]:
        return "it does not run with what is written yet"
    for gate in unit["gates"]:
        said = answers(gate)
        if said:
            return said
    return ""


def wait(module, systemd, units):
    """Wait until every unit is ready. When one is late, fail with its journal."""
    seconds = module.params["seconds"]
    for unit in units:
        deadline = time.time() + seconds
        while True:
            shown = systemd.show(unit["name"])
            said = not_ready(unit, shown)
            if not said:
                break
            if shown["ActiveState"] == "deactivating" and running_digest(shown) != unit["digest"]:
                deadline = time.time() + seconds  # the previous process still finishes its answers
            if time.time() > deadline:
                module.fail_json(
                    msg="%s did not answer within %d s (%s). Its journal ends:\n%s"
                    % (unit["name"], seconds, said, systemd.journal(unit["name"]))
                )
            time.sleep(0.5)


def surplus(params):
    """Return the units of the family that lie in the folder and are not wanted, sorted."""
    if not params["family"]:
        return []
    wanted = set(unit["name"] for unit in params["units"])
    there = fnmatch.filter(os.listdir(params["folder"]), params["family"])
    return sorted(name for name in there if name not in wanted)


def settings_path(params, name):
    """Return the path of a unit's environment file."""
    return os.path.join(params["settings"], name[len("fastchat-") : -len(".service")] + ".env")


def remove(systemd, params, names):
    """Stop units, which drains them, and remove their files."""
    systemd.take_away(params["folder"], names)
    for name in names:
        settings = settings_path(params, name)
        if os.path.exists(settings):
            os.remove(settings)


def listen(systemd, unit):
    """Let systemd hold a unit's socket at the right address. When the address changes, the service is stopped."""
    socket = unit["name"].replace(".service", ".socket")
    shown = systemd.show(socket)
    if shown["UnitFileState"] != "enabled":
        systemd.call("enable", socket)
    if shown["ActiveState"] == "active" and unit["socket"] not in shown["Listen"]:
        systemd.call("stop", unit["name"], socket)
    if systemd.show(socket)["ActiveState"] != "active":
        # A service that has bound the port itself (an older unit of ours) is in the way.
        systemd.call("stop", unit["name"])
        systemd.call("start", socket)


def act(module, systemd, steps):
    """Carry out the steps for all units at once or one after the other."""
    params = module.params
    for unit in params["units"]:
        if unit.get("socket"):
            listen(systemd, unit)
        for step in steps[unit["name"]]:
            systemd.call(*([step] if step == "enable" else ["--no-block", step]) + [unit["name"]])
        if not params["together"] and steps[unit["name"]]:
            wait(module, systemd, [unit])
    wait(module, systemd, params["units"])


def follow_links(params):
    """Put what the followed links point to into the digests of the units and of their environment files."""
    for unit in params["units"]:
        if unit.get("follows"):
            alone, unit["digest"] = unit["digest"], digest_with_links(unit["digest"], unit["follows"])
            path = settings_path(params, unit["name"])
            for entry in params["files"]:
                if entry["path"] == path:
                    entry["content"] = entry["content"].replace(alone, unit["digest"])


def main():
    """Find out what to do, and do it unless in check mode."""
    spec = {
        "units": {"type": "list", "elements": "dict", "required": True},
        "files": {"type": "list", "elements": "dict", "default": []},
        "family": {"type": "str", "default": ""},
        "together": {"type": "bool", "default": True},
        "seconds": {"type": "int", "default": 180},
        "folder": {"type": "path", "default": "/etc/systemd/system"},
        "settings": {"type": "path", "default": "/etc/fastchat"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params, systemd = module.params, Systemd()
    try:
        follow_links(params)
        differences = in_place(params["files"], rehearse=module.check_mode)
        labelled(module, differences)
        names = [unit["name"] for unit in params["units"]]
        shown = dict((name, systemd.show(name)) for name in names)
        stale = any(one["path"].startswith(params["folder"] + "/") for one in differences)
        stale = stale or any(one["NeedDaemonReload"] == "yes" or one["LoadState"] != "loaded" for one in shown.values())
        if stale and not module.check_mode:
            systemd.call("daemon-reload")
            shown = dict((name, systemd.show(name)) for name in names)
        steps = dict((unit["name"], plan(unit, shown[unit["name"]])) for unit in params["units"])
        gone = surplus(params)
        if not module.check_mode:
            if gone:
                remove(systemd, params, gone)
            act(module, systemd, steps)
    except (RuntimeError, IOError, OSError, KeyError) as error:
        module.fail_json(msg=str(error))
    did = {
        "restarted": [name for name in names if "restart" in steps[name]],
        "started": [name for name in names if "start" in steps[name]],
        "removed": gone,
    }
    lines = ["%s %s" % (what, name) for what in sorted(did) for name in did[what]]
    answer = answer_of(differences)
    answer["changes"] += lines
    answer["changed"] = bool(differences or gone or any(steps.values()))
    answer["diff"] += [{"before": "", "after": "".join(line + "\n" for line in lines)}] if lines else []
    module.exit_json(**dict(answer, **did))


if __name__ == "__main__":
    main()
