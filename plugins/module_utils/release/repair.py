"""Repair a release: fetch, make and replace its damaged files only. Python >= 3.9.

The sources' small files are fetched first: configuration, tokenizer, index. They say which shards the damaged files are
made from. Those shards are fetched next, and only the damaged files are made again. Each must have the sha256 that the
release's manifest says; else nothing is touched, and the caller makes the whole release anew.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, NamedTuple

from ..convert.engine import convert
from ..convert.plan import Part
from ..fetch.engine import fetch, locked
from ..fetch.options import Options
from ..fetch.space import human
from ..storage.digests import sha256_of
from ..storage.files import write
from ..tensors.errors import WeightsError
from ..tensors.files import INDEXES, MODEL_FILES, read_json, read_weight_map
from ..tensors.model import read_tensors
from .json_patch import patched
from .manifest import MANIFEST
from .publish import put_repaired

SMALL = ("*.json", "*.model", "*.txt", "*.jinja")  # everything that a conversion reads besides weights


class EverythingError(Exception):
    """One sentence that says why the damaged files can not be made alone."""


class Job(NamedTuple):
    """A damaged release and what it is made from.

    ``root`` is the model's directory, ``staging`` has one directory for each of ``sources`` ({base, delta} or {whole}),
    ``patches`` are {base, delta, whole, target: {file: keys to set}}.
    """

    root: str
    digest: str
    staging: str
    sources: dict[str, dict[str, Any]]
    patches: dict[str, dict[str, Any]]
    output: str

    @property
    def release(self) -> str:
        """Return the release's directory."""
        return os.path.join(self.root, "releases", self.digest)

    @property
    def work(self) -> str:
        """Return the directory in which the damaged files are made."""
        return os.path.join(self.staging, "repair")


def wrong(folder: str, names: list[str], files: dict[str, Any]) -> dict[str, str]:
    """Return {name: its sha256, '' when it is missing} of the files that differ from a manifest."""
    found = {}
    for name in names:
        path = os.path.join(folder, name)
        sha256 = sha256_of(path) if os.path.isfile(path) and not os.path.islink(path) else ""
        if sha256 != files[name]["sha256"]:
            found[name] = sha256
    return found


def weights_of(names: list[str]) -> tuple[str, str]:
    """Return (file, format) by which a model directory of these files is read: its weights or its index."""
    for name, kind in MODEL_FILES:
        if name in names:
            return name, kind
    raise EverythingError("A source has no file of weights by a name that is known.")


def holders(folder: str, names: list[str], wanted: set[str]) -> list[str]:
    """Return the files of a source that hold these tensors."""
    if not wanted:
        return []
    file, _kind = weights_of(names)
    if not file.endswith(".json"):
        return [file]
    weight_map = read_weight_map(folder, file)
    if lost := sorted(wanted - set(weight_map)):
        raise EverythingError(f"{lost[0][:100]!r} is not in {file} of {folder}.")
    return sorted({weight_map[name] for name in wanted})


def tensors_of(release: str, shards: list[str], index: str) -> dict[str, list[str]]:
    """Return {shard: names of its tensors}: by the release's index, or, where that is damaged, by their own headers."""
    if index:
        weight_map = read_weight_map(release, index)
        return {shard: sorted(name for name in weight_map if weight_map[name] == shard) for shard in shards}
    try:
        return {shard: sorted(read_tensors(os.path.join(release, shard))) for shard in shards}
    except WeightsError as error:
        raise EverythingError(f"The index is damaged too, and a shard does not say what it held: {error}") from None


