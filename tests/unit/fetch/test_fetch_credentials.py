"""A login reaches the hosts that it is for, and nobody else."""

import base64
import json
import os
import subprocess
import sys

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


IN_CHILD = """
import json, sys
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options
source, dest = json.loads(sys.argv[1]), sys.argv[2]
print(json.dumps(sorted(fetch(source, dest, Options(retries=0, timeout=5, token="s3cret"))["names"])))
"""


def test_a_login_works_where_nothing_may_be_executed(hub, tmp_path):
    """A file system that is mounted noexec, in a namespace of its own: git gets its login there too."""
    source, _identity = git_lfs_source(hub)
    hub.wanted_login = login("token", "s3cret")
    staging = tmp_path / "staging"
    staging.mkdir()
    mount = f'mount -t tmpfs -o noexec none "{staging}" && cp /bin/true "{staging}/x" && ! "{staging}/x" 2>/dev/null'
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*alone, mount], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace may be made here")
    told = f'{mount} && exec "$@"'
    command = [*alone, told, "sh", sys.executable, "-c", IN_CHILD, json.dumps(source), str(staging / "dest")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == sorted([*LARGE, *SMALL])


def test_git_s_login_needs_no_file_and_goes_to_the_source_s_host_only(hub, tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    program = tmp_path / "program"  # what a desktop would ask with
    program.write_text(f"#!/bin/sh\necho asked >> {asked}\n")
    program.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(program))
    files, popen = [], subprocess.Popen
    below = tmp_path / "below"

    def started(*arguments, **options):
        files.extend(path for path in below.rglob("*") if path.is_file() and os.access(path, os.X_OK))
        return popen(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", started)
    source, _identity = git_lfs_source(hub)
    hub.wanted_login = login("token", "s3cret")
    fetch(source, str(below / "dest"), QUICK._replace(token="s3cret"))  # noqa: S106
    assert [path for path in files if "hooks" not in path.parts] == []
    refs = "/model.git/info/refs?service=git-upload-pack"
    elsewhere = hub.url.replace("127.0.0.1", "localhost")
    hub.seen.clear()
    hub.faults = [("/info/refs", {"status": 302, "headers": {"Location": f"{elsewhere}{refs}"}})]
    hub.wanted_login = ""
    hub.faults.append(("/info/refs", {"status": 401, "headers": {"WWW-Authenticate": 'Basic realm="hub"'}}))
    said = refusal(source, tmp_path / "other", QUICK._replace(token="s3cret"))  # noqa: S106
    assert "git was asked for another login than the one that was given for" in said
    assert "(git says: fatal: could not read Username for 'http://localhost" in said
    sent = [headers["Authorization"] for headers in hub.requests("/info/refs") if "Authorization" in headers]
    assert sent == [] and not asked.exists()


def test_a_refused_login_is_told_from_none(hub, tmp_path):
    source, _identity = git_lfs_source(hub)
    hub.wanted_login = login("token", "right")
    said = refusal(source, tmp_path / "dest")
    assert "refused git, which has no login for it (git says: fatal: could not read Username" in said
    said = refusal(source, tmp_path / "dest", QUICK._replace(token="wr0ng"))  # noqa: S106
    assert "with the login that was given (git says: fatal: Authentication failed" in said and "wr0ng" not in said
    at_hub = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url, "revision": "main"}
    assert "and no login was given (HTTP 401): give a token" in refusal(at_hub, tmp_path / "dest")
    hub.wanted_login = ""
    gated = {"status": 403, "headers": {"X-Error-Message": "Access to this model is restricted."}}
    hub.faults = [("/revision/", gated)]
    said = refusal(at_hub, tmp_path / "dest", QUICK._replace(token="s3cret"))  # noqa: S106
    assert "with the login that was given (HTTP 403, Access to this model is restricted): give one that may" in said


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


def test_a_netrc_that_can_not_be_used_is_named_without_its_content(hub, tmp_path):
    source = {"kind": "hub", "url": REPOSITORY, "endpoint": hub.url, "revision": "main"}
    hub.wanted_login = login("ann", "s3cret")
    (tmp_path / "netrc").write_text("machine 127.0.0.1\nlogin ann pasword s3cret\n")
    said = refusal(source, tmp_path / "dest")
    assert f"no login was given (HTTP 401; {tmp_path}/netrc is no netrc file: line 2)" in said and "s3cret" not in said
    (tmp_path / "netrc").unlink()
    (tmp_path / "netrc").mkdir()
    assert f"{tmp_path}/netrc can not be read: is a directory" in refusal(source, tmp_path / "dest")
