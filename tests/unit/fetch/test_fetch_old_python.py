"""Files that run under the system Python of hosts are valid for that Python."""

import ast
from pathlib import Path

import pytest

ROOMS = Path(__file__).resolve().parents[3] / "plugins" / "module_utils"


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9"])
@pytest.mark.parametrize("room", ["fetch", "storage"])
def test_the_engine_parses_as_old_pythons_do(room, version):
    paths = sorted((ROOMS / room).glob("*.py"))
    assert len(paths) > 1, f"no files in {ROOMS / room}"
    for path in paths:
        ast.parse(path.read_text(), feature_version=tuple(map(int, version.split("."))))
