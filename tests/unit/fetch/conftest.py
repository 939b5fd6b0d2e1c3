"""A stand-in hub, and no proxy or login of the machine's."""

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch import http_client, task

from tests.support.standin_hub import served


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """No proxy, no login of the machine's, no waiting between attempts."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(http_client, "backoff", lambda attempt, wait: wait or 0.01)
    monkeypatch.setattr(task, "backoff", lambda attempt, wait: wait or 0.01)


@pytest.fixture
def hub(tmp_path):
    with served(tmp_path / "hub") as server:
        yield server
