"""Read the pickles with which ``torch.save`` describes tensors, and make one. No pickle is ever executed.

A pickle is a program. ``read_pickle`` is an interpreter for the few opcodes with which ``torch.save`` describes
tensors; it refuses every other opcode and every other global. It works on bytes and opens no file.
"""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

from .errors import WeightsError
from .layout import AXES_LIMIT, DTYPES, DType, Tensor, dense_strides, is_name, is_whole


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


class Program:
    """One pickle that is being read: its bytes, position, stack and memo.

    Misuse ends in ValueError, TypeError, LookupError or RecursionError.
    """

    def __init__(self, data: bytes, position: int):
        """Start at a position of the bytes, with nothing on the stack."""
        self.data, self.position = data, position
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        part = self.data[self.position : self.position + size]
        if len(part) != size:
            raise ValueError("it is cut")
        self.position += size
        return part

    def number(self, size: int, signed: bool = False) -> int:
        """Return the next bytes as a little-endian integer."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        """Return the text up to the next line end."""
        end = self.data.index(b"\n", self.position)
        text = self.data[self.position : end].decode()
        self.position = end + 1
        return text

    def text(self, length_size: int) -> str:
        """Return the text whose length stands before it, in ``length_size`` bytes."""
        return self.take(self.number(length_size)).decode()

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark off the stack, and the mark as well."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        """Take the last items off the stack."""
        if len(self.stack) < count:
            raise ValueError("its stack is empty")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return items

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values, in turn, into the dict on the stack."""
        target = self.stack[-1]
        # Only text as keys: hashing a nested tuple could take for ever.
        if type(target) is not dict or len(items) % 2 or not all(type(key) is str for key in items[::2]):
            raise ValueError("it sets something else than a text key of a dict")
        target.update(zip(items[::2], items[1::2]))  # noqa: B905 (Python 3.9; the length is even)

    def extend(self, items: list[Any]) -> None:
        """Append items to the list on the stack."""
        if type(self.stack[-1]) is not list:
            raise ValueError("it appends to something else than a list")
        self.stack[-1].extend(items)

    def global_named(self, module: Any, name: Any) -> Global:
        """Return a global that describing tensors needs; every other one is refused."""
        if type(module) is not str or type(name) is not str:
            raise ValueError("it asks for something without a name")
        if Global(module, name) not in GLOBALS:
            raise ValueError(f"it asks for {module[:60]!r} {name[:60]!r}, which describing tensors does not need")
        return Global(module, name)


def view_of(storage: Any, offset: Any, shape: Any, strides: Any, *_hooks: Any) -> View:
    """Return the checked description of a tensor: every element lies in the storage."""
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise ValueError("a tensor without storage, size or stride")
    if len(shape) != len(strides) or len(shape) > AXES_LIMIT or not all(map(is_whole, (offset, *shape, *strides))):
        raise ValueError("a tensor with unusable size or stride")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides))  # noqa: B905 (Python 3.9)
    if math.prod(shape) and last >= storage.length:
        raise ValueError(f"a tensor of shape {shape} reaches element {last} of a storage of {storage.length}")
    return View(storage, offset, shape, strides)


def rebuilt(function: Any, arguments: Any) -> Any:
    """Return what torch's own function would rebuild, as a description."""
    if type(function) is not Global or type(arguments) is not tuple:
        raise ValueError("it calls something without a name")
    if function == ORDERED_DICT and not arguments:
        return {}
    if function in (TENSOR_V1, TENSOR_V2):
        return view_of(*arguments)
    if function == PARAMETER and arguments and type(arguments[0]) is View:
        return arguments[0]
    raise ValueError(f"it calls {function.module}.{function.name} with other arguments than torch.save writes")


def storage_named(persistent: Any) -> Storage:
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


def set_attributes(pickle: Program) -> None:
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
    b"R": lambda p: p.stack.append(rebuilt(*p.last(2))),
    b"Q": lambda p: p.stack.append(storage_named(*p.last(1))),
    b"b": set_attributes,
}
STOP = b"."


def read_pickle(data: bytes, path: str, position: int = 0) -> tuple[Any, int]:
    """Return (value, position after it) of the pickle at ``position``: descriptions only, no code is run."""
    pickle = Program(data, position)
    try:
        opcode = pickle.take(1)
        while opcode != STOP:
            if opcode not in EFFECTS:
                raise ValueError(f"its opcode {opcode!r} is not one that describes tensors")
            EFFECTS[opcode](pickle)
            opcode = pickle.take(1)
        return pickle.last(1)[0], pickle.position
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise WeightsError(
            f"The pickle in {path} is refused: {str(error)[:300]}. Fetch it again, from whom you trust."
        ) from None


def state_dict_tensors(value: Any, starts: dict[str, int], path: str) -> dict[str, Tensor]:
    """Return the tensors of an unpickled state dict; ``starts`` has the byte offset of each storage."""
    if type(value) is not dict:
        raise WeightsError(f"{path} holds a {type(value).__name__}, wanted a dictionary of tensors; fetch it again.")
    tensors = {}
    for name, view in value.items():
        if type(view) is not View or not is_name(name):
            raise WeightsError(
                f"{name[:100]!r} in {path} is a {type(view).__name__}, wanted a named tensor; fetch it again."
            )
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
                raise WeightsError(f"{path} describes its storage {one.key[:40]!r} in two ways; fetch it again.")
    return found


def long_opcode(value: int) -> bytes:
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
        return b"(" + b"".join(map(long_opcode, values)) + b"t"

    program = [b"\x80\x02}("]
    for key, (name, dtype, shape) in enumerate(entries):
        program += [text(name), b"ctorch._utils\n_rebuild_tensor_v2\n(("]
        program += [text("storage"), f"ctorch\n{dtype.storage}\n".encode(), text(str(key)), text("cpu")]
        program += [long_opcode(math.prod(shape)), b"tQ", long_opcode(0), numbers(shape), numbers(dense_strides(shape))]
        program += [b"\x89ccollections\nOrderedDict\n)RtR"]  # requires_grad False, no hooks
    return b"".join(program) + b"u."
