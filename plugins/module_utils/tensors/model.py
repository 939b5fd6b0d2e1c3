"""Which tensors a model directory holds, and where they lie. Reads only headers, and imports nothing of the model's.

Needs Python 3.9 or newer and nothing else. Writes nothing.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .errors import WeightsError
from .files import HEAD, parse_json, read_small, refuse_stand_in, regular_file
from .layout import Tensor
from .safetensors import read_safetensors
from .torch_archives import LEGACY_START, read_legacy, read_zip

SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN_INDEX = "pytorch_model.bin.index.json"
INDEXES = {"safetensors": SAFETENSORS_INDEX, "bin": BIN_INDEX}  # format: name of the index of a sharded model
MODEL_FILES = (  # what tells a model directory's format, in the order in which transformers looks
    ("model.safetensors", "safetensors"),
    (SAFETENSORS_INDEX, "safetensors"),
    ("pytorch_model.bin", "bin"),
    (BIN_INDEX, "bin"),
)


class Model(NamedTuple):
    """A model directory as plain data.

    ``format`` is ``safetensors`` or ``bin``, ``shards`` is {name: real path} in order, ``index`` is the content of the
    index, None where the model is one file, and ``tensors`` is {name: Tensor} in reading order.
    """

    folder: str
    format: str
    shards: dict[str, str]
    index: bytes | None
    tensors: dict[str, Tensor]


def read_tensors(path: str) -> dict[str, Tensor]:
    """Return the tensors of one weights file; the format is recognised by its first bytes, not by its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WeightsError(f"{path} cannot be opened: {error.strerror}.") from None
    try:
        first = os.pread(descriptor, HEAD, 0)
        refuse_stand_in(first, path)
        if first.startswith(b"PK\3\4"):
            return read_zip(descriptor, path)
        if first.startswith(LEGACY_START):
            return read_legacy(descriptor, path)
        if path.endswith(".bin"):
            raise WeightsError(f"{path} is not what torch.save writes; it begins with {first[:8]!r}.")
        return read_safetensors(descriptor, path)  # the only format without a magic number
    finally:
        os.close(descriptor)


def read_model(folder: str, wanted: frozenset[str] | None = None) -> Model:
    """Return what a model directory holds, index and headers compared; looked for in transformers' own order.

    With ``wanted``, only those tensors are returned, and only the shards that hold them need be there. Raises
    WeightsError.
    """
    for name, kind in MODEL_FILES:
        if not os.path.lexists(os.path.join(folder, name)):
            continue
        index = read_small(folder, name) if name.endswith(".json") else None
        if index is None:
            shards = {name: regular_file(folder, name)}
            tensors = read_tensors(shards[name])
        else:
            weight_map = weight_map_of(index, folder, name)
            used = {shard for tensor, shard in weight_map.items() if wanted is None or tensor in wanted}
            shards = {shard: regular_file(folder, shard) for shard in sorted(used)}
            tensors = read_shards(shards, weight_map, f"{name} in {folder}")
        if wanted is not None:
            if missing := sorted(wanted - set(tensors)):
                raise WeightsError(f"{missing[0][:100]!r} is not in {folder}, where it was wanted.")
            tensors = {tensor: place for tensor, place in tensors.items() if tensor in wanted}
        return Model(folder, kind, shards, index, tensors)
    raise WeightsError(
        f"{folder} has no weights: neither model.safetensors nor pytorch_model.bin, nor an index of shards."
    )


def read_weight_map(folder: str, index: str) -> dict[str, str]:
    """Return {tensor: shard} of the index that is named so in a model directory."""
    return weight_map_of(read_small(folder, index), folder, index)


def weight_map_of(text: bytes, folder: str, index: str) -> dict[str, str]:
    """Return {tensor: shard} of an index's content; its shards must be named as weights are."""
    weight_map = parse_json(text, os.path.realpath(os.path.join(folder, index))).get("weight_map")
    if not isinstance(weight_map, dict) or not all(type(shard) is str for shard in weight_map.values()):
        raise WeightsError(f"{index} in {folder} has no usable weight_map.")
    if other := sorted(name for name in set(weight_map.values()) if not name.endswith((".safetensors", ".bin"))):
        raise WeightsError(f"{index} in {folder} names {other[0][:100]!r}, wanted .safetensors or .bin files.")
    return weight_map


def read_shards(shards: dict[str, str], weight_map: dict[str, str], index: str) -> dict[str, Tensor]:
    """Return the tensors of {shard: path}; each must lie in the shard that the index, named for messages, says."""
    tensors: dict[str, Tensor] = {}
    for shard, path in shards.items():
        for name, tensor in sorted(read_tensors(path).items(), key=lambda item: item[1].offset):
            if weight_map.get(name) != shard:
                said = weight_map.get(name, "no file")[:100]
                raise WeightsError(f"{name} lies in {path}, but {index} says {said!r}.")
            tensors[name] = tensor
    if missing := sorted(name for name in set(weight_map) - set(tensors) if weight_map[name] in shards):
        name = missing[0]
        raise WeightsError(f"{name[:100]!r} is not in {weight_map[name]}, where {index} says it is.")
    return tensors
