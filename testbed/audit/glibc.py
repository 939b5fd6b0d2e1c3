"""``python -m testbed.audit.glibc STACK [--glibc 2.17]`` says whether a stack's libraries load on its glibc.

Reads the version needs of every ELF file in every wheel and compares them with what the oldest distribution of that
glibc has. Wheels come from the stack's wheelhouse where it is in the cache, else one at a time, checked by hash and
deleted. What a wheel brings along itself (its own libstdc++, found through $ORIGIN) is not asked of the host.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.wheels import wheel_platforms

from testbed.audit import elf_needs
from testbed.locks import Pin, pins
from testbed.paths import CACHE, CLONE, digest_of

# The last version names that the compiler's libraries of a glibc's oldest distribution have: EL 7 (GCC 4.8.5) and EL 8
# (GCC 8.5), from GCC's own table (libstdc++ manual, "ABI Policy and Guidelines").
BASELINES = {
    "2.17": {"GLIBC": "2.17", "GLIBCXX": "3.4.19", "CXXABI": "1.3.7", "GCC": "4.8.0"},
    "2.28": {"GLIBC": "2.28", "GLIBCXX": "3.4.25", "CXXABI": "1.3.11", "GCC": "7.0.0"},
}
HOST = re.compile(
    r"(libc|libm|libpthread|libdl|librt|libutil|libresolv|libnsl|libanl|libcrypt|libstdc\+\+|libgcc_s|ld-linux-x86-64)\.so"
)
COLUMNS = ("GLIBC", "GLIBCXX", "CXXABI")


@dataclass
class Library:
    """One ELF file of a wheel, with the needs that the wheel does not meet itself."""

    name: str
    host: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)


@dataclass
class Wheel:
    """A wheel with native code."""

    name: str
    libraries: list[Library]
    provides: set[str]


def number(version: str) -> tuple[int, ...]:
    """Return the number in a version name (GLIBC_2.17 is 2, 17), () when it has none."""
    found = re.fullmatch(r"[A-Z_]*?_?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else ()


def beyond(version: str, baseline: dict[str, str]) -> bool:
    """Return whether a host with this baseline lacks a version name; a name without a number is a feature: it does."""
    family = version.split("_", maxsplit=1)[0]
    return family not in baseline or not number(version) or number(version) > number(baseline[family])


def libraries(wheel: Path) -> Wheel:
    """Return the ELF files of a wheel and what each of them asks of the host."""
    found = {}
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryFile() as scratch:
        for name in archive.namelist():
            with archive.open(name) as member:
                head = member.read(4)
                if head != b"\x7fELF":
                    continue
                scratch.seek(0)
                scratch.truncate()
                scratch.write(head)
                while piece := member.read(1 << 20):
                    scratch.write(piece)
            try:
                needs = elf_needs.read(scratch)
            except elf_needs.BrokenElf as error:
                raise SystemExit(f"{wheel.name}: {name} can not be read: {error}") from None
            if needs is not None:
                found[name] = needs
    folders: dict[str, list[str]] = {}
    for name in found:
        folders.setdefault(os.path.basename(name), []).append(os.path.dirname(name))
    result = []
    for name, needs in sorted(found.items()):
        own = {
            soname
            for soname in {*needs.needed, *needs.versions}
            if any(elf_needs.reaches(needs, name, folder) for folder in folders.get(soname, []))
        }
        host = {file: asked for file, asked in needs.versions.items() if HOST.match(file) and file not in own}
        others = [file for file in needs.needed if not HOST.match(file) and file not in own]
        result.append(Library(name, host, others))
    return Wheel(wheel.name, result, {os.path.basename(name) for name in found} | {n.soname for n in found.values()})


def wheels(lock: Path, stack: dict) -> Iterator[Path]:
    """Yield each wheel of a lock; one that is not in the cache is deleted when the next is asked for."""
    house = CACHE / "wheelhouse" / f"{lock.stem}-{digest_of(lock.read_bytes())}"
    if house.is_dir():
        yield from sorted(house.glob("*.whl"))
        return
    for pin in pins(lock.read_text()):
        with tempfile.TemporaryDirectory() as folder:
            yield download(pin, stack, Path(folder))


def download(pin: Pin, stack: dict, folder: Path) -> Path:
    """Return the wheel of a pin for the stack's Python and glibc, which pip has checked against the pin's hashes."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{pin.requirement} {' '.join(f'--hash={digest}' for digest in pin.hashes)}\n")
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes", "--no-cache-dir"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(wanted)]
    command += ["--python-version", str(stack["python"])]
    for tag in wheel_platforms(str(stack["glibc"])):
        command += ["--platform", tag]
    # As in testbed/wheelhouse.py: first what pip is configured with, then the stack's own index.
    first = end = subprocess.run(command, check=False, capture_output=True, text=True)
    if end.returncode and stack.get("extra_index_url"):
        command += ["--extra-index-url", stack["extra_index_url"]]
        end = subprocess.run(command, check=False, capture_output=True, text=True)
    if end.returncode:
        sys.exit(f"{pin.requirement} could not be downloaded: {first.stderr.strip().splitlines()[-1]}")
    return next(folder.glob("*.whl"))


