"""A site without internet access: its own fleet, bare at the start and removed at the end."""

import os

import pytest
from site_driver import FLEET, Site

from testbed.containers import fleet, layouts


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    fleet.down(FLEET)
    layouts.bring_up(FLEET, "airgap")
    yield Site(tmp_path_factory.mktemp("models"))
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
