"""Scripts that roles bring to hosts, as modules for tests: they lie in no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from testbed.paths import CLONE

SHARED = CLONE / "roles" / "fastchat_service" / "files"


def load(path: Path) -> ModuleType:
    """Return a script as a module; it finds those that lie beside it on a host."""
    beside = [str(path.parent), str(SHARED)]
    sys.path[:0] = beside
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file.")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for folder in beside:
            sys.path.remove(folder)
    return module
