"""Run a program of the control node. Python >= 3.6."""

import os
import subprocess
from typing import Any, List

from .manifest import BundleError


def run(command: List[str], what: str, **options: Any) -> str:
    """Return a command's standard output; raises BundleError with its last line of error."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
        env=dict(os.environ, LC_ALL="C.UTF-8"),
        **options,
    )
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if line.startswith("E: ")] or done.stderr.splitlines() or ["-"]
        )
        raise BundleError("%s: %s." % (what, lines[-1].replace("E: ", "").rstrip(".")))
    return done.stdout
