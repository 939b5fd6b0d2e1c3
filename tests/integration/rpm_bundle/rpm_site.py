"""A bundle of RPMs out of the testbed's repository, and the host that has nothing else, driven by ansible-runner."""

import json
import shutil
from pathlib import Path

from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import wheels as bundle_wheels

from testbed.containers import fleet, runs
from testbed.paths import CLONE, STATE

FLEET = "rpmbundle"
BUNDLE = STATE / FLEET / "bundle"
PACKAGES = BUNDLE / "packages" / "centos7"
HOST, THERE = "gpu01", "/srv/bundle"
# Debian's dnf skips a repository that it can not reach unless it is told not to; EL's dnf fails.
OWN = "[own]\nname=own\nbaseurl=http://repository:8080/vault/os/x86_64\ngpgcheck=0\nskip_if_unavailable=0\n"


class Site:
    """One control node, a repository that it reaches, and one host."""

    def __init__(self, folder: Path, repository: dict) -> None:
        """Keep what the testbed wrote about its repository, and describe a stack of one small wheel."""
        address = fleet.address_of(FLEET, "repository")
        self.repository = {**repository, "url": repository["url"].replace("//repository:", f"//{address}:")}
        self.variables = {
            "repository": self.repository,
            "fastchat_runtime_stacks_dir": str(folder / "stacks"),
            "fastchat_runtime_locks_dir": str(folder / "locks"),
        }
        for name in ("stacks", "locks"):
            (folder / name).mkdir()
        shutil.copy(CLONE / "files" / "stacks" / "cpu.yml", folder / "stacks")
        locked = bundle_wheels.requirements((CLONE / "files" / "locks" / "cpu.txt").read_text())
        one = next(entry for entry in locked if entry.text.startswith("idna=="))
        sums = " ".join(f"--hash=sha256:{sha256}" for sha256 in sorted(one.hashes))
        (folder / "locks" / "cpu.txt").write_text(f"{one.text} {sums}\n")

    def play(self, playbook, *arguments, **variables):
        """Run a playbook over the site; return ansible-runner's Runner."""
        variables = {"bundle_dir": str(BUNDLE), **self.variables, **variables}
        return runs.run(FLEET, playbook, [Path(__file__).with_name("hosts.yml")], arguments, variables, quiet=True)

    def bundle(self, *arguments, **variables):
        """Run playbooks/bundle.yml."""
        return self.play("playbooks/bundle.yml", *arguments, **variables)

    def git_lfs(self, *arguments):
        """Run role git_lfs on the host."""
        return self.play("tests/integration/rpm_bundle/git_lfs.yml", *arguments)

    def on(self, *command, check=True):
        """Return the standard output of a command on the host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{HOST}", *command, check=check)

    def carry(self, source: Path, there: str) -> None:
        """Bring a directory or a file to the host, as on a disk."""
        self.on("rm", "-rf", there)
        fleet.podman("cp", str(source), f"{fleet.prefix(FLEET)}-{HOST}:{there}")

    def manifest(self) -> str:
        """Return the bundle's manifest as text."""
        return (BUNDLE / "manifest.json").read_text()

    def files(self) -> dict:
        """Return what the manifest names."""
        return json.loads(self.manifest())["files"]
