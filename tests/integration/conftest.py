"""A fleet of the tests' own, bare at the start, gone at the end."""

import os

import pytest
from driver import FLEET, Site

from testbed import demo, fleet


@pytest.fixture(scope="session")
def site():
    fleet.down(FLEET)
    demo.bring_up(FLEET)
    yield Site()
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
