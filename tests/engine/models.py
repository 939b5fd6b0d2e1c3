"""Models written by torch and safetensors themselves, and read back by them."""

import json

import torch
from safetensors.torch import load_file, save_file

SMALL = {"shard_bytes": 3000, "budget_bytes": 1, "threads": 3}  # blocks of 4 KiB, so that tensors have several
DTYPES = [torch.float16, torch.float32, torch.bfloat16, torch.float64]


def write(folder, shards, kind="bin", **config):
    """Write a model directory; ``shards`` is a list of {name: tensor}; kind: bin, legacy or safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    names = [f"{stem}-{number:05d}-of-{len(shards):05d}.{suffix}" for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [f"{stem}.{suffix}"]
    for name, shard in zip(names, shards, strict=True):
        if kind == "safetensors":
            save_file({key: tensor.contiguous().clone() for key, tensor in shard.items()}, folder / name)
        else:
            torch.save(shard, folder / name, _use_new_zipfile_serialization=kind == "bin")
    if len(shards) > 1:
        weight_map = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def read(folder):
    """Return {name: tensor} of a model directory as the libraries read it, through its index where there is one."""
    found = {}
    for path in folder.glob("*.safetensors"):
        found.update(load_file(path))
    for path in folder.glob("*.bin"):
        found.update(torch.load(path, weights_only=True))
    return found


def same_bits(left, right):
    """Compare bit for bit, except which bits a NaN has: torch itself differs between a vector and its tail."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.is_floating_point():
        nan = left.isnan()
        if not torch.equal(nan, right.isnan()):
            return False
        left, right = (torch.where(nan, torch.zeros((), dtype=side.dtype), side) for side in (left, right))
    return (
        left.contiguous().numpy(force=True).tobytes() == right.contiguous().numpy(force=True).tobytes()
        if (left.dtype != torch.bfloat16)
        else torch.equal(left.contiguous().view(torch.int16), right.contiguous().view(torch.int16))
    )
