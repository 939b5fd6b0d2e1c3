"""A repair fetches and makes only the damaged files of a release, and restores it exactly."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import models
import pytest
import torch
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.engine import fetch
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options
from ansible_collections.fastchat.fleet.plugins.module_utils.release import manifest as weights_release
from ansible_collections.fastchat.fleet.plugins.module_utils.release.publish import publish
from ansible_collections.fastchat.fleet.plugins.module_utils.release.repair import Job, patch, repair, summary
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import locks

from testbed.paths import IMPORTS
from tests.support.standin_hub import git, served

STATE = {f"model.layers.{number}.weight": torch.randn(100, 50 + number).half() for number in range(12)}
PATCHES = {"base": {"tokenizer_config.json": {"a": "base"}}, "target": {"special_tokens_map.json": {"eos_token": "é"}}}
QUICK = Options(retries=1, timeout=10)
SHARDS = {"base": 5, "delta": 3, "whole": 4}
BYTES = 40_000  # of a target's shard: three or four tensors


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def content(folder):
    """Return {name: sha256} of a release, times left out: they are the machine's."""
    return {path.name: sha256(path) for path in Path(folder).iterdir() if path.name != weights_release.TIMES}


class Case:
    """A published release and the hub that its sources lie on."""

    def __init__(self, folder, hub, sides, kind="bin", *, output="safetensors", shard_bytes=BYTES):
        self.hub, self.folder, self.output, self.sides = hub, folder, output, sides
        self.map, sources = {}, {}
        for number, side in enumerate(sides):
            generator = torch.Generator().manual_seed(number)
            values = {name: torch.randn(tensor.shape, generator=generator).half() for name, tensor in STATE.items()}
            names = list(values)
            random.Random(side).shuffle(names)  # noqa: S311 (layouts, not secrets)
            count = SHARDS[side]
            shards = [{name: values[name] for name in names[start::count]} for start in range(count)]
            at = models.write(folder / "made" / side, shards, kind)
            index = json.loads(next(at.glob("*.index.json")).read_text())
            self.map[side] = index["weight_map"]
            large = {path.name: path.read_bytes() for path in at.glob(f"*.{kind}")}
            small = {path.name: path.read_bytes() for path in at.iterdir() if path.name not in large}
            url, _commit = hub.repository(f"{side}.git", {**large, "flax_model.msgpack": b"x" * 5000}, small)
            sources[side] = {"url": url, "revision": "main"}
        self.job = Job(str(folder / "model"), "d", str(folder / "staging"), sources, PATCHES, output)
        for side, source in sources.items():
            fetch(source, str(folder / "staging" / side), QUICK)
            patch(str(folder / "staging" / side), PATCHES.get(side, {}))
        target = str(folder / "staging" / "target")
        first, second = str(folder / "staging" / sides[0]), str(folder / "staging" / sides[1]) if sides[1:] else None
        convert(first, second, target, output=output, shard_bytes=shard_bytes)
        patch(target, PATCHES["target"])
        manifest = {"inputs": {}, "files": weights_release.described(target)}
        publish(self.job.root, "d", target, manifest)
        self.release = folder / "model" / "releases" / "d"
        self.was = content(self.release)
        self.tidy()

    def tidy(self):
        subprocess.run(["rm", "-rf", self.job.staging], check=True)
        self.hub.seen.clear()

    def damage(self, *names):
        """Change one byte of each file, late in it."""
        for name in names:
            data = bytearray((self.release / name).read_bytes())
            data[-2] ^= 1
            (self.release / name).write_bytes(data)

    def damaged(self):
        manifest = weights_release.read_json(str(self.release / "manifest.json"))
        return weights_release.damaged(str(self.release), manifest, full=True)

    def repaired(self):
        return repair(self.job, self.damaged(), QUICK)

    def fetched(self):
        """Return the names of the large files that were asked for, by source."""
        asked = {path.rpartition("/")[2] for _method, path, _headers in self.hub.seen if "/lfs-objects/" in path}
        files = {
            (side, path.name): sha256(path) for side in self.sides for path in (self.folder / "made" / side).iterdir()
        }
        assert asked <= set(files.values())
        return {key for key, digest in files.items() if digest in asked}

    def wanted(self, *shards):
        """Return what those shards of the target are made from, by the test's own reading of the indexes."""
        index = json.loads(next(self.release.glob("*.index.json")).read_text())["weight_map"]
        tensors = [name for name, shard in index.items() if shard in shards]
        return {(side, self.map[side][name]) for side in self.sides for name in tensors}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with served(tmp_path / "hub") as server:
        yield server


