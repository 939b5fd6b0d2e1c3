"""Say how far a long work is, in a small file that others read meanwhile. Python 2.7 and 3.

The file is one JSON object in FOLDER, which is in memory and empty after a boot; a user other than root has a folder of
their own. It is replaced at most once a second, nothing is synced, and where it can not be written the work goes on.
It holds numbers of bytes and files, no names and no secrets.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import contextlib
import os
import stat
import tempfile
import threading
import time

from .files import remove, write_json

FOLDER = "/run/fastchat-progress"
EVERY = 1.0  # seconds
WINDOW = 10  # seconds that the rate is taken over
OLD = 60  # seconds after which a report was left by a work that was killed


def folder_of(user):
    """Return the folder in which a user (a number) reports."""
    if user == 0:
        return FOLDER
    return os.path.join(tempfile.gettempdir(), "fastchat-progress-%d" % user)


def report(facts, folder=None):
    """Replace this process's report; return whether that worked. Nothing is raised for the sake of a report."""
    try:
        folder = folder or folder_of(os.geteuid())
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o755)
        about = os.lstat(folder)
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False  # somebody else's folder, or a link
        write_json(os.path.join(folder, "%d.json" % os.getpid()), dict(facts, at=int(time.time())), durable=False)
    except (IOError, OSError, ValueError):
        return False
    return True


def withdraw(folder=None):
    """Remove this process's report, and those that killed works left."""
    folder = folder or folder_of(os.geteuid())
    try:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            mine = name.split(".")[0] == str(os.getpid())
            if mine or time.time() - os.lstat(path).st_mtime > OLD:
                remove(path)
    except (IOError, OSError):
        return


class Meter(object):
    """Turns the bytes that are done into facts: their rate over the last ten seconds, and the seconds that remain."""

    def __init__(self, total):
        """``total`` in bytes, 0 when it is not known."""
        self.total, self.samples = total, []

    def facts(self, done, moved=None):
        """Return {bytes_done, bytes_total, bytes_per_second, seconds_remaining}; the last may be None.

        The rate is that of the bytes ``moved``: all that are done, unless some of these were there before.
        """
        now, moved = time.time(), done if moved is None else moved
        self.samples = [one for one in self.samples if 0 <= now - one[0] <= WINDOW] + [(now, moved)]
        then, before = self.samples[0]
        rate = max(0, (moved - before) / (now - then)) if now > then else 0
        left = max(0, self.total - done)
        return {
            "bytes_done": done,
            "bytes_total": self.total,
            "bytes_per_second": int(rate),
            "seconds_remaining": int(left / rate) if rate and self.total else None,
        }


@contextlib.contextmanager
def reported(total, measure, folder=None):
    """Report each second while the block runs; ``measure()`` returns the bytes that are done, and must be cheap."""
    ended, meter = threading.Event(), Meter(total)

    def tell():
        while True:
            try:
                told = report(meter.facts(measure()), folder)
            except Exception:  # what is measured may vanish while it is measured
                told = True
            if not told or ended.wait(EVERY):
                return

    teller = threading.Thread(target=tell)
    teller.daemon = True
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join(EVERY)
        withdraw(folder)
