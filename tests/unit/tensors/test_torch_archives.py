"""Both formats of torch.save are read without believing them."""

import pickle
import struct
import zipfile

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.model import read_tensors

from tests.support import weight_forge as forge
from tests.support.refusals import refused


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


def test_storage_and_zip_must_agree(tmp_path):
    path = tmp_path / "m.bin"
    forge.bin_file(path, {"a": (2, 2)}, pickle=forge.PICKLE)
    refused(path, "data/0", "8 bytes", "6 of F16")
    forge.bin_file(path, {}, pickle=forge.PICKLE)
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
    state = forge.PICKLE.replace(b"cpuJ\x06\0\0\0tQ", b"cpuJ\x06\0\0\0NtQ")
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
