"""Choose the wanted files of a listing and their sha256. Nothing is written. Python >= 3.6."""

import contextlib
import fnmatch
import os
from typing import Any, Dict, List, Sequence

from ..storage.files import PART
from .errors import FetchError
from .items import SHA256, Item
from .names import checked_name, path_below
from .state import State, plain_file


def wanted_of(items: List[Item], source: Dict[str, Any], state: State) -> List[Item]:
    """Return the items that a checked source's ``files`` and ``sha256`` want; raises FetchError for each mistake."""
    patterns = [] if source["kind"] == "http" else source["files"]
    chosen = pinned(selected(items, patterns, state.folder), source["sha256"])
    return [as_known(item, state) for item in chosen] if source["kind"] == "path" else chosen


def selected(items: List[Item], patterns: List[str], dest: str) -> List[Item]:
    """Return the items that shell patterns name (all when there are none); '!pattern' leaves out what it names.

    Raises FetchError for names that would leave the destination, come twice, or overwrite each other.
    """
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    chosen: Dict[str, Item] = {}
    for item in items:
        checked_name(item.name)
        path_below(dest, item.name)
        if item.name in chosen:
            raise FetchError("%s is twice in the source: correct its list." % item.name)
        if (not wanted or matched(item.name, wanted)) and not matched(item.name, unwanted):
            chosen[item.name] = item
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in chosen):
            raise FetchError("no file of the source is named %s: correct the source's files." % pattern)
    for name in chosen:
        if name.endswith(PART) and name[: -len(PART)] in chosen:
            raise FetchError("%s would be overwritten by its neighbour's download: leave it out." % name)
    return list(chosen.values())


def matched(name: str, patterns: Sequence[str]) -> bool:
    """Return whether any shell pattern, or a pattern equal to its name, names a file."""
    return name in patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def pinned(items: List[Item], sums: Dict[str, str]) -> List[Item]:
    """Return the items with the sha256 that the operator wrote down; raises FetchError where the source has another."""
    absent = sorted(set(sums) - {item.name for item in items})
    if absent:
        raise FetchError("%s has a sha256 but is not in the source: correct the list." % absent[0])
    for item in items:
        wanted = sums.get(item.name, "")
        if wanted and not SHA256.match(wanted):
            raise FetchError("%s has sha256 %r, wanted 64 hexadecimal digits." % (item.name, wanted))
        if wanted and item.sha256 and item.sha256 != wanted:
            raise FetchError(
                "%s has sha256 %s in the source, wanted %s: correct whichever is wrong."
                % (item.name, item.sha256, wanted)
            )
    return [item._replace(sha256=sums.get(item.name, item.sha256)) for item in items]


def as_known(item: Item, state: State) -> Item:
    """Return a directory's file with the sha256 that it had when it was copied, if neither side changed since."""
    here, entry = plain_file(os.path.join(state.folder, item.name)), state.files.get(item.name, {})
    theirs = entry.get("blob", "")
    stamp = source_stamp(item)
    if here and theirs == stamp and state.unchanged(item.name):
        return item._replace(sha256=item.sha256 or entry["sha256"])
    return item


def source_stamp(item: Item) -> str:
    """Return size and time of a local source file, by which a later run sees that it did not change."""
    with contextlib.closing(item.open(0)[0]) as stream:
        facts = os.fstat(stream.fileno())
    return "%d-%d" % (facts.st_size, facts.st_mtime_ns)