@pytest.mark.parametrize("output", ["safetensors", "bin"])
def test_only_what_the_damaged_shards_are_made_from_is_fetched(tmp_path, hub, output):
    case = Case(tmp_path, hub, ["base", "delta"], output=output)
    shards = sorted(path.name for path in case.release.glob(f"*.{output}"))
    assert len(shards) == 4
    everything = {(side, name) for side in case.sides for name in case.map[side].values()}
    for bad in ([shards[1]], [shards[3]], [shards[0], shards[2]]):
        inodes = {path.name: path.stat().st_ino for path in case.release.iterdir()}
        case.damage(*bad)
        wanted = case.wanted(*bad)
        assert wanted < everything
        found = case.repaired()
        assert found["repaired"] and found["made"] == bad and not found["reason"]
        assert case.fetched() == wanted
        assert {(side, name) for side, names in found["fetched"].items() for name in names} == wanted
        large = sum((tmp_path / "made" / side / name).stat().st_size for side, name in wanted)
        assert large < found["bytes_fetched"] < large + 20_000
        assert content(case.release) == case.was
        stayed = {path.name for path in case.release.iterdir() if inodes.get(path.name) == path.stat().st_ino}
        # The note of times is written anew, and its freed inode's number may come back: it says nothing of the files.
        assert stayed - {weights_release.TIMES} == set(inodes) - set(bad) - {weights_release.TIMES}
        assert case.damaged() == []
        case.tidy()


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_small_files_need_no_file_of_weights(tmp_path, hub, kind):
    case = Case(tmp_path, hub, ["base", "delta"], kind)
    small = ["config.json", "special_tokens_map.json", "tokenizer.json", "model.safetensors.index.json"]
    case.damage(*small[:2], small[3])
    (case.release / small[2]).unlink()
    found = case.repaired()
    assert found["repaired"] and sorted(found["made"]) == sorted(small)
    assert case.fetched() == set() and found["bytes_fetched"] < 10_000
    assert content(case.release) == case.was


def test_a_damaged_index_is_made_of_the_shards_themselves(tmp_path, hub):
    case = Case(tmp_path, hub, ["base", "delta"])
    bad = ["model-00002-of-00004.safetensors", "model.safetensors.index.json"]
    wanted = case.wanted(bad[0])
    case.damage(*bad)
    assert case.repaired()["made"] == bad
    assert case.fetched() == wanted and content(case.release) == case.was
    case.tidy()
    case.damage(bad[1])
    (case.release / bad[0]).unlink()
    found = case.repaired()
    assert not found["repaired"] and "index is damaged too" in found["reason"] and not case.fetched()


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_of_a_whole_model_the_same_file_or_what_it_was_converted_from(tmp_path, hub, kind):
    case = Case(tmp_path, hub, ["whole"], kind)
    shards = sorted(path.name for path in case.release.glob("*.safetensors"))
    bad = [shards[2], "model.safetensors.index.json"]
    wanted = {("whole", shards[2])} if kind == "safetensors" else case.wanted(shards[2])
    case.damage(*bad)
    assert case.repaired()["made"] == bad
    assert case.fetched() == wanted and len(wanted) < SHARDS["whole"] + (kind == "bin")
    assert content(case.release) == case.was


def test_a_single_file_of_weights_needs_everything_but_its_tokenizer_does_not(tmp_path, hub):
    case = Case(tmp_path, hub, ["base", "delta"], shard_bytes=10**9)
    case.damage("tokenizer.json")
    assert case.repaired()["repaired"] and case.fetched() == set() and content(case.release) == case.was
    case.damage("model.safetensors")
    found = case.repaired()
    assert not found["repaired"] and found["reason"].count("\n") == 0 and case.fetched() == set()
    assert "model.safetensors is the only file of weights" in found["reason"]


