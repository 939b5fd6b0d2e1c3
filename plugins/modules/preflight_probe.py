#!/usr/bin/python
"""Ask a host about ports, names, disk space and its clock, before anything changes."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: preflight_probe
short_description: Ask a host about ports, names, disk space, Pythons and its clock
description: Reads only. The filter C(preflight_faults) turns the answers into sentences.
options:
  ports: {description: TCP ports that a service of ours will bind., type: list, elements: int, default: []}
  names: {description: Host names that must resolve., type: list, elements: str, default: []}
  pythons: {description: Paths of Python interpreters whose version is asked., type: list, elements: str, default: []}
  disk:
    description: What will be written where; C(path), C(mb), and C(done), a path that exists once it was.
    type: list
    elements: dict
    default: []
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Ask
  fastchat.fleet.preflight_probe:
    ports: [21001]
    names: [ctl01]
    disk: [{path: /opt/fastchat, mb: 1500, done: /opt/fastchat/env}]
"""
RETURN = r"""
taken: {description: Port to owner of each wanted port that another user listens on., type: dict, returned: always}
unknown: {description: Names that do not resolve., type: list, elements: str, returned: always}
loopback: {description: Names whose address is the host's loopback and what it is., type: dict, returned: always}
disk: {description: 'For each file system: paths, wanted and free MiB.', type: list, elements: dict, returned: always}
pythons: {description: 'Version of each Python by its path, empty when it is absent.', type: dict, returned: always}
python_faults: {description: 'Why a Python that is there does not run, by its path.', type: dict, returned: always}
glibc: {description: Version of the C library., type: str, returned: always, sample: '2.17'}
clock: {description: Seconds since 1970., type: int, returned: always}
"""

import glob
import os
import pwd
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import is_loopback
from ansible_collections.fastchat.fleet.plugins.module_utils.host.probe import (
    address_of,
    free_mb,
    glibc,
    listeners,
    python_answer,
    used_mb,
)

OURS = ("fastchat", "fastchat-gateway")


def owner_of(uid):
    """Return the user's name, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def taken(ports):
    """Return {port: owner} of the wanted ports on which somebody else than our own services listens."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            with open(table) as stream:
                found.update(listeners(stream.read()))
    owners = dict((str(port), owner_of(found[port])) for port in ports if port in found)
    return dict((port, owner) for port, owner in owners.items() if owner not in OURS and not held(port))


def held(port):
    """Return whether systemd holds a port for a unit of ours."""
    for path in glob.glob("/etc/systemd/system/%s-*.socket" % OURS[0]):
        with open(path) as stream:
            if any(line.startswith("ListenStream=") and line.strip().endswith(":" + port) for line in stream):
                return True
    return False


def space(needs):
    """Return one entry for each file system: its paths, the MiB that are still to be written there, the MiB free."""
    systems = {}
    for need in needs:
        device, free = free_mb(need["path"])
        entry = systems.setdefault(device, {"paths": [], "wanted_mb": 0, "free_mb": free})
        entry["paths"].append(need["path"])
        if not os.path.exists(need["done"]):
            # What a cut run has left there counts: the next run goes on from it.
            entry["wanted_mb"] += max(0, int(need["mb"]) - used_mb(need["path"]))
    return [systems[device] for device in sorted(systems)]


def main():
    """Map arguments onto the questions."""
    spec = {
        "ports": {"type": "list", "elements": "int", "default": []},
        "names": {"type": "list", "elements": "str", "default": []},
        "pythons": {"type": "list", "elements": "str", "default": []},
        "disk": {"type": "list", "elements": "dict", "default": []},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    asked = module.params
    addresses = dict((name, address_of(name)) for name in asked["names"])
    answers = dict((path, python_answer(path)) for path in asked["pythons"])
    module.exit_json(
        changed=False,
        taken=taken(asked["ports"]),
        unknown=[name for name in asked["names"] if not addresses[name]],
        loopback=dict((name, address) for name, address in addresses.items() if is_loopback(address)),
        disk=space(asked["disk"]),
        pythons=dict((path, version) for path, (version, _fault) in answers.items()),
        python_faults=dict((path, fault) for path, (version, fault) in answers.items() if not version),
        glibc=glibc(),
        clock=int(time.time()),
    )


if __name__ == "__main__":
    main()
