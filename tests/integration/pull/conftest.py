"""A fleet of the tests' own whose workers are to pull, removed at the end."""

import os

import pytest
from pull_site import FLEET, PullSite

from testbed.containers import fleet, layouts


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
    layouts.bring_up(FLEET)
    yield PullSite(tmp_path_factory.mktemp("pull"))
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