def needed(
    release: str, files: dict[str, Any], bad: list[str], output: str, sources: dict[str, tuple[str, list[str]]]
) -> tuple[Part, dict[str, list[str]]]:
    """Return (what to make, {source: files to fetch}) for the damaged files of a release.

    ``files`` are the manifest's, ``sources`` {name: (directory with its small files, names of all its files)}. Raises
    EverythingError.
    """
    shards = [name for name in bad if name.endswith("." + output)]
    first = "whole" if "whole" in sources else "base"
    if "delta" not in sources and weights_of(sources[first][1])[1] == output:
        if strange := sorted(set(shards) - set(sources[first][1])):
            raise EverythingError(f"The source has no {strange[0]}.")
        return Part(dict.fromkeys(shards, []), linked=True), {first: shards}
    index = INDEXES[output]
    if shards and index not in files:
        raise EverythingError(f"{shards[0]} is the only file of weights, and made from all of them.")
    tensors = tensors_of(release, shards, "" if index in bad else index) if shards else {}
    others = None
    if index in bad:
        others = {}
        for shard in sorted(name for name in files if name.endswith("." + output) and name not in shards):
            held = read_tensors(os.path.join(release, shard))
            others[shard] = (sorted(held), sum(tensor.size for tensor in held.values()))
    wanted = {name for names in tensors.values() for name in names}
    found = {source: holders(folder, names, wanted) for source, (folder, names) in sources.items()}
    return Part(tensors, others=others), found


def patch(folder: str, patches: dict[str, Any]) -> None:
    """Merge keys into JSON files, as the module json_patch does; an absent file is created."""
    for name, keys in patches.items():
        before = read_json(folder, name) if os.path.lexists(os.path.join(folder, name)) else {}
        changes, text = patched(before, keys)
        if changes:
            write(os.path.join(folder, name), text)


def repair(job: Job, damaged: list[str], options: Options) -> dict[str, Any]:
    """Make the damaged files of a release again and put them in their places.

    Returns repaired, made (names), fetched ({source: files, without the small ones}), bytes_fetched, and the reason,
    one sentence, when it can only be done by making everything; then nothing of the release was touched. Raises
    FetchError and WeightsError.
    """
    with open(os.path.join(job.release, MANIFEST), encoding="utf-8") as stream:
        files = json.load(stream)["files"]
    found: dict[str, Any] = {"repaired": False, "made": [], "fetched": {}, "bytes_fetched": 0, "reason": ""}
    # A killed playbook leaves its module running. Wait for it, because it may have repaired everything meanwhile.
    with locked(job.work, options.lock_wait):
        try:
            bad = sorted(wrong(job.release, damaged, files))
            target = _made(job, files, bad, options, found) if bad else job.work
            if differs := wrong(target, bad, files):
                name = min(differs)
                raise EverythingError(
                    f"{name}, made again, has sha256 {differs[name] or 'none'}, its manifest says "
                    f"{files[name]['sha256']}: the sources or the converter are not what they were."
                )
            put_repaired(job.root, job.digest, target, bad)
            found.update(repaired=True, made=bad)
        except EverythingError as error:
            found["reason"] = f"{error} So everything is fetched and made again."
        # A run that waited may hold a directory that the one before it has removed already.
        shutil.rmtree(job.work, ignore_errors=True)
    return found


def _made(job: Job, files: dict[str, Any], bad: list[str], options: Options, found: dict[str, Any]) -> str:
    """Return a directory with the damaged files made again; what was fetched is counted in ``found``."""
    folders = {name: os.path.join(job.staging, name) for name in job.sources}

    def bring(name: str, patterns: tuple[str, ...]) -> list[str]:
        came = fetch(job.sources[name], folders[name], options._replace(only=patterns))
        found["bytes_fetched"] += came["bytes_fetched"]
        return came["names"]

    names = {name: bring(name, SMALL) for name in job.sources}
    part, found["fetched"] = needed(
        job.release, files, bad, job.output, {name: (folders[name], names[name]) for name in job.sources}
    )
    for name, wanted in found["fetched"].items():
        if wanted:
            bring(name, tuple(wanted))
    for name, folder in folders.items():
        patch(folder, job.patches.get(name, {}))
    target = os.path.join(job.work, "target")
    shutil.rmtree(target, ignore_errors=True)  # left by a killed run; its finished shards are in target.part
    first = folders.get("whole") or folders["base"]
    convert(first, folders.get("delta"), target, output=job.output, part=part)
    patch(target, job.patches.get("target", {}))
    return target


def summary(found: dict[str, Any]) -> str:
    """Return in one sentence what was repaired."""
    fetched = ", ".join(f"{source}: {', '.join(files)}" for source, files in sorted(found["fetched"].items()) if files)
    return (
        f"Made again: {', '.join(found['made']) or 'nothing'}; fetched {human(found['bytes_fetched'])} "
        f"({fetched or 'no file of weights'})."
    )
