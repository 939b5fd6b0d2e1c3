import hashlib
import http.client
import os
import random
import socket
import threading
import time

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.release.manifest import described
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm import web_server
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.content import shortage
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.processes import alive, start, stop
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.receive import fetch_http, seal
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.serve import torrent_info
from ansible_collections.fastchat.fleet.plugins.module_utils.swarm.torrent import piece_length, torrent_of


def release(folder, sizes):
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(random.Random(name).randbytes(size))  # noqa: S311
    return {"files": described(str(folder))}


@pytest.fixture
def served(tmp_path):
    """A server on a free port of the loopback; yields a function that answers a GET with (status, body)."""
    root = tmp_path / "d1"
    manifest = release(root, {"a.bin": 3_000_000, "sub/b.json": 10, "empty": 0})
    (tmp_path / "secret").write_text("no")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "unlisted").write_text("no")
    names = [*manifest["files"], "link"]
    settings = {"address": "127.0.0.1", "root": str(root), "digest": "d1", "names": names, "info_hash": "ab" * 20}
    server = web_server.Server(port=0, allowed=["127.0.0.1", "127.0.0.3"], **settings)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def get(path, source="127.0.0.1", **headers):
        connection = http.client.HTTPConnection(*server.server_address, source_address=(source, 0), timeout=5)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    get.manifest, get.root, get.url = manifest, root, f"http://127.0.0.1:{server.server_address[1]}/d1"
    get.server = server
    yield get
    server.shutdown()
    server.server_close()


def test_a_torrent_has_the_files_hashes_and_the_private_flag(tmp_path):
    manifest = release(tmp_path / "d", {"a": 300_000, "b/c": 500_000, "empty": 0})
    raw, info_hash = torrent_of(str(tmp_path / "d"), manifest, "d", "salt")
    whole = (tmp_path / "d/a").read_bytes() + (tmp_path / "d/b/c").read_bytes()
    pieces = b"".join(hashlib.sha1(whole[at : at + (1 << 18)]).digest() for at in range(0, len(whole), 1 << 18))  # noqa: S324
    files = b"5:filesld6:lengthi300000e4:pathl1:aeed6:lengthi500000e4:pathl1:b1:ceee"
    assert raw == b"d%s4:name1:d12:piece lengthi262144e6:pieces%d:%s7:privatei1e6:source4:salte" % (
        files,
        len(pieces),
        pieces,
    )
    assert info_hash == hashlib.sha1(raw).hexdigest()  # noqa: S324
    assert torrent_of(str(tmp_path / "d"), manifest, "d", "other")[1] != info_hash


def test_hashes_of_a_large_release_stay_small():
    assert piece_length(10) == 1 << 18
    for total in (10**8, 14 * 10**9, 140 * 10**9):
        assert total / piece_length(total) <= 8192


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/d1",
        "/d1/",
        "/d1/unlisted",
        "/d1/../secret",
        "/d1/%2e%2e/secret",
        "/d1/link",
        "/x/d1/a.bin",
        "//etc/passwd",
    ],
)
def test_only_files_of_the_release_are_served(served, path):
    assert served(path)[0] == 404


def test_only_the_fleet_is_answered(served):
    assert served("/d1/a.bin", source="127.0.0.9")[0] == 403
    assert served("/announce?info_hash=" + "%ab" * 20 + "&port=7", source="127.0.0.9")[0] == 403
    assert served("/d1/a.bin", source="127.0.0.3") == (200, (served.root / "a.bin").read_bytes())


def test_a_file_is_served_from_any_byte(served):
    whole = (served.root / "a.bin").read_bytes()
    assert served("/d1/a.bin", Range="bytes=2999990-") == (206, whole[2999990:])
    assert served("/d1/a.bin", Range="bytes=3000000-")[0] == 416
    assert served("/d1/empty") == (200, b"")


