"""The ELF reader against files made here byte by byte, and against this machine's own libraries."""

import ctypes  # noqa: F401  (loaded, so that there are more libraries to look at)
import io
import os
import random
import shutil
import ssl  # noqa: F401
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.wheels import wheel_platforms
from packaging import tags

from testbed.audit import elf_needs
from testbed.audit import glibc as audit_glibc
from testbed.paths import CLONE, LOCKS, digest_of

OLD, NEW = audit_glibc.BASELINES["2.17"], audit_glibc.BASELINES["2.28"]


def elf(versions, *, needed=(), runpath="", soname="", machine=62):
    """Return a shared library that holds nothing but its needs; versions is {library: [version names]}."""
    strings = bytearray(b"\0")

    def at(word):
        strings.extend(word.encode() + b"\0")
        return len(strings) - len(word) - 1

    verneed = b""
    for index, (file, names) in enumerate(versions.items()):
        verneed += struct.pack(
            "<HHIII", 1, len(names), at(file), 16, 0 if index == len(versions) - 1 else 16 + 16 * len(names)
        )
        for position, name in enumerate(names):
            verneed += struct.pack("<IHHII", 0, 0, 2, at(name), 0 if position == len(names) - 1 else 16)
    entries = [(1, at(name)) for name in needed]
    entries += [(29, at(runpath))] if runpath else []
    entries += [(14, at(soname))] if soname else []
    start, base = 64 + 2 * 56, 0x400000
    entries += [(5, base + start), (10, len(strings))]
    if versions:
        entries += [(0x6FFFFFFE, base + start + len(strings)), (0x6FFFFFFF, len(versions))]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in [*entries, (0, 0)])
    where = start + len(strings) + len(verneed)
    end = where + len(dynamic)
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, base, base, end, end, 4096)
    there = struct.pack("<IIQQQQQQ", 2, 4, where, base + where, base + where, len(dynamic), len(dynamic), 8)
    return head + load + there + bytes(strings) + verneed + dynamic


def wheel(folder, files, name="thing-1.0-cp39-cp39-manylinux_2_17_x86_64.whl"):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return folder / name


def faults(tmp_path, files, baseline=OLD):
    return audit_glibc.refusals(audit_glibc.libraries(wheel(tmp_path, files)), baseline)


def test_a_library_for_a_newer_glibc_is_refused_by_name(tmp_path):
    files = {"thing/_c.so": elf({"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.27"], "libm.so.6": ["GLIBC_2.9"]})}
    assert faults(tmp_path, files) == [f"{next(tmp_path.iterdir()).name}: thing/_c.so wants GLIBC_2.27."]
    assert faults(tmp_path, files, NEW) == []


@pytest.mark.parametrize(
    "version", ["GLIBCXX_3.4.20", "CXXABI_1.3.8", "GCC_7.0.0", "GLIBC_ABI_DT_RELR", "GLIBC_PRIVATE"]
)
def test_names_that_el7_lacks_are_refused(tmp_path, version):
    assert faults(tmp_path, {"a.so": elf({"libstdc++.so.6": [version]})})
    assert not faults(tmp_path, {"a.so": elf({"libstdc++.so.6": ["GLIBCXX_3.4.19", "CXXABI_1.3.7", "GCC_4.8.0"]})})


def test_what_a_wheel_brings_along_is_not_asked_of_the_host_if_its_library_finds_it(tmp_path):
    asks = {"libstdc++.so.6": ["GLIBCXX_3.4.29"]}
    bundle = elf({"libc.so.6": ["GLIBC_2.14"]}, soname="libstdc++.so.6")
    found = {"a/b/_c.so": elf(asks, runpath="$ORIGIN/../../a.libs"), "a.libs/libstdc++.so.6": bundle}
    assert faults(tmp_path, found) == []
    assert faults(tmp_path, {**found, "a/b/_c.so": elf(asks)}), "brought along, but never looked for"
    assert faults(tmp_path, {**found, "a/b/_c.so": elf(asks, runpath="$ORIGIN/elsewhere")})
    hungry = elf({"libc.so.6": ["GLIBC_2.34"]}, soname="libstdc++.so.6")
    assert "a.libs/libstdc++.so.6 wants GLIBC_2.34" in faults(tmp_path, {**found, "a.libs/libstdc++.so.6": hungry})[0]


def test_only_what_the_host_s_loader_would_load_is_read(tmp_path):
    others = {"gpu.cubin": elf({"libc.so.6": ["GLIBC_9.9"]}, machine=190), "text.so": b"no library", "empty.so": b""}
    assert audit_glibc.libraries(wheel(tmp_path, others)).libraries == []


