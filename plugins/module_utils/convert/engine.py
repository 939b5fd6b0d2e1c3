"""Make target weights from base and delta in little memory: plan on the headers, then stream tensor by tensor.

The sum is that of ``fastchat.model.apply_delta`` (FastChat 0.2.36): both sides become float16, then base += delta.
Where a sum is NaN, only that is promised, not which bits: torch itself differs between vector and tail.

A conversion goes one way: sources.py reads base and delta, plan.py lays out the target, stream.py reads and
adds the tensors, and staging.py holds what is finished in ``<target>.part`` until that is renamed. Needs the runtime's
interpreter: Python 3.9 and numpy, and torch if it is there.
"""

from __future__ import annotations

import os
from typing import Any

from ..storage.files import PART, rename
from ..tensors.errors import WeightsError
from .plan import Part, make_part, make_plan
from .sources import read_sources
from .staging import fill, recorded, require_space, staging_of

SHARD_BYTES = 2_000_000_000  # a kill costs at most this much work; transformers' own default is 5 GB
BUDGET_BYTES = 256 << 20


def convert(
    base_dir: str,
    delta_dir: str | None,
    target_dir: str,
    *,
    output: str = "safetensors",
    shard_bytes: int = SHARD_BYTES,
    budget_bytes: int = BUDGET_BYTES,
    threads: int | None = None,
    check: bool = False,
    good: tuple[str, dict[str, Any]] = ("", {}),
    part: Part | None = None,
) -> dict[str, Any]:
    """Write ``target_dir`` out of a base and a delta, or out of a whole model (``delta_dir`` None).

    ``good`` is a directory that an earlier conversion of the same inputs made, and {name: {size, sha256}} of its files
    that are still right: those are linked and compared, not made again. With ``part`` only those shards and the small
    files are written, out of the sources that hold them.

    Returns {"changed": bool, "size": bytes of weights, "files": {name: {"size", "sha256"}}}; with ``check`` only
    plans, writes nothing, and ``files`` is empty unless the target is there. Raises WeightsError, one sentence.
    """
    target = os.path.abspath(target_dir)
    threads = threads or min(4, os.cpu_count() or 1)
    try:
        wanted, links = (part.tensors, part.links) if part else (None, ())
        sources = read_sources(base_dir, delta_dir, wanted, links)
        plan = make_part(sources, output, part) if part else make_plan(sources, output, shard_bytes)
        if os.path.lexists(target):
            return {"changed": False, "size": plan.size, "files": recorded(target, plan)}
        parent = os.path.dirname(target)
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(target + PART):
            require_space(parent, plan, {})
        if check:
            return {"changed": True, "size": plan.size, "files": {}}
        with staging_of(target) as staging:
            files = fill(staging, plan, budget_bytes, threads, good)
            rename(staging, target)
    except OSError as error:
        raise WeightsError(
            f"The conversion to {target} stopped: {error.strerror}"
            f"{f' ({error.filename})' if error.filename else ''}; finished shards are kept, run it again."
        ) from error
    return {"changed": True, "size": plan.size, "files": files}
