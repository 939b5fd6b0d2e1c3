"""What a host says about ports, names, disk space and interpreters. Python 2.7 and 3; nothing here changes anything."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import ctypes
import errno
import os
import re
import socket
import subprocess

# Columns of /proc/net/tcp, see proc(5).
LOCAL, STATE, UID = 1, 3, 7
LISTENING = "0A"


def listeners(text):
    """Return {port: uid of the owner} of the listening sockets in the text of ``/proc/net/tcp`` or ``tcp6``."""
    found = {}
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) > UID and columns[STATE] == LISTENING:
            found[int(columns[LOCAL].rsplit(":", 1)[1], 16)] = int(columns[UID])
    return found


def address_of(name):
    """Return the first address that a name resolves to on this host, '' when it does not."""
    try:
        return socket.getaddrinfo(name, None)[0][4][0]
    except (socket.error, UnicodeError):
        return ""


def glibc():
    """Return the version of this host's C library, such as 2.17; '' when it is not the GNU one.

    Asked of the library itself: Python 2.7 knows no CS_GNU_LIBC_VERSION, and its libc_ver() guesses from its own file.
    """
    try:
        ask = ctypes.CDLL(None).gnu_get_libc_version
    except AttributeError:
        return ""
    ask.restype = ctypes.c_char_p
    return ask().decode("ascii")


def python_answer(path):
    """Return (version, fault) of a Python interpreter that is started once; both are '' when none is under this path.

    The version is one such as 3.11.2, '' when it does not run or does not say it. The fault is why one that is there
    does not run, in the system's or its own words.
    """
    code = "import platform; print(platform.python_version())"
    try:
        process = subprocess.Popen([path, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said, cried = [text.decode("utf-8", "replace") for text in process.communicate()]
    except OSError as error:
        return "", "" if error.errno == errno.ENOENT and not os.path.lexists(path) else error.strerror
    if process.returncode:
        words = [line.strip() for line in cried.split("\n") if line.strip()]
        return "", words[-1][:200] if words else "it ends with %d" % process.returncode
    return said.strip() if re.match(r"\d+\.\d+", said.strip()) else "", ""


def used_mb(folder):
    """Return what the files below a directory take on disk, in MiB; 0 when it is not there."""
    blocks = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                blocks += os.lstat(os.path.join(parent, name)).st_blocks
            except OSError:  # a file that went away while we looked
                continue
    return blocks * 512 // (1 << 20)


def free_mb(folder):
    """Return (device number, free MiB for root) of the file system that holds a directory or its nearest parent."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    space = os.statvfs(folder)
    return os.stat(folder).st_dev, space.f_bavail * space.f_frsize // (1 << 20)
