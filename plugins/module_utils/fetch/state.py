"""What earlier runs know about the files of a destination, in ``.weights_fetch.json``. Python >= 3.6."""

import json
import os
import stat
import threading
import time
from typing import Any, Dict, List, Optional

from ..storage.files import write_json
from .errors import FetchError
from .items import Item
from .names import STATE, checked_name

STATE_LIMIT = 32 << 20  # bytes


class State:
    """What earlier runs left: ``{revision, source, files: {name: {size, mtime_ns, sha256, blob}}}``, in one file."""

    def __init__(self, folder: str) -> None:
        """Read the state. An absent, broken or foreign one counts as empty, and the files are hashed again."""
        self.folder, self.path = folder, os.path.join(folder, STATE)
        self.lock, self.saved = threading.Lock(), 0.0
        self.files: Dict[str, Dict[str, Any]] = {}
        self.revision, self.source = "", {}
        try:
            with open(self.path) as stream:
                known = json.loads(stream.read(STATE_LIMIT))
            files = {checked_name(n): e for n, e in known["files"].items() if isinstance(e["sha256"], str)}
            self.files, self.revision, self.source = files, str(known["revision"]), known["source"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, FetchError, RecursionError):
            pass

    def unchanged(self, name: str) -> bool:
        """Return whether a file has the size and time that it had when its digest was taken."""
        entry, facts = self.files.get(name), plain_file(os.path.join(self.folder, name))
        return bool(
            entry and facts and (facts.st_size, facts.st_mtime_ns) == (entry.get("size"), entry.get("mtime_ns"))
        )

    def knows(self, item: Item) -> bool:
        """Return whether a file is there, unchanged, and the one wanted."""
        entry = self.files.get(item.name, {})
        if item.sha256:
            return entry.get("sha256") == item.sha256 and self.unchanged(item.name)
        return bool(item.blob) and entry.get("blob") == item.blob and self.unchanged(item.name)

    def remember(self, item: Item, sha256: str) -> None:
        """Remember a finished file. The state is written at most once a second, since there may be many small files."""
        facts = os.stat(os.path.join(self.folder, item.name))
        entry = {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256": sha256, "blob": item.blob}
        with self.lock:
            self.files[item.name] = entry
            if time.monotonic() - self.saved > 1:
                self.save()

    def save(self) -> None:
        """Write it in one step."""
        write_json(self.path, {"revision": self.revision, "source": self.source, "files": self.files})
        self.saved = time.monotonic()

    def described(self, names: List[str]) -> Dict[str, Dict[str, Any]]:
        """Return {name: {size, sha256}} as a manifest has it."""
        return {
            name: {"size": self.files[name]["size"], "sha256": self.files[name]["sha256"]} for name in sorted(names)
        }


def plain_file(path: str) -> Optional[os.stat_result]:
    """Return the facts of a plain file, None when there is none."""
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None
