"""A login reaches the hosts that it is for, and nobody else."""

import base64
import subprocess

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.names import STATE

from tests.support.fetching import LARGE, QUICK, SMALL, files_below, git_lfs_source, refusal
from tests.support.standin_hub import COMMIT, REPOSITORY


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("way", ["token", "netrc", "url"])
def test_a_login_reaches_git_and_lfs_and_no_error_says_it(hub, tmp_path, way):
    source, _identity = git_lfs_source(hub)
    hub.wanted_login = login("token" if way == "token" else "ann", "s3cret")
    options = QUICK
    said = refusal(source, tmp_path / "none")
    assert "refused" in said
    if way == "token":
        options = QUICK._replace(token="s3cret")  # noqa: S106
    elif way == "netrc":
        for name in ("netrc", ".netrc"):  # ours reads $NETRC, git's curl reads the home directory's
            (tmp_path / name).write_text("machine 127.0.0.1 login ann password s3cret\n")
            (tmp_path / name).chmod(0o600)
    else:
        source["url"] = source["url"].replace("http://", "http://ann:s3cret@")
    fetch(source, str(tmp_path / "dest"), options)
    assert files_below(tmp_path / "dest") == {**LARGE, **SMALL}
    assert "s3cret" not in (tmp_path / "dest" / STATE).read_text()
    said = refusal({**source, "revision": "v9"}, tmp_path / "dest", options)
    hub.wanted_login = login("other", "password")
    said += refusal({**source, "revision": "main"}, tmp_path / "other", options)
    assert "s3cret" not in said and "ann" not in said


def test_a_token_stands_in_no_argument_of_git(hub, tmp_path, monkeypatch):
    seen, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: seen.append(a[0]) or popen(*a, **k))
    source, _identity = git_lfs_source(hub)
    source["url"] = source["url"].replace("http://", "http://ann:s3cret@")
    fetch(source, str(tmp_path / "dest"), QUICK._replace(token="t0ken"))  # noqa: S106
    assert seen and not any("s3cret" in word or "t0ken" in word for command in seen for word in command)


def test_a_redirect_elsewhere_takes_no_credentials_along(hub, tmp_path):
    other = hub.url.replace("127.0.0.1", "localhost")
    hub.files.update(LARGE)
    hub.faults = [("/resolve/", {"status": 302, "headers": {"Location": f"{other}/files/a.bin?sig=x"}})]
    source = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url, "revision": "main", "files": ["a.bin"]}
    fetch(source, str(tmp_path / "dest"), QUICK._replace(token="s3cret"))  # noqa: S106
    assert [headers.get("Authorization") for headers in hub.requests("sig=x")] == [None]
    assert hub.requests("/tree/")[0]["Authorization"] == "Bearer s3cret"
    hub.faults = [("/resolve/", {"status": 302, "headers": {"Location": "file:///etc/passwd"}})]
    assert refusal(source, tmp_path / "other", QUICK)


def test_mirror_and_token_of_a_hub_come_from_the_environment(hub, tmp_path, monkeypatch):
    hub.files.update({**LARGE, **SMALL})
    monkeypatch.setenv("HF_ENDPOINT", hub.url + "/")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    hub.wanted_login = "Bearer s3cret"
    result = fetch(
        {"kind": "hub", "url": f"https://huggingface.co/{REPOSITORY}", "revision": "main"}, str(tmp_path / "d")
    )
    assert result["revision"] == COMMIT and files_below(tmp_path / "d") == {**LARGE, **SMALL}
