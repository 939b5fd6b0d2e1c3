"""The directory in which a target is built, and the parts that a killed conversion left in it. Writes to the disk.

A shard counts once it is synced, renamed and in the journal, so that the next run goes on after the last such shard.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

from ..storage.digests import sha256_of
from ..storage.files import PART, append, link_or_copy, remove, sync_folder, write, write_json
from ..storage.locks import Busy, held
from ..tensors.errors import WeightsError
from ..tensors.files import read_json, read_small_if_there
from .plan import Plan
from .stream import Stream

SPACE_SPARE = 64 << 20  # for headers and small files
RECORD = "conversion.json"  # in the target: what it was made from, and its files
JOURNAL = "journal"  # in staging: the fingerprint, then name, size and sha256 of each finished shard


@contextlib.contextmanager
def staging_of(target: str) -> Iterator[str]:
    """Yield ``<target>.part``, made if needed and locked: two conversions never write the same files.

    Raises WeightsError when it is a link, or when another conversion holds it.
    """
    staging = target + PART
    os.makedirs(staging, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(held(staging))
            # Another conversion may have finished, and renamed this very directory, before we got the lock.
            if not os.path.samestat(os.fstat(lock), os.stat(staging)):
                raise Busy
        except (Busy, FileNotFoundError):
            raise WeightsError(f"Another conversion is writing {staging}; wait for it.") from None
        except OSError as error:
            if os.path.islink(staging):
                raise WeightsError(f"{staging} is a link, wanted a directory; remove it.") from None
            raise WeightsError(f"{staging} can not be locked ({error.strerror}); correct that, or remove it.") from None
        yield staging


def finished_shards(staging: str, plan: Plan) -> dict[str, Any]:
    """Return {name: {size, sha256}} of what an earlier run of the same plan finished; remove everything else."""
    done: dict[str, Any] = {}
    names = {shard.name for shard in plan.shards}
    lines = (read_small_if_there(staging, JOURNAL) or b"").decode("utf-8", "replace").split("\n")
    if lines[0] == plan.fingerprint:
        for line in lines[1:-1]:  # a line that a kill cut has no line end
            name, size, sha256 = line.rsplit(" ", 2)
            path = os.path.join(staging, name)
            if name in names and os.path.isfile(path) and os.path.getsize(path) == int(size):
                done[name] = {"size": int(size), "sha256": sha256}
    for entry in os.scandir(staging):
        if entry.name not in (JOURNAL, *done):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    return done


def line_of(name: str, entry: dict[str, Any]) -> bytes:
    """Return the journal's line of a finished shard."""
    return f"{name} {entry['size']} {entry['sha256']}\n".encode()


def start_journal(staging: str, plan: Plan, done: dict[str, Any]) -> None:
    """Begin the journal of a plan anew, with the shards that are finished already."""
    lines = [line_of(name, entry) for name, entry in sorted(done.items())]
    write(os.path.join(staging, JOURNAL), b"".join([f"{plan.fingerprint}\n".encode(), *lines]))


def place(staging: str, name: str, source: str) -> dict[str, Any]:
    """Link a finished file into staging, or copy it from another file system; return {size, sha256}."""
    path = os.path.join(staging, name)
    link_or_copy(source, path)
    return {"size": os.path.getsize(path), "sha256": sha256_of(path)}


def require_space(folder: str, plan: Plan, done: dict[str, Any]) -> None:
    """Refuse to begin a target that does not fit on the disk; hard links need no space."""
    device = os.stat(folder).st_dev
    linked = all(shard.source and os.stat(shard.source).st_dev == device for shard in plan.shards)
    needed = 0 if linked else plan.size + SPACE_SPARE - sum(entry["size"] for entry in done.values())
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed > free:
        raise WeightsError(
            f"The target needs {needed / 1e9:.1f} GB more in {folder}, {free / 1e9:.1f} GB are free; make room first."
        )


def recorded(target: str, plan: Plan) -> dict[str, Any]:
    """Return the files of a target that is already there; one made from other inputs is refused."""
    found = read_json(target, RECORD) if os.path.lexists(os.path.join(target, RECORD)) else {}
    if found.get("fingerprint") != plan.fingerprint:
        raise WeightsError(f"{target} is there already and was made from something else; remove it first.")
    return dict(found["files"])


def linkable(plan: Plan, good: tuple[str, dict[str, Any]]) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Return (shard, path, its {size, sha256} or None) of files that may stand for shards, the best first.

    ``good`` is a directory and {name: {size, sha256}} of its files that are right.
    """
    names = {shard.name for shard in plan.shards}
    found = [(name, os.path.join(good[0], name), entry) for name, entry in good[1].items() if name in names]
    return [*found, *((shard.name, shard.source, None) for shard in plan.shards if shard.source)]


def fill(staging: str, plan: Plan, budget_bytes: int, threads: int, good: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Bring staging to its end and return its files; shards of an earlier run are kept.

    At the end it is what the target will be: with the record of its inputs and files, and without the journal.
    """
    done = finished_shards(staging, plan)
    require_space(staging, plan, done)
    start_journal(staging, plan, done)

    def finished(name: str, entry: dict[str, Any]) -> None:
        append(os.path.join(staging, JOURNAL), line_of(name, entry))
        done[name] = entry

    for name, path, right in linkable(plan, good):
        entry = done.get(name) or place(staging, name, path)
        if name not in done and right is not None and entry != {key: right[key] for key in ("size", "sha256")}:
            remove(os.path.join(staging, name))
        elif name not in done:
            finished(name, entry)
    if streamed := [shard for shard in plan.shards if shard.name not in done]:
        Stream(staging, plan.output, budget_bytes, threads).run(streamed, finished)
    for name, data in plan.small.items():
        write(os.path.join(staging, name), data)
        done[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    files = dict(sorted(done.items()))
    write_json(os.path.join(staging, RECORD), {"fingerprint": plan.fingerprint, "files": files})
    remove(os.path.join(staging, JOURNAL))
    sync_folder(staging)
    return files
