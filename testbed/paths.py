"""Where the testbed keeps its files; every name is the clone's own, so two clones never collide."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
STATE = CLONE / ".testbed"
# PYTHONPATH of the processes that tests start; the Makefile and pyproject.toml say the same.
IMPORTS = f"{CLONE}:{CLONE / 'collections'}"
LOCKS = CLONE / "files" / "locks"
CACHE = Path(os.environ.get("FASTCHAT_FLEET_CACHE", Path.home() / ".cache" / "fastchat-fleet"))


@contextlib.contextmanager
def cache_held() -> Iterator[None]:
    """Hold the cache while it is filled: fleets of other clones or tests wait here instead of mixing files."""
    CACHE.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(CACHE, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def digest_of(*parts: bytes) -> str:
    """Return 12 hexadecimal digits of the sha256 over length-prefixed parts: short enough to read, safe to name by."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:12]


def prefix(fleet: str) -> str:
    """Return the name prefix of one fleet's containers: tells apart clones and fleets."""
    return f"fcf-{digest_of(str(CLONE).encode())[:8]}-{fleet}"
