"""Faults of hosts in a real swarm. A host is a loopback address; aria2 is slowed so that a fault hits halfway."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import described
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm import web_server
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.aria2 import seeder
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.content import sizes
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.processes import alive, start, stop
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.receive import (
    await_swarm,
    fetch_http,
    fetch_rsync,
    join,
    seal,
)
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.serve import serve, stop_serving

pytestmark = pytest.mark.skipif(not shutil.which("aria2c"), reason="needs aria2c (Debian's package aria2)")
RATE = 2_000_000
STALL = 8
FIRST_PORT = 22000 + os.getpid() % 5000


class Fleet:
    """A source with a release of 12 MB, and hosts that receive it at 2 MB/s."""

    def __init__(self, root):
        self.root, self.release = root, root / "releases" / "d1"
        self.release.mkdir(parents=True)
        for name, size in (("a.bin", 8_000_000), ("b.bin", 4_000_000), ("c.json", 0)):
            (self.release / name).write_bytes(random.Random(name).randbytes(size))  # noqa: S311
        self.manifest = {"files": described(str(self.release))}
        self.ports = {"http": FIRST_PORT, "peer": FIRST_PORT + 1, "rsync": FIRST_PORT + 2}
        (root / "0").mkdir()

    def serve(self, limit=RATE, method="p2p"):
        fleet = [f"127.0.0.{number + 1}" for number in range(9)]
        source = Path(web_server.__file__).read_text()
        how = {
            "ports": self.ports,
            "fleet": fleet,
            "lifetime": 120,
            "cache": str(self.root / "torrent"),
            "source": source,
        }
        where = str(self.root / "0"), method, str(self.release), self.manifest, "127.0.0.1"
        self.torrent = serve(*where, limit=limit, **how)

    def folder(self, number):
        return str(self.root / str(number) / "in" / "d1")

    def join(self, number, limit=RATE):
        os.makedirs(os.path.dirname(self.folder(number)), exist_ok=True)
        where = (
            str(self.root / str(number)),
            self.folder(number),
            self.manifest,
            self.torrent,
            f"127.0.0.{number + 1}",
        )
        join(*where, port=FIRST_PORT + 10 + number, lifetime=120, stall=STALL, limit=limit)

    def reached(self, number, share, patience=60):
        """Wait until a host has a share of the release on its disk."""
        until = time.monotonic() + patience
        while sizes(self.folder(number), self.manifest) < share * 12_000_000:
            assert time.monotonic() < until, "never came so far"
            time.sleep(0.05)

    def kill(self, number, what="aria2"):
        state = str(self.root / str(number))
        os.killpg(alive(state, what), signal.SIGKILL)
        while alive(state, what):
            time.sleep(0.01)

    def finish(self, number):
        await_swarm(str(self.root / str(number)), self.folder(number), self.manifest, STALL)

    def sealed(self, number):
        stop(str(self.root / str(number)), "aria2")
        assert seal(self.folder(number), self.manifest) == []
        assert described(self.folder(number)) == self.manifest["files"]


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    yield made
    for number in range(9):
        stop_serving(str(tmp_path / str(number)))


def test_a_peer_that_vanishes_is_survived(fleet):
    fleet.serve()
    for number in (1, 2, 3):
        fleet.join(number)
    fleet.reached(1, 0.4)
    fleet.kill(1)
    for number in (2, 3):
        fleet.finish(number)
        fleet.sealed(number)


def test_a_peer_that_serves_wrong_bytes_is_survived(fleet):
    fleet.serve(limit=500_000)
    bad = fleet.root / "8" / "releases" / "d1"
    shutil.copytree(fleet.release, bad)
    for name in ("a.bin", "b.bin"):
        (bad / name).write_bytes(bytes((bad / name).stat().st_size))
    (fleet.root / "8" / "t").write_bytes(fleet.torrent)
    liar = seeder(str(fleet.root / "8" / "t"), str(bad.parent), "127.0.0.9", FIRST_PORT + 18, 0)
    start(str(fleet.root / "8"), "aria2", liar, 120)
    fleet.join(1, limit=0)
    fleet.join(2, limit=0)
    for number in (1, 2):
        fleet.finish(number)
        fleet.sealed(number)


def test_when_the_source_dies_others_that_have_all_pieces_are_enough(fleet):
    fleet.serve(limit=0)
    fleet.join(1, limit=0)
    fleet.join(2, limit=700_000)
    fleet.finish(1)
    fleet.reached(2, 0.2)
    for what in ("aria2", "server"):
        fleet.kill(0, what)
    assert sizes(fleet.folder(2), fleet.manifest) < 11_000_000, "the source died too late to test anything"
    fleet.finish(2)
    fleet.sealed(2)


def test_when_pieces_are_lost_it_is_said_and_goes_on_when_the_source_is_back(fleet):
    fleet.serve()
    fleet.join(1)
    fleet.reached(1, 0.4)
    for what in ("aria2", "server"):
        fleet.kill(0, what)
    with pytest.raises(RuntimeError, match="of 12000000 bytes and for 8 seconds no host sent more"):
        fleet.finish(1)
    kept = sizes(fleet.folder(1), fleet.manifest)
    assert kept > 3_000_000
    fleet.serve()
    fleet.join(1)
    assert sizes(fleet.folder(1), fleet.manifest) >= kept
    fleet.finish(1)
    fleet.sealed(1)


def test_a_source_that_comes_back_soon_needs_no_second_run(fleet):
    fleet.serve()
    fleet.join(1)
    fleet.reached(1, 0.3)
    for what in ("aria2", "server"):
        fleet.kill(0, what)
    time.sleep(1)
    fleet.serve()
    fleet.finish(1)
    fleet.sealed(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_a_receive_killed_anywhere_goes_on(fleet, share):
    fleet.serve()
    fleet.join(1)
    fleet.reached(1, share)
    fleet.kill(1)
    before = sizes(fleet.folder(1), fleet.manifest)
    control = os.path.exists(fleet.folder(1) + ".aria2")
    fleet.join(1)
    assert not control or sizes(fleet.folder(1), fleet.manifest) >= before
    fleet.finish(1)
    fleet.sealed(1)


@pytest.mark.skipif(not shutil.which("rsync"), reason="needs rsync")
def test_rsync_goes_on_and_serves_the_fleet_only(fleet):
    fleet.serve(method="rsync")
    os.makedirs(fleet.folder(1))
    half = (fleet.release / "a.bin").read_bytes()[:4_000_000]
    Path(fleet.folder(1), "a.bin").write_bytes(half)
    url = f"rsync://127.0.0.1:{fleet.ports['rsync']}/release/"
    fetch_rsync(url, fleet.folder(1), fleet.manifest, STALL)
    fleet.sealed(1)


@pytest.mark.parametrize("method", ["http", "rsync", "p2p"])
def test_who_lacks_a_few_files_receives_them_alone(fleet, method):
    """How a damaged release is repaired: with a manifest of its damaged files, by HTTP where others are a swarm."""
    fleet.serve(method=method)
    os.makedirs(fleet.folder(1))
    fleet.manifest = {"files": {"b.bin": fleet.manifest["files"]["b.bin"]}}
    if method == "rsync":
        url = f"rsync://127.0.0.1:{fleet.ports['rsync']}/release/"
        fetch_rsync(url, fleet.folder(1), fleet.manifest, STALL)
    else:
        fetch_http(f"http://127.0.0.1:{fleet.ports['http']}/d1", fleet.folder(1), fleet.manifest, STALL)
    assert os.listdir(fleet.folder(1)) == ["b.bin"]
    fleet.sealed(1)


def test_nothing_listens_beyond_the_given_address(fleet):
    fleet.serve()
    fleet.join(1)
    fleet.reached(1, 0.2)
    mine = {fleet.ports["http"], fleet.ports["peer"], FIRST_PORT + 11}
    listening = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
        listening += [row[1].split(":") for row in rows if row[3] == "0A"]
    found = {int(port, 16): address for address, port in listening if int(port, 16) in mine}
    assert found == {FIRST_PORT: "0100007F", FIRST_PORT + 1: "0100007F", FIRST_PORT + 11: "0200007F"}
