"""A model directory is read by its index and shards, and nothing outside of it is read."""

import json
import os

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.errors import WeightsError

from tests.support import weight_forge as forge
from tests.support.refusals import tensors_in


def index(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_index_and_shards_must_agree(tmp_path):
    folder = forge.model(tmp_path / "m", shards=2)
    good = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(tensors_in(folder)) == set(forge.SHAPES)
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
            tensors_in(folder)


def test_links_stay_inside(tmp_path):
    folder = forge.model(tmp_path / "m")
    outside = tmp_path / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    (folder / "model.safetensors").symlink_to(outside)
    with pytest.raises(WeightsError, match="a link out of the model's directory"):
        tensors_in(folder)
    (folder / "model.safetensors").unlink()
    (folder / "blobs").mkdir()
    outside.rename(folder / "blobs" / "b")
    (folder / "model.safetensors").symlink_to("blobs/b")
    assert set(tensors_in(folder)) == set(forge.SHAPES)
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(WeightsError, match="not a regular file"):
        tensors_in(folder)
