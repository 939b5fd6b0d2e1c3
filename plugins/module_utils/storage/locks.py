"""flock(2) on files and directories: two processes never build in the same place. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import contextlib
import errno
import fcntl
import os
import time

BUSY = (errno.EAGAIN, errno.EACCES)
POLL = 0.2  # seconds
clock = getattr(time, "monotonic", time.time)  # Python 2.7 has only the wall clock


class Busy(Exception):
    """Somebody else holds the lock."""


def taken(descriptor, wait):
    """Take the lock of an open file within ``wait`` seconds; return False on a file system that has no locks."""
    end = clock() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except (IOError, OSError) as error:
            if error.errno not in BUSY:
                return False
        if clock() >= end:
            raise Busy()
        time.sleep(POLL)


@contextlib.contextmanager
def held(path, wait=0.0):
    """Hold the lock of a file or directory that is there; yield its descriptor.

    Raises Busy when another process holds it for longer than ``wait`` seconds, OSError when ``path`` is a symlink. A
    network file system without locks is used without one.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | getattr(os, "O_CLOEXEC", 0))
    try:
        taken(descriptor, wait)
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path):
    """Return whether another process holds the lock of a file, which may be absent; True where nobody can tell."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        return not taken(descriptor, 0.0)
    except Busy:
        return True
    finally:
        os.close(descriptor)