def test_the_tracker_names_the_others_and_forgets_who_left(served):
    ask = "/announce?info_hash=" + "%ab" * 20 + "&numwant=50&port="
    assert b"5:peers0:" in served(ask + "7001")[1]
    assert (
        b"5:peers6:" + socket.inet_aton("127.0.0.1") + (7001).to_bytes(2, "big") in served(ask + "7003", "127.0.0.3")[1]
    )
    served(ask + "7001&event=stopped")
    assert b"5:peers0:" in served(ask + "7003", "127.0.0.3")[1]


def test_the_tracker_believes_the_connection_and_knows_one_swarm(served):
    assert b"unknown swarm" in served("/announce?info_hash=" + "%aa" * 20 + "&port=7001")[1]
    assert served("/announce?info_hash=" + "%ab" * 20 + "&port=seven")[0] == 400
    served("/announce?info_hash=" + "%ab" * 20 + "&port=7001&ip=8.8.8.8")
    assert [address for address, _ in served.server.tracker.seen] == ["127.0.0.1"]


def test_http_goes_on_where_it_was_cut(served, tmp_path):
    folder = tmp_path / "in" / "d1"
    folder.mkdir(parents=True)
    # The first half is not the source's: it must still be there afterwards, because only the rest was asked for.
    (folder / "a.bin").write_bytes(bytes(2_000_000))
    fetch_http(served.url, str(folder), served.manifest, 5)
    got, whole = (folder / "a.bin").read_bytes(), (served.root / "a.bin").read_bytes()
    assert got[:2_000_000] == bytes(2_000_000) and got[2_000_000:] == whole[2_000_000:]


def test_wrong_bytes_are_named_and_fetched_again(served, tmp_path):
    folder = tmp_path / "in" / "d1"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(1000))
    (folder / "stray").write_text("no")
    fetch_http(served.url, str(folder), served.manifest, 5)
    assert seal(str(folder), served.manifest) == ["a.bin"]
    fetch_http(served.url, str(folder), served.manifest, 5)
    assert seal(str(folder), served.manifest) == []
    assert described(str(folder)) == served.manifest["files"]


def test_a_link_among_received_files_is_never_followed(served, tmp_path):
    folder = tmp_path / "in" / "d1"
    folder.mkdir(parents=True)
    (folder / "a.bin").symlink_to(served.root / "a.bin")
    assert "a.bin" in seal(str(folder), served.manifest)
    assert not (folder / "a.bin").exists() and (served.root / "a.bin").exists()


def test_a_source_that_is_gone_is_one_sentence(tmp_path):
    manifest = {"files": {"a": {"size": 5, "sha256": ""}}}
    with pytest.raises(RuntimeError, match="0 of 5 bytes and for 1 seconds no host sent more"):
        fetch_http("http://127.0.0.1:1/d1", str(tmp_path), manifest, 1)


def test_too_little_room_is_said_before_the_first_byte(tmp_path):
    assert "needs 1000000000 MB more" in shortage(str(tmp_path / "d"), {"files": {"a": {"size": 10**15}}})
    assert shortage(str(tmp_path / "d"), {"files": {"a": {"size": 10}}}) == ""


def test_what_was_started_ends_by_itself(tmp_path):
    start(str(tmp_path), "x", ["sleep", "60"], 1)
    assert alive(str(tmp_path), "x")
    time.sleep(2)
    assert not alive(str(tmp_path), "x")


def test_stop_ends_what_was_started_and_nothing_else(tmp_path):
    start(str(tmp_path), "x", ["sleep", "60"], 60)
    assert stop(str(tmp_path), "x") and not alive(str(tmp_path), "x")
    (tmp_path / "x.pid").write_text(f"{os.getpid()} 1")  # our own number, another time of start
    assert not stop(str(tmp_path), "x")


def test_a_damaged_release_is_not_handed_on(tmp_path):
    manifest = release(tmp_path / "d", {"a": 300_000})
    (tmp_path / "d/a").write_bytes(bytes(300_000))
    with pytest.raises(ValueError, match="a in .* is not what its manifest says"):
        torrent_info(str(tmp_path / "d"), manifest, str(tmp_path / "torrents/d"))
