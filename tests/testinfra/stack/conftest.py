"""The verifier of the scenarios ``stack`` and ``py27``: one host is the whole fleet."""

import json

import pytest


@pytest.fixture
def verdict(host):
    """The verdict that the verify phase left on the host: which model was asked what, and how it answered."""
    return json.loads(host.file("/var/lib/fastchat/verdict.json").content_string)
