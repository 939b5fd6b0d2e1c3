"""Headers of weights files are read without running or believing them."""

import json
import math
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.blocks import blocks
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.model import read_model, read_tensors
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.pickles import bin_pickle, read_pickle

from tests.support import weight_forge as forge


def refused(path, *words):
    with pytest.raises(WeightsError) as caught:
        read_tensors(str(path))
    for word in words:
        assert word in str(caught.value)


def safetensors(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(shape=(2,), offsets=(0, 4), dtype="F16"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_safetensors_places_every_tensor(tmp_path):
    header = {"b": entry((), (4, 6)), "a": entry(), "e": entry((0, 3), (4, 4))}
    path = safetensors(tmp_path / "m.safetensors", header, b"x" * 6)
    start = os.path.getsize(path) - 6
    found = read_tensors(str(path))
    assert {name: (t.shape, t.offset - start) for name, t in found.items()} == {
        "a": ((2,), 0),
        "e": ((0, 3), 4),
        "b": ((), 4),
    }


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        ({"a": entry(), "b": entry((2,), (2, 6))}, 6, "overlap or gap"),
        ({"a": entry(), "b": entry((2,), (6, 10))}, 10, "overlap or gap"),
        ({"a": entry((2,), (0, 4))}, 3, "fetch it again"),
        ({"a": entry((2,), (0, 4))}, 5, "fetch it again"),
        ({"a": entry((2,), (0, 400))}, 4, "needs 4 bytes"),
        ({"a": entry((3,), (0, 4))}, 4, "needs 6 bytes"),
        ({"a": entry((-1,), (0, 4))}, 4, "no usable shape"),
        ({"a": entry((True,), (0, 2))}, 2, "no usable shape"),
        ({"a": entry((1,) * 40, (0, 2))}, 2, "no usable shape"),
        ({"a": entry((2,), (4, 0))}, 4, "needs 4 bytes"),
        ({"a": entry((2,), (0,))}, 4, "no usable data_offsets"),
        ({"a": entry(dtype="F8_E4M3")}, 4, "F8_E4M3"),
        ({"a": entry(dtype=[])}, 4, "not supported"),
        ({"a": 7}, 4, "unusable entry"),
        ({"": entry()}, 4, "unusable entry"),
        ({"a\nb": entry()}, 4, "unusable entry"),
        (b'{"\\ud800":' + json.dumps(entry()).encode() + b"}", 4, "unusable entry"),
        (b'{"a":1,"a":2}', 4, "a key occurs twice"),
        (b"[1]", 0, "wanted an object"),
        (b"[" * 100_000, 0, "not usable JSON"),
        (b'{"a":' + b"9" * 100_000 + b"}", 0, "100000 digits"),
        (b"\xff\xfe", 0, "not usable JSON"),
    ],
)
def test_a_broken_safetensors_header_is_one_sentence(tmp_path, header, data, words):
    path = safetensors(tmp_path / "m.safetensors", header, bytes(data))
    refused(path, str(path), words)


