"""Base and delta, or a whole model, as plain data. Only here does a conversion open their directories to plan.

Configuration and tokenizer come from the delta, as fschat >= 0.2.5 does for the tokenizer and its ``--low-cpu-mem``
for the configuration: the bases of 2023 carry wrong token ids. Writes nothing.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ..tensors.errors import WeightsError
from ..tensors.files import (
    HEAD,
    HEADER_LIMIT,
    load_json,
    read_json,
    read_small,
    read_small_if_there,
    refuse_stand_in,
    regular_file,
)
from ..tensors.model import INDEXES, Model, read_model

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
TOKENIZER_MODELS = ("tokenizer.model", "tokenizer.json", "vocab.json")  # one of these makes a tokenizer
TOKENIZER_FILES = (
    *TOKENIZER_MODELS,
    *("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
)
TOKENIZER_LIMIT = 128 << 20  # bytes of one tokenizer file


class Sources(NamedTuple):
    """All that a plan needs to know of its sources; ``delta`` is None when ``base`` is a whole model.

    ``config`` is the configuration that the target takes, the delta's or the whole model's. ``base_config`` is the
    base's, None where nothing is added. ``small`` is {name: content} of the other small files of the target.
    ``stamps`` has [bytes, mtime in ns] of each file of weights, the base's first.
    """

    base: Model
    delta: Model | None
    config: dict[str, Any]
    base_config: dict[str, Any] | None
    small: dict[str, bytes]
    stamps: list[list[int]]


def read_sources(base_dir: str, delta_dir: str | None, wanted: frozenset[str] | None = None) -> Sources:
    """Read the headers and the small files of base and delta, or of a whole model (``delta_dir`` None).

    With ``wanted``, only those tensors are there, and only the shards that hold them need exist. Raises WeightsError.
    """
    if wanted is not None and not wanted:
        base = Model(base_dir, "", {}, None, {})
        delta = Model(delta_dir, "", {}, None, {}) if delta_dir else None
    else:
        base = read_model(base_dir, wanted)
        delta = read_model(delta_dir, wanted) if delta_dir else None
    return described(base, delta)


def read_whole_files(base_dir: str, names: list[str], output: str) -> Sources:
    """Read only some weight files of a whole model of the format ``output``, and its index, without their headers."""
    shards = {name: regular_file(base_dir, name) for name in sorted(names)}
    for path in shards.values():
        with open(path, "rb") as stream:
            refuse_stand_in(stream.read(HEAD), path)
    return described(Model(base_dir, output, shards, read_small_if_there(base_dir, INDEXES[output]), {}))


def described(base: Model, delta: Model | None = None) -> Sources:
    """Add to models what their directories hold besides weights; each of those files is checked."""
    for model in (base, delta):
        if model and os.path.isdir(model.folder):
            check_small_files(model.folder)
    config, small = small_files(base.folder, (delta or base).folder)
    base_config = read_json(base.folder, CONFIG) if delta and delta.format else None  # without format: not read
    sources = [os.stat(path) for model in (base, delta) if model for path in model.shards.values()]
    stamps = [[status.st_size, status.st_mtime_ns] for status in sources]
    return Sources(base, delta, config, base_config, small, stamps)


def check_small_files(folder: str) -> None:
    """Refuse a model directory in which something else lies where a file of the tokenizer or a JSON file should be.

    All of them are looked at, also those that the target does not take: one of them tells that a fetch went wrong.
    """
    for name in sorted(os.listdir(folder)):
        is_json = name.endswith(".json") and not name.startswith(".")  # what a fetch notes is hidden
        if is_json or name in TOKENIZER_FILES:
            path, limit = os.path.join(folder, name), TOKENIZER_LIMIT if name in TOKENIZER_FILES else HEADER_LIMIT
            data = read_small(folder, name, limit)
            refuse_stand_in(data, path)
            if is_json:
                load_json(data, path)


def small_files(base_dir: str, source: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return (configuration, {name: content} of the other small files) of the target.

    All of it comes from the directory ``source``; only generation_config.json may come from the base instead.
    """
    config = read_json(source, CONFIG)
    found: dict[str, bytes | None] = {GENERATION_CONFIG: read_small_if_there(source, GENERATION_CONFIG)}
    if found[GENERATION_CONFIG] is None:
        found[GENERATION_CONFIG] = read_small_if_there(base_dir, GENERATION_CONFIG)
    for name in TOKENIZER_FILES:
        found[name] = read_small_if_there(source, name, TOKENIZER_LIMIT)
    if not any(found[name] for name in TOKENIZER_MODELS):
        raise WeightsError(f"{source} has no tokenizer, none of {', '.join(TOKENIZER_MODELS)}; fetch it again.")
    return config, {name: data for name, data in found.items() if data is not None}
