"""A watched fleet of the tests' own, provisioned from bare hosts and removed at the end."""

import os

import pytest
from ansible.plugins.loader import init_plugin_loader

from testbed.paths import CLONE, STATE

init_plugin_loader([str(CLONE / "collections")])  # before anything imports a plugin of ours: test_rules renders a role

from watched import FLEET, Site, within  # noqa: E402

from testbed.containers import fleet, layouts, runs  # noqa: E402


@pytest.fixture(scope="session")
def site():
    found = Site()
    if not (os.environ.get("KEEP_FLEET") and (STATE / FLEET / "status-key").exists()):
        layouts.bring_up(FLEET, "monitoring")
        runner = found.run("--skip-tags=verify")  # which loads the model a second time; the alerts ask for more
        assert runner.rc == 0, runs.words(runner)
    # Prometheus has seen everything twice.
    within(60, lambda: found.query("count(count_over_time(up[1m]) > 1) == 4"), "Prometheus does not see four targets")
    yield found
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
