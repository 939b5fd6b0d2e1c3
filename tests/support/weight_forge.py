"""Model directories made by hand, without torch or numpy: float16 tensors whose bytes are chosen by the test."""

import json
import math
import zipfile

from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.layout import DTYPES
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.pickles import bin_pickle
from ansible_collections.fastchat.fleet.plugins.module_utils.tensors.safetensors import safetensors_header

SHAPES = {"model.embed_tokens.weight": (4, 2), "model.norm.weight": (2,), "lm_head.weight": (4, 2)}
ROPE = "model.layers.0.self_attn.rotary_emb.inv_freq"


def entries(shapes, dtype="F16"):
    return [(name, DTYPES[dtype], tuple(shape)) for name, shape in shapes.items()]


PICKLE = bin_pickle(entries({"a": (2, 3)}))  # of a file with one tensor


def safetensors_file(path, shapes, dtype="F16"):
    size = sum(math.prod(shape) for shape in shapes.values()) * DTYPES[dtype].size
    path.write_bytes(safetensors_header(entries(shapes, dtype)) + bytes(size))


def bin_file(path, shapes, dtype="F16", *, pickle=None, compression=zipfile.ZIP_STORED, byteorder="little"):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle or bin_pickle(entries(shapes, dtype)))
        archive.writestr("archive/byteorder", byteorder)
        for key, shape in enumerate(shapes.values()):
            archive.writestr(f"archive/data/{key}", bytes(math.prod(shape) * DTYPES[dtype].size))


def model(folder, shapes=None, dtype="F16", *, kind="safetensors", tokenizer=True, shards=1, **config):
    """Write a model directory; tensors are dealt out to the shards in turn."""
    shapes = SHAPES if shapes is None else shapes
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 4, **config}))
    if tokenizer:
        (folder / "tokenizer.json").write_text("{}")
    stem, write = ("model", safetensors_file) if kind == "safetensors" else ("pytorch_model", bin_file)
    if shards == 1:
        write(folder / f"{stem}.{kind}", shapes, dtype)
        return folder
    names = [f"{stem}-{number:05d}-of-{shards:05d}.{kind}" for number in range(1, shards + 1)]
    for number, name in enumerate(names):
        write(folder / name, dict(list(shapes.items())[number::shards]), dtype)
    weight_map = {name: names[number % shards] for number, name in enumerate(shapes)}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder
