"""The one durable writer: whatever step it is killed before, a reader finds the old content or the new one, whole."""

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import files

from testbed.paths import IMPORTS

OLD, NEW = b"old" * 1000, b"new" * 70_000
# Every step goes through os: the child dies before its Nth call, with no chance to tidy up.
CHILD = """
import os, sys
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import files
path, last = sys.argv[1], int(sys.argv[2])
steps = ["remove", "open", "fchmod", "write", "fsync", "close", "rename"]
left = [last]
def counted(name, real):
    def call(*arguments):
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
        return real(*arguments)
    return call
for name in steps:
    setattr(os, name, counted(name, getattr(os, name)))
files.write(path, b"new" * 70_000)
"""


def killed_before(path, step):
    """Write in a process of its own that is killed before its given step; return whether it came to its end."""
    command = [sys.executable, "-c", CHILD, str(path), str(step)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": IMPORTS}, check=False).returncode == 0


def test_a_kill_before_each_step_leaves_the_old_content_or_the_new(tmp_path):
    seen, step, path = [], 0, tmp_path / "file"
    while True:
        path.write_bytes(OLD)
        ended = killed_before(path, step)
        seen.append(path.read_bytes())
        assert seen[-1] in (OLD, NEW)
        files.write(str(path), b"next")
        assert path.read_bytes() == b"next" and os.listdir(tmp_path) == ["file"]
        if ended:
            break
        step += 1
    # Remove, open, mode, write, sync, close, rename, then open, sync and close of the directory.
    assert step == 10 and seen == [OLD] * 7 + [NEW] * 4


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_the_mode_holds_whatever_the_umask_is(tmp_path, mask):
    before = os.umask(mask)
    try:
        files.write(str(tmp_path / "open"), b"x")
        files.write(str(tmp_path / "secret"), b"x", mode=0o640)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open", "secret")] == [0o644, 0o640]


def test_a_link_in_the_place_of_the_part_is_not_written_through(tmp_path):
    (tmp_path / "other").write_bytes(b"kept")
    (tmp_path / "file.part").symlink_to(tmp_path / "other")
    files.write_json(str(tmp_path / "file"), {"b": 1, "a": "é"})
    assert (tmp_path / "other").read_bytes() == b"kept"
    assert json.loads((tmp_path / "file").read_text()) == {"a": "é", "b": 1}


def test_a_file_is_linked_and_copied_where_it_can_not_be(tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.write_bytes(b"content")
    files.link_or_copy(str(source), str(tmp_path / "linked"))
    assert (tmp_path / "linked").samefile(source)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("cross-device")))
    files.link_or_copy(str(source), str(tmp_path / "copied"))
    assert not (tmp_path / "copied").samefile(source) and (tmp_path / "copied").read_bytes() == b"content"


def test_a_full_disk_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        files.write(str(path), NEW)
    assert path.read_bytes() == OLD
