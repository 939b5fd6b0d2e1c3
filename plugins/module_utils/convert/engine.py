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

from ..storage.files import PART, remove, rename
from ..tensors.errors import WeightsError
from .plan import Part, Plan, make_part, make_plan
from .sources import read_sources, read_whole_files
from .staging import (
    finish,
    finished_shards,
    place,
    record,
    recorded,
    require_space,
    staging_of,
    start_journal,
    write_small,
)
from .stream import Stream

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
        plan = planned(base_dir, delta_dir, output, shard_bytes, part)
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


def planned(base_dir: str, delta_dir: str | None, output: str, shard_bytes: int, part: Part | None) -> Plan:
    """Read what the sources hold and lay out the target, or a part of it."""
    if part is None:
        return make_plan(read_sources(base_dir, delta_dir), output, shard_bytes)
    if part.linked:
        sources = read_whole_files(base_dir, list(part.shards), output)
    else:
        sources = read_sources(base_dir, delta_dir, part.tensors)
    return make_part(sources, output, part)


def fill(staging: str, plan: Plan, budget_bytes: int, threads: int, good: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Complete staging and return its files; shards of an earlier run are kept."""
    done = finished_shards(staging, plan)
    require_space(staging, plan, done)
    start_journal(staging, plan, done)

    def finished(name: str, entry: dict[str, Any]) -> None:
        record(staging, name, entry)
        done[name] = entry

    for name in {shard.name for shard in plan.shards} & set(good[1]) - set(done):
        entry = place(staging, name, os.path.join(good[0], name))
        if entry == {key: good[1][name][key] for key in ("size", "sha256")}:
            finished(name, entry)
        else:
            remove(os.path.join(staging, name))
    missing = [shard for shard in plan.shards if shard.name not in done]
    for shard in missing:
        if shard.source:
            finished(shard.name, place(staging, shard.name, shard.source))
    if streamed := [shard for shard in missing if not shard.source]:
        Stream(staging, plan.output, budget_bytes, threads).run(streamed, finished)
    for name, data in plan.small.items():
        done[name] = write_small(staging, name, data)
    files = dict(sorted(done.items()))
    finish(staging, plan, files)
    return files
