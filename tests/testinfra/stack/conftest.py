"""One host that is all of a fleet."""

import json

import pytest


@pytest.fixture
def verdict(host):
    """What the verify phase left on the host: which model was asked what."""
    return json.loads(host.file("/var/lib/fastchat/verdict.json").content_string)