def test_what_comes_out_otherwise_is_not_put_in_place(tmp_path, hub):
    """As when a branch has moved on, or this engine writes other bytes than the one that made the release."""
    case = Case(tmp_path, hub, ["base", "delta"])
    bad = "model-00002-of-00004.safetensors"
    for part in ("base", "delta"):
        work = hub.folder / f"work-{part}.git"
        (work / "tokenizer.json").write_text('{"later": 1}')
        git(work, "commit", "--quiet", "--all", "--message", "later")
        hub.publish(f"{part}.git", work)
    case.damage(bad, "tokenizer.json")
    before = content(case.release)
    found = case.repaired()
    assert not found["repaired"] and content(case.release) == before
    assert found["reason"].startswith("tokenizer.json, made again, has sha256 ") and found["reason"].count("\n") == 0
    assert found["reason"].endswith("So everything is fetched and made again.")
    assert not (tmp_path / "staging" / "repair").exists()


def test_downloads_that_were_kept_are_used(tmp_path, hub):
    case = Case(tmp_path, hub, ["base", "delta"])
    for side, source in case.job.sources.items():
        fetch(source, str(tmp_path / "staging" / side), QUICK)
    hub.seen.clear()
    case.damage("model-00001-of-00004.safetensors")
    assert case.repaired()["repaired"]
    assert case.fetched() == set() and content(case.release) == case.was


CHILD = """
import json, sys
from ansible_collections.fastchat.fleet.plugins.module_utils.fetch.options import Options
from ansible_collections.fastchat.fleet.plugins.module_utils.release import manifest as weights_release
from ansible_collections.fastchat.fleet.plugins.module_utils.release.repair import Job, repair
job = Job(*json.loads(sys.argv[1]))
print("go", flush=True)
bad = weights_release.damaged(job.release, weights_release.read_json(job.release + "/manifest.json"), full=True)
if bad:
    assert repair(job, bad, Options(retries=1, timeout=10))["repaired"]
    assert not __import__("os").path.exists(job.staging + "/repair")  # else the role's tidy task removes it
"""


def test_killed_at_any_moment_the_next_run_ends_the_same(tmp_path, hub):
    case = Case(tmp_path, hub, ["base", "delta"])
    hub.rate = 200_000  # bytes per second and answer
    command = [sys.executable, "-c", CHILD, json.dumps(case.job)]
    bad = ["model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors", "special_tokens_map.json"]

    def run(seconds=None):
        begin = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": IMPORTS}) as child:
            assert child.stdout.readline() == b"go\n"
            try:
                assert child.wait(seconds) == 0
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                return 0
        return time.monotonic() - begin

    case.damage(*bad)
    calm = run()
    generator, kills = random.Random(4), 0  # noqa: S311 (moments, not secrets)
    while kills < 15:
        case.tidy()
        case.damage(*bad)
        while not run(generator.random() * calm):  # killed again, on top
            kills += 1
            now = content(case.release)
            assert set(now) - {name + ".part" for name in bad} == set(case.was)
            assert all(now[name] == case.was[name] for name in set(case.was) - set(bad))
        assert content(case.release) == case.was


def test_what_an_orphan_repaired_meanwhile_is_left_alone(tmp_path, hub):
    case = Case(tmp_path, hub, ["base", "delta"])
    found = repair(case.job, ["model-00001-of-00004.safetensors"], QUICK)
    assert found["repaired"] and found["made"] == [] and hub.seen == []
    assert summary(found) == "Made again: nothing; fetched 0 bytes (no file of weights)."


def test_a_run_that_waited_for_one_that_removed_its_directory_ends_well(tmp_path, hub):
    case = Case(tmp_path, hub, ["base", "delta"])
    work = Path(case.job.work)
    work.mkdir(parents=True)

    def waiting():
        opened = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
        return opened.count(os.path.realpath(work)) > 1

    with ThreadPoolExecutor() as pool:
        with locks.held(str(work)):
            run = pool.submit(repair, case.job, ["model-00001-of-00004.safetensors"], QUICK)
            while not waiting() and not run.done():
                time.sleep(0.05)
            work.rmdir()
        assert run.result(timeout=60)["repaired"]
    assert content(case.release) == case.was and not work.exists()
