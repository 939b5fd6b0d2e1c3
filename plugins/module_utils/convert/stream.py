"""Read blocks of tensors, add them and hand them to the writers: many threads, little memory. Needs numpy."""

from __future__ import annotations

import contextlib
import math
import os
import queue
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..storage.files import PART
from ..storage.progress import reported
from ..tensors.blocks import blocks, read_block
from ..tensors.layout import Tensor
from .add import Adder
from .plan import Item, Shard
from .writers import BinWriter, SafetensorsWriter, Sink

BLOCK_LIMIT = 8 << 20  # bytes of one side of a block
# torch adds float16 40 times faster than numpy, but its import costs 3 s of a core: measured on two cores, numpy is
# done sooner at 2 GB (4.7 s against 6.1 s), torch at 13 GB (24 s against 32 s).
TORCH_FROM = 4_000_000_000


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

    def __init__(self, staging: str, output: str, budget_bytes: int, threads: int) -> None:
        """Divide the budget into buffers for one block of each side."""
        self._staging, self._kind, self._threads = staging, output, threads
        self._slots = 2 * threads + 4
        self._block_bytes = max(4096, min(BLOCK_LIMIT, budget_bytes // (2 * self._slots)))
        self._files: dict[str, int] = {}
        self._written = 0

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
        self._written = 0
        with reported(sum(item.size for shard in shards for item in shard.items), lambda: self._written):
            self._run(shards, record)

    def _run(self, shards: list[Shard], record: Any) -> None:
        """Do what ``run`` says."""
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
            output = Output(self._staging, self._kind, record)
            stack.callback(output.abandon)
            # These end in reverse order: first reading stops, then everything that was written is hashed and synced.
            syncer = stack.enter_context(ThreadPoolExecutor(1))
            hasher = stack.enter_context(ThreadPoolExecutor(1))
            readers = stack.enter_context(ThreadPoolExecutor(self._threads))
            output.hasher, output.syncer = hasher, syncer
            try:
                for step in steps_of(shards, self._block_bytes):
                    if free.empty():  # only one, so that the readers have the others while this one is hashed
                        self._write(output, pending.popleft(), hasher, free)
                    buffer = free.get()
                    pending.append((step, buffer, readers.submit(self._result, step, buffer, adder)))
                while pending:
                    self._write(output, pending.popleft(), hasher, free)
                output.close()
            finally:
                for _step, _buffer, future in pending:
                    future.cancel()

    def _write(
        self, output: Output, work: tuple[Step, Any, Future[Any]], hasher: ThreadPoolExecutor, free: Any
    ) -> None:
        """Write the block whose turn it is, and give its buffer back."""
        step, buffer, future = work
        data = future.result()
        output.write(step, data)
        self._written += data.nbytes
        hasher.submit(free.put, buffer)  # the hasher has one thread: this runs after the block was hashed


class Output:
    """The shard and tensor being written; a finished shard is synced beside the next."""

    hasher: ThreadPoolExecutor
    syncer: ThreadPoolExecutor

    def __init__(self, staging: str, kind: str, record: Any) -> None:
        """Begin with no file; ``kind`` is the format, ``record(name, entry)`` is called for each finished shard."""
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
            self._sink = Sink(os.path.join(self._staging, step.shard.name + PART), self.hasher)
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
