"""Where the tensors of a model directory lie, found without running or importing anything of the model's.

Reads only headers: safetensors (https://github.com/huggingface/safetensors#format) and both formats that
``torch.save`` writes, the zip archive since torch 1.6 and the older concatenated pickles (torch/serialization.py,
``_save`` and ``_legacy_save``). A pickle is a program; ``read_pickle`` is an interpreter for the few opcodes with which
``torch.save`` describes tensors, and every other opcode or global is refused. Also makes the headers of new files.

Needs Python 3.9 or newer and nothing else; ``read_block`` needs numpy.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

HEADER_LIMIT = 16 << 20  # bytes of one JSON file, safetensors header or pickle; LLaMA 70B needs less than 0.2 MB
AXES_LIMIT = 32  # numpy's limit before 2.0
NAME_LIMIT = 255  # characters
DIGITS_LIMIT = 20  # of an integer in JSON: 2**63 has 19
LFS_POINTER = b"version https://git-lfs"
SAFETENSORS_INDEX = "model.safetensors.index.json"
BIN_INDEX = "pytorch_model.bin.index.json"
MODEL_FILES = (  # what tells a model directory's format, in the order in which transformers looks
    ("model.safetensors", "safetensors"),
    (SAFETENSORS_INDEX, "safetensors"),
    ("pytorch_model.bin", "bin"),
    (BIN_INDEX, "bin"),
)


class WeightsError(Exception):
    """One sentence, with the file and the value in it, that says why weights cannot be used."""


class DType(NamedTuple):
    """An element type: its name in safetensors, bytes, torch storage class, and how numpy reads it."""

    name: str
    size: int
    storage: str
    numpy: str


DTYPES = {
    name: DType(name, size, storage, numpy)
    for name, size, storage, numpy in (
        ("F64", 8, "DoubleStorage", "<f8"),
        ("F32", 4, "FloatStorage", "<f4"),
        ("F16", 2, "HalfStorage", "<f2"),
        ("BF16", 2, "BFloat16Storage", "<u2"),  # numpy has no bfloat16: its bits
        ("I64", 8, "LongStorage", "<i8"),
        ("I32", 4, "IntStorage", "<i4"),
        ("I16", 2, "ShortStorage", "<i2"),
        ("I8", 1, "CharStorage", "<i1"),
        ("U8", 1, "ByteStorage", "<u1"),
        ("BOOL", 1, "BoolStorage", "<u1"),
    )
}
STORAGES = {dtype.storage: dtype for dtype in DTYPES.values()}


class Tensor(NamedTuple):
    """A tensor in a file: byte ``offset`` of its first element, strides in elements."""

    path: str
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def elements(self) -> int:
        """Return the number of elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Return the bytes of the tensor laid out without gaps."""
        return self.elements * self.dtype.size

    @property
    def is_dense(self) -> bool:
        """Return whether the elements lie in C order without gaps; an axis of length one may have any stride."""
        return self.elements == 0 or all(
            extent == 1 or stride == dense
            for extent, stride, dense in zip(self.shape, self.strides, dense_strides(self.shape))  # noqa: B905 (3.9)
        )


class Model(NamedTuple):
    """A model directory: format ``safetensors`` or ``bin``, paths of its shards in order, tensors in reading order."""

    folder: str
    format: str
    shards: tuple[str, ...]
    tensors: dict[str, Tensor]


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides, in elements, of a C-ordered tensor without gaps."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


# --- files and JSON ---------------------------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Return whether a text may name a tensor or a file: printable, so without line ends and lone surrogates."""
    return 0 < len(text) <= NAME_LIMIT and text.isprintable()


def regular_file(folder: str, name: str) -> str:
    """Return the real path of a file directly in a model directory; refuse what leads out of it."""
    if name in (".", "..") or "/" in name or not is_name(name):
        raise WeightsError(f"{folder} names the file {name[:100]!r}, wanted a plain file name without a path.")
    path = os.path.join(folder, name)
    real = os.path.realpath(path)
    if os.path.dirname(real) != os.path.realpath(folder) and not real.startswith(os.path.realpath(folder) + os.sep):
        raise WeightsError(f"{path} is a link out of the model's directory, to {real}; copy the file there.")
    try:
        mode = os.stat(real).st_mode
    except OSError:
        raise WeightsError(f"{path} is missing; fetch the model again.") from None
    if not stat.S_ISREG(mode):
        raise WeightsError(f"{path} is not a regular file.")
    return real


