"""Resolve every ``files/locks/*.in`` (and pyproject.toml) into a lock with hashes; with names, only those.

``files/locks/inputs.yml`` has for each lock a digest of what it was resolved from, so that a change of the inputs that
was not followed by ``make locks`` is noticed without a network.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomllib
import yaml

from testbed.paths import CLONE, LOCKS, digest_of

RECORD = LOCKS / "inputs.yml"

# Locks of our own that are resolved for the hosts' Python: the hub, the tests of engine, fetch engine, security and
# clients, the peers and settings of bench/run*.py, and what hosts need that pull.
BESIDE_CPU = ("testbed", "engine", "lfs-test", "security", "clients", "clients-openai1", "pyinfra", "mitogen", "pull")


@dataclass
class Pin:
    """One requirement of a lock: ``name==version``, its hashes (``sha256:…``) and who asked for it."""

    requirement: str
    hashes: list[str]
    via: list[str]


def pins(lock: str) -> list[Pin]:
    """Return the pins of a lock's text, as uv writes it with ``--annotation-style line``."""
    found = []
    for block in re.split(r"\n(?=\S)", lock.strip()):
        via = re.search(r"# via (.*)", block)
        hashes = re.findall(r"--hash=(\S+)", block)
        found.append(Pin(block.split()[0], hashes, via[1].split(", ") if via else []))
    return found


def overrides_of(lock: str) -> Path:
    """Return the path of uv's overrides for a lock, which replace dependencies of its packages; few locks have one."""
    return LOCKS / f"{lock}.overrides"


@dataclass
class Wanted:
    """What one lock is resolved from; ``source`` is below the clone."""

    lock: str
    source: str
    python: str
    platform: str
    extra_index: str | None = None

    def lines(self) -> list[str]:
        """Return the requirements and options of the source, without comments; of a project, its dependencies."""
        whole = (CLONE / self.source).read_text()
        if self.source.endswith(".toml"):
            return tomllib.loads(whole)["project"]["dependencies"]
        return [line for raw in whole.splitlines() if (line := re.sub(r"(^|\s)#.*", "", raw).strip())]

    def digest(self) -> str:
        """Return a digest of everything that the result depends on, except for the index's content on the day."""
        constraints = [(LOCKS / line.split()[1]).read_text() for line in self.lines() if line.startswith("-c ")]
        overrides = overrides_of(self.lock)
        constraints += [overrides.read_text()] if overrides.exists() else []
        parts = [*self.lines(), self.python, self.platform, self.extra_index or "", *constraints]
        return digest_of(*(part.encode() for part in parts))


def wanted() -> Iterator[Wanted]:
    """Yield the control node's lock, one for each stack and environment, and our own beside the stack ``cpu``."""
    yield Wanted("control", "pyproject.toml", "3.11", "x86_64-manylinux_2_28")
    files = CLONE / "files"
    for path in sorted([*(files / "stacks").glob("*.yml"), *(files / "environments").glob("*.yml")]):
        stack = yaml.safe_load(path.read_text())
        for name in [stack["name"], *(BESIDE_CPU if stack["name"] == "cpu" else ())]:
            yield Wanted(
                name, f"files/locks/{name}.in", stack["python"], stack["uv_platform"], stack.get("extra_index_url")
            )


def compile_lock(source: str, lock: str, python: str, platform: str, extra_index: str | None) -> None:
    """Run ``uv pip compile`` for one platform; wheels only, so nothing is ever built on a host."""
    command = ["uv", "pip", "compile", "--quiet", source, "--output-file", str(LOCKS / f"{lock}.txt")]
    command += ["--generate-hashes", "--only-binary", ":all:", "--no-header", "--annotation-style", "line"]
    command += ["--python-version", python, "--python-platform", platform]
    overrides = overrides_of(lock)
    command += ["--override", str(overrides.relative_to(CLONE))] if overrides.exists() else []
    if extra_index:
        # As in testbed/wheelhouse.py: first what pip is configured with, then the stack's own index.
        near = os.environ.get("PIP_FIND_LINKS")
        if near and subprocess.run([*command, "--find-links", near], check=False, cwd=CLONE).returncode == 0:
            return
        command += ["--extra-index-url", extra_index, "--index-strategy", "unsafe-best-match"]
    subprocess.run(command, check=True, cwd=CLONE)


def main(names: list[str]) -> None:
    """Compile all locks, or those named, and record what they were made from."""
    record = yaml.safe_load(RECORD.read_text()) if RECORD.exists() else {}
    everything = list(wanted())
    if unknown := set(names) - {one.lock for one in everything}:
        sys.exit(f"{', '.join(sorted(unknown))}: no such lock, there are {sorted(one.lock for one in everything)}.")
    for one in everything:
        if not names or one.lock in names:
            compile_lock(one.source, one.lock, one.python, one.platform, one.extra_index)
            record[one.lock] = one.digest()
    kept = {one.lock: record[one.lock] for one in everything if one.lock in record}
    RECORD.write_text(f"# What each lock was resolved from; written by `make locks`.\n{yaml.safe_dump(kept)}")


if __name__ == "__main__":
    main(sys.argv[1:])
