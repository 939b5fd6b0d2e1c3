"""A fleet of the tests' own, bare at the start and removed at the end."""

import os

import pytest
from driver import FLEET, Site

from testbed.containers import fleet, layouts


@pytest.fixture(scope="session")
def site():
    fleet.down(FLEET)
    layouts.bring_up(FLEET)
    yield Site()
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
