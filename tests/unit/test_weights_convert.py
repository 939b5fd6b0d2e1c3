"""What a conversion decides and refuses before it writes; whole models that need no arithmetic."""

import hashlib
import json
import os
from types import SimpleNamespace

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.convert import staging
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.engine import convert
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.plan import make_plan
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.sources import read_sources
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.model import read_model

from tests.support import weight_forge as forge

TALL = {**forge.SHAPES, "model.embed_tokens.weight": (5, 2), "lm_head.weight": (5, 2)}


def planned(tmp_path, base, delta, **options):
    sources = read_sources(str(base), str(delta))
    return make_plan(sources, options.get("output", "safetensors"), options.get("shard_bytes", 1000))


def refused(tmp_path, base, delta, *words):
    """Converting must fail with these words and leave nothing behind."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WeightsError) as caught:
        convert(str(base), str(delta) if delta else None, str(tmp_path / "target"))
    for word in words:
        assert word in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_name_on_one_side_only_is_refused_with_file_and_shape(tmp_path):
    base, more = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", {**forge.SHAPES, "x": (3, 7)})
    refused(tmp_path, base, more, "x of shape [3, 7]", "delta/model.safetensors", "nowhere in", "/base")
    refused(tmp_path, more, base, "x of shape [3, 7]", "delta/model.safetensors", "nowhere in", "/base")


def test_different_shapes_are_refused_with_both_files_and_shapes(tmp_path):
    base = forge.model(tmp_path / "base")
    delta = forge.model(tmp_path / "delta", {**forge.SHAPES, "model.norm.weight": (3,)})
    refused(tmp_path, base, delta, "model.norm.weight", "[2] in", "base/model.safetensors", "[3] in", "delta/model")


def test_vocabulary_grows_only_as_both_configurations_say(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", TALL, vocab_size=5)
    items = {item.name: item.shape for item in planned(tmp_path, base, delta).shards[0].items}
    assert items == TALL
    refused(tmp_path, base, forge.model(tmp_path / "silent", TALL), "[4, 2]", "[5, 2]", "vocab_size 4 and 4")
    refused(tmp_path, delta, base, "[5, 2]", "[4, 2]", "vocab_size 5 and 4")
    wide = {**TALL, "lm_head.weight": (5, 3)}
    refused(tmp_path, base, forge.model(tmp_path / "wide", wide, vocab_size=5), "lm_head.weight", "[5, 3]")
    norm = {**forge.SHAPES, "model.norm.weight": (5,)}
    refused(tmp_path, base, forge.model(tmp_path / "norm", norm, vocab_size=5), "model.norm.weight")


@pytest.mark.parametrize("sides", ["base", "delta", "both"])
def test_rotary_buffers_are_left_out_wherever_they_are(tmp_path, sides):
    with_buffer = {**forge.SHAPES, forge.ROPE: (8,)}
    base = forge.model(tmp_path / "base", with_buffer if sides != "delta" else None)
    delta = forge.model(tmp_path / "delta", with_buffer if sides != "base" else None)
    assert {item.name for item in planned(tmp_path, base, delta).shards[0].items} == set(forge.SHAPES)


def test_a_tied_head_is_left_out_and_ties_must_agree(tmp_path):
    headless = {name: shape for name, shape in forge.SHAPES.items() if name != "lm_head.weight"}
    base = forge.model(tmp_path / "base", tie_word_embeddings=True)
    delta = forge.model(tmp_path / "delta", headless, tie_word_embeddings=True)
    assert {item.name for item in planned(tmp_path, base, delta).shards[0].items} == set(headless)
    loose = forge.model(tmp_path / "loose")
    refused(tmp_path, base, loose, "tie_word_embeddings is True", "base/config.json", "False", "loose/config.json")


def test_integers_are_not_added(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", dtype="I16")
    refused(tmp_path, base, delta, "is I16", "only floating point")


def test_what_a_model_needs_is_asked_for_by_name(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", tokenizer=False)
    refused(tmp_path, base, delta, "delta has no tokenizer")
    refused(tmp_path, base, tmp_path / "nowhere", "nowhere has no weights")
    (base / "config.json").unlink()
    refused(tmp_path, delta, base, "config.json is missing")
    (base / "config.json").write_text("{" * 9)
    refused(tmp_path, delta, base, "not usable JSON")
    (base / "config.json").write_bytes(b" " * ((16 << 20) + 1))
    refused(tmp_path, delta, base, "too large")


def test_a_full_disk_is_said_before_it_is_full(tmp_path, monkeypatch):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta")
    little = SimpleNamespace(f_bavail=1, f_frsize=4096)  # stands in for a disk with one free block
    monkeypatch.setattr(staging.os, "statvfs", lambda _path: little)
    refused(tmp_path, base, delta, "0.1 GB more", "0.0 GB are free")


def test_shards_are_filled_in_order_and_indexed(tmp_path):
    base = forge.model(tmp_path / "base", shards=3)
    plan = planned(tmp_path, base, forge.model(tmp_path / "delta"), shard_bytes=20)
    assert [(shard.name, [item.name for item in shard.items]) for shard in plan.shards] == [
        ("model-00001-of-00002.safetensors", ["model.embed_tokens.weight", "model.norm.weight"]),
        ("model-00002-of-00002.safetensors", ["lm_head.weight"]),
    ]
    index = json.loads(plan.small["model.safetensors.index.json"])
    assert index["metadata"]["total_size"] == 36
    assert index["weight_map"]["lm_head.weight"] == "model-00002-of-00002.safetensors"


def test_configuration_and_tokenizer_are_the_deltas_and_half(tmp_path):
    base = forge.model(tmp_path / "base", torch_dtype="float32", bos_token_id=0)
    delta = forge.model(tmp_path / "delta", torch_dtype="float32", dtype_of="delta", bos_token_id=1)
    (base / "generation_config.json").write_text('{"from": "base"}')
    (base / "added_tokens.json").write_text("{}")
    small = planned(tmp_path, base, delta).small
    config = json.loads(small["config.json"])
    assert (config["torch_dtype"], config["bos_token_id"]) == ("float16", 1)
    assert json.loads(small["generation_config.json"]) == {"from": "base"}
    assert set(small) == {"config.json", "generation_config.json", "tokenizer.json"}


def test_check_writes_nothing(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta")
    before = sorted(tmp_path.rglob("*"))
    found = convert(str(base), str(delta), str(tmp_path / "deep" / "target"), check=True)
    assert found == {"changed": True, "size": 36, "files": {}}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
def test_a_whole_model_in_the_right_format_is_linked(tmp_path, kind, shards):
    whole, target = forge.model(tmp_path / "whole", kind=kind, shards=shards), tmp_path / "target"
    (whole / "evil.bin").write_text("not part of the model")
    found = convert(str(whole), None, str(target), output=kind)
    assert found["changed"]
    weights = [name for name in found["files"] if name.endswith(kind)]
    assert len(weights) == shards
    for name in weights:
        assert os.path.samefile(whole / name, target / name)
    assert {name: hashlib.sha256((target / name).read_bytes()).hexdigest() for name in found["files"]} == {
        name: entry["sha256"] for name, entry in found["files"].items()
    }
    assert set(os.listdir(target)) == {*found["files"], "conversion.json"}
    assert set(read_model(str(target)).tensors) == set(forge.SHAPES)
    assert not (tmp_path / "target.part").exists()
    again = convert(str(whole), None, str(target), output=kind)
    assert again == {**found, "changed": False}


def test_a_target_from_other_inputs_is_not_touched(tmp_path):
    whole, target = forge.model(tmp_path / "whole"), tmp_path / "target"
    convert(str(whole), None, str(target))
    (whole / "tokenizer.json").write_text('{"new": 1}')
    refused(tmp_path, whole, None, "target is there already", "remove it first")


def test_a_stale_staging_directory_is_cleaned_and_a_planted_link_refused(tmp_path):
    whole, part = forge.model(tmp_path / "whole"), tmp_path / "target.part"
    (part / "old").mkdir(parents=True)
    (part / "journal").write_text("another fingerprint\nmodel.safetensors 3 00\n")
    (part / "model.safetensors").write_text("old")
    convert(str(whole), None, str(tmp_path / "target"))
    assert os.path.samefile(whole / "model.safetensors", tmp_path / "target" / "model.safetensors")
    assert not (tmp_path / "target" / "old").exists()
    (tmp_path / "victim").mkdir()
    (tmp_path / "second.part").symlink_to(tmp_path / "victim")
    with pytest.raises(WeightsError, match="is a link"):
        convert(str(whole), None, str(tmp_path / "second"))
    assert list((tmp_path / "victim").iterdir()) == []


def test_two_conversions_do_not_share_a_staging_directory(tmp_path):
    whole = forge.model(tmp_path / "whole")
    with (
        staging.staging_of(str(tmp_path / "target")),
        pytest.raises(WeightsError, match="Another conversion is writing"),
    ):
        convert(str(whole), None, str(tmp_path / "target"))
