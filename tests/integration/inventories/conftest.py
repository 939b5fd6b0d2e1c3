"""A fleet whose hosts are as other people's are; bare at the start and removed at the end."""

import os

import pytest
from oddities import FLEET, Site, prepare

from testbed.containers import fleet, layouts


@pytest.fixture(scope="session")
def site():
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
    layouts.bring_up(FLEET, "inventories")
    prepare()
    yield Site()
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
