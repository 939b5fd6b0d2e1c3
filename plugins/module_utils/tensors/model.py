"""Which tensors a model directory holds, and where they lie. Reads only headers, and imports nothing of the model's.

Needs Python 3.9 or newer and nothing else. Writes nothing.
"""

from __future__ import annotations

import os

from .errors import WeightsError
from .files import HEAD, INDEXES, Folder, refuse_stand_in
from .layout import Tensor
from .safetensors import read_safetensors
from .torch_archives import LEGACY_START, read_legacy, read_zip


def read_tensors(path: str) -> dict[str, Tensor]:
    """Return the tensors of one weights file; the format is recognised by its first bytes, not by its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WeightsError(f"{path} can not be opened ({error.strerror}); correct that.") from None
    try:
        first = os.pread(descriptor, HEAD, 0)
        refuse_stand_in(first, path)
        if first.startswith(b"PK\3\4"):
            return read_zip(descriptor, path)
        if first.startswith(LEGACY_START):
            return read_legacy(descriptor, path)
        if path.endswith(".bin"):
            raise WeightsError(f"{path} is not what torch.save writes; it begins with {first[:8]!r}; fetch it again.")
        return read_safetensors(descriptor, path)  # the only format without a magic number
    finally:
        os.close(descriptor)


def read_headers(folder: Folder, wanted: frozenset[str] | None = None) -> dict[str, Tensor]:
    """Return {name: Tensor} of a model's shards in reading order, index and headers compared.

    With ``wanted``, only those tensors are returned, and all of them must be there. Raises WeightsError.
    """
    if folder.weight_map is None:
        (path,) = folder.shards.values()
        tensors = read_tensors(path)
    else:
        tensors = read_shards(folder.shards, folder.weight_map, f"{INDEXES[folder.format]} in {folder.path}")
    if wanted is None:
        return tensors
    if missing := sorted(wanted - set(tensors)):
        raise WeightsError(f"{missing[0][:100]!r} is not in {folder.path}, where it was wanted; fetch the model again.")
    return {name: tensor for name, tensor in tensors.items() if name in wanted}


def read_shards(shards: dict[str, str], weight_map: dict[str, str], index: str) -> dict[str, Tensor]:
    """Return the tensors of {shard: path}; each must lie in the shard that the index, named for messages, says."""
    tensors: dict[str, Tensor] = {}
    for shard, path in shards.items():
        for name, tensor in sorted(read_tensors(path).items(), key=lambda item: item[1].offset):
            if weight_map.get(name) != shard:
                said = weight_map.get(name, "no file")[:100]
                raise WeightsError(f"{name} lies in {path}, but {index} says {said!r}; fetch the model again.")
            tensors[name] = tensor
    if missing := sorted(name for name in set(weight_map) - set(tensors) if weight_map[name] in shards):
        name = missing[0]
        raise WeightsError(
            f"{name[:100]!r} is not in {weight_map[name]}, where {index} says it is; fetch the model again."
        )
    return tensors
