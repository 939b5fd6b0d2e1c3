"""Wheels of one lock, downloaded once, for the *hosts'* Python and platform, checked by hash."""

import os
import sys
from pathlib import Path

import yaml

from plugins.module_utils import bundle_wheels
from plugins.module_utils.bundle_manifest import BundleError
from testbed.paths import CACHE, CLONE, LOCKS, digest_of


def wheelhouse_of(lock: str) -> Path:
    """Return the directory of the wheels of ``files/locks/<lock>.txt``: its name changes with the lock's content."""
    return CACHE / "wheelhouse" / f"{lock}-{digest_of((LOCKS / f'{lock}.txt').read_bytes())}"


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