def pread_exactly(descriptor: int, size: int, offset: int, path: str) -> bytes:
    """Return ``size`` bytes at ``offset``; a file that ends before that is refused."""
    parts, missing = [], size
    while missing:
        part = os.pread(descriptor, missing, offset + size - missing)
        if not part:
            raise WeightsError(f"{path} is cut: it ends before byte {offset + size}; fetch it again.")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_LIMIT:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def parse_json(text: bytes, path: str) -> dict[str, Any]:
    """Return the object that a JSON text holds; doubled keys, huge integers and endless nesting are refused."""
    try:
        found = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not usable JSON ({type(error).__name__}: {str(error)[:100]}).") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{path} holds a {type(found).__name__} at its top, wanted an object.")
    return found


def read_json(folder: str, name: str) -> dict[str, Any]:
    """Return the object in a JSON file of a model directory, which must not be larger than HEADER_LIMIT."""
    path = regular_file(folder, name)
    with open(path, "rb") as stream:
        text = stream.read(HEADER_LIMIT + 1)
    if len(text) > HEADER_LIMIT:
        raise WeightsError(f"{path} is larger than {HEADER_LIMIT} bytes, too large for a JSON file of a model.")
    return parse_json(text, path)


# --- safetensors ------------------------------------------------------------------------------------------------------


def is_whole(value: object) -> bool:
    """Return whether a value is an integer of zero or more; True and False are not."""
    return type(value) is int and value >= 0


