"""Add float16 numbers with the bits of torch, by numpy or by torch. Opens no file; needs numpy."""

from __future__ import annotations

import threading
from typing import Any

from ..tensors.layout import HALF, DType


class Adder:
    """Adds float16 numbers with numpy at first, and with torch once its import in the background has ended."""

    def __init__(self, want_torch: bool) -> None:
        """Begin to import torch where it is worth it."""
        self._torch: Any = None
        self._import = threading.Thread(target=self._load, daemon=True)
        if want_torch:
            self._import.start()

    def _load(self) -> None:
        try:
            import torch  # noqa: PLC0415  (3 s)
        except Exception:  # noqa: S110  (numpy's sums are the same bits; a broken torch is found when it serves)
            pass
        else:
            torch.set_num_threads(1)  # one block per thread is parallel enough
            self._torch = torch

    def close(self) -> None:
        """Wait for the import, because an interpreter that ends during it may crash."""
        if self._import.ident:
            self._import.join()

    def add(self, base: Any, base_dtype: DType, delta: Any, delta_dtype: DType) -> Any:
        """Return base + delta as float16, in the place of ``base`` where that is float16 already."""
        import numpy  # noqa: PLC0415  (planning needs none)

        with numpy.errstate(all="ignore"):
            total, summand = as_half(base, base_dtype), as_half(delta, delta_dtype)
            if self._torch:
                self._torch.from_numpy(total).add_(self._torch.from_numpy(summand))
            else:
                numpy.add(total, summand, out=total)
        return total


def as_half(values: Any, dtype: DType) -> Any:
    """Return values as float16 like torch's ``.to(torch.float16)``: float64 and bfloat16 pass through float32."""
    import numpy  # noqa: PLC0415  (planning needs none)

    if dtype is HALF:
        return values
    half = numpy.empty(values.shape, "<f2")
    step = 1 << 16  # elements that stay in the processor's cache
    for start in range(0, len(values), step):
        part = values[start : start + step]
        wide = (part.astype("<u4") << 16).view("<f4") if dtype.name == "BF16" else part.astype("<f4", copy=False)
        half[start : start + step] = wide
    return half
