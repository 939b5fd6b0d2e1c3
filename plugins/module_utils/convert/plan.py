"""Lay out a target: where each tensor comes from, and to which file it goes. Opens no file and writes none.

Everything that could stop the conversion is found in sources.py and here, before anything is written:

- A name on one side only, or two shapes, is refused. FastChat dies half-way or, with ``--low-cpu-mem``, guesses.
- ``*.rotary_emb.inv_freq`` is left out: models compute it, at a better precision than the float16 it would become.
- Vocabularies may differ as Vicuna v0's did (32000 and 32001): only when both configurations say so, only in
  embeddings and head, only with more rows in the delta. The base counts as zero there, as in FastChat 0.1.10.
- ``tie_word_embeddings``: both sides must agree. A tied ``lm_head.weight`` is left out; apply_delta adds it twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NamedTuple

from ..tensors.errors import WeightsError
from ..tensors.files import INDEXES
from ..tensors.layout import DTYPES, HALF, DType, Tensor
from .sources import CONFIG, Model, Sources

ENGINE = 1  # part of the fingerprint: raise it when the same inputs give other files
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
COMPUTED = ".rotary_emb.inv_freq"
ADDED = {DTYPES[name] for name in ("F64", "F32", "F16", "BF16")}


class Item(NamedTuple):
    """One tensor of the target and where it comes from; without delta the base is copied."""

    name: str
    base: Tensor
    delta: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the target's shape: the delta's, which may have more rows of vocabulary."""
        return (self.delta or self.base).shape

    @property
    def dtype(self) -> DType:
        """Return the target's element type: float16 for a sum."""
        return HALF if self.delta else self.base.dtype

    @property
    def size(self) -> int:
        """Return the target's bytes."""
        return math.prod(self.shape) * self.dtype.size


class Shard(NamedTuple):
    """One file of the target: its tensors in order, or the file that it is a link to."""

    name: str
    items: tuple[Item, ...]
    source: str | None = None


class Plan(NamedTuple):
    """All that will be written, as plain data.

    ``output`` is the format, ``small`` is {name: content} of the files besides weights, ``size`` is the bytes of
    weights, and ``fingerprint`` is the digest of all that the target depends on.
    """

    output: str
    shards: tuple[Shard, ...]
    small: dict[str, bytes]
    size: int
    fingerprint: str


class Part(NamedTuple):
    """Some files of a target: {shard: its tensors' names}, those of a ``linked`` whole model without names.

    ``others`` are the target's other shards, {shard: (its tensors' names, their bytes)}, when its index is wanted too.
    """

    shards: dict[str, list[str]]
    linked: bool = False
    others: dict[str, tuple[list[str], int]] | None = None

    @property
    def tensors(self) -> frozenset[str]:
        """Return the names of all tensors of these files."""
        return frozenset(name for names in self.shards.values() for name in names)

    @property
    def links(self) -> tuple[str, ...]:
        """Return the names of the files that are links to those of a whole model."""
        return tuple(self.shards) if self.linked else ()


def is_tied(config: dict[str, Any]) -> bool:
    """Return whether a configuration ties head and embeddings; in LLaMA it does not by default."""
    return config.get("tie_word_embeddings") is True


def grows(name: str, base: Tensor, delta: Tensor, vocabularies: tuple[Any, Any]) -> bool:
    """Return whether a delta only adds rows of vocabulary that both configurations announce."""
    return (
        name in (EMBEDDING, HEAD)
        and len(base.shape) == len(delta.shape) == 2  # noqa: PLR2004 (matrices)
        and base.shape[1] == delta.shape[1]
        and vocabularies == (base.shape[0], delta.shape[0])
        and base.shape[0] < delta.shape[0]
        and base.is_dense
    )


def paired(base: Model, delta: Model, configs: tuple[dict[str, Any], dict[str, Any]]) -> list[Item]:
    """Return the tensors of the target in the base's order, or refuse what FastChat would not add either."""
    ties = is_tied(configs[0]), is_tied(configs[1])
    if ties[0] != ties[1]:
        raise WeightsError(
            f"tie_word_embeddings is {ties[0]} in {base.folder.path}/{CONFIG} and {ties[1]} in "
            f"{delta.folder.path}/{CONFIG}; base and delta are not of one model."
        )
    vocabularies = configs[0].get("vocab_size"), configs[1].get("vocab_size")
    wanted = [
        {name for name in model.tensors if not name.endswith(COMPUTED) and not (ties[0] and name == HEAD)}
        for model in (base, delta)
    ]
    for here, there, names in ((base, delta, wanted[0] - wanted[1]), (delta, base, wanted[1] - wanted[0])):
        if names:
            name = min(names)
            tensor = here.tensors[name]
            raise WeightsError(
                f"{name} of shape {list(tensor.shape)} is in {tensor.path} but nowhere in {there.folder.path}; "
                f"base and delta are not of one model ({len(names)} such names)."
            )
    items = []
    for name, tensor in base.tensors.items():
        if name not in wanted[0]:
            continue
        other = delta.tensors[name]
        for side in (tensor, other):
            if side.dtype not in ADDED:
                raise WeightsError(f"{name} in {side.path} is {side.dtype.name}; only floating point is added.")
        if tensor.shape != other.shape and not grows(name, tensor, other, vocabularies):
            raise WeightsError(
                f"{name} has the shape {list(tensor.shape)} in {tensor.path} and {list(other.shape)} in {other.path} "
                f"(vocab_size {vocabularies[0]} and {vocabularies[1]}); base and delta are not of one model."
            )
        items.append(Item(name, tensor, other))
    return items


