"""Where the project is, and where the command keeps what it knows of earlier runs."""

import hashlib
import os
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent


def state() -> Path:
    """Return the directory of records and locks: FLEET_STATE, else below XDG_STATE_HOME, else ~/.local/state."""
    if named := os.environ.get("FLEET_STATE"):
        return Path(named).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "fastchat-fleet"


def records(clone: Path = CLONE) -> Path:
    """Return the directory of this clone's records; two clones of the same name have two of them."""
    return state() / f"{clone.name}-{hashlib.sha256(str(clone).encode()).hexdigest()[:8]}" / "runs"


def lock_folder() -> Path:
    """Return the directory of the hosts' locks: FLEET_LOCKS (where people share a control node), else below state()."""
    named = os.environ.get("FLEET_LOCKS")
    return Path(named).absolute() if named else state() / "locks"
