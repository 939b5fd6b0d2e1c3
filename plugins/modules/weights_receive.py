#!/usr/bin/python
"""Receive a release from the fleet, in three steps that all hosts take together."""

DOCUMENTATION = r"""
module: weights_receive
short_description: Receive a release from the fleet
description:
  - O(state=started) joins the swarm and returns at once, so that all hosts receive together however many Ansible
    talks to at a time; with other methods it does nothing. O(state=complete) waits for, or fetches, the last byte;
    the host goes on sending to the others. O(state=sealed) stops that and compares every file with the manifest.
  - After O(state=sealed), O(source) is a directory to publish. Runs under Python 3.9 or newer.
options:
  work: {description: 'Directory for everything here, on the file system of the releases.', type: path, required: true}
  state: {description: The step., type: str, choices: [started, complete, sealed], required: true}
  digest: {description: Name of the release., type: str, required: true}
  manifest: {description: 'Its manifest, from the builder over ssh: no peer is trusted.', type: dict, required: true}
  method: {description: How it is sent., type: str, choices: [http, rsync, p2p], default: p2p}
  torrent: {description: The torrent in base64., type: str, default: ''}
  url: {description: Where to fetch from by C(http) and C(rsync)., type: str, default: ''}
  address: {description: This host's address inside the fleet., type: str}
  port: {description: TCP port on which C(p2p) listens., type: int, default: 21091}
  lifetime: {description: Seconds after which C(p2p) ends in any case., type: int, default: 7200}
  stall: {description: Seconds without one byte after which to give up., type: int, default: 300}
  limit: {description: 'Bytes per second each way, 0 for no limit; not for C(http).', type: int, default: 0}
  user: {description: Who receives., type: str, default: fastchat}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Wait for the last byte
  fastchat.fleet.weights_receive:
    work: /srv/fastchat/staging/m/receive
    state: complete
    digest: 0f3a
    manifest: {files: {}}
"""
RETURN = r"""
source: {description: Where the files are., type: str, returned: always}
"""

import base64
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.storage.progress import reported
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm import receive
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.content import shortage, sizes, total_size
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.processes import stop
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.users import acting_as, give_to, make_folder


def join(given, folder):
    """Take part in the swarm; return whether that is new."""
    torrent = base64.b64decode(given["torrent"])
    return receive.join(
        given["work"],
        folder,
        given["manifest"],
        torrent,
        given["address"],
        port=given["port"],
        lifetime=given["lifetime"],
        stall=given["stall"],
        limit=given["limit"],
        user=given["user"],
    )


def complete(given, folder):
    """Wait for, or fetch, the last byte."""
    manifest, stall = given["manifest"], given["stall"]
    if given["method"] != "p2p":
        make_folder(folder, given["user"])
    actor = given["user"] if given["method"] == "http" else None
    # In this order, because all threads act as that user: a report is begun, replaced and withdrawn by one.
    with acting_as(actor), reported(total_size(manifest), lambda: sizes(folder, manifest)):
        if given["method"] == "p2p":
            return receive.await_swarm(given["work"], folder, manifest, stall)
        if given["method"] == "rsync":
            return receive.fetch_rsync(given["url"], folder, manifest, stall, limit=given["limit"], user=given["user"])
        return receive.fetch_http(given["url"], folder, manifest, stall)


def step(given, folder):
    """Take one step; return whether it changed something. RuntimeError has one sentence."""
    if given["state"] == "sealed":
        stop(given["work"], "aria2")
        damaged = receive.seal(folder, given["manifest"])
        if damaged:
            raise RuntimeError("%s came with another sha256 than the manifest's: run this again." % ", ".join(damaged))
        return True
    make_folder(given["work"])
    make_folder(os.path.dirname(folder), given["user"])
    give_to(folder, given["user"])
    if given["state"] == "complete":
        complete(given, folder)
        return True
    short = shortage(folder, given["manifest"])
    if short:
        raise RuntimeError(short)
    return given["method"] == "p2p" and join(given, folder)


def main():
    """Map arguments, check mode and errors."""
    spec = {
        "work": {"type": "path", "required": True},
        "state": {"choices": ["started", "complete", "sealed"], "required": True},
        "digest": {"type": "str", "required": True},
        "manifest": {"type": "dict", "required": True},
        "method": {"choices": ["http", "rsync", "p2p"], "default": "p2p"},
        "torrent": {"type": "str", "default": ""},
        "url": {"type": "str", "default": ""},
        "address": {"type": "str"},
        "port": {"type": "int", "default": 21091},
        "lifetime": {"type": "int", "default": 7200},
        "stall": {"type": "int", "default": 300},
        "limit": {"type": "int", "default": 0},
        "user": {"type": "str", "default": "fastchat"},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    given = module.params
    folder = os.path.join(given["work"], "in", given["digest"])
    if module.check_mode:
        module.exit_json(changed=True, source=folder)
    try:
        module.exit_json(changed=step(given, folder), source=folder)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