def test_a_header_longer_than_the_file_is_not_read(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    refused(path, "announces a header of 1152921504606846976 bytes")
    path.write_bytes(b"\1")
    refused(path, "ends before byte 8")


def test_bin_places_every_tensor(tmp_path):
    path = tmp_path / "m.bin"
    forge.bin_file(path, {"a": (2, 3), "b": (), "c": (0, 2)})
    found = read_tensors(str(path))
    assert {name: (t.shape, t.strides) for name, t in found.items()} == {
        "a": ((2, 3), (3, 1)),
        "b": ((), ()),
        "c": ((0, 2), (2, 1)),
    }
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo("archive/data/0").header_offset
    assert found["a"].offset == header + 30 + len("archive/data/0")


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        Runs(),
        {"a": Runs()},
        OrderedDict(a=1),
        {"a": bytearray(b"x")},
        eval,
        {1: 2},
        {(1, 2): 3},
        {"a": 1},
        [1],
        {"a": {"b": 2}},
    ],
    ids=str,
)
def test_a_pickle_that_is_no_state_dict_is_refused_and_runs_nothing(tmp_path, monkeypatch, value, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.bin"
    forge.bin_file(path, {}, pickle=pickle.dumps(value, protocol))
    refused(path, str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["m.bin"]


def test_the_refusal_names_the_global(tmp_path):
    path = tmp_path / "m.bin"
    forge.bin_file(path, {}, pickle=pickle.dumps({"a": Runs()}, 2))
    refused(path, "'posix' 'system'", str(path))


GOOD = bin_pickle(forge.entries({"a": (2, 3)}))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"_rebuild_tensor_v2", b"_rebuild_nothing_9", "_rebuild_nothing_9"),
        (b"HalfStorage", b"EvilStorage", "EvilStorage"),
        (b"J\x06\0\0\0tQ", b"J\x05\0\0\0tQ", "reaches element 5 of a storage of 5"),
        (b"tQJ\0\0\0\0", b"tQJ\1\0\0\0", "reaches element 6"),
        (b"tQJ\0\0\0\0", b"tQJ\xff\xff\xff\xff", "unusable size or stride"),
        (b"(J\x02\0\0\0J\x03\0\0\0t", b"(J\x02\0\0\0J\xfd\xff\xff\xfft", "unusable size or stride"),
        (b"(J\x03\0\0\0J\x01\0\0\0t", b"(J\x03\0\0\0t", "unusable size or stride"),
        (b"storage", b"garbage", "a storage without a type"),
        (b"RtRu.", b"RtR", "it is cut"),
        (b"RtRu.", b"RtRe.", "something else than a list"),
        (b"\x80\x02}(", b"\x80\x02](", "something else than a text key"),
        (b"\x80\x02}(", b"\x80\x02}", "a mark is missing"),
        (b"RtRu.", b"RtRb.", "sets attributes"),
        (b"RtRu.", b"RtR0.", "opcode b'0'"),
        (b"RtRu.", b"RtRu0.", "opcode b'0'"),
        (b"\x80\x02}(", b"\x80\x02}(h\x09", "refused"),
    ],
)
def test_a_twisted_pickle_is_one_sentence(tmp_path, old, new, words):
    assert GOOD.count(old) == 1
    path = tmp_path / "m.bin"
    forge.bin_file(path, {"a": (2, 3)}, pickle=GOOD.replace(old, new))
    refused(path, words, str(path))


def test_nested_tuples_cost_nothing():
    # 2**200 leaves if anything hashed, compared or printed it.
    bomb = b"\x80\x02)" + b"q\0h\0\x86" * 200
    for tail in (b"Q.", b"NR.", b"\x93.", b"}h\0h\0s.", b"cc\no\nR."):
        with pytest.raises(WeightsError, match="refused"):
            read_pickle(bomb + tail, "bomb")
    with pytest.raises(WeightsError, match="refused"):
        read_pickle(b"\x80\x02)" + b"\x85" * 500_000 + b"Q.", "deep")


def test_storage_and_zip_must_agree(tmp_path):
    path = tmp_path / "m.bin"
    forge.bin_file(path, {"a": (2, 2)}, pickle=GOOD)
    refused(path, "data/0", "8 bytes", "6 of F16")
    forge.bin_file(path, {}, pickle=GOOD)
    refused(path, "lacks its member 'archive/data/0'")
    forge.bin_file(path, {"a": (2, 3)}, compression=zipfile.ZIP_DEFLATED)
    refused(path, "is compressed")
    forge.bin_file(path, {"a": (2, 3)}, byteorder="big")
    refused(path, "big-endian")


def test_every_cut_of_a_file_is_refused(tmp_path):
    for name, write in (("m.bin", forge.bin_file), ("m.safetensors", forge.safetensors_file)):
        path = tmp_path / name
        write(path, {"a": (2, 3), "b": (5,)})
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            refused(path, str(path))


