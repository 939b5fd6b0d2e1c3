"""The header of a safetensors file is read without believing it."""

import json
import os
import struct

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.model import read_tensors

from tests.support.refusals import refused


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
        ({"a": entry(dtype=[])}, 4, "wanted one of"),
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
