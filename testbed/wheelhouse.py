"""Wheels of one lock, downloaded once, for the *hosts'* Python and platform, checked by hash."""

import os
import sys
from pathlib import Path

import yaml

from plugins.module_utils import bundle_wheels
from plugins.module_utils.bundle_manifest import BundleError
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

    The logic is the bundle's: what a host without a way out gets is what the testbed's hosts get.
    """
    final = wheelhouse_of(lock)
    if final.is_dir():
        return final
    described = yaml.safe_load((CLONE / "files" / "stacks" / f"{stack}.yml").read_text())
    target = bundle_wheels.Target(described["python"], described["glibc"], described.get("extra_index_url", ""))
    staging = final.with_name(final.name + ".part")
    print(f"Downloading the wheels of {lock} for Python {described['python']} …", flush=True)
    try:
        bundle_wheels.ensure((LOCKS / f"{lock}.txt").read_text(), str(staging), target, [])
    except BundleError as error:
        sys.exit(f"The wheels of {lock} could not be downloaded: {error}")
    os.rename(staging, final)
    return final
