"""How a test shows faults that are sentences: all of them, whole, one a line."""

from collections.abc import Iterable

import pytest


def no_faults(faults: Iterable[str], *, of: object = "") -> None:
    """Fail with every sentence; pytest would show the first of a list and cut it. ``of`` names what was looked at."""
    lines = [f"{of}: {fault}" if of else fault for fault in faults]
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
