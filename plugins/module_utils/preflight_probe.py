"""What a host says about ports, names and disk space. Python 2.7 and 3; nothing here changes anything."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import io
import os
import re
import socket

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


def driver_of(text):
    """Return the version in the text of ``/proc/driver/nvidia/version``, '' when there is none."""
    found = re.search(r"Kernel Module(?: for \S+)?\s+([\d.]+)", text)
    return found.group(1) if found else ""


def gpus(root="/proc/driver/nvidia"):
    """Return {"driver": version or '', "count": number of GPUs} as the NVIDIA kernel module tells it."""
    cards, version = os.path.join(root, "gpus"), os.path.join(root, "version")
    if not os.path.exists(version):
        return {"driver": "", "count": 0}
    with io.open(version, encoding="utf-8") as stream:
        return {"driver": driver_of(stream.read()), "count": len(os.listdir(cards)) if os.path.isdir(cards) else 0}


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
