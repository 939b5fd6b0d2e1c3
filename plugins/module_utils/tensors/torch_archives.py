"""The two formats that ``torch.save`` writes: the zip archive since torch 1.6, and the older pickles one after another.

Reads only where the tensors lie (torch/serialization.py, ``_save`` and ``_legacy_save``). Writes nothing.
"""

from __future__ import annotations

import os
import struct
import zipfile

from .errors import WeightsError
from .files import HEADER_LIMIT, pread_exactly
from .layout import Tensor
from .pickles import read_pickle, state_dict_tensors, storages_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
LEGACY_START = b"\x80\x02\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # that number, pickled with protocol 2
LEGACY_PROTOCOL = 1001


def zip_member(descriptor: int, path: str, archive: zipfile.ZipFile, name: str) -> tuple[int, int]:
    """Return (offset, size) of a stored member's bytes in the file."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise WeightsError(f"{path} lacks its member {name[:100]!r}; fetch it again.") from None
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise WeightsError(
            f"{info.filename[:100]} in {path} is compressed or encrypted, which torch never writes; fetch it again."
        )
    # Local header: signature (4), 22 bytes known from the directory, length of name (2), length of extra field (2).
    local = pread_exactly(descriptor, 30, info.header_offset, path)
    offset = info.header_offset + 30 + sum(struct.unpack("<HH", local[26:]))
    if local[:4] != b"PK\3\4" or offset + info.file_size > os.fstat(descriptor).st_size:
        raise WeightsError(f"{info.filename[:100]} in {path} lies outside of the file; fetch it again.")
    return offset, info.file_size


def read_zip(descriptor: int, path: str) -> dict[str, Tensor]:
    """Return the tensors of a ``torch.save`` archive: ``<root>/data.pkl`` and one stored ``<root>/data/<key>`` each."""
    try:
        with os.fdopen(os.dup(descriptor), "rb") as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            roots = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
            if len(roots) != 1 or len(set(names)) != len(names):
                raise WeightsError(f"{path} is a zip archive, but not one that torch.save writes; fetch it again.")
            root = roots[0]

            def small(name: str) -> bytes:
                offset, size = zip_member(descriptor, path, archive, root + name)
                if size > HEADER_LIMIT:
                    raise WeightsError(
                        f"{name} in {path} has {size} bytes, at most {HEADER_LIMIT} are read; fetch it again."
                    )
                return pread_exactly(descriptor, size, offset, path)

            if root + "byteorder" in names and small("byteorder") != b"little":
                raise WeightsError(
                    f"{path} was written on a big-endian machine, which is not supported: take another"
                    " revision of the model."
                )
            value, _end = read_pickle(small("data.pkl"), path)
            starts = {}
            for key, storage in storages_of(value, path).items():
                starts[key], size = zip_member(descriptor, path, archive, f"{root}data/{key}")
                if size != storage.length * storage.dtype.size:
                    wanted = f"{storage.length} of {storage.dtype.name}"
                    raise WeightsError(
                        f"data/{key} in {path} has {size} bytes, its pickle says {wanted}; fetch it again."
                    )
    # What zipfile raises on broken archives; struct.error and IndexError slip out of its parsing of extra fields.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, EOFError) as error:
        raise WeightsError(f"{path} is a broken zip archive ({str(error)[:100]}); fetch it again.") from None
    except (struct.error, IndexError, MemoryError) as error:
        raise WeightsError(f"{path} is a broken zip archive ({type(error).__name__}); fetch it again.") from None
    return state_dict_tensors(value, starts, path)


def read_legacy(descriptor: int, path: str) -> dict[str, Tensor]:
    """Return the tensors of a ``torch.save`` file of before torch 1.6: five pickles, then (int64 count, data) each.

    The pickles: magic number, protocol version, the writer's machine, the state dict, the order of the storages.
    """
    total = os.fstat(descriptor).st_size
    head = pread_exactly(descriptor, min(total, HEADER_LIMIT), 0, path)
    values, position = [], 0
    for _ in range(5):
        value, position = read_pickle(head, path, position)
        values.append(value)
    magic, protocol, machine, state, keys = values
    if magic != LEGACY_MAGIC or protocol != LEGACY_PROTOCOL or type(machine) is not dict or type(keys) is not list:
        raise WeightsError(f"{path} does not begin as torch.save writes it; fetch it again.")
    if machine.get("little_endian") is not True:
        raise WeightsError(
            f"{path} was written on a big-endian machine, which is not supported: take another revision of the model."
        )
    storages = storages_of(state, path)
    starts: dict[str, int] = {}
    for key in keys:
        if type(key) is not str or key in starts or key not in storages:
            raise WeightsError(
                f"{path} lists a storage that its tensors do not use, or lists it twice; fetch it again."
            )
        (count,) = struct.unpack("<q", pread_exactly(descriptor, 8, position, path))
        starts[key] = position + 8
        position += 8 + count * storages[key].dtype.size
        if count != storages[key].length or position > total:
            raise WeightsError(f"{path} is cut in its storage {key[:40]!r}; fetch it again.")
    if missing := sorted(set(storages) - set(starts)):
        raise WeightsError(f"{path} lacks its storage {missing[0][:40]!r}; fetch it again.")
    return state_dict_tensors(state, starts, path)