def read_safetensors(descriptor: int, path: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, in the order of their data, which must fill the file without gaps."""
    total = os.fstat(descriptor).st_size
    length = int.from_bytes(pread_exactly(descriptor, 8, 0, path), "little")
    if length > min(HEADER_LIMIT, total - 8):
        raise WeightsError(f"{path} announces a header of {length} bytes in a file of {total}.")
    header = parse_json(pread_exactly(descriptor, length, 8, path), path)
    header.pop("__metadata__", None)
    start = 8 + length
    tensors = {}
    for name, entry in header.items():
        if not isinstance(entry, dict) or not is_name(name):
            raise WeightsError(f"The header of {path} has an unusable entry {name[:100]!r}.")
        dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise WeightsError(f"{name} in {path} has the dtype {str(dtype)[:40]!r}, which is not supported.")
        if not isinstance(shape, list) or len(shape) > AXES_LIMIT or not all(map(is_whole, shape)):
            raise WeightsError(f"{name} in {path} has no usable shape.")
        if not isinstance(span, list) or len(span) != 2 or not all(map(is_whole, span)):  # noqa: PLR2004 (a pair)
            raise WeightsError(f"{name} in {path} has no usable data_offsets.")
        tensor = Tensor(path, DTYPES[dtype], tuple(shape), dense_strides(tuple(shape)), start + span[0])
        if tensor.size != span[1] - span[0]:
            raise WeightsError(f"{name} in {path} needs {tensor.size} bytes, its data_offsets are {span}.")
        tensors[name] = tensor
    position = start
    ordered = sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].size))
    for name, tensor in ordered:
        if tensor.offset != position:
            raise WeightsError(f"{name} in {path} begins at byte {tensor.offset}, wanted {position}: overlap or gap.")
        position += tensor.size
    if position != total:
        raise WeightsError(f"{path} has {total} bytes, its header describes {position}; fetch it again.")
    return dict(ordered)


def safetensors_header(entries: list[tuple[str, DType, tuple[int, ...]]]) -> bytes:
    """Return the first bytes of a safetensors file whose data follow in this order, padded to 8 as the format asks."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers refuses a file without this
    position = 0
    for name, dtype, shape in entries:
        end = position + math.prod(shape) * dtype.size
        header[name] = {"dtype": dtype.name, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


# --- pickle -----------------------------------------------------------------------------------------------------------


class Global(NamedTuple):
    """A name that a pickle asks for. It is only compared, never looked up."""

    module: str
    name: str


class Storage(NamedTuple):
    """What a pickle says about a storage: its key, element type and number of elements."""

    key: str
    dtype: DType
    length: int


class View(NamedTuple):
    """A tensor as a pickle describes it, over a storage whose place in the file is not known yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


MARK = object()
ORDERED_DICT = Global("collections", "OrderedDict")
TENSOR_V2 = Global("torch._utils", "_rebuild_tensor_v2")  # storage, offset, size, stride, requires_grad, hooks
TENSOR_V1 = Global("torch._utils", "_rebuild_tensor")  # storage, offset, size, stride
PARAMETER = Global("torch._utils", "_rebuild_parameter")  # tensor, requires_grad, hooks
STORAGE_TYPES = {Global("torch", dtype.storage): dtype for dtype in DTYPES.values()}
GLOBALS = {ORDERED_DICT, TENSOR_V2, TENSOR_V1, PARAMETER, *STORAGE_TYPES}


class _Pickle:
    """One pickle being read: its bytes, position, stack and memo. Any misuse ends in ValueError and the like."""

    def __init__(self, data: bytes, position: int):
        self.data, self.position = data, position
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, size: int) -> bytes:
        part = self.data[self.position : self.position + size]
        if len(part) != size:
            raise ValueError("it is cut")
        self.position += size
        return part

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        end = self.data.index(b"\n", self.position)
        text = self.data[self.position : end].decode()
        self.position = end + 1
        return text

    def text(self, length_size: int) -> str:
        return self.take(self.number(length_size)).decode()

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise ValueError("its stack is empty")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        # Only text as keys: hashing a nested tuple could take for ever.
        if type(target) is not dict or len(items) % 2 or not all(type(key) is str for key in items[::2]):
            raise ValueError("it sets something else than a text key of a dict")
        target.update(zip(items[::2], items[1::2]))  # noqa: B905 (Python 3.9; the length is even)

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to something else than a list")
        self.stack[-1].extend(items)

    def global_named(self, module: Any, name: Any) -> Global:
        if type(module) is not str or type(name) is not str:
            raise ValueError("it asks for something without a name")
        if Global(module, name) not in GLOBALS:
            raise ValueError(f"it asks for {module[:60]!r} {name[:60]!r}, which describing tensors does not need")
        return Global(module, name)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_hooks: Any) -> View:
    """Return the checked description of a tensor: every element lies in the storage."""
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise ValueError("a tensor without storage, size or stride")
    if len(shape) != len(strides) or len(shape) > AXES_LIMIT or not all(map(is_whole, (offset, *shape, *strides))):
        raise ValueError("a tensor with unusable size or stride")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides))  # noqa: B905 (Python 3.9)
    if math.prod(shape) and last >= storage.length:
        raise ValueError(f"a tensor of shape {shape} reaches element {last} of a storage of {storage.length}")
    return View(storage, offset, shape, strides)


def _reduce(function: Any, arguments: Any) -> Any:
    """Return what torch's own function would rebuild, as a description."""
    if type(function) is not Global or type(arguments) is not tuple:
        raise ValueError("it calls something without a name")
    if function == ORDERED_DICT and not arguments:
        return {}
    if function in (TENSOR_V1, TENSOR_V2):
        return _view(*arguments)
    if function == PARAMETER and arguments and type(arguments[0]) is View:
        return arguments[0]
    raise ValueError(f"it calls {function.module}.{function.name} with other arguments than torch.save writes")


def _storage(persistent: Any) -> Storage:
    """Return the storage that a persistent id names: ("storage", type, key, place, count[, None])."""
    # The sixth item was a view of the storage, which torch has not written since 0.4.
    if type(persistent) is not tuple or len(persistent) not in (5, 6) or (*persistent, None)[5] is not None:
        raise ValueError("a persistent id that is no storage")
    tag, kind, key, _place, count = persistent[:5]
    if type(tag) is not str or tag != "storage" or type(kind) is not Global or kind not in STORAGE_TYPES:
        raise ValueError("a storage without a type")
    if type(key) is not str or not is_name(key) or not is_whole(count):
        raise ValueError("a storage without key or length")
    return Storage(key, STORAGE_TYPES[kind], count)


def _build(pickle: _Pickle) -> None:
    """BUILD sets attributes, in a state dict only ``_metadata`` (versions of modules), which nobody needs here."""
    pickle.last(1)
    if type(pickle.stack[-1]) is not dict:
        raise ValueError("it sets attributes of something else than a state dict")


# Opcode to effect; names and operands as in Python's pickletools. What torch.save writes, in protocols 2 to 5.
EFFECTS = {
    b"\x80": lambda p: p.take(1),  # PROTO
    b"\x95": lambda p: p.take(8),  # FRAME
    b"}": lambda p: p.stack.append({}),
    b"]": lambda p: p.stack.append([]),
    b")": lambda p: p.stack.append(()),
    b"N": lambda p: p.stack.append(None),
    b"\x88": lambda p: p.stack.append(True),
    b"\x89": lambda p: p.stack.append(False),
    b"(": lambda p: p.stack.append(MARK),
    b"J": lambda p: p.stack.append(p.number(4, signed=True)),
    b"K": lambda p: p.stack.append(p.number(1)),
    b"M": lambda p: p.stack.append(p.number(2)),
    b"\x8a": lambda p: p.stack.append(p.number(p.number(1), signed=True)),  # LONG1
    b"G": lambda p: p.stack.append(struct.unpack(">d", p.take(8))[0]),
    b"X": lambda p: p.stack.append(p.text(4)),
    b"\x8c": lambda p: p.stack.append(p.text(1)),
    b"U": lambda p: p.stack.append(p.text(1)),  # SHORT_BINSTRING: Python 2
    b"c": lambda p: p.stack.append(p.global_named(p.line(), p.line())),
    b"\x93": lambda p: p.stack.append(p.global_named(*p.last(2))),  # STACK_GLOBAL
    b"q": lambda p: p.memo.__setitem__(p.number(1), p.stack[-1]),
    b"r": lambda p: p.memo.__setitem__(p.number(4), p.stack[-1]),
    b"\x94": lambda p: p.memo.__setitem__(len(p.memo), p.stack[-1]),  # MEMOIZE
    b"h": lambda p: p.stack.append(p.memo[p.number(1)]),
    b"j": lambda p: p.stack.append(p.memo[p.number(4)]),
    b"t": lambda p: p.stack.append(tuple(p.since_mark())),
    b"\x85": lambda p: p.stack.append(p.last(1)),
    b"\x86": lambda p: p.stack.append(p.last(2)),
    b"\x87": lambda p: p.stack.append(p.last(3)),
    b"s": lambda p: p.set_items(list(p.last(2))),
    b"u": lambda p: p.set_items(p.since_mark()),
    b"a": lambda p: p.extend(list(p.last(1))),
    b"e": lambda p: p.extend(p.since_mark()),
    b"R": lambda p: p.stack.append(_reduce(*p.last(2))),
    b"Q": lambda p: p.stack.append(_storage(*p.last(1))),
    b"b": _build,
}
STOP = b"."


def read_pickle(data: bytes, path: str, position: int = 0) -> tuple[Any, int]:
    """Return (value, position after it) of the pickle at ``position``: descriptions only, no code is run."""
    pickle = _Pickle(data, position)
    try:
        opcode = pickle.take(1)
        while opcode != STOP:
            if opcode not in EFFECTS:
                raise ValueError(f"its opcode {opcode!r} is not one that describes tensors")
            EFFECTS[opcode](pickle)
            opcode = pickle.take(1)
        return pickle.last(1)[0], pickle.position
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise WeightsError(f"The pickle in {path} is refused: {str(error)[:300]}.") from None


def state_dict_tensors(value: Any, starts: dict[str, int], path: str) -> dict[str, Tensor]:
    """Return the tensors of an unpickled state dict; ``starts`` has the byte offset of each storage."""
    if type(value) is not dict:
        raise WeightsError(f"{path} holds a {type(value).__name__}, wanted a dictionary of tensors.")
    tensors = {}
    for name, view in value.items():
        if type(view) is not View or not is_name(name):
            raise WeightsError(f"{name[:100]!r} in {path} is a {type(view).__name__}, wanted a named tensor.")
        dtype = view.storage.dtype
        place = starts[view.storage.key] + view.offset * dtype.size
        tensors[name] = Tensor(path, dtype, view.shape, view.strides, place)
    return tensors


def storages_of(value: Any, path: str) -> dict[str, Storage]:
    """Return every storage that a state dict uses, by key; one key must not be two things."""
    found: dict[str, Storage] = {}
    for view in value.values() if type(value) is dict else ():
        if type(view) is View:
            one = found.setdefault(view.storage.key, view.storage)
            if one != view.storage:
                raise WeightsError(f"{path} describes its storage {one.key[:40]!r} in two ways.")
    return found


# --- torch.save -------------------------------------------------------------------------------------------------------


def _zip_member(descriptor: int, path: str, archive: zipfile.ZipFile, name: str) -> tuple[int, int]:
    """Return (offset, size) of a stored member's bytes in the file."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise WeightsError(f"{path} lacks its member {name[:100]!r}; fetch it again.") from None
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise WeightsError(f"{info.filename[:100]} in {path} is compressed or encrypted, which torch never writes.")
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
                raise WeightsError(f"{path} is a zip archive, but not one that torch.save writes.")
            root = roots[0]

            def small(name: str) -> bytes:
                offset, size = _zip_member(descriptor, path, archive, root + name)
                if size > HEADER_LIMIT:
                    raise WeightsError(f"{name} in {path} has {size} bytes, at most {HEADER_LIMIT} are read.")
                return pread_exactly(descriptor, size, offset, path)

            if root + "byteorder" in names and small("byteorder") != b"little":
                raise WeightsError(f"{path} was written on a big-endian machine, which is not supported.")
            value, _end = read_pickle(small("data.pkl"), path)
            starts = {}
            for key, storage in storages_of(value, path).items():
                starts[key], size = _zip_member(descriptor, path, archive, f"{root}data/{key}")
                if size != storage.length * storage.dtype.size:
                    wanted = f"{storage.length} of {storage.dtype.name}"
                    raise WeightsError(f"data/{key} in {path} has {size} bytes, its pickle says {wanted}.")
    # What zipfile raises on broken archives; struct.error and IndexError slip out of its parsing of extra fields.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, EOFError) as error:
        raise WeightsError(f"{path} is a broken zip archive ({str(error)[:100]}); fetch it again.") from None
    except (struct.error, IndexError, MemoryError) as error:
        raise WeightsError(f"{path} is a broken zip archive ({type(error).__name__}); fetch it again.") from None
    return state_dict_tensors(value, starts, path)


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
LEGACY_START = b"\x80\x02\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # that number, pickled with protocol 2
LEGACY_PROTOCOL = 1001


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
        raise WeightsError(f"{path} does not begin as torch.save writes it.")
    if machine.get("little_endian") is not True:
        raise WeightsError(f"{path} was written on a big-endian machine, which is not supported.")
    storages = storages_of(state, path)
    starts: dict[str, int] = {}
    for key in keys:
        if type(key) is not str or key in starts or key not in storages:
            raise WeightsError(f"{path} lists a storage that its tensors do not use, or lists it twice.")
        (count,) = struct.unpack("<q", pread_exactly(descriptor, 8, position, path))
        starts[key] = position + 8
        position += 8 + count * storages[key].dtype.size
        if count != storages[key].length or position > total:
            raise WeightsError(f"{path} is cut in its storage {key[:40]!r}; fetch it again.")
    if missing := sorted(set(storages) - set(starts)):
        raise WeightsError(f"{path} lacks its storage {missing[0][:40]!r}; fetch it again.")
    return state_dict_tensors(state, starts, path)


def read_tensors(path: str) -> dict[str, Tensor]:
    """Return the tensors of one weights file; the format is recognised by its first bytes, not by its name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise WeightsError(f"{path} cannot be opened: {error.strerror}.") from None
    try:
        first = os.pread(descriptor, len(LFS_POINTER), 0)
        if first == LFS_POINTER:
            raise WeightsError(f"{path} is a git-lfs pointer, not the weights; fetch them with git-lfs.")
        if first.startswith(b"PK\3\4"):
            return read_zip(descriptor, path)
        if first.startswith(LEGACY_START):
            return read_legacy(descriptor, path)
        if path.endswith(".bin"):
            raise WeightsError(f"{path} is not what torch.save writes; it begins with {first[:8]!r}.")
        return read_safetensors(descriptor, path)  # the only format without a magic number
    finally:
        os.close(descriptor)


def _long(value: int) -> bytes:
    """Return the opcode that pushes an integer."""
    if value < 1 << 31:
        return b"J" + value.to_bytes(4, "little")
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little")


def bin_pickle(entries: list[tuple[str, DType, tuple[int, ...]]]) -> bytes:
    """Return the ``data.pkl`` of a ``torch.save`` archive whose n-th tensor is ``data/<n>``, in C order."""

    def text(value: str) -> bytes:
        return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(_long, values)) + b"t"

    program = [b"\x80\x02}("]
    for key, (name, dtype, shape) in enumerate(entries):
        program += [text(name), b"ctorch._utils\n_rebuild_tensor_v2\n(("]
        program += [text("storage"), f"ctorch\n{dtype.storage}\n".encode(), text(str(key)), text("cpu")]
        program += [_long(math.prod(shape)), b"tQ", _long(0), numbers(shape), numbers(dense_strides(shape))]
        program += [b"\x89ccollections\nOrderedDict\n)RtR"]  # requires_grad False, no hooks
    return b"".join(program) + b"u."


# --- model directories ------------------------------------------------------------------------------------------------


def read_model(folder: str, wanted: frozenset[str] | None = None) -> Model:
    """Return what a model directory holds, index and headers compared; looked for in transformers' own order.

    With ``wanted``, only those tensors, and only the shards that hold them need be there.
    """
    for name, kind in MODEL_FILES:
        if not os.path.lexists(os.path.join(folder, name)):
            continue
        if name.endswith(".json"):
            shards, tensors = _indexed(folder, name, wanted)
        else:
            shards = (regular_file(folder, name),)
            tensors = read_tensors(shards[0])
        if wanted is not None:
            if missing := sorted(wanted - set(tensors)):
                raise WeightsError(f"{missing[0][:100]!r} is not in {folder}, where it was wanted.")
            tensors = {name: tensor for name, tensor in tensors.items() if name in wanted}
        return Model(folder, kind, shards, tensors)
    raise WeightsError(
        f"{folder} has no weights: neither model.safetensors nor pytorch_model.bin, nor an index of shards."
    )


def read_weight_map(folder: str, index: str) -> dict[str, str]:
    """Return {tensor: shard} of an index."""
    weight_map = read_json(folder, index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(type(shard) is str for shard in weight_map.values()):
        raise WeightsError(f"{index} in {folder} has no usable weight_map.")
    if other := sorted(name for name in set(weight_map.values()) if not name.endswith((".safetensors", ".bin"))):
        raise WeightsError(f"{index} in {folder} names {other[0][:100]!r}, wanted .safetensors or .bin files.")
    return weight_map


def _indexed(
    folder: str, index: str, wanted: frozenset[str] | None = None
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return (shards, tensors) of a sharded model; each tensor must lie in the shard that the index names."""
    weight_map = read_weight_map(folder, index)
    tensors: dict[str, Tensor] = {}
    shards = sorted({shard for name, shard in weight_map.items() if wanted is None or name in wanted})
    paths = [regular_file(folder, shard) for shard in shards]
    for shard, path in zip(shards, paths):  # noqa: B905 (Python 3.9)
        for name, tensor in sorted(read_tensors(path).items(), key=lambda item: item[1].offset):
            if weight_map.get(name) != shard:
                said = weight_map.get(name, "no file")[:100]
                raise WeightsError(f"{name} lies in {path}, but {index} in {folder} says {said!r}.")
            tensors[name] = tensor
    if missing := sorted(name for name in set(weight_map) - set(tensors) if weight_map[name] in shards):
        name = missing[0]
        raise WeightsError(f"{name[:100]!r} is not in {weight_map[name]}, where {index} in {folder} says it is.")
    return tuple(paths), tensors


# --- reading elements -------------------------------------------------------------------------------------------------


def blocks(shape: tuple[int, ...], limit: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (first element in C order, shape of the block) of consecutive blocks of at most ``limit`` elements.

    A block is a run of rows of one axis with all that lies below it, so that it is also a block of a strided tensor.
    """
    axis, below = len(shape), 1
    while axis and below * shape[axis - 1] <= limit:
        axis -= 1
        below *= shape[axis]
    if not axis:
        if below:
            yield 0, shape
        return
    extent, step = shape[axis - 1], max(1, limit // below)
    for outer in range(math.prod(shape[: axis - 1])):
        for row in range(0, extent, step):
            yield (outer * extent + row) * below, (min(step, extent - row), *shape[axis:])


def read_into(descriptor: int, view: memoryview, offset: int, path: str) -> None:
    """Fill a writable view of bytes from ``offset`` on."""
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            raise WeightsError(f"{path} was cut while it was read: it ends before byte {offset + len(view)}.")
        done += count


def read_block(descriptor: int, tensor: Tensor, block: tuple[int, tuple[int, ...]], buffer: Any) -> Any:
    """Return a block's elements as a flat numpy array at the beginning of ``buffer`` (bytes, numpy uint8)."""
    start, shape = block
    found = buffer[: math.prod(shape) * tensor.dtype.size]
    if tensor.is_dense:
        read_into(descriptor, memoryview(found), tensor.offset + start * tensor.dtype.size, tensor.path)
    else:
        _gather(descriptor, tensor, block, found.view(tensor.dtype.numpy).reshape(shape))
    return found.view(tensor.dtype.numpy)


def _gather(descriptor: int, tensor: Tensor, block: tuple[int, tuple[int, ...]], out: Any) -> None:
    """Fill ``out`` with a block of a strided tensor, reading runs that are at least a quarter full.

    The axes with the smallest strides make a run, read at once; the others are walked. A transposed matrix is read
    column by column, a few rows of each: slow, but within four times the memory of one block.
    """
    import numpy  # noqa: PLC0415  (headers are read where numpy is not)

    start, shape = block
    first, rest = 0, start
    for extent, stride, below in zip(tensor.shape, tensor.strides, dense_strides(tensor.shape)):  # noqa: B905 (3.9)
        first += rest // below % extent * stride
        rest %= below
    strides = tensor.strides[len(tensor.strides) - len(shape) :]
    inner: list[int] = []
    span, filled = 1, 1
    for axis in sorted(range(len(shape)), key=lambda axis: strides[axis]):
        wider, fuller = span + (shape[axis] - 1) * strides[axis], filled * (shape[axis] if strides[axis] else 1)
        if wider > 4 * fuller:
            break
        inner.append(axis)
        span, filled = wider, fuller
    inner.sort()
    outer = [axis for axis in range(len(shape)) if axis not in inner]
    item = tensor.dtype.size
    run = numpy.empty(span, tensor.dtype.numpy)
    values = numpy.ndarray(
        [shape[axis] for axis in inner], run.dtype, run, strides=[strides[axis] * item for axis in inner]
    )
    raw = memoryview(run.view(numpy.uint8))
    for index in itertools.product(*(range(shape[axis]) for axis in outer)):
        place = first + sum(i * strides[axis] for i, axis in zip(index, outer))  # noqa: B905 (Python 3.9)
        read_into(descriptor, raw, tensor.offset + place * item, tensor.path)
        where: list[Any] = [slice(None)] * len(shape)
        for i, axis in zip(index, outer):  # noqa: B905 (Python 3.9)
            where[axis] = i
        out[tuple(where)] = values
