"""The format safetensors: read the header of a file, make the header of a new one. Writes no file.

The format is described at https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

from .errors import WeightsError
from .files import HEADER_LIMIT, parse_json, pread_exactly
from .layout import AXES_LIMIT, DTYPES, DType, Tensor, dense_strides, is_name, is_whole


def read_safetensors(descriptor: int, path: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, in the order of their data, which must fill the file without gaps."""
    total = os.fstat(descriptor).st_size
    length = int.from_bytes(pread_exactly(descriptor, 8, 0, path), "little")
    if length > min(HEADER_LIMIT, total - 8):
        raise WeightsError(f"{path} announces a header of {length} bytes in a file of {total}; fetch it again.")
    header = parse_json(pread_exactly(descriptor, length, 8, path), path)
    header.pop("__metadata__", None)
    start = 8 + length
    tensors = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or not is_name(name):
            raise WeightsError(f"The header of {path} has an unusable entry {name[:100]!r}; fetch it again.")
        dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise WeightsError(
                f"{name} in {path} has the dtype {str(dtype)[:40]!r}, wanted one of {', '.join(sorted(DTYPES))}: take"
                " another revision of the model."
            )
        if not isinstance(shape, list) or len(shape) > AXES_LIMIT or not all(map(is_whole, shape)):
            raise WeightsError(f"{name} in {path} has no usable shape; fetch it again.")
        if not isinstance(span, list) or len(span) != 2 or not all(map(is_whole, span)):  # noqa: PLR2004 (a pair)
            raise WeightsError(f"{name} in {path} has no usable data_offsets; fetch it again.")
        tensor = Tensor(path, DTYPES[dtype], tuple(shape), dense_strides(tuple(shape)), start + span[0])
        if tensor.size != span[1] - span[0]:
            raise WeightsError(
                f"{name} in {path} needs {tensor.size} bytes, its data_offsets are {span}; fetch it again."
            )
        tensors[name] = tensor
    position = start
    ordered = sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size))
    for name, tensor in ordered:
        if tensor.offset != position:
            raise WeightsError(
                f"{name} in {path} begins at byte {tensor.offset}, wanted {position}: overlap or gap; fetch it again."
            )
        position += tensor.size
    if position != total:
        raise WeightsError(f"{path} has {total} bytes, its header describes {position}; fetch it again.")
    return dict(ordered)


def safetensors_header(entries: list[tuple[str, DType, tuple[int, ...]]]) -> bytes:
    """Return the first bytes of a safetensors file whose data follow in this order, padded to 8 as the format asks."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers refuses a file without this
    position = 0
    for name, dtype, shape in entries:
        end = position + math.prod(shape) * dtype.size
        header[name] = {"dtype": dtype.name, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
