"""Run with .testbed/engine-env (testbed/environment.py): torch, safetensors and FastChat as the hosts have them."""

import pytest
from guard import Api, Controller, StandIn


@pytest.fixture
def fleet():
    """Yield a function that starts a controller over some workers and an API; all of it is stopped at the end."""
    started = []

    def start(*workers, **options):
        controller = Controller(*(getattr(one, "url", one) for one in workers))
        api = Api(controller.url, **options)
        started.extend([controller, api, *(one for one in workers if isinstance(one, StandIn))])
        return controller, api

    yield start
    for one in started:
        one.stop()
