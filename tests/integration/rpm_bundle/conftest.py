"""A host with CentOS 7's identity, bare at the start and removed at the end."""

import os

import pytest
from rpm_site import FLEET, OWN, Site

from testbed import tools
from testbed.containers import fleet, layouts
from testbed.rpm import repository as rpm_repository


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    tools.ensure(tools.RPMS)
    fleet.down(FLEET)
    layouts.bring_up(FLEET, "rpm_bundle")
    made = Site(tmp_path_factory.mktemp("stack"), rpm_repository.up(FLEET))
    made.on("sh", "-c", f"printf '{OWN}' > /etc/yum.repos.d/own.repo".replace("\n", "\\n"))
    yield made
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)
