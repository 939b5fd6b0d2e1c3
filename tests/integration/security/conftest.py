"""A small fleet and an outsider, bare at the start and removed at the end."""

import os

import pytest
from secured import FLEET, Secured

from testbed.containers import fleet, layouts


@pytest.fixture(scope="session")
def site():
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
    layouts.bring_up(FLEET, "security")
    yield Secured()
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