def highest(wheel: Wheel, family: str) -> tuple[str, str]:
    """Return the highest version name of a family that a wheel asks of the host, and the library; '' when none is."""
    asked = [
        (number(version), version, library.name)
        for library in wheel.libraries
        for versions in library.host.values()
        for version in versions
        if version.split("_")[0] == family
    ]
    return max(asked)[1:] if asked else ("", "")


def refusals(wheel: Wheel, baseline: dict[str, str]) -> list[str]:
    """Return one sentence for each library of a wheel that the host's loader would refuse."""
    faults = []
    for library in wheel.libraries:
        lacking = sorted({v for versions in library.host.values() for v in versions if beyond(v, baseline)})
        if lacking:
            faults.append(f"{wheel.name}: {library.name} wants {', '.join(lacking)}.")
    return faults


def table(audited: list[Wheel], baseline: dict[str, str]) -> str:
    """Return the result as a Markdown table: one row for each wheel with native code."""
    rows = ["| wheel | libraries | GLIBC | GLIBCXX | CXXABI | highest in | verdict |", "|---|---|---|---|---|---|---|"]
    for wheel in audited:
        tops = [highest(wheel, family) for family in COLUMNS]
        versions = " | ".join(version.split("_", 1)[1] if version else "–" for version, _ in tops)
        distribution, version = wheel.name.split("-")[:2]
        verdict = "**no**" if refusals(wheel, baseline) else "loads"
        where = os.path.basename(tops[0][1])
        rows.append(f"| {distribution} {version} | {len(wheel.libraries)} | {versions} | {where} | {verdict} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    """Print the table and the libraries that the host must have; exit with the refusals when there are any."""
    parser = argparse.ArgumentParser(prog="python -m testbed.audit.glibc", description=__doc__.splitlines()[0])
    parser.add_argument("stack")
    parser.add_argument("--glibc", choices=sorted(BASELINES), help="another glibc than the stack's")
    parser.add_argument("--files", type=Path, default=CLONE / "files", help="where stacks and locks lie")
    options = parser.parse_args(arguments)
    stack = yaml.safe_load((options.files / "stacks" / f"{options.stack}.yml").read_text())
    glibc = options.glibc or str(stack["glibc"])
    if glibc not in BASELINES:
        sys.exit(f"stack {options.stack} wants glibc {glibc}, known are {sorted(BASELINES)}: add its row to BASELINES.")
    lock = options.files / "locks" / f"{stack['lock']}.txt"
    print(f"## {options.stack}, lock {digest_of(lock.read_bytes())}, against glibc {glibc}\n", flush=True)
    count, audited = 0, []
    for path in wheels(lock, stack):
        count += 1
        wheel = libraries(path)
        if wheel.libraries:
            audited.append(wheel)
    print(table(audited, BASELINES[glibc]))
    inside = set().union(*(wheel.provides for wheel in audited))
    asked = {name for wheel in audited for library in wheel.libraries for name in library.elsewhere}
    faults = [fault for wheel in audited for fault in refusals(wheel, BASELINES[glibc])]
    print(f"\n{count} wheels, {len(audited)} with native code, {sum(len(w.libraries) for w in audited)} libraries.")
    print(f"In no wheel: {', '.join(sorted(asked - inside)) or 'nothing'}.")
    if faults:
        sys.exit("\n".join([f"Stack {options.stack} does not load on glibc {glibc}:", *faults]))
    print(f"Stack {options.stack} loads on glibc {glibc}.")


if __name__ == "__main__":
    main(sys.argv[1:])