def sharded(items: list[Item], shard_bytes: int, output: str) -> tuple[Shard, ...]:
    """Return the target's shards, filled in order; a tensor larger than ``shard_bytes`` has one for itself."""
    groups: list[list[Item]] = [[]]
    filled = 0
    for item in items:
        if groups[-1] and filled + item.size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(item)
        filled += item.size
    stem, suffix = ("model", "safetensors") if output == "safetensors" else ("pytorch_model", "bin")
    names = [f"{stem}-{number:05d}-of-{len(groups):05d}.{suffix}" for number in range(1, len(groups) + 1)]
    if len(groups) == 1:
        names = [f"{stem}.{suffix}"]
    return tuple(Shard(name, by_width(group)) for name, group in zip(names, groups))  # noqa: B905 (Python 3.9)


def by_width(items: list[Item]) -> tuple[Item, ...]:
    """Return the tensors of a file in their order there: wide elements first, so that each stays aligned to its own."""
    return tuple(sorted(items, key=lambda item: -item.dtype.size))


def as_json(value: Any) -> bytes:
    """Return a value as the JSON text of a model's file."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def index_of(shards: tuple[Shard, ...], others: dict[str, tuple[list[str], int]] | None = None) -> bytes:
    """Return the index of a sharded model; ``others`` are shards beside these, {name: (their tensors, bytes)}."""
    others = others or {}
    weight_map = {name: shard for shard, (names, _size) in others.items() for name in names}
    weight_map.update({item.name: shard.name for shard in shards for item in shard.items})
    total = sum(item.size for shard in shards for item in shard.items) + sum(size for _names, size in others.values())
    return as_json({"metadata": {"total_size": total}, "weight_map": weight_map})


def items_of(sources: Sources) -> list[Item]:
    """Return the tensors of the target, in the order of the base; those that models compute are left out."""
    if sources.delta and sources.base_config is not None:
        return paired(sources.base, sources.delta, (sources.base_config, sources.config))
    tensors = sources.base.tensors.items()
    return [Item(name, tensor, None) for name, tensor in tensors if not name.endswith(COMPUTED)]


def links_to(base: Model) -> tuple[Shard, ...]:
    """Return shards that are links to the files of a whole model."""
    return tuple(Shard(name, (), path) for name, path in base.folder.shards.items())


def small_of(sources: Sources) -> dict[str, bytes]:
    """Return {name: content} of the target's configuration and tokenizer; a sum's configuration says float16."""
    config = dict(sources.config)
    if sources.delta:
        config["torch_dtype"] = "float16"
        if "dtype" in config:  # its name since transformers 4.56
            config["dtype"] = "float16"
    return {CONFIG: as_json(config), **sources.small}


def fingerprint(inputs: list[Any], small: dict[str, bytes]) -> str:
    """Return the sha256 of all that the bytes of a target depend on."""
    digests = [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(small.items())]
    return hashlib.sha256(as_json([ENGINE, *inputs, *digests])).hexdigest()


def make_plan(sources: Sources, output: str, shard_bytes: int) -> Plan:
    """Compare both sides and lay out the whole target; every disagreement ends here, in a WeightsError."""
    if output not in INDEXES:
        raise WeightsError(f"The output is {output!r}, wanted safetensors or bin.")
    small = small_of(sources)
    base = sources.base
    if not sources.delta and base.folder.format == output:
        shards = links_to(base)
        if base.folder.index and (len(shards) > 1 or "-of-" in shards[0].name):
            small[INDEXES[output]] = base.folder.index
        size = sum(size for size, _mtime in sources.stamps)
    else:
        items = items_of(sources)
        if not items:
            raise WeightsError(f"{base.folder.path} has no tensors to convert.")
        shards = sharded(items, shard_bytes, output)
        if len(shards) > 1:
            small[INDEXES[output]] = index_of(shards)
        size = sum(item.size for item in items)
    return Plan(output, shards, small, size, fingerprint([output, shard_bytes, sources.stamps], small))


def make_part(sources: Sources, output: str, part: Part) -> Plan:
    """Lay out only some files of a target, out of sources in which only their tensors were read.

    Their order in a file is that of the base, as in the whole target; so the file has the same bytes.
    """
    small = small_of(sources)
    if part.linked:
        shards = links_to(sources.base)
        if sources.base.folder.index:
            small[INDEXES[output]] = sources.base.folder.index
        size = sum(size for size, _mtime in sources.stamps)
    else:
        items = items_of(sources)
        shards = tuple(
            Shard(name, by_width([item for item in items if item.name in set(names)]))
            for name, names in sorted(part.shards.items())
        )
        if lost := sorted(part.tensors - {item.name for item in items}):
            raise WeightsError(f"{lost[0][:100]!r} is in no target that is made of {sources.base.folder.path}.")
        size = sum(item.size for item in items)
        if part.others is not None:
            small[INDEXES[output]] = index_of(shards, part.others)
    return Plan(output, shards, small, size, fingerprint([output, part, sources.stamps], small))
