"""A pickle in a weights file is read without running it."""

import os
import pickle
from collections import OrderedDict

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.pickles import read_pickle

from tests.support import weight_forge as forge
from tests.support.refusals import refused


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)

    def __repr__(self):  # also the test's name, which must be the same in each process
        return "Runs()"


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
    assert forge.PICKLE.count(old) == 1
    path = tmp_path / "m.bin"
    forge.bin_file(path, {"a": (2, 3)}, pickle=forge.PICKLE.replace(old, new))
    refused(path, words, str(path))


def test_nested_tuples_cost_nothing():
    # 2**200 leaves if anything hashed, compared or printed it.
    bomb = b"\x80\x02)" + b"q\0h\0\x86" * 200
    for tail in (b"Q.", b"NR.", b"\x93.", b"}h\0h\0s.", b"cc\no\nR."):
        with pytest.raises(WeightsError, match="refused"):
            read_pickle(bomb + tail, "bomb")
    with pytest.raises(WeightsError, match="refused"):
        read_pickle(b"\x80\x02)" + b"\x85" * 500_000 + b"Q.", "deep")
