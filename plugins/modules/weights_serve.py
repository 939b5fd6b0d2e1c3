#!/usr/bin/python
"""Serve a host's current release to the fleet, or stop."""

DOCUMENTATION = r"""
module: weights_serve
short_description: Serve the current release of a model to the fleet
description:
  - Describes what C(current) points to; with O(state=started) starts what sends it, which ends by itself after
    O(lifetime). Listens on O(address) only and answers O(fleet) only.
  - Runs under Python 3.9 or newer.
options:
  root: {description: The model's directory., type: path, required: true}
  work: {description: 'Directory for configuration and logs, root''s.', type: path, required: true}
  state: {description: What is wanted., type: str, choices: [described, started, stopped], default: described}
  method: {description: How it is sent., type: str, choices: [http, rsync, p2p], default: p2p}
  address: {description: This host's address inside the fleet., type: str}
  fleet: {description: Addresses that may receive., type: list, elements: str, default: []}
  ports: {description: 'TCP ports: C(http), of server and tracker, C(peer), C(rsync).', type: dict, default: {}}
  lifetime: {description: Seconds after which it ends in any case., type: int, default: 7200}
  limit: {description: 'Bytes per second for C(p2p), 0 for no limit.', type: int, default: 0}
  user: {description: Who runs it., type: str, default: fastchat}
author: [fastchat-fleet]
"""
EXAMPLES = r"""
- name: Send the release to two hosts
  fastchat.fleet.weights_serve:
    root: /srv/fastchat/models/m
    work: /srv/fastchat/staging/m/serve
    state: started
    address: 10.0.0.2
    fleet: [10.0.0.3, 10.0.0.4]
    ports: {http: 21090, peer: 21091, rsync: 21092}
"""
RETURN = r"""
digest: {description: Name of the release., type: str, returned: unless stopped}
manifest: {description: Its manifest., type: dict, returned: unless stopped}
torrent: {description: 'The torrent in base64, empty but for C(p2p).', type: str, returned: when started}
url: {description: 'Where files are fetched from, by C(rsync) or else C(http).', type: str, returned: when started}
"""

import base64
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.fastchat.fleet.plugins.module_utils.addresses.joining import base_url
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm import web_server
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.processes import PROGRAMS, alive
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.serve import serve, stop_serving
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.users import make_folder

PORTS = {"http": 21090, "peer": 21091, "rsync": 21092}


def current(root):
    """Return (release directory, manifest) of what is published; OSError when nothing is."""
    release = os.path.realpath(os.path.join(root, "current"))
    with open(os.path.join(release, "manifest.json")) as stream:
        return release, json.load(stream)


def started(given, release, manifest):
    """Start serving and return the facts that receivers need."""
    ports = {name: int(given["ports"].get(name, port)) for name, port in PORTS.items()}
    work, method, address = make_folder(given["work"]), given["method"], given["address"]
    torrent = serve(
        work,
        method,
        release,
        manifest,
        address,
        ports=ports,
        fleet=given["fleet"],
        lifetime=given["lifetime"],
        limit=given["limit"],
        user=given["user"],
        cache=os.path.join(given["root"], "torrents", os.path.basename(release)),
        source=web_server.__loader__.get_source(web_server.__name__),
    )
    if method == "rsync":
        url = base_url(address, ports["rsync"], "rsync") + "/release/"
    else:
        url = "%s/%s" % (base_url(address, ports["http"]), os.path.basename(release))
    return {"torrent": base64.b64encode(torrent).decode(), "url": url}


def main():
    """Map arguments, check mode and errors."""
    spec = {
        "root": {"type": "path", "required": True},
        "work": {"type": "path", "required": True},
        "state": {"choices": ["described", "started", "stopped"], "default": "described"},
        "method": {"choices": ["http", "rsync", "p2p"], "default": "p2p"},
        "address": {"type": "str"},
        "fleet": {"type": "list", "elements": "str", "default": []},
        "ports": {"type": "dict", "default": {}},
        "lifetime": {"type": "int", "default": 7200},
        "limit": {"type": "int", "default": 0},
        "user": {"type": "str", "default": "fastchat"},
    }
    needed = [("state", "started", ["address"])]
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True, required_if=needed)
    given = module.params
    if given["state"] == "stopped":
        running = any(alive(given["work"], what) for what in PROGRAMS)
        if running and not module.check_mode:
            stop_serving(given["work"])
        module.exit_json(changed=running)
    try:
        release, manifest = current(given["root"])
    except OSError:
        module.exit_json(changed=False, digest="", manifest={})
    facts = {"digest": os.path.basename(release), "manifest": manifest}
    if given["state"] == "described" or module.check_mode:
        module.exit_json(changed=given["state"] == "started", **facts)
    try:
        facts.update(started(given, release, manifest))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        module.fail_json(msg="The release can not be served: %s" % error)
    module.exit_json(changed=True, **facts)


if __name__ == "__main__":
    main()
