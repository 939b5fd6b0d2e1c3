"""Wheels of one lock, downloaded once, for the *hosts'* Python and platform, checked by hash."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from testbed.paths import CACHE, CLONE, LOCKS, digest_of

# The names of before PEP 600, by the minor version of their glibc.
LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def wheelhouse_of(lock: str) -> Path:
    """Return the directory of the wheels of ``files/locks/<lock>.txt``: its name changes with the lock's content."""
    return CACHE / "wheelhouse" / f"{lock}-{digest_of((LOCKS / f'{lock}.txt').read_bytes())}"


def wheel_platforms(glibc: str) -> list[str]:
    """Return pip's tags of all wheels that load on a glibc, the newest first: pip, unlike uv, wants each one named."""
    major, minor = map(int, glibc.split("."))
    tags = []
    for older in range(minor, 4, -1):
        tags += [f"manylinux_{major}_{older}_x86_64", *([f"{LEGACY[older]}_x86_64"] if older in LEGACY else [])]
    return [*tags, "linux_x86_64"]


def ensure(lock: str, stack: str = "cpu") -> Path:
    """Return the complete wheelhouse of a lock, downloading into a directory beside it first.

    torch's CPU build is not on PyPI. pip finds it in its configured ``find-links``, or, in the second try, in the
    stack's own ``extra_index_url``; its hash in the lock decides what is accepted, wherever it comes from.
    """
    final = wheelhouse_of(lock)
    if final.is_dir():
        return final
    platform = yaml.safe_load((CLONE / "files" / "stacks" / f"{stack}.yml").read_text())
    staging = final.with_name(final.name + ".part")
    staging.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(staging), "--requirement", str(LOCKS / f"{lock}.txt")]
    command += ["--python-version", platform["python"]]
    for tag in platform["wheel_platforms"]:
        command += ["--platform", tag]
    print(f"Downloading the wheels of {lock} for Python {platform['python']} …", flush=True)
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    first = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if first.returncode:
        second = [*command, "--extra-index-url", platform["extra_index_url"]]
        if subprocess.run(second, check=False, env=environment).returncode:
            sys.exit(f"The wheels of {lock} could not be downloaded: {first.stderr.strip().splitlines()[-1]}")
    os.rename(staging, final)
    return final
