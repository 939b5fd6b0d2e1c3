"""The shards of a stopped conversion are kept, and the next run ends as if nothing had happened."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import models
import pytest
import torch
from ansible_collections.fastchat.fleet.plugins.module_utils.convert import engine
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError
from models import SMALL

from testbed.paths import IMPORTS

CHILD = """
import sys
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
print("go", flush=True)
convert(*sys.argv[1:4], output=sys.argv[4], shard_bytes=4_000_000, budget_bytes=1 << 20, threads=2)
"""


def content_of(folder):
    """Return {name: sha256} of a target."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("output", ["safetensors", "bin"])
def test_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch, output):
    state = {f"t{number}": torch.randn(30, 40).half() for number in range(6)}
    models.write(tmp_path / "base", [state])
    models.write(tmp_path / "delta", [state])
    arguments = str(tmp_path / "base"), str(tmp_path / "delta"), str(tmp_path / "target")
    write = os.write
    written = [0]

    def full(descriptor, data):  # stands in for a disk that fills up; the journal's own block has room for its lines
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/journal"):
            return write(descriptor, data)
        written[0] += len(data)
        if written[0] > 9000:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(engine.os, "write", full)
    with pytest.raises(WeightsError, match="No space left on device; finished shards are kept"):
        convert(*arguments, output=output, **SMALL)
    monkeypatch.undo()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "target.part").glob("*model*[!t]")}
    finished = {name: stamp for name, stamp in kept.items() if not name.endswith(".part")}
    assert finished
    convert(*arguments, output=output, **SMALL)
    assert {name: (tmp_path / "target" / name).stat().st_mtime_ns for name in finished} == finished
    assert all(torch.equal(value, state[name] * 2) for name, value in models.read(tmp_path / "target").items())


@pytest.mark.parametrize("output", ["safetensors", "bin"])
def test_killed_at_any_moment_the_next_run_ends_the_same(tmp_path, output):
    state = {f"t{number}": torch.randn(1000, 500).half() for number in range(24)}
    for name in ("base", "delta"):
        models.write(tmp_path / name, [dict(list(state.items())[half::2]) for half in range(2)])
    command = [sys.executable, "-c", CHILD, str(tmp_path / "base"), str(tmp_path / "delta")]

    def start(target):
        child = subprocess.Popen(
            [*command, str(tmp_path / target), output],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": IMPORTS},
        )
        assert child.stdout.readline() == b"go\n"
        return child

    begin = time.monotonic()
    with start("calm") as calm:
        assert calm.wait() == 0
    seconds = time.monotonic() - begin
    generator = random.Random(output)  # noqa: S311 (moments, not secrets)
    kills = resumed = 0
    while kills < 25:
        with start("target") as child:
            time.sleep(generator.random() * seconds)
            child.send_signal(signal.SIGKILL)
            if child.wait() == 0:
                shutil.rmtree(tmp_path / "target")
                continue
        kills += 1
        resumed += any((tmp_path / "target.part").glob("*model-*-of-*[!t]"))
        if (tmp_path / "target").exists() or generator.random() < 0.3:  # else: killed again, on top
            with start("target") as child:
                assert child.wait() == 0
            assert content_of(tmp_path / "target") == content_of(tmp_path / "calm")
            shutil.rmtree(tmp_path / "target")
    assert resumed
    with start("target") as child:
        assert child.wait() == 0
    assert content_of(tmp_path / "target") == content_of(tmp_path / "calm")
    assert {path.name for path in tmp_path.iterdir()} == {"base", "delta", "calm", "target"}


def test_of_a_damaged_result_only_the_wrong_shard_is_made_again(tmp_path):
    state = {f"t{number}": torch.randn(1000, 500).half() for number in range(8)}
    for name in ("base", "delta"):
        models.write(tmp_path / name, [state])
    sides = (str(tmp_path / "base"), str(tmp_path / "delta"))
    files = convert(*sides, str(tmp_path / "was"), shard_bytes=2_000_000)["files"]
    shards = sorted(tmp_path.glob("was/*.safetensors"))
    inodes = {path.name: path.stat().st_ino for path in shards}
    data = bytearray(shards[1].read_bytes())
    data[-1] ^= 1
    shards[1].write_bytes(data)  # said to be right, and is not
    good = {path.name: files[path.name] for path in shards[:-1]}  # the last is known to be wrong
    assert (
        convert(*sides, str(tmp_path / "new"), shard_bytes=2_000_000, good=(str(tmp_path / "was"), good))["files"]
        == files
    )
    same = {path.name for path in tmp_path.glob("new/*.safetensors") if path.stat().st_ino == inodes[path.name]}
    assert same == {path.name for path in shards} - {shards[1].name, shards[-1].name}
    assert content_of(tmp_path / "new")[shards[1].name] == files[shards[1].name]["sha256"]
