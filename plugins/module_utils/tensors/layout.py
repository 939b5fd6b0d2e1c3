"""What a tensor is: its element type, its shape and where its elements lie in a file. Opens no file."""

from __future__ import annotations

import math
from typing import NamedTuple

AXES_LIMIT = 32  # numpy's limit before 2.0
NAME_LIMIT = 255  # characters


class DType(NamedTuple):
    """An element type: its name in safetensors, bytes, torch storage class, and how numpy reads it."""

    name: str
    size: int
    storage: str
    numpy: str


DTYPES = {
    name: DType(name, size, storage, numpy)
    for name, size, storage, numpy in (
        ("F64", 8, "DoubleStorage", "<f8"),
        ("F32", 4, "FloatStorage", "<f4"),
        ("F16", 2, "HalfStorage", "<f2"),
        ("BF16", 2, "BFloat16Storage", "<u2"),  # numpy has no bfloat16: its bits
        ("I64", 8, "LongStorage", "<i8"),
        ("I32", 4, "IntStorage", "<i4"),
        ("I16", 2, "ShortStorage", "<i2"),
        ("I8", 1, "CharStorage", "<i1"),
        ("U8", 1, "ByteStorage", "<u1"),
        ("BOOL", 1, "BoolStorage", "<u1"),
    )
}
HALF = DTYPES["F16"]


class Tensor(NamedTuple):
    """A tensor in a file: byte ``offset`` of its first element, strides in elements."""

    path: str
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Return the bytes of the tensor laid out without gaps."""
        return self.elements * self.dtype.size

    @property
    def is_dense(self) -> bool:
        """Return whether the elements lie in C order without gaps; an axis of length one may have any stride."""
        return self.elements == 0 or all(
            extent == 1 or stride == dense
            for extent, stride, dense in zip(self.shape, self.strides, dense_strides(self.shape))  # noqa: B905 (3.9)
        )


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of a C-ordered tensor without gaps."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def is_name(text: str) -> bool:
    """Return whether a text may name a tensor or a file: printable, so without line ends and lone surrogates."""
    return 0 < len(text) <= NAME_LIMIT and text.isprintable()


def is_whole(value: object) -> bool:
    """Return whether a value is an integer of zero or more; True and False are not."""
    return type(value) is int and value >= 0
