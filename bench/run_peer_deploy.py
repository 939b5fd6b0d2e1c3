"""What bench/run_peer.py runs with pyinfra: what site.yml left on a host, as operations with nothing to do."""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

found = json.loads((Path(os.environ["RUN_PEER_EXPECTED"]) / f"{host.name}.json").read_text())

apt.packages(packages=found["packages"])
for user in host.loop(found["users"]):
    server.user(user=user, ensure_home=False)
for item in host.loop(found["items"]):
    owner = {"user": item["user"], "group": item["group"]}
    if item["kind"] == "directory":
        files.directory(path=item["path"], mode=item["mode"], **owner)
    elif item["kind"] == "link":
        files.link(path=item["path"], target=item["target"], **owner)
    else:
        files.put(src=item["source"], dest=item["path"], mode=item["mode"], add_deploy_dir=False, **owner)
for unit in host.loop(found["units"]):
    systemd.service(service=unit["name"], running=unit["running"], enabled=unit["enabled"] or None)
