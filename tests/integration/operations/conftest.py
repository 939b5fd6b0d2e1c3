"""A serving fleet of the tests' own, removed at the end."""

import os

import pytest
from operations_site import FLEET, Site

from testbed.containers import fleet, layouts
from testbed.containers.runs import words


@pytest.fixture(scope="session")
def site():
    found = Site()
    if not os.environ.get("KEPT_FLEET"):
        fleet.down(FLEET)
        layouts.bring_up(FLEET)
        runner = found.run("site.yml")
        assert runner.rc == 0, words(runner)
    yield found
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
