"""A conversion decides and refuses before it writes."""

import json

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.plan import make_plan
from ansible_collections.fastchat.fleet.plugins.module_utils.convert.sources import read_sources

from tests.support import weight_forge as forge
from tests.support.refusals import not_converted

TALL = {**forge.SHAPES, "model.embed_tokens.weight": (5, 2), "lm_head.weight": (5, 2)}


def planned(tmp_path, base, delta, **options):
    sources = read_sources(str(base), str(delta))
    return make_plan(sources, options.get("output", "safetensors"), options.get("shard_bytes", 1000))


def test_a_name_on_one_side_only_is_refused_with_file_and_shape(tmp_path):
    base, more = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", {**forge.SHAPES, "x": (3, 7)})
    not_converted(tmp_path, base, more, "x of shape [3, 7]", "delta/model.safetensors", "nowhere in", "/base")
    not_converted(tmp_path, more, base, "x of shape [3, 7]", "delta/model.safetensors", "nowhere in", "/base")


def test_different_shapes_are_refused_with_both_files_and_shapes(tmp_path):
    base = forge.model(tmp_path / "base")
    delta = forge.model(tmp_path / "delta", {**forge.SHAPES, "model.norm.weight": (3,)})
    not_converted(
        tmp_path, base, delta, "model.norm.weight", "[2] in", "base/model.safetensors", "[3] in", "delta/model"
    )


def test_vocabulary_grows_only_as_both_configurations_say(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", TALL, vocab_size=5)
    items = {item.name: item.shape for item in planned(tmp_path, base, delta).shards[0].items}
    assert items == TALL
    not_converted(tmp_path, base, forge.model(tmp_path / "silent", TALL), "[4, 2]", "[5, 2]", "vocab_size 4 and 4")
    not_converted(tmp_path, delta, base, "[5, 2]", "[4, 2]", "vocab_size 5 and 4")
    wide = {**TALL, "lm_head.weight": (5, 3)}
    not_converted(tmp_path, base, forge.model(tmp_path / "wide", wide, vocab_size=5), "lm_head.weight", "[5, 3]")
    norm = {**forge.SHAPES, "model.norm.weight": (5,)}
    not_converted(tmp_path, base, forge.model(tmp_path / "norm", norm, vocab_size=5), "model.norm.weight")


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
    not_converted(
        tmp_path, base, loose, "tie_word_embeddings is True", "base/config.json", "False", "loose/config.json"
    )


def test_integers_are_not_added(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", dtype="I16")
    not_converted(tmp_path, base, delta, "is I16", "only floating point")


def test_what_a_model_needs_is_asked_for_by_name(tmp_path):
    base, delta = forge.model(tmp_path / "base"), forge.model(tmp_path / "delta", tokenizer=False)
    not_converted(tmp_path, base, delta, "delta has no tokenizer")
    not_converted(tmp_path, base, tmp_path / "nowhere", "nowhere has no weights")
    (base / "config.json").unlink()
    not_converted(tmp_path, delta, base, "config.json is missing")
    (base / "config.json").write_text("{" * 9)
    not_converted(tmp_path, delta, base, "not usable JSON")
    (base / "config.json").write_bytes(b" " * ((16 << 20) + 1))
    not_converted(tmp_path, delta, base, "too large")


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
