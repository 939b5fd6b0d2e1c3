"""Where the project is, and where the command keeps records and locks."""

import os
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent


def records() -> Path:
    """Return the directory of the records of runs: FLEET_RECORDS, else ``.fleet/runs`` in the project."""
    return Path(os.environ.get("FLEET_RECORDS") or CLONE / ".fleet" / "runs").absolute()


def locks() -> Path:
    """Return the directory of the hosts' locks, which all projects of a user share.

    FLEET_LOCKS names another one, for a control node that several people use; else it is below XDG_STATE_HOME.
    """
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(os.environ.get("FLEET_LOCKS") or state / "fastchat-fleet" / "locks").absolute()
