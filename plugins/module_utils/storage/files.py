"""Write files so that a kill or a power cut leaves the old content or the new one. Python 2.7 and 3.

A file is written as ``<name>.part`` beside its final name. Its content is synced, then it is renamed, and then the
directory is synced. A killed writer leaves ``<name>.part`` behind, which the next writer replaces.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import json
import os
import shutil

PART = ".part"


def make_folders(path):
    """Make a directory, and those above it that are missing; everybody may read them, whatever the umask is."""
    if os.path.isdir(path):
        return
    make_folders(os.path.dirname(os.path.abspath(path)))
    try:
        os.mkdir(path)
    except OSError:
        if not os.path.isdir(path):  # another process made it meanwhile
            raise
    else:
        os.chmod(path, 0o755)  # noqa: S103  (what is below has modes of its own)


def remove(path):
    """Remove a file or symlink that may be absent."""
    try:
        os.remove(path)
    except (IOError, OSError) as error:
        if error.errno != errno.ENOENT:
            raise


def sync_file(path):
    """Write a file's content, or a directory's names, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder):
    """Make new names in a directory outlive a power cut."""
    sync_file(folder)


def sync_tree(top):
    """Write every file below a directory, and the directories, through to the disk."""
    for parent, _folders, names in os.walk(top):
        for name in names + ["."]:
            sync_file(os.path.join(parent, name))


def rename(part, path):
    """Give a file that is on the disk its final name, and write the name through as well."""
    os.rename(part, path)
    sync_folder(os.path.dirname(path) or ".")


def point(path, target):
    """Make a symlink lead to a target, as it is written in the link, in one step."""
    part = path + PART
    remove(part)
    os.symlink(target, part)
    rename(part, path)


def write(path, data, mode=0o644, durable=True, prepare=None):
    """Replace a file's content (bytes) in one step; ``mode`` is set whatever the umask is.

    ``prepare`` is called with the path of the complete ``.part`` before that gets the final name, to give it an owner.
    When not ``durable``, nothing is synced. This is for files that nobody misses after a power cut, such as progress.
    """
    part = path + PART
    remove(part)  # never write through a link or into somebody else's file
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if prepare:
            prepare(part)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if durable:
        rename(part, path)
    else:
        os.rename(part, path)


def append(path, data):
    """Append a line (bytes) to a journal and write it through; its reader ignores a line that a kill has cut."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_bytes(value, indent=2):
    """Return a value as the text of a JSON file, keys sorted, in ASCII; Python 2.7 writes the same bytes as 3."""
    return json.dumps(value, indent=indent, sort_keys=True, separators=(",", ": ")).encode("utf-8") + b"\n"


def write_json(path, value, durable=True):
    """Replace a JSON file in one step."""
    write(path, json_bytes(value), durable=durable)


def link_or_copy(source, path):
    """Give a file a second name, or copy it to another file system, in one step; the source may be a symlink."""
    part, real = path + PART, os.path.realpath(source)
    remove(part)
    try:
        os.link(real, part)
    except OSError:  # another file system, or a directory on it that is not ours
        shutil.copyfile(real, part)
        os.chmod(part, 0o644)
    sync_file(part)
    rename(part, path)
