"""A watched fleet of the tests' own, provisioned from bare hosts and removed at the end."""

import os

import pytest
from watched import FLEET, Site, within

from testbed.containers import fleet, layouts, runs


@pytest.fixture(scope="session")
def site():
    found = Site()
    layouts.bring_up(FLEET, "monitoring")
    runner = found.run()
    assert runner.rc == 0, runs.words(runner)
    # Prometheus has seen everything twice.
    within(60, lambda: found.query("count(count_over_time(up[1m]) > 1) == 4"), "Prometheus does not see four targets")
    yield found
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
