"""Target weights out of base and delta, in a small space: plan on headers, then stream tensor by tensor.

The sum is that of ``fastchat.model.apply_delta`` (FastChat 0.2.36): both sides become float16, then base += delta.
Everything that could stop the conversion is found while planning, before anything is written:

- A name on one side only, or two shapes, is refused. FastChat dies half-way or, with ``--low-cpu-mem``, guesses.
- ``*.rotary_emb.inv_freq`` is left out: models compute it, at a better precision than the float16 it would become.
- Vocabularies may differ as Vicuna v0's did (32000 and 32001): only when both configurations say so, only in
  embeddings and head, only with more rows in the delta. The base counts as zero there, as in FastChat 0.1.10.
- ``tie_word_embeddings``: both sides must agree. A tied ``lm_head.weight`` is left out; apply_delta adds it twice.
- Configuration and tokenizer come from the delta, as fschat >= 0.2.5 does for the tokenizer and its ``--low-cpu-mem``
  for the configuration: the bases of 2023 carry wrong token ids.
- Where a sum is NaN, only that is promised, not which bits: torch itself differs between vector and tail.

Written to ``<target>.part``, shard by shard; a shard counts once it is synced, renamed and in the journal, so that a
killed conversion goes on after its last shard. Needs the runtime's interpreter: Python 3.9 and numpy; torch if there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import queue
import shutil
import threading
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..release.manifest import sha256_of
from ..tensors.model import (
    BIN_INDEX,
    DTYPES,
    HEADER_LIMIT,
    SAFETENSORS_INDEX,
    DType,
    Model,
    Tensor,
    WeightsError,
    bin_pickle,
    blocks,
    read_block,
    read_json,
    read_model,
    regular_file,
    safetensors_header,
)

ENGINE = 1  # part of the fingerprint: raise it when the same inputs give other files
SHARD_BYTES = 2_000_000_000  # what a kill may cost; transformers' own default is 5 GB
BUDGET_BYTES = 256 << 20
BLOCK_LIMIT = 8 << 20  # bytes of one side of a block
SPACE_SPARE = 64 << 20  # for headers and small files
# torch adds float16 40 times faster than numpy, but its import costs 3 s of a core: measured on two cores, numpy is
# done sooner at 2 GB (4.7 s against 6.1 s), torch at 13 GB (24 s against 32 s).
TORCH_FROM = 4_000_000_000
CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"
TOKENIZER_MODELS = ("tokenizer.model", "tokenizer.json", "vocab.json")  # one of these makes a tokenizer
TOKENIZER_FILES = (
    *TOKENIZER_MODELS,
    *("merges.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
)
TOKENIZER_LIMIT = 128 << 20  # bytes of one tokenizer file
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
COMPUTED = ".rotary_emb.inv_freq"
ADDED = {DTYPES[name] for name in ("F64", "F32", "F16", "BF16")}
HALF = DTYPES["F16"]
RECORD = "conversion.json"  # in the target: what it was made from, and its files
JOURNAL = "journal"  # in staging: the fingerprint, then name, size and sha256 of each finished shard


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
    """All that will be written: shards, small files with their content, and the digest of what they depend on."""

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


# --- planning: reads headers, writes nothing --------------------------------------------------------------------------


def is_tied(config: dict[str, Any]) -> bool:
    """Return whether a configuration ties head and embeddings; LLaMA's default is no."""
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


