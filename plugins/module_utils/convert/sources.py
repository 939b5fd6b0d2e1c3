"""Base and delta, or a whole model, as plain data. Only here does a conversion open their directories to plan.

Configuration and tokenizer come from the delta, as fschat >= 0.2.5 does for the tokenizer and its ``--low-cpu-mem``
for the configuration: the bases of 2023 carry wrong token ids. Writes nothing.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ..tensors.errors import WeightsError
from ..tensors.files import (
    CONFIG,
    TOKENIZER_FILES,
    TOKENIZER_MODELS,
    Folder,
    read_folder,
)
from ..tensors.layout import Tensor
from ..tensors.model import read_headers

GENERATION_CONFIG = "generation_config.json"
SMALL = (CONFIG, GENERATION_CONFIG, *TOKENIZER_FILES)


class Model(NamedTuple):
    """A model as a plan sees it: its directory, and {name: Tensor} in reading order."""

    folder: Folder
    tensors: dict[str, Tensor]


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


def read_sources(
    base_dir: str, delta_dir: str | None, wanted: frozenset[str] | None = None, links: tuple[str, ...] = ()
) -> Sources:
    """Read the small files and the headers of base and delta, or of a whole model (``delta_dir`` None).

    With ``wanted``, only those tensors are there, and only the shards that hold them need exist. With ``links``, only
    these files of a whole model are there, and their headers are not read. Raises WeightsError.
    """
    of_base = (GENERATION_CONFIG, CONFIG) if wanted is None or wanted else (GENERATION_CONFIG,)
    folders = [read_folder(base_dir, of_base if delta_dir else SMALL, wanted, links)]
    if delta_dir:
        folders.append(read_folder(delta_dir, SMALL, wanted))
    models = [Model(folder, read_headers(folder, wanted) if folder.format and not links else {}) for folder in folders]
    base, whole = folders[0], folders[-1]
    configs = []
    for folder in folders:
        if folder.config is None and (folder is whole or folder.format):
            raise WeightsError(f"{folder.path}/{CONFIG} is missing; fetch the model again.")
        configs.append(folder.config)
    # The base's stands in for a delta that has none.
    taken = {**{name: base.small[name] for name in (GENERATION_CONFIG,) if name in base.small}, **whole.small}
    if not any(name in taken for name in TOKENIZER_MODELS):
        raise WeightsError(f"{whole.path} has no tokenizer, none of {', '.join(TOKENIZER_MODELS)}; fetch it again.")
    status = [os.stat(path) for folder in folders for path in folder.shards.values()]
    stamps = [[facts.st_size, facts.st_mtime_ns] for facts in status]
    delta = models[-1] if delta_dir else None
    return Sources(models[0], delta, configs[-1] or {}, configs[0] if delta else None, taken, stamps)