def test_libraries_of_other_wheels_and_of_the_driver_are_named(tmp_path):
    path = wheel(tmp_path, {"a.so": elf({}, needed=["libcuda.so.1", "libc.so.6", "libcublas.so.12"])})
    assert audit_glibc.libraries(path).libraries[0].elsewhere == ["libcuda.so.1", "libcublas.so.12"]


def own_libraries():
    """Libraries of this interpreter's process: whatever the machine is, they load on it."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    return sorted(path for path in mapped if os.path.exists(path))


def test_this_machine_s_own_libraries_ask_no_more_than_it_has():
    here = {"GLIBC": os.confstr("CS_GNU_LIBC_VERSION").split()[1]}
    asked = 0
    for path in own_libraries():
        with open(path, "rb") as file:
            needs = elf_needs.read(file)
        assert needs is not None, path
        versions = [version for names in needs.versions.values() for version in names if version.startswith("GLIBC_2")]
        assert [version for version in versions if audit_glibc.beyond(version, here)] == [], path
        asked += len(versions)
    assert asked > 10


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf (binutils) is not here to compare with")
def test_the_reader_sees_what_readelf_sees():
    for path in own_libraries():
        said = subprocess.run(["readelf", "-VW", path], check=True, capture_output=True, text=True).stdout
        needs_part = said[said.find(".gnu.version_r") :] if ".gnu.version_r" in said else ""
        names = sorted(line.split("Name: ")[1].split()[0] for line in needs_part.splitlines() if "Name: " in line)
        with open(path, "rb") as file:
            needs = elf_needs.read(file)
        assert sorted(version for asked in needs.versions.values() for version in asked) == names, path


def test_a_damaged_file_is_refused_and_nothing_worse():
    whole = elf({"libc.so.6": ["GLIBC_2.17", "GLIBC_2.9"], "libm.so.6": ["GLIBC_2.2.5"]}, needed=["libc.so.6"])
    assert elf_needs.read(io.BytesIO(whole)).versions["libm.so.6"] == ["GLIBC_2.2.5"]
    dice, refused = random.Random(7), 0  # noqa: S311
    damaged = [whole[:length] for length in range(len(whole))]
    for _ in range(2000):
        copy = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            copy[dice.randrange(6, len(copy))] = dice.randrange(256)
        damaged.append(bytes(copy))
    for content in damaged:
        try:
            elf_needs.read(io.BytesIO(content))
        except elf_needs.BrokenElf:
            refused += 1
    assert refused > len(whole) // 2


def test_the_command_prints_the_table_and_refuses_another_glibc(tmp_path, monkeypatch, capsys):
    files = tmp_path / "files"
    (files / "stacks").mkdir(parents=True)
    (files / "locks").mkdir()
    (files / "stacks" / "one.yml").write_text("name: one\nlock: one\npython: '3.9'\nglibc: '2.28'\n")
    (files / "locks" / "one.txt").write_text("thing==1.0\n")
    house = tmp_path / "wheelhouse" / f"one-{digest_of(b'thing==1.0' + bytes([10]))}"
    wheel(house, {"thing/_c.so": elf({"libc.so.6": ["GLIBC_2.27"]}, needed=["libcuda.so.1"])})
    wheel(house, {"pure.py": b"pass"}, "pure-1-py3-none-any.whl")
    monkeypatch.setattr(audit_glibc, "CACHE", tmp_path)
    audit_glibc.main(["one", "--files", str(files)])
    printed = capsys.readouterr().out
    assert "| thing 1.0 | 1 | 2.27 | – | – | _c.so | loads |" in printed
    assert "2 wheels, 1 with native code, 1 libraries.\nIn no wheel: libcuda.so.1." in printed
    with pytest.raises(SystemExit, match=r"does not load on glibc 2.17:\n.*thing/_c.so wants GLIBC_2.27"):
        audit_glibc.main(["one", "--files", str(files), "--glibc", "2.17"])
    assert "| **no** |" in capsys.readouterr().out


def test_wheels_are_asked_for_with_the_tags_that_pip_itself_takes():
    assert wheel_platforms(os.confstr("CS_GNU_LIBC_VERSION").split()[1]) == [
        *list(tags.platform_tags())[1:],
        "linux_x86_64",
    ]


STACKS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CLONE / "files" / "stacks").glob("*.yml"))}


@pytest.mark.parametrize("stack", [name for name, stack in STACKS.items() if str(stack["glibc"]) == "2.17"])
def test_the_published_table_is_of_the_lock_that_is_here(stack):
    published = (CLONE / "docs" / "EL7-GLIBC.md").read_text()
    lock = digest_of((LOCKS / f"{STACKS[stack]['lock']}.txt").read_bytes())
    assert f"## {stack}, lock {lock}, against glibc 2.17\n" in published, f"run: make audit-glibc STACK={stack}"
    assert f"Stack {stack} loads on glibc 2.17." in published
