"""Compare every import below plugins/, services/ and fleet/ with the table of rooms in docs/ARCHITECTURE.md.

A room is a folder of code: one below ``plugins/module_utils/`` or ``services/``, or one of those in ``SINGLE``.
The table calls it by its path, without ``plugins/``.
"""

import ast
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from testbed.paths import CLONE

PLUGINS = "ansible_collections.fastchat.fleet.plugins"
SINGLE = (
    "plugins/action",
    "plugins/callback",
    "plugins/filter",
    "plugins/modules",
    "fleet",
    "report",
    "testbed",
    "tests",
    "bench",
)
MANY = ("plugins/module_utils", "services")
CHECKED = ("plugins", "services", "fleet", "report")
# "| `room` | nothing, or `room`, `room` | what it may touch |"; a * in the second cell stands for any text.
ROW = re.compile(r"\| `(?P<room>[a-z_/]+)` \| (?P<allowed>[^|]+) \| [^|]+ \|")


def table_of(document: str) -> dict[str, list[str]]:
    """Return {room: patterns of the rooms that it may import} of the document's table."""
    rows = [ROW.fullmatch(line) for line in document.splitlines()]
    return {row["room"]: re.findall(r"`([a-z_/*]+)`", row["allowed"]) for row in rows if row}


def rooms_of(clone: Path) -> set[str]:
    """Return the rooms that a clone has: of the folders in question those that hold Python."""
    folders = [clone / name for name in SINGLE] + [folder for name in MANY for folder in (clone / name).glob("*")]
    found = {folder.relative_to(clone).as_posix() for folder in folders if any(folder.rglob("*.py"))}
    return {name.removeprefix("plugins/") for name in found}


def names_of(clone: Path) -> dict[str, str]:
    """Return {top-level import name: its room} of the services' own packages and programs."""
    names = {}
    for path in (clone / "services").rglob("*.py"):
        top = path.parent if path.name == "__init__.py" else path.with_suffix("")
        while (top.parent / "__init__.py").exists():
            top = top.parent
        if top.parent not in (clone, clone / "services") and top.name not in sys.stdlib_module_names:
            names[top.name] = "services/" + path.relative_to(clone / "services").parts[0]
    return names


