"""Where the testbed keeps its things; every name is the clone's own, so two clones never collide."""

import hashlib
import os
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
STATE = CLONE / ".testbed"
LOCKS = CLONE / "files" / "locks"
CACHE = Path(os.environ.get("FASTCHAT_FLEET_CACHE", Path.home() / ".cache" / "fastchat-fleet"))


def digest_of(*parts: bytes) -> str:
    """Return 12 hexadecimal digits of the sha256 over length-prefixed parts: short enough to read, safe to name by."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:12]


def prefix(fleet: str) -> str:
    """Return the name prefix of one fleet's containers: tells apart clones and fleets."""
    return f"fcf-{digest_of(str(CLONE).encode())[:8]}-{fleet}"
