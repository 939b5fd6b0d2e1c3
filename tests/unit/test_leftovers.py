"""Only what is old, not current and used by no process is removed from a host's disks."""

import fcntl
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.release import leftovers


def environment(root, name, age, home="/usr/bin", folder="envs"):
    folder = root / folder / name
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.11\n")
    os.utime(folder, (1000 - age, 1000 - age))
    return folder


def release(weights, name, age, model="m"):
    folder = weights / "models" / model / "releases" / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x" * 100_000)
    os.utime(folder, (1000 - age, 1000 - age))
    return folder


@pytest.fixture
def host(tmp_path):
    root, weights = tmp_path / "opt", tmp_path / "srv"
    for age, name in enumerate(("cpu-c", "cpu-b", "cpu-a")):
        environment(root, name, age)
    (root / "env").symlink_to("envs/cpu-c")
    for age, name in enumerate(("r3", "r2", "r1")):
        release(weights, name, age)
    (weights / "models" / "m" / "current").symlink_to("releases/r3")
    return types.SimpleNamespace(root=root, weights=weights)


def gone(host, keep=2, used=(), downloads=False):
    removable, busy = leftovers.plan(str(host.root), str(host.weights), keep, downloads, set(used))
    return [Path(entry["path"]).name for entry in removable], [Path(entry["path"]).name for entry in busy]


def test_the_last_ones_stay(host):
    assert gone(host) == (["cpu-a", "r1"], [])
    assert gone(host, keep=1) == (["cpu-b", "cpu-a", "r2", "r1"], [])
    assert gone(host, keep=3) == ([], [])


def test_what_is_current_stays_however_old(host):
    (host.root / "env").unlink()
    (host.root / "env").symlink_to("envs/cpu-a")
    (host.weights / "models/m/current").unlink()
    (host.weights / "models/m/current").symlink_to("releases/r1")
    assert gone(host, keep=1) == (["cpu-c", "cpu-b", "r3", "r2"], [])
    assert gone(host) == (["cpu-b", "r2"], [])


def test_what_a_process_uses_stays(host):
    used = [f"{host.root}/envs/cpu-a/bin/python", f"{host.weights}/models/m/releases/r1"]
    assert gone(host, used=used) == ([], ["cpu-a", "r1"])
    assert gone(host, used=[f"{host.root}/envs/cpu-aa/bin/python"])[0] == ["cpu-a", "r1"]


def test_the_web_environment_has_a_past_of_its_own(host):
    for age, name in enumerate(("web-3", "web-2", "web-1")):
        environment(host.root, name, age, folder="web-envs")
    (host.root / "web-env").symlink_to("web-envs/web-3")
    assert gone(host)[0] == ["cpu-a", "web-1", "r1"]
    (host.root / "env").unlink()
    assert gone(host)[0] == ["web-1", "r1"]


def test_an_interpreter_goes_when_no_environment_stands_on_it(host):
    for name in ("3.9-old", "3.9-new"):
        (host.root / "pythons" / name / "bin").mkdir(parents=True)
    environment(host.root, "el7-x", 9, home=f"{host.root}/pythons/3.9-old/bin")
    (host.root / "envs" / "cpu-b" / "pyvenv.cfg").write_text(f"home = {host.root}/pythons/3.9-new/bin\n")
    assert gone(host)[0] == ["cpu-a", "el7-x", "r1", "3.9-old"]
    assert gone(host, used=[f"{host.root}/pythons/3.9-old/bin/python3.9"])[1] == ["3.9-old"]


def test_staging_goes_unless_it_is_held_or_wanted(host):
    (host.root / "staging").mkdir()
    (host.root / "staging" / "uv").write_bytes(b"x")
    (host.weights / "staging" / "m").mkdir(parents=True)
    assert gone(host, keep=3)[0] == ["uv", "m"]
    assert gone(host, keep=3, downloads=True)[0] == ["uv"]
    (host.root / ".lock").touch()
    with (host.root / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert gone(host, keep=3)[0] == ["m"]
    assert gone(host, keep=3)[0] == ["uv", "m"]


def test_without_a_current_release_nothing_is_removed(host):
    (host.weights / "models/m/current").unlink()
    assert gone(host)[0] == ["cpu-a"]


def test_a_process_is_seen_by_each_thing_that_it_names(tmp_path):
    names = ("opened", "directory", "argument", "environment")
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "opened" / "file").touch()
    with (tmp_path / "opened" / "file").open() as stream:
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", f"--path={tmp_path}/argument/x"],
            stdin=stream,
            stdout=subprocess.PIPE,
            cwd=tmp_path / "directory",
            env={"FASTCHAT_RELEASE": f"{tmp_path}/environment"},
        )
        try:
            child.stdout.readline()  # before it runs, its arguments and environment are not there to be read
            found = leftovers.paths_of(f"/proc/{child.pid}")
        finally:
            child.kill()
            child.communicate()
    for name in names:
        assert leftovers.is_used(f"{tmp_path}/{name}", found), name
    assert leftovers.paths_of(f"/proc/{child.pid}") == set()


def test_bytes_are_those_that_come_back(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "own").write_bytes(b"x" * 1_000_000)
    before = leftovers.size_of(str(tmp_path / "a"))
    assert before >= 1_000_000
    (tmp_path / "a" / "shared").write_bytes(b"x" * 1_000_000)
    os.link(tmp_path / "a" / "shared", tmp_path / "b" / "shared")
    assert leftovers.size_of(str(tmp_path / "a")) == before
    os.link(tmp_path / "a" / "own", tmp_path / "a" / "again")
    assert leftovers.size_of(str(tmp_path / "a")) == before


def test_what_is_removed_loses_its_name_first_and_leaves_no_staging(host):
    staging = host.root / "staging"
    leftovers.remove_tree(str(host.root / "envs/cpu-a"), str(staging))
    assert not (host.root / "envs/cpu-a").exists() and not staging.exists()
    staging.mkdir()
    (staging / "uv").touch()
    leftovers.remove_tree(str(staging / "uv"), str(staging))
    assert not staging.exists()
