"""A fleet of the tests' own with one worker, provisioned from bare hosts and removed at the end; and its clients."""

import os

import pytest
from clients_site import COMMANDS, FLEET, Client, Site

from testbed.containers import fleet, layouts, runs
from testbed.paths import STATE


@pytest.fixture(scope="session")
def site():
    if not (os.environ.get("KEEP_FLEET") and (STATE / FLEET / "certificate.pem").exists()):
        layouts.bring_up(FLEET, "clients")
        runner = Site().run()
        assert runner.rc == 0, runs.words(runner)
    yield Site()
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)


@pytest.fixture(scope="module", params=COMMANDS)
def client(site, request):
    running = Client(site, request.param, COMMANDS[request.param]())
    yield running
    running.stop()


@pytest.fixture
def another(site):
    """Yield a function that starts a client of a test's own, with some variables."""
    running = []

    def start(name, **variables):
        running.append(Client(site, name, COMMANDS[name](), **variables))
        return running[-1]

    yield start
    for one in running:
        one.stop()
