"""The directory in which a target grows, and what a killed conversion left in it. Writes to the disk.

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
        for line in lines[1:-1]:  # a line that a kill has cut has no end
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


def record(staging: str, name: str, entry: dict[str, Any]) -> None:
    """Note in the journal that a shard is finished; it is on the disk under its name."""
    append(os.path.join(staging, JOURNAL), line_of(name, entry))


def write_small(staging: str, name: str, data: bytes) -> dict[str, Any]:
    """Write a small file through to the disk; return {size, sha256}."""
    write(os.path.join(staging, name), data)
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def place(staging: str, name: str, source: str) -> dict[str, Any]:
    """Link a finished file into staging, or copy it from another file system; return {size, sha256}."""
    path = os.path.join(staging, name)
    link_or_copy(source, path)
    return {"size": os.path.getsize(path), "sha256": sha256_of(path)}


def finish(staging: str, plan: Plan, files: dict[str, Any]) -> None:
    """Turn staging into what the target will be: with the record of its inputs and files, without the journal."""
    write_json(os.path.join(staging, RECORD), {"fingerprint": plan.fingerprint, "files": files})
    remove(os.path.join(staging, JOURNAL))
    sync_folder(staging)


def require_space(folder: str, plan: Plan, done: dict[str, Any]) -> None:
    """Refuse to begin what the disk cannot hold; hard links need nothing."""
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
