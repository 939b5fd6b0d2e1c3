"""Locks between processes."""

import errno
import fcntl
import subprocess

import pytest
from ansible_collections.fastchat.fleet.plugins.module_utils.storage import locks


def test_another_process_s_lock_is_seen_waited_for_and_refused(tmp_path):
    assert not locks.is_held(str(tmp_path)) and not locks.is_held(str(tmp_path / "absent"))
    command = ["flock", str(tmp_path), "sh", "-c", "echo held; read line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n" and locks.is_held(str(tmp_path))
        with pytest.raises(locks.Busy), locks.held(str(tmp_path), wait=0.3):
            pass
        other.communicate(b"\n")
    with locks.held(str(tmp_path), wait=5):
        assert locks.is_held(str(tmp_path))
    assert not locks.is_held(str(tmp_path))


def test_a_link_is_not_locked(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"), locks.held(str(tmp_path / "link")):
        pass


def test_where_nobody_can_tell_a_lock_counts_as_held(tmp_path, monkeypatch):
    def refused(_descriptor, _operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    assert locks.is_held(str(tmp_path))
    assert not locks.is_held(str(tmp_path / "absent"))
    with locks.held(str(tmp_path)):
        pass  # such a file system is used without a lock


def test_a_lock_is_seen_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert not locks.is_held(str(tmp_path / "link"))
    with locks.held(str(tmp_path)):
        assert locks.is_held(str(tmp_path / "link"))
