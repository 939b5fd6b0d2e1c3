"""Write one file of weights, in either format, and hash it while it is written.

This is the only file of the conversion besides staging.py that writes to the disk.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..storage.files import PART, rename
from ..tensors.pickles import bin_pickle
from ..tensors.safetensors import safetensors_header
from .plan import Shard


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
        """Sync the file, close it and take ``.part`` off its name; return {size, sha256}.

        The hasher must be done with this file.
        """
        os.fsync(self.descriptor)
        os.close(self.descriptor)
        rename(self.path, self.path[: -len(PART)])
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
        """Need nothing when the file is abandoned."""


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
