"""A fleet of the tests' own with a page, provisioned from bare hosts and removed at the end."""

import os
from pathlib import Path

import pytest

from testbed.containers import fleet, layouts, runs
from testbed.paths import STATE

FLEET = "web"
PAGE = Path(__file__).with_name("hosts.yml")


class Site:
    """The fleet, provisioned."""

    def run(self, *arguments, playbook="site.yml", **variables):
        """Run a playbook to its end."""
        return runs.run(FLEET, playbook, (runs.DEMO, PAGE), arguments, variables, quiet=True)

    def on(self, host, *command, check=True, stdin=None):
        """Return the standard output of a command on a host."""
        interactive = ["--interactive"] if stdin is not None else []
        return fleet.podman("exec", *interactive, f"{fleet.prefix(FLEET)}-{host}", *command, check=check, stdin=stdin)

    def key(self):
        """Return the demo's key, which its inventory made at the first run."""
        return (STATE / FLEET / "gateway-key").read_text().strip()

    def page(self, script, *arguments):
        """Run a script on ctl01 with the Python of the page's environment."""
        return self.on("ctl01", "/opt/fastchat/web-env/bin/python", "-", *arguments, stdin=script)


@pytest.fixture(scope="session")
def site():
    layouts.bring_up(FLEET, "web")
    found = Site()
    runner = found.run()
    assert runner.rc == 0, runs.words(runner)
    yield found
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
