"""The site's bundle and its hosts, driven by ansible-runner."""

import json
import os
import shutil
from pathlib import Path

import ansible_runner

from testbed import fleet, wheelhouse
from testbed.paths import CACHE, CLONE, STATE

FLEET = "airgap"
BUNDLE = STATE / FLEET / "bundle"
DEBS = CACHE / "debs"  # packages of earlier runs: taken from here, by sha256, before the archive is asked for one


class Site:
    """One control node with a way out, and hosts without one."""

    def __init__(self, models: Path) -> None:
        """Describe the model as the demo has it, its hub by the address under which this machine reaches it."""
        self.models = models
        described = (CLONE / "files" / "models" / "smollm2-demo.yml").read_text()
        hub = f"http://{fleet.address_of(FLEET, 'hub')}:8080"
        (models / "smollm2-demo.yml").write_text(described.replace("http://hub:8080", hub))

    def bundle(self, *arguments):
        """Run playbooks/bundle.yml; what earlier runs of the tests downloaded is near."""
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
        data = STATE / FLEET / "runner"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        extra = {"testbed_fleet": FLEET, "bundle_dir": str(BUNDLE), **variables}
        words = [*arguments, f"--extra-vars={json.dumps(extra)}"]
        return ansible_runner.run(
            private_data_dir=str(data),
            project_dir=str(CLONE),
            inventory=[str(Path(__file__).with_name("hosts.yml"))],
            playbook=playbook,
            envvars={"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg")},
            cmdline=" ".join(f"'{word}'" for word in words),
            quiet=True,
        )

    def on(self, host, *command, check=True):
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{host}", *command, check=check)


def results(runner, kind):
    """Return [(host, task, result)] of one kind of event: ok, failed."""
    return [
        (event["event_data"]["host"], event["event_data"]["task"], event["event_data"].get("res", {}))
        for event in runner.events
        if event["event"] == f"runner_on_{kind}"
    ]


def changed(runner):
    """Return the tasks that changed something."""
    return [(host, task) for host, task, result in results(runner, "ok") if result.get("changed")]


def words(runner):
    """Return the messages of the failed tasks as one text."""
    return "\n".join(str(result.get("msg", result)) for _host, _task, result in results(runner, "failed"))


def said(runner, task):
    """Return the messages of a task."""
    return "\n".join(str(result.get("msg")) for _host, name, result in results(runner, "ok") if name == task)