def test_a_git_lfs_pointer_is_named(tmp_path):
    path = tmp_path / "m.bin"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    refused(path, "git-lfs pointer")


def legacy(count=6, little=True, keys=("0",), magic=0x1950A86A20F9469CFC6C, data=None):
    state = GOOD.replace(b"cpuJ\x06\0\0\0tQ", b"cpuJ\x06\0\0\0NtQ")
    machine = {"protocol_version": 1001, "little_endian": little, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(value, 2) for value in (magic, 1001, machine))
    tail = struct.pack("<q", count) + (bytes(count * 2) if data is None else data)
    return head + state + pickle.dumps(list(keys), 2) + tail


def test_the_format_before_torch_1_6(tmp_path):
    path = tmp_path / "m.bin"
    path.write_bytes(legacy())
    assert read_tensors(str(path))["a"].offset == len(legacy()) - 12
    for length in range(len(legacy())):
        path.write_bytes(legacy()[:length])
        refused(path, str(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"little": False}, "big-endian"),
        ({"magic": 1}, "not what torch.save writes"),
        ({"keys": ("0", "0")}, "lists it twice"),
        ({"keys": ("1",)}, "do not use"),
        ({"keys": ()}, "lacks its storage '0'"),
        ({"count": 5}, "cut in its storage"),
        ({"count": -5, "data": b""}, "cut in its storage"),
        ({"data": b"x"}, "cut in its storage"),
    ],
)
def test_a_broken_legacy_file_is_one_sentence(tmp_path, change, words):
    path = tmp_path / "m.bin"
    path.write_bytes(legacy(**change))
    refused(path, words)


def index(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_index_and_shards_must_agree(tmp_path):
    folder = forge.model(tmp_path / "m", shards=2)
    good = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(read_model(str(folder)).tensors) == set(forge.SHAPES)
    swapped = {**good, "lm_head.weight": good["model.norm.weight"]}
    less = {name: shard for name, shard in good.items() if name != "lm_head.weight"}
    for weight_map, words in (
        (swapped, "lm_head.weight lies in"),
        (less, "lm_head.weight lies in"),
        ({**good, "x": good["lm_head.weight"]}, "'x' is not in"),
        ({**good, "x": "model-9.safetensors"}, "model-9.safetensors is missing"),
        ({**good, "x": "../m/model-00001-of-00002.safetensors"}, "without a path"),
        ({**good, "x": "/etc/passwd"}, "names"),
        ({**good, "x": "config.json"}, "wanted .safetensors or .bin"),
        ({**good, "x": "\ud800.bin"}, "without a path"),
        ({**good, "x": 5}, "no usable weight_map"),
        ([], "no usable weight_map"),
    ):
        index(folder, weight_map)
        with pytest.raises(WeightsError, match=words.replace(".", r"\.")):
            read_model(str(folder))


def test_links_stay_inside(tmp_path):
    folder = forge.model(tmp_path / "m")
    outside = tmp_path / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(WeightsError, match="a link out of the model's directory"):
        read_model(str(folder))
    (folder / "model.safetensors").unlink()
    (folder / "blobs").mkdir()
    outside.rename(folder / "blobs" / "b")
    (folder / "model.safetensors").symlink_to("blobs/b")
    assert set(read_model(str(folder)).tensors) == set(forge.SHAPES)
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(WeightsError, match="not a regular file"):
        read_model(str(folder))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (5, 7), (4, 1, 6), (2, 3, 4, 5), (1000,)])
@pytest.mark.parametrize("limit", [1, 2, 7, 24, 10_000])
def test_blocks_cover_every_element_once_in_order(shape, limit):
    position = 0
    for start, block in blocks(shape, limit):
        assert start == position
        assert 0 < math.prod(block) <= limit
        position += math.prod(block)
    assert position == math.prod(shape)
