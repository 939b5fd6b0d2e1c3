"""A bare host of layout py27, with an interpreter to fetch over HTTP and a git repository of FastChat beside."""

import os
import subprocess
import sys
import tarfile

import pytest
import yaml

from testbed.containers import fleet, layouts, runs
from testbed.paths import CLONE

FLEET = "el7-runtime"
HOST = "gpu01"
PORT = 9000
# Debian 11's own Python 3.9 as a tree that runs anywhere: stands in for a build of python-build-standalone.
PACK = f"""
    set -e; mkdir -p /srv/mirror/python/bin /srv/mirror/python/lib
    cp /usr/bin/python3.9 /srv/mirror/python/bin/; cp -r /usr/lib/python3.9 /srv/mirror/python/lib/
    tar -C /srv/mirror -czf /srv/mirror/python-3.9.2.tar.gz python; rm -r /srv/mirror/python
    systemd-run --quiet --unit=mirror /usr/bin/python3.9 -m http.server --bind 127.0.0.1 --directory /srv/mirror {PORT}
"""


class Host:
    """``playbooks/runtime.yml`` over one host; every call of run returns ansible-runner's Runner."""

    def run(self, **variables):
        inventory = CLONE / "molecule" / "py27" / "inventory"
        return runs.run(FLEET, "playbooks/runtime.yml", [inventory], variables=variables, quiet=True)

    def on(self, *command, check=True):
        """Return the standard output of a command on the host."""
        return fleet.podman("exec", f"{fleet.prefix(FLEET)}-{HOST}", *command, check=check)


@pytest.fixture(scope="session")
def host():
    fleet.down(FLEET)
    layouts.bring_up(FLEET, "py27")
    host = Host()
    host.on("sh", "-c", PACK)
    yield host
    if not os.environ.get("KEEP_FLEET"):
        fleet.down(FLEET)


@pytest.fixture(scope="session")
def table(host, tmp_path_factory):
    """The operator's own table of interpreters: where it is fetched, and its sha256."""
    digest = host.on("sha256sum", "/srv/mirror/python-3.9.2.tar.gz").split()[0]
    build = {"version": "3.9.2", "path": "python-3.9.2.tar.gz", "sha256": digest}
    path = tmp_path_factory.mktemp("table") / "interpreters.yml"
    path.write_text(yaml.safe_dump({"mirror": f"http://127.0.0.1:{PORT}", "builds": {"3.9": build}}))
    return path


@pytest.fixture(scope="session")
def fork(tmp_path_factory):
    """{url, commit} of a git repository: FastChat 0.2.15's source from PyPI and one line of a fork's own."""
    folder = tmp_path_factory.mktemp("fork")
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", "fschat"]
    subprocess.run([*command, "--dest", str(folder), "fschat==0.2.15"], check=True)
    with tarfile.open(folder / "fschat-0.2.15.tar.gz") as source:
        source.extractall(folder, filter="data")
    tree = folder / "fschat-0.2.15"
    with (tree / "fastchat" / "__init__.py").open("a") as stream:
        stream.write('FORK = "ours"\n')

    def git(*arguments):
        identity = ["-c", "user.name=fork", "-c", "user.email=fork@localhost", "-c", "init.defaultBranch=main"]
        return subprocess.run(
            ["git", "-C", str(tree), *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init")
    git("add", "--all")
    git("commit", "--message", "FastChat 0.2.15 and our line")
    subprocess.run(["git", "clone", "--quiet", "--bare", str(tree), str(folder / "FastChat.git")], check=True)
    return {"url": f"file://{folder}/FastChat.git", "commit": git("rev-parse", "HEAD")}


@pytest.fixture(scope="session")
def torch_wheel(host):
    """How an operator names the guide's own build of torch; here it is PyPI's file, which lies on the host."""
    (path,) = host.on("sh", "-c", "ls /srv/wheelhouse/torch-1.9.1-*.whl").split()
    return {"name": "torch", "url": f"file://{path}", "sha256": host.on("sha256sum", path).split()[0]}
