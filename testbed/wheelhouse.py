"""The wheels of a lock: downloaded once, for the *hosts'* Python and platform, and checked by hash."""

import os
import shutil
import sys
from pathlib import Path

import yaml
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle import wheels as bundle_wheels
from ansible_collections.fastchat.fleet.plugins.module_utils.bundle.manifest import BundleError

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
    (path,) = CLONE.glob(f"files/*/{stack}.yml")  # of files/stacks or files/environments
    described = yaml.safe_load(path.read_text())
    target = bundle_wheels.Target(described["python"], described["glibc"], described.get("extra_index_url", ""))
    staging = final.with_name(final.name + ".part")
    print(f"Downloading the wheels of {lock} for Python {described['python']} …", flush=True)
    try:
        bundle_wheels.ensure((LOCKS / f"{lock}.txt").read_text(), str(staging), target, [])
    except BundleError as error:
        sys.exit(f"The wheels of {lock} could not be downloaded: {error}")
    os.rename(staging, final)
    return final


def together(entries: list[dict[str, str]]) -> Path:
    """Return one directory with links to the wheels of several locks; each entry is the arguments of ``ensure``."""
    houses = [ensure(**entry) for entry in entries]
    if len(houses) == 1:
        return houses[0]
    final = CACHE / "wheelhouse" / f"together-{digest_of(*(house.name.encode() for house in houses))}"
    if not final.is_dir():
        staging = final.with_name(final.name + ".part")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        for wheel in {path.name: path for house in houses for path in house.glob("*.whl")}.values():
            os.link(wheel, staging / wheel.name)
        os.rename(staging, final)
    return final