def paired(base: Model, delta: Model) -> list[Item]:
    """Return the tensors of the target in the base's order, or refuse what FastChat would not add either."""
    configs = read_json(base.folder, CONFIG), read_json(delta.folder, CONFIG)
    ties = is_tied(configs[0]), is_tied(configs[1])
    if ties[0] != ties[1]:
        raise WeightsError(
            f"tie_word_embeddings is {ties[0]} in {base.folder}/{CONFIG} and {ties[1]} in {delta.folder}/{CONFIG}; "
            "base and delta are not of one model."
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
                f"{name} of shape {list(tensor.shape)} is in {tensor.path} but nowhere in {there.folder}; "
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


def index_of(shards: tuple[Shard, ...]) -> bytes:
    """Return the index of a sharded model."""
    weight_map = {item.name: shard.name for shard in shards for item in shard.items}
    total = sum(item.size for shard in shards for item in shard.items)
    return as_json({"metadata": {"total_size": total}, "weight_map": weight_map})


def content(folder: str, name: str, limit: int) -> bytes | None:
    """Return the content of a small file of a model directory, or None where there is none."""
    if not os.path.lexists(os.path.join(folder, name)):
        return None
    path = regular_file(folder, name)
    with open(path, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise WeightsError(f"{path} is larger than {limit} bytes, too large for what its name says.")
    return data


def small_files(base: Model, delta: Model | None) -> dict[str, bytes]:
    """Return configuration and tokenizer of the target: the delta's, or those of a whole model."""
    source = (delta or base).folder
    config = read_json(source, CONFIG)
    if delta:
        config["torch_dtype"] = "float16"
        if "dtype" in config:  # its name since transformers 4.56
            config["dtype"] = "float16"
    found: dict[str, bytes | None] = {CONFIG: as_json(config)}
    found[GENERATION_CONFIG] = content(source, GENERATION_CONFIG, HEADER_LIMIT)
    if found[GENERATION_CONFIG] is None:
        found[GENERATION_CONFIG] = content(base.folder, GENERATION_CONFIG, HEADER_LIMIT)
    for name in TOKENIZER_FILES:
        found[name] = content(source, name, TOKENIZER_LIMIT)
    if not any(found[name] for name in TOKENIZER_MODELS):
        raise WeightsError(f"{source} has no tokenizer, none of {', '.join(TOKENIZER_MODELS)}; fetch it again.")
    return {name: data for name, data in found.items() if data is not None}


def make_plan(base_dir: str, delta_dir: str | None, output: str, shard_bytes: int) -> Plan:
    """Compare both sides and lay out the target; every disagreement ends here, in a WeightsError."""
    if output not in ("safetensors", "bin"):
        raise WeightsError(f"The output is {output!r}, wanted safetensors or bin.")
    base = read_model(base_dir)
    delta = read_model(delta_dir) if delta_dir else None
    small = small_files(base, delta)
    if not delta and base.format == output:
        shards = tuple(Shard(os.path.basename(path), (), path) for path in _named(base))
        index = SAFETENSORS_INDEX if output == "safetensors" else BIN_INDEX
        text = content(base_dir, index, HEADER_LIMIT) if len(shards) > 1 or "-of-" in shards[0].name else None
        small.update({index: text} if text else {})
        size = sum(os.stat(shard.source or "").st_size for shard in shards)
    else:
        items = paired(base, delta) if delta else _kept(base)
        if not items:
            raise WeightsError(f"{base_dir} has no tensors to convert.")
        shards = sharded(items, shard_bytes, output)
        if len(shards) > 1:
            small[SAFETENSORS_INDEX if output == "safetensors" else BIN_INDEX] = index_of(shards)
        size = sum(item.size for item in items)
    sources = [os.stat(path) for model in (base, delta) if model for path in model.shards]
    inputs = [ENGINE, output, shard_bytes, [[status.st_size, status.st_mtime_ns] for status in sources]]
    inputs += [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(small.items())]
    return Plan(output, shards, small, size, hashlib.sha256(as_json(inputs)).hexdigest())


def make_part(base_dir: str, delta_dir: str | None, output: str, part: Part) -> Plan:
    """Lay out only some files of a target: their tensors are known, so only the sources that hold those need be there.

    Their order in a file is that of the base, as in the whole target; so the file has the same bytes.
    """
    wanted = frozenset(name for names in part.shards.values() for name in names)
    nothing = [Model(folder, "", (), {}) for folder in (base_dir, delta_dir) if folder]
    base, *more = [read_model(model.folder, wanted) for model in nothing] if wanted else nothing
    delta = more[0] if more else None
    small = small_files(base, delta)
    index = SAFETENSORS_INDEX if output == "safetensors" else BIN_INDEX
    if part.linked:
        shards = tuple(Shard(name, (), regular_file(base_dir, name)) for name in sorted(part.shards))
        text = content(base_dir, index, HEADER_LIMIT)
        small.update({index: text} if text else {})
        size = sum(os.stat(shard.source or "").st_size for shard in shards)
    else:
        items = (paired(base, delta) if delta else _kept(base)) if wanted else []
        shards = tuple(
            Shard(name, by_width([item for item in items if item.name in set(names)]))
            for name, names in sorted(part.shards.items())
        )
        if lost := sorted(wanted - {item.name for item in items}):
            raise WeightsError(f"{lost[0][:100]!r} is in no target that is made of {base_dir}.")
        size = sum(item.size for item in items)
        if part.others is not None:
            weight_map = {name: shard for shard, (names, _size) in part.others.items() for name in names}
            weight_map.update({item.name: shard.name for shard in shards for item in shard.items})
            total = size + sum(size for _names, size in part.others.values())
            small[index] = as_json({"metadata": {"total_size": total}, "weight_map": weight_map})
    paths = [path for model in (base, *more) for path in model.shards]
    sources = [os.stat(path) for path in paths + [shard.source for shard in shards if shard.source]]
    inputs = [ENGINE, output, part, [[status.st_size, status.st_mtime_ns] for status in sources]]
    inputs += [[name, hashlib.sha256(data).hexdigest()] for name, data in sorted(small.items())]
    return Plan(output, shards, small, size, hashlib.sha256(as_json(inputs)).hexdigest())


def _kept(base: Model) -> list[Item]:
    """Return the tensors of a whole model, without those that are computed."""
    return [Item(name, tensor, None) for name, tensor in base.tensors.items() if not name.endswith(COMPUTED)]


def _named(base: Model) -> list[str]:
    """Return a whole model's shards by the names that its index uses, links or not."""
    single = "model.safetensors" if base.format == "safetensors" else "pytorch_model.bin"
    if os.path.lexists(os.path.join(base.folder, single)):
        return [os.path.join(base.folder, single)]
    index = SAFETENSORS_INDEX if base.format == "safetensors" else BIN_INDEX
    return [
        os.path.join(base.folder, name) for name in sorted(set(read_json(base.folder, index)["weight_map"].values()))
    ]


# --- adding -----------------------------------------------------------------------------------------------------------


class Adder:
    """float16 sums: by numpy at once, by torch as soon as its import, in the background, has ended."""

    def __init__(self, want_torch: bool) -> None:
        """Begin to import torch where it is worth it."""
        self._torch: Any = None
        self._import = threading.Thread(target=self._load, daemon=True)
        if want_torch:
            self._import.start()

    def _load(self) -> None:
        try:
            import torch  # noqa: PLC0415  (3 s)
        except Exception:  # noqa: S110  (numpy's sums are the same bits; whatever ails torch is found when it serves)
            pass
        else:
            torch.set_num_threads(1)  # one block per thread is parallel enough
            self._torch = torch

    def close(self) -> None:
        """Wait for the import: an interpreter that ends within it may crash."""
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


# --- writing ----------------------------------------------------------------------------------------------------------


class Sink:
    """A new file that is hashed, in another thread, while it is written. Callers keep data unchanged until hashed."""

    def __init__(self, path: str, hasher: ThreadPoolExecutor) -> None:
        """Create the file, which must not exist; ``hasher`` has one thread."""
        self.path, self.size, self.digest = path, 0, hashlib.sha256()
        self._hasher = hasher
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, data: Any) -> int:
        """Append bytes; the disk begins to write them at once, not only when memory is full."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += os.write(self.descriptor, view[done:])
        # On dirty pages DONTNEED starts writing and drops nothing (Linux, mm/fadvise.c).
        os.posix_fadvise(self.descriptor, self.size, len(view), os.POSIX_FADV_DONTNEED)
        self.size += len(view)
        self._hasher.submit(self.digest.update, view)
        return len(view)

    def flush(self) -> None:
        """Do nothing: nothing is buffered here, but zipfile asks."""

    def finish(self) -> dict[str, Any]:
        """Sync, close, take away ``.part``; return {size, sha256}. The hasher must be done with this file."""
        os.fsync(self.descriptor)
        os.close(self.descriptor)
        os.rename(self.path, self.path[: -len(".part")])
        return {"size": self.size, "sha256": self.digest.hexdigest()}


class SafetensorsWriter:
    """Lays out one safetensors file: header first, then the tensors' bytes in order."""

    def __init__(self, sink: Sink, shard: Shard) -> None:
        """Write the header."""
        self.write = sink.write
        sink.write(safetensors_header([(item.name, item.dtype, item.shape) for item in shard.items]))

    def begin(self, _key: int) -> None:
        """Need nothing between tensors."""

    def close(self) -> None:
        """Need nothing at the end."""

    def abandon(self) -> None:
        """Need nothing when the file is given up."""


class BinWriter:
    """Lays out one ``torch.save`` archive: the pickle first, then one stored member for each tensor."""

    ALIGNMENT = 64  # as torch aligns, so that a reader may map tensors

    def __init__(self, sink: Sink, shard: Shard) -> None:
        """Write the members that come before the tensors."""
        self._sink = sink
        self._archive = zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED)  # type: ignore[call-overload]
        self._member: Any = None
        program = bin_pickle([(item.name, item.dtype, item.shape) for item in shard.items])
        for name, data in (("data.pkl", program), ("byteorder", b"little"), ("version", b"3\n")):
            self._archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)

    def begin(self, key: int) -> None:
        """Start the member of the next tensor, its data aligned."""
        self._end()
        info = zipfile.ZipInfo(f"archive/data/{key}")
        # 30 bytes of local header, 20 of zip64 extra field, 4 of the padding's own head, id "FB" as in torch.
        padding = -(self._sink.size + 30 + len(info.filename) + 20 + 4) % self.ALIGNMENT
        info.extra = b"FB" + padding.to_bytes(2, "little") + bytes(padding)
        self._member = self._archive.open(info, "w", force_zip64=True)

    def write(self, data: Any) -> None:
        """Append bytes of the tensor begun."""
        self._member.write(data)

    def _end(self) -> None:
        if self._member:
            self._member.close()

    def close(self) -> None:
        """Write the directory of the archive."""
        self._end()
        self._archive.close()

    def abandon(self) -> None:
        """Keep zipfile from writing a directory when the archive is given up and collected."""
        self._archive.fp = None


