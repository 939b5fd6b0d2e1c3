"""Read the elements of tensors, block by block. Writes nothing; ``read_block`` needs numpy."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

from .errors import WeightsError
from .layout import Tensor, dense_strides


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (first element in C order, shape of the block) of consecutive blocks of at most ``limit`` elements.

    A block is a run of rows of one axis with all that lies below it, so that it is also a block of a strided tensor.
    """
    axis, below = len(shape), 1
    while axis and below * shape[axis - 1] <= limit:
        axis -= 1
        below *= shape[axis]
    if not axis:
        if below:
            yield 0, shape
        return
    extent, step = shape[axis - 1], max(1, limit // below)
    for outer in range(math.prod(shape[: axis - 1])):
        for row in range(0, extent, step):
            yield (outer * extent + row) * below, (min(step, extent - row), *shape[axis:])


def read_into(descriptor: int, view: memoryview, offset: int, path: str) -> None:
    """Fill a writable view of bytes from ``offset`` on."""
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            raise WeightsError(f"{path} was cut while it was read: it ends before byte {offset + len(view)}.")
        done += count


def read_block(descriptor: int, tensor: Tensor, block: tuple[int, tuple[int, ...]], buffer: Any) -> Any:
    """Return a block's elements as a flat numpy array at the beginning of ``buffer`` (bytes, numpy uint8)."""
    start, shape = block
    found = buffer[: math.prod(shape) * tensor.dtype.size]
    if tensor.is_dense:
        read_into(descriptor, memoryview(found), tensor.offset + start * tensor.dtype.size, tensor.path)
    else:
        gather(descriptor, tensor, block, found.view(tensor.dtype.numpy).reshape(shape))
    return found.view(tensor.dtype.numpy)


def gather(descriptor: int, tensor: Tensor, block: tuple[int, tuple[int, ...]], out: Any) -> None:
    """Fill ``out`` with a block of a strided tensor, reading runs that are at least a quarter full.

    The axes with the smallest strides make a run, read at once; the others are walked. A transposed matrix is read
    column by column, a few rows of each: slow, but within four times the memory of one block.
    """
    import numpy  # noqa: PLC0415  (headers are read where numpy is not)

    start, shape = block
    first, rest = 0, start
    for extent, stride, below in zip(tensor.shape, tensor.strides, dense_strides(tensor.shape)):  # noqa: B905 (3.9)
        first += rest // below % extent * stride
        rest %= below
    strides = tensor.strides[len(tensor.strides) - len(shape) :]
    inner: list[int] = []
    span, filled = 1, 1
    for axis in sorted(range(len(shape)), key=lambda axis: strides[axis]):
        wider, fuller = span + (shape[axis] - 1) * strides[axis], filled * (shape[axis] if strides[axis] else 1)
        if wider > 4 * fuller:
            break
        inner.append(axis)
        span, filled = wider, fuller
    inner.sort()
    outer = [axis for axis in range(len(shape)) if axis not in inner]
    item = tensor.dtype.size
    run = numpy.empty(span, tensor.dtype.numpy)
    values = numpy.ndarray(
        [shape[axis] for axis in inner], run.dtype, run, strides=[strides[axis] * item for axis in inner]
    )
    raw = memoryview(run.view(numpy.uint8))
    for index in itertools.product(*(range(shape[axis]) for axis in outer)):
        place = first + sum(i * strides[axis] for i, axis in zip(index, outer))  # noqa: B905 (Python 3.9)
        read_into(descriptor, raw, tensor.offset + place * item, tensor.path)
        where: list[Any] = [slice(None)] * len(shape)
        for i, axis in zip(index, outer):  # noqa: B905 (Python 3.9)
            where[axis] = i
        out[tuple(where)] = values
