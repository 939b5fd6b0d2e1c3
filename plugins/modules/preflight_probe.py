#!/usr/bin/python
"""Ask a host about GPUs, ports, names, disk space and its clock, in one call, before anything changes."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
module: preflight_probe
short_description: Ask a host about GPUs, ports, names, disk space, Pythons and its clock
description: Reads only. The filter C(preflight_faults) turns the answers into sentences.
options:
  names: {description: Host names that must resolve., type: list, elements: str, default: []}
  pythons: {description: Paths of Python interpreters whose version is asked., type: list, elements: str, default: []}
  disk:
    description: Where something will be written; C(path), and C(done), a path that exists once it was.
    type: list
    elements: dict
    default: []
  now: {description: The asker's clock; seconds since 1970., type: float, default: 0}
  gpus:
    description: The options of M(fastchat.fleet.gpu_facts); left out, no driver is asked.
    type: dict
    suboptions:
      nvidia_smi: {description: Path of nvidia-smi; looked up in PATH when empty., type: str, default: ''}
      timeout: {description: Seconds for each call of nvidia-smi., type: int, default: 60}
      capabilities: {description: Names of products by compute capability., type: dict, default: {}}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Ask
  fastchat.fleet.preflight_probe:
    names: [ctl01]
    now: "{{ now().timestamp() }}"
    disk: [{path: /opt/fastchat, done: /opt/fastchat/env}]
    gpus: {}
"""
RETURN = r"""
taken: {description: Port to owner of each port on which others than our services listen., type: dict, returned: always}
unknown: {description: Names that do not resolve., type: list, elements: str, returned: always}
loopback: {description: Names whose address is the host's loopback and what it is., type: dict, returned: always}
disk:
  description: 'For each place, in the order asked: device (number of its file system), free_mb, whether it is done, and
    used_mb, what a cut run has left there (0 where it is done). Sizes are MiB.'
  type: list
  elements: dict
  returned: always
gpus: {description: What M(fastchat.fleet.gpu_facts) returns., type: dict, returned: when asked}
pythons: {description: 'Version of each Python by its path, empty when it is absent.', type: dict, returned: always}
python_faults: {description: 'Why a Python that is there does not run, by its path.', type: dict, returned: always}
glibc: {description: Version of the C library., type: str, returned: always, sample: '2.17'}
clock_skew: {description: How many seconds this host's clock is ahead of the asker's., type: int, returned: when asked}
"""

import glob
import os
import pwd
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import is_loopback
from ansible_collections.fastchat.fleet.plugins.module_utils.host.gpus import GPU_OPTIONS, gpus_of
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


def taken():
    """Return {port: owner} of the ports on which somebody else than our own services listens."""
    found = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            with open(table) as stream:
                found.update(listeners(stream.read()))
    owners, ours = dict((str(port), owner_of(uid)) for port, uid in found.items()), held()
    return dict((port, owner) for port, owner in owners.items() if owner not in OURS and port not in ours)


def held():
    """Return the ports that systemd holds for units of ours."""
    ports = set()
    for path in glob.glob("/etc/systemd/system/%s-*.socket" % OURS[0]):
        with open(path) as stream:
            ports.update(line.strip().rsplit(":", 1)[-1] for line in stream if line.startswith("ListenStream="))
    return ports


def space(place):
    """Return {device, free_mb, done, used_mb} of a place; what a cut run has left there counts as used."""
    device, free = free_mb(place["path"])
    done = os.path.exists(place["done"])
    return {"device": device, "free_mb": free, "done": done, "used_mb": 0 if done else used_mb(place["path"])}


def main():
    """Map arguments onto the questions."""
    spec = {
        "names": {"type": "list", "elements": "str", "default": []},
        "pythons": {"type": "list", "elements": "str", "default": []},
        "disk": {"type": "list", "elements": "dict", "default": []},
        "now": {"type": "float", "default": 0},
        "gpus": {"type": "dict", "options": GPU_OPTIONS},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    asked, clock = module.params, time.time()
    addresses = dict((name, address_of(name)) for name in asked["names"])
    answers = dict((path, python_answer(path)) for path in asked["pythons"])
    found = {} if asked["gpus"] is None else {"gpus": gpus_of(module, asked["gpus"])}
    if asked["now"]:
        found["clock_skew"] = int(clock - asked["now"])
    answer = {
        "changed": False,
        "taken": taken(),
        "unknown": [name for name in asked["names"] if not addresses[name]],
        "loopback": dict((name, address) for name, address in addresses.items() if is_loopback(address)),
        "disk": [space(place) for place in asked["disk"]],
        "pythons": dict((path, version) for path, (version, _fault) in answers.items()),
        "python_faults": dict((path, fault) for path, (version, fault) in answers.items() if not version),
        "glibc": glibc(),
    }
    module.exit_json(**dict(answer, **found))


if __name__ == "__main__":
    main()