class Step(NamedTuple):
    """One block of one tensor of one shard."""

    shard: Shard
    key: int
    block: tuple[int, tuple[int, ...]]

    @property
    def item(self) -> Item:
        """Return the tensor."""
        return self.shard.items[self.key]


def steps_of(shards: list[Shard], block_bytes: int) -> Iterator[Step]:
    """Yield the work in the order of the output; a tensor without elements has one empty block."""
    for shard in shards:
        for key, item in enumerate(shard.items):
            widest = max(side.dtype.size for side in (item.base, item.delta) if side)
            empty = [(0, item.shape)] if 0 in item.shape else []
            for block in empty or blocks(item.shape, block_bytes // widest):
                yield Step(shard, key, block)


class Stream:
    """Reads and adds blocks in ``threads`` threads, writes them in order, hashes and syncs beside.

    Memory: ``budget_bytes`` for all blocks in flight. A block's buffer returns to ``free`` when it is hashed.
    """

    def __init__(self, staging: str, plan: Plan, budget_bytes: int, threads: int) -> None:
        """Divide the budget into buffers for one block of each side."""
        self._staging, self._plan, self._threads = staging, plan, threads
        self._slots = 2 * threads + 4
        self._block_bytes = max(4096, min(BLOCK_LIMIT, budget_bytes // (2 * self._slots)))
        self._files: dict[str, int] = {}

    def _read(self, tensor: Tensor, block: tuple[int, tuple[int, ...]], buffer: Any) -> Any:
        """Return the elements of a block; rows beyond the tensor's are zero (see ``grows``)."""
        start, count = block[0], math.prod(block[1])
        if start + count > tensor.elements:
            buffer[: count * tensor.dtype.size] = 0
            present = max(0, tensor.elements - start)
            read_block(self._files[tensor.path], tensor, (start, (present,)), buffer)
            return buffer[: count * tensor.dtype.size].view(tensor.dtype.numpy)
        return read_block(self._files[tensor.path], tensor, block, buffer)

    def _result(self, step: Step, buffer: Any, adder: Adder) -> Any:
        """Return the bytes of one block of the target."""
        import numpy  # noqa: PLC0415  (planning needs none)

        half = len(buffer) // 2
        base, delta = step.item.base, step.item.delta
        values = self._read(base, step.block, buffer[:half])
        if delta:
            values = adder.add(values, base.dtype, self._read(delta, step.block, buffer[half:]), delta.dtype)
        return values.view(numpy.uint8)

    def run(self, shards: list[Shard], record: Any) -> None:
        """Write shards; ``record(name, entry)`` is called as each is on the disk."""
        import numpy  # noqa: PLC0415  (planning needs none)

        sums = sum(item.size for shard in shards for item in shard.items if item.delta)
        adder = Adder(sums >= TORCH_FROM)
        free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self._slots):
            free.put(numpy.empty(2 * self._block_bytes, numpy.uint8))
        pending: deque[tuple[Step, Any, Future[Any]]] = deque()
        with contextlib.ExitStack() as stack:
            stack.callback(adder.close)
            for path in {side.path for shard in shards for item in shard.items for side in item[1:] if side}:
                self._files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, self._files[path])
                os.posix_fadvise(self._files[path], 0, 0, os.POSIX_FADV_SEQUENTIAL)
            output = _Output(self._staging, self._plan.output, record)
            stack.callback(output.abandon)
            # Left in the other order: first no more reading, then all that was written is hashed and synced.
            syncer = stack.enter_context(ThreadPoolExecutor(1))
            hasher = stack.enter_context(ThreadPoolExecutor(1))
            readers = stack.enter_context(ThreadPoolExecutor(self._threads))
            output.hasher, output.syncer = hasher, syncer
            try:
                for step in steps_of(shards, self._block_bytes):
                    if free.empty():  # one only: the others stay in the readers' hands while this is hashed
                        self._write(output, pending.popleft(), hasher, free)
                    buffer = free.get()
                    pending.append((step, buffer, readers.submit(self._result, step, buffer, adder)))
                while pending:
                    self._write(output, pending.popleft(), hasher, free)
                output.close()
            finally:
                for _step, _buffer, future in pending:
                    future.cancel()

    @staticmethod
    def _write(output: _Output, work: tuple[Step, Any, Future[Any]], hasher: ThreadPoolExecutor, free: Any) -> None:
        step, buffer, future = work
        output.write(step, future.result())
        hasher.submit(free.put, buffer)  # the hasher has one thread: this runs after the block was hashed


class _Output:
    """The shard and tensor being written; a finished shard is synced beside the next."""

    hasher: ThreadPoolExecutor
    syncer: ThreadPoolExecutor

    def __init__(self, staging: str, kind: str, record: Any) -> None:
        self._staging, self._record = staging, record
        self._writer_class: Any = SafetensorsWriter if kind == "safetensors" else BinWriter
        self._shard: Shard | None = None
        self._key = -1
        self._sink: Any = None
        self._writer: Any = None
        self._synced: list[Future[None]] = []

    def write(self, step: Step, data: Any) -> None:
        """Append a block, opening what it belongs to."""
        if step.shard is not self._shard:
            self._finish()
            self._shard, self._key = step.shard, -1
            self._sink = Sink(os.path.join(self._staging, step.shard.name + ".part"), self.hasher)
            self._writer = self._writer_class(self._sink, step.shard)
        if step.key != self._key:
            self._key = step.key
            self._writer.begin(step.key)
        self._writer.write(data)

    def _finish(self) -> None:
        if self._shard is None:
            return
        self._writer.close()
        hashed = self.hasher.submit(lambda: None)
        sink, name = self._sink, self._shard.name

        def sync() -> None:
            hashed.result()
            self._record(name, sink.finish())

        self._synced.append(self.syncer.submit(sync))
        self._shard = None

    def close(self) -> None:
        """Finish the last shard and wait until all are on the disk."""
        self._finish()
        for future in self._synced:
            future.result()

    def abandon(self) -> None:
        """Close the shard that an error left unfinished; the next run removes its ``.part``."""
        if self._shard is not None:
            self._writer.abandon()
            os.close(self._sink.descriptor)


# --- staging ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def staging_of(target: str) -> Iterator[str]:
    """Yield ``<target>.part``, made if needed and locked: two conversions never write the same files."""
    staging = target + ".part"
    os.makedirs(staging, exist_ok=True)
    try:
        lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise WeightsError(f"{staging} is a link, wanted a directory; remove it.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another conversion may have finished, and renamed this very directory, before we got the lock.
        if not os.path.isdir(staging) or not os.path.samestat(os.fstat(lock), os.stat(staging)):
            raise BlockingIOError
        yield staging
    except BlockingIOError:
        raise WeightsError(f"Another conversion is writing {staging}; wait for it.") from None
    finally:
        os.close(lock)


def finished_shards(staging: str, plan: Plan) -> dict[str, Any]:
    """Return {name: {size, sha256}} of what an earlier run of the same plan finished; remove everything else."""
    done: dict[str, Any] = {}
    names = {shard.name for shard in plan.shards}
    lines = (content(staging, JOURNAL, HEADER_LIMIT) or b"").decode("utf-8", "replace").split("\n")
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


def write_synced(folder: str, name: str, data: bytes) -> dict[str, Any]:
    """Write a small file through to the disk; return {size, sha256}."""
    with open(os.path.join(folder, name), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def sync_folder(folder: str) -> None:
    """Make new names in a directory outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(source: str, path: str) -> dict[str, Any]:
    """Link a finished file into staging, or copy it to another file system; return {size, sha256}."""
    real, part = os.path.realpath(source), path + ".part"
    try:
        os.link(real, part)
    except OSError:
        shutil.copyfile(real, part)
    digest = sha256_of(part)
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.rename(part, path)
    return {"size": os.path.getsize(path), "sha256": digest}


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
        if part:
            plan = make_part(base_dir, delta_dir, output, part)
        else:
            plan = make_plan(base_dir, delta_dir, output, shard_bytes)
        if os.path.lexists(target):
            return {"changed": False, "size": plan.size, "files": recorded(target, plan)}
        parent = os.path.dirname(target)
        while not os.path.isdir(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(target + ".part"):
            require_space(parent, plan, {})
        if check:
            return {"changed": True, "size": plan.size, "files": {}}
        with staging_of(target) as staging:
            files = _fill(staging, plan, budget_bytes, threads, good)
            os.rename(staging, target)
        sync_folder(os.path.dirname(target))
    except OSError as error:
        raise WeightsError(
            f"The conversion to {target} stopped: {error.strerror}"
            f"{f' ({error.filename})' if error.filename else ''}; finished shards are kept, run it again."
        ) from error
    return {"changed": True, "size": plan.size, "files": files}


def _fill(
    staging: str, plan: Plan, budget_bytes: int, threads: int, good: tuple[str, dict[str, Any]]
) -> dict[str, Any]:
    """Bring staging to its end and return its files; shards of an earlier run are kept."""
    done = finished_shards(staging, plan)
    require_space(staging, plan, done)
    kept = "".join(f"{name} {entry['size']} {entry['sha256']}\n" for name, entry in sorted(done.items()))
    write_synced(staging, JOURNAL + ".part", f"{plan.fingerprint}\n{kept}".encode())
    os.rename(os.path.join(staging, JOURNAL + ".part"), os.path.join(staging, JOURNAL))

    def record(name: str, entry: dict[str, Any]) -> None:
        sync_folder(staging)
        with open(os.path.join(staging, JOURNAL), "a", encoding="utf-8") as stream:
            stream.write(f"{name} {entry['size']} {entry['sha256']}\n")
            stream.flush()
            os.fsync(stream.fileno())
        done[name] = entry

    for name in {shard.name for shard in plan.shards} & set(good[1]) - set(done):
        path = os.path.join(staging, name)
        entry = place(os.path.join(good[0], name), path)
        if entry == {key: good[1][name][key] for key in ("size", "sha256")}:
            record(name, entry)
        else:
            os.unlink(path)
    missing = [shard for shard in plan.shards if shard.name not in done]
    for shard in missing:
        if shard.source:
            record(shard.name, place(shard.source, os.path.join(staging, shard.name)))
    if streamed := [shard for shard in missing if not shard.source]:
        Stream(staging, plan, budget_bytes, threads).run(streamed, record)
    for name, data in plan.small.items():
        done[name] = write_synced(staging, name, data)
    files = dict(sorted(done.items()))
    write_synced(staging, RECORD, as_json({"fingerprint": plan.fingerprint, "files": files}))
    os.unlink(os.path.join(staging, JOURNAL))
    sync_folder(staging)
    return files