def dotted(path: Path) -> list[str]:
    """Return the parts of the name by which a file below the clone is imported; of ``__init__.py``, its package's."""
    parts = list(path.with_suffix("").parts)
    parts = [*PLUGINS.split("."), *parts[1:]] if parts[0] == "plugins" else parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path, text: str) -> list[str]:
    """Return the full dotted names that a file's text imports, wherever in the text an import stands."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path)[:-1]
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            names += [".".join([*start, *([node.module] if node.module else []), alias.name]) for alias in node.names]
    return names


def room_of(name: str, services: dict[str, str]) -> str | None:
    """Return the room to which a dotted name leads; None for the standard library and what others wrote."""
    if name.startswith(PLUGINS + "."):
        parts = name.removeprefix(PLUGINS + ".").split(".")
        return "/".join(parts[:2]) if parts[0] == "module_utils" else parts[0]
    parts = name.split(".")
    if parts[0] == "services":
        return "/".join(parts[:2])
    return parts[0] if parts[0] in SINGLE else services.get(parts[0])


def faults_of(path: Path, text: str, table: dict[str, list[str]], services: dict[str, str]) -> list[str]:
    """Return one sentence for each import of a file (its path is relative to the clone) that the table forbids."""
    room = room_of(".".join(dotted(path)), services)
    leads = {name: room_of(name, services) for name in imported(path, text)}
    return [
        f"{path} imports {name}: {room} may not import {other} (docs/ARCHITECTURE.md); move what both need into a room "
        "that both may import."
        for name, other in leads.items()
        if other not in (None, room) and not any(fnmatchcase(other, pattern) for pattern in table.get(room, []))
    ]


TABLE = table_of((CLONE / "docs" / "ARCHITECTURE.md").read_text())
SERVICES = names_of(CLONE)
FILES = sorted(path.relative_to(CLONE) for room in CHECKED for path in (CLONE / room).rglob("*.py"))


def test_the_table_names_every_room_and_no_other():
    assert set(TABLE) == rooms_of(CLONE)


def test_what_the_table_allows_are_rooms():
    patterns = {pattern for allowed in TABLE.values() for pattern in allowed}
    assert [pattern for pattern in patterns if not any(fnmatchcase(room, pattern) for room in TABLE)] == []


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_imports_only_what_its_room_may(path):
    assert faults_of(path, (CLONE / path).read_text(), TABLE, SERVICES) == []


def test_no_cycle_between_rooms_below_module_utils():
    left = {room: set(TABLE[room]) - {room} for room in TABLE if room.startswith("module_utils/")}
    while free := {room for room, needs in left.items() if not needs & set(left)}:
        left = {room: needs for room, needs in left.items() if room not in free}
    assert left == {}, "each of these rooms imports, in the end, itself"


PLANTED = [
    # (file, its text, the room that it may not import)
    ("plugins/module_utils/storage/files.py", "from ..release.manifest import flip", "module_utils/release"),
    ("plugins/module_utils/storage/__init__.py", "from ..fetch import engine", "module_utils/fetch"),
    ("plugins/module_utils/tensors/deep/part.py", "from ...convert import engine", "module_utils/convert"),
    ("plugins/module_utils/storage/files.py", "from .. import swarm", "module_utils/swarm"),
    ("plugins/module_utils/storage/files.py", f"import {PLUGINS}.module_utils.bundle.debs", "module_utils/bundle"),
    ("plugins/module_utils/storage/files.py", f"from {PLUGINS}.module_utils import host", "module_utils/host"),
    ("plugins/module_utils/fetch/engine.py", f"from {PLUGINS}.filter.fleet import dict_kept", "filter"),
    ("plugins/modules/gpu_facts.py", f"def main():\n    from {PLUGINS}.filter import fleet", "filter"),
    ("plugins/modules/gpu_facts.py", "try:\n    import testbed.paths\nexcept ImportError:\n    pass", "testbed"),
    ("plugins/filter/fleet.py", "from tests.support import rendering", "tests"),
    ("services/api/guard.py", f"from {PLUGINS}.module_utils.storage.files import write", "module_utils/storage"),
    ("services/api/guard.py", "from services.worker.probe import asked", "services/worker"),
    ("services/api/guard.py", "import probe", "services/worker"),
    ("services/api/src/api/guard.py", "from testbed import fleet", "testbed"),
]


@pytest.mark.parametrize(("path", "text", "other"), PLANTED)
def test_a_forbidden_import_is_caught(path, text, other):
    table = {"services/api": ["services/common"], **TABLE}
    (fault,) = faults_of(Path(path), text, table, {"probe": "services/worker"})
    assert f"may not import {other} " in fault


def test_allowed_imports_and_those_of_others_are_not_faults():
    text = "import os\nfrom . import base\nfrom ..storage.files import write\nfrom ansible.module_utils import basic\n"
    assert faults_of(Path("plugins/module_utils/fetch/engine.py"), text, TABLE, {}) == []
    table = {"services/api": ["services/common"]}
    said = "import asking\nfrom services.common import asking\nimport fastchat.serve\n"
    assert faults_of(Path("services/api/guard.py"), said, table, {"asking": "services/common"}) == []


def test_a_room_that_the_table_does_not_have_is_noticed(tmp_path):
    for path in ("plugins/module_utils/new/part.py", "services/new/src/new_service/__init__.py", "tests/x/test_x.py"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    (tmp_path / "services/empty").mkdir()
    assert rooms_of(tmp_path) == {"module_utils/new", "services/new", "tests"}
    assert names_of(tmp_path) == {"new_service": "services/new"}
