"""Check that the disk has room for the files that are still missing. Nothing is written. Python >= 3.6."""

import os
import shutil
from typing import List

from ..storage.files import PART
from .errors import FetchError
from .items import Item
from .state import plain_file


def human(count: float) -> str:
    """Return bytes as people read them, in decimal units as disks are sold: 13476 -> '13.5 kB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 (the decimal step)
            return "%d bytes" % count if unit == "bytes" else "%.1f %s" % (count, unit)
        count /= 1000.0
    return "%.1f TB" % count


def part_size(item: Item, dest: str) -> int:
    """Return the bytes of a file that a killed run left, 0 when they can not be used."""
    facts = plain_file(os.path.join(dest, item.name) + PART)
    return facts.st_size if facts and facts.st_nlink == 1 and facts.st_size <= item.size else 0


def check_space(missing: List[Item], dest: str) -> None:
    """Raise FetchError when the missing bytes do not fit. This is called before the first byte."""
    needed = there = 0
    device = os.stat(dest).st_dev
    for item in missing:
        if item.link and os.stat(item.link).st_dev == device:
            continue
        finished = plain_file(os.path.join(dest, item.name))
        # A finished file of another size is removed before the new one is fetched, so its room counts.
        have = finished.st_size if finished and finished.st_nlink == 1 else part_size(item, dest)
        there += have
        needed += max(0, item.size) - have
    fault = space_fault(max(0, needed), there, shutil.disk_usage(dest).free, dest)
    if fault:
        raise FetchError(fault)


def space_fault(needed: int, there: int, free: int, dest: str) -> str:
    """Return one sentence when ``needed`` bytes do not fit into ``free`` ones, '' when they do.

    ``there`` are the bytes that earlier runs have left and that are used.
    """
    # Names, the state and git's pointers: 1 % and 16 MiB, far above what was measured.
    wanted = needed + needed // 100 + (16 << 20 if needed else 0)
    if wanted <= free:
        return ""
    return "%s needs %s more (%s are there already), and %s are free: make room for %s." % (
        dest,
        human(wanted),
        human(there),
        human(free),
        human(wanted - free),
    )
