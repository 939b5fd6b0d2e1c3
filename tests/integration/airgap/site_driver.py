"""The site's bundle and its hosts, driven by ansible-runner."""

import os
import shutil
from pathlib import Path

from testbed import wheelhouse
from testbed.containers import fleet, runs
from testbed.paths import CACHE, CLONE, STATE

FLEET = "airgap"
BUNDLE = STATE / FLEET / "bundle"
# Addresses come from apt on this machine, which must be a Debian (docs/AIRGAP.md).
DEBS = CACHE / "debs"  # packages of earlier runs; they are taken from here, by sha256, before the archive is asked


class Site:
    """One control node with internet access, and hosts without it."""

    def __init__(self, models: Path) -> None:
        """Describe the model as the demo does, with the hub's address that this machine reaches."""
        self.models = models
        described = (CLONE / "files" / "models" / "smollm2-demo.yml").read_text()
        hub = f"http://{fleet.address_of(FLEET, 'hub')}:8080"
        (models / "smollm2-demo.yml").write_text(described.replace("http://hub:8080", hub))

    def bundle(self, *arguments):
        """Run playbooks/bundle.yml; it finds what earlier runs of the tests have downloaded."""
        DEBS.mkdir(parents=True, exist_ok=True)
        runner = self.play(
            "playbooks/bundle.yml",
            *arguments,
            bundle_models=True,
            bundle_near=[str(wheelhouse.wheelhouse_of("cpu")), str(DEBS)],
            vicuna_weights_models_dir=str(self.models),
        )
        for package in BUNDLE.glob("packages/debian12/*.deb"):
            if not (DEBS / package.name).exists():
                shutil.copyfile(package, DEBS / f"{package.name}.{os.getpid()}")
                os.rename(DEBS / f"{package.name}.{os.getpid()}", DEBS / package.name)
        return runner

    def play(self, playbook, *arguments, **variables):
        """Run a playbook over the site; return ansible-runner's Runner."""
        variables = {"bundle_dir": str(BUNDLE), **variables}
        return runs.run(FLEET, playbook, [Path(__file__).with_name("hosts.yml")], arguments, variables, quiet=True)

    def on(self, host, *command, check=True):
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{host}", *command, check=check)
