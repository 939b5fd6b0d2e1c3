"""``python -m testbed.rpm.repository FLEET``: build and serve the RPMs that a fleet of the layout ``rpm`` installs.

They are served on the fleet's network at http://repository:8080. What a test must know of them (the fingerprint of the
throw-away key, a checksum) is written to ``.testbed/FLEET/rpm_repository.json``.
"""

import json
import sys
import time

from testbed.containers.fleet import podman, prefix
from testbed.paths import STATE
from testbed.rpm.packages import GIT_LFS, ROOT, build_script

HOST, PORT = "repository", 8080
UNIT = f"""[Unit]
Description=RPM repository of the testbed
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory {ROOT} {PORT}
[Install]
WantedBy=multi-user.target
"""


def up(fleet: str) -> dict:
    """Build and serve the repository of a fleet unless it is served; return what is left in its JSON file."""
    name, facts = f"{prefix(fleet)}-{HOST}", STATE / fleet / "rpm_repository.json"
    if facts.exists() and podman("exec", name, "systemctl", "is-active", "repository", check=False) == "active":
        return json.loads(facts.read_text())
    podman("exec", "-i", name, "sh", "-s", stdin=build_script(podman("exec", name, "uname", "-r")))
    podman("exec", "-i", name, "tee", "/etc/systemd/system/repository.service", stdin=UNIT)
    podman("exec", name, "systemctl", "enable", "--quiet", "--now", "repository")
    deadline = time.monotonic() + 10
    while not podman("exec", name, "ss", "-Hltn", f"sport = :{PORT}"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} does not listen on port {PORT}: see journalctl -u repository there.")
        time.sleep(0.2)
    shown = podman("exec", name, "gpg", "--batch", "--with-colons", "--list-keys", "pinned throw-away key")
    fingerprint = next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:"))
    known = {
        "url": f"http://{HOST}:{PORT}",
        "rpm": GIT_LFS,
        "fingerprint": fingerprint,
        "sha256": podman("exec", name, "sha256sum", f"{ROOT}/packages/{GIT_LFS}").split()[0],
    }
    facts.write_text(json.dumps(known, indent=2) + "\n")
    return known


if __name__ == "__main__":
    print(json.dumps(up(sys.argv[1]), indent=2))
