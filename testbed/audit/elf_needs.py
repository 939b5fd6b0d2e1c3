"""Read from an ELF file what a shared library needs of the machine that loads it, the way the loader reads it.

Section headers may be stripped, so everything comes from the program headers and the dynamic section; structures and
numbers are those of the System V ABI (x86-64) and of the GNU symbol versioning in the Linux Standard Base, chapter 10.
"""

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

X86_64, SHARED_OR_EXECUTABLE = 62, (2, 3)
PROGRAM = "<IIQQQQQQ"  # Elf64_Phdr
LOAD, DYNAMIC = 1, 2
NEEDED, STRTAB, STRSZ, SONAME, RPATH, RUNPATH, VERNEED, VERNEEDNUM = 1, 5, 10, 14, 15, 29, 0x6FFFFFFE, 0x6FFFFFFF


class BrokenElf(ValueError):
    """The file claims to be a library of this machine, and can not be one."""


@dataclass
class Needs:
    """``versions`` has for each library (its soname) the version names that are asked of it."""

    soname: str = ""
    needed: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    versions: dict[str, list[str]] = field(default_factory=dict)


def part(file: BinaryIO, offset: int, size: int) -> bytes:
    """Return a piece of the file, or raise when it does not reach that far."""
    if offset + size > file.seek(0, os.SEEK_END):
        raise BrokenElf(f"{size} bytes at offset {offset} are wanted, and the file is shorter.")
    file.seek(offset)
    return file.read(size)


class Image:
    """The mapped parts of an ELF file: reads by address."""

    def __init__(self, file: BinaryIO, segments: list[tuple[int, int, int]]) -> None:
        """Take (address, offset in the file, size there) of each loaded segment."""
        self.file, self.segments = file, segments

    def read(self, address: int, size: int) -> bytes:
        """Return bytes at an address, or raise when the file does not have them."""
        for start, offset, length in self.segments:
            if start <= address and address + size <= start + length:
                return part(self.file, offset + address - start, size)
        raise BrokenElf(f"{size} bytes at address {address:#x} are in no loaded segment.")

    def unpack(self, form: str, address: int) -> tuple:
        """Return the fields of a little-endian structure at an address."""
        return struct.unpack("<" + form, self.read(address, struct.calcsize("<" + form)))


def text(strings: bytes, offset: int) -> str:
    """Return the string that starts at an offset of a string table."""
    end = strings.find(b"\0", offset)
    if end < 0:
        raise BrokenElf(f"string {offset} runs out of the string table.")
    return strings[offset:end].decode(errors="replace")


def version_needs(image: Image, strings: bytes, address: int, count: int) -> dict[str, list[str]]:
    """Return {library: version names} of the table at an address (Elf64_Verneed, Elf64_Vernaux)."""
    needs: dict[str, list[str]] = {}
    for _ in range(count):
        _, names, file, first, following = image.unpack("HHIII", address)
        asked = needs.setdefault(text(strings, file), [])
        entry = address + first
        for _ in range(names):
            _, _, _, name, step = image.unpack("IHHII", entry)
            asked.append(text(strings, name))
            entry += step
            if not step:
                break
        address += following
        if not following:
            break
    return needs


def read(file: BinaryIO) -> Needs | None:
    """Return what an ELF file needs, or None when the loader of an x86-64 host would never be asked to load it."""
    file.seek(0)
    if file.read(6) != b"\x7fELF\x02\x01":
        return None
    head = part(file, 0, 64)
    kind, machine = struct.unpack_from("<HH", head, 16)
    if machine != X86_64 or kind not in SHARED_OR_EXECUTABLE:
        return None  # a GPU's program, an object file
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    if size != struct.calcsize(PROGRAM):
        raise BrokenElf(f"its program headers have {size} bytes each.")
    programs = part(file, table, size * count)
    fields = [entry[:6] for entry in struct.iter_unpack(PROGRAM, programs)]
    image = Image(file, [(address, offset, held) for kind, _, offset, address, _, held in fields if kind == LOAD])
    dynamic = next(((address, held) for kind, _, _, address, _, held in fields if kind == DYNAMIC), None)
    if dynamic is None:
        return None  # static: needs nothing of the host
    entries = list(struct.iter_unpack("<qQ", image.read(dynamic[0], dynamic[1] // 16 * 16)))
    entries = entries[: next((index for index, (tag, _) in enumerate(entries) if tag == 0), None)]
    one = dict(entries)
    if STRTAB not in one or STRSZ not in one:
        raise BrokenElf("its dynamic section names no strings.")
    strings = image.read(one[STRTAB], one[STRSZ])
    return Needs(
        soname=text(strings, one[SONAME]) if SONAME in one else "",
        needed=[text(strings, value) for tag, value in entries if tag == NEEDED],
        search=[part for tag in (RPATH, RUNPATH) if tag in one for part in text(strings, one[tag]).split(":")],
        versions=version_needs(image, strings, one[VERNEED], one.get(VERNEEDNUM, 0)) if VERNEED in one else {},
    )


def reaches(needs: Needs, library: str, folder: str) -> bool:
    """Return whether a library (a path in its wheel) looks for others in a folder of the same wheel."""
    own = os.path.dirname(library)
    expanded = (path.replace("${ORIGIN}", own).replace("$ORIGIN", own) for path in needs.search if "ORIGIN" in path)
    return any(os.path.normpath(path or ".") == os.path.normpath(folder or ".") for path in expanded)
