"""Publish a directory of weights as a release, put repaired files in place, and flip ``current``. Python 2.7 and 3.

All that is written here goes to ``releases/<digest>`` and ``current`` of one model.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import shutil

from ..storage.files import PART, link_or_copy, make_folders, point, remove, rename, sync_tree, write_json
from .history import current
from .manifest import MANIFEST, RECORD, TIMES, files_below, note_times, read_json, time_of


def make_readable(folder):
    """Make files readable for the service, whatever root's umask was. Hard links keep their mode."""
    for parent, _folders, files in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  (weights are no secret)
        for name in files:
            path = os.path.join(parent, name)
            if os.stat(path).st_nlink == 1:
                os.chmod(path, 0o644)


def publish(root, digest, source, manifest):
    """Rename one finished directory to ``releases/<digest>`` with its manifest and flip ``current`` to it.

    Everything is on the disk before it gets its name. A broken release of that name is repaired file by file, so that a
    service that reads it meanwhile finds each file either old or new.
    """
    release = os.path.join(root, "releases", digest)
    write_json(os.path.join(source, MANIFEST), manifest)
    make_readable(source)
    note_times(source, manifest["files"])
    sync_tree(source)
    make_folders(os.path.dirname(release))
    if os.path.isdir(release):
        replace_files(release, source)
    else:
        rename(source, release)
    flip(root, digest)
    remove(os.path.join(release, RECORD))  # last, because it tells a conversion that its target is finished
    if os.path.isdir(source):
        os.rename(source, source + PART)  # a half removed directory must not look finished
        shutil.rmtree(source + PART, ignore_errors=True)


def replace_files(release, source):
    """Replace each file of a release with that of a finished directory, the manifest last; remove the others.

    Files are hard-linked, so that the source stays whole and a killed run can do it again.
    """
    link_files(release, source, files_below(source) + [TIMES, MANIFEST])
    for name in set(files_below(release)) - set(files_below(source)):
        os.remove(os.path.join(release, name))


def link_files(release, source, names):
    """Replace files of a release with those of a directory, each in one step; files that are linked already stay."""
    for name in names:
        final = os.path.join(release, name)
        make_folders(os.path.dirname(final))
        remove(final + PART)
        if not (os.path.exists(final) and os.path.samefile(os.path.join(source, name), final)):
            link_or_copy(os.path.join(source, name), final)


def put_repaired(root, digest, source, names):
    """Replace the damaged files of a release with files that match its manifest, and make it current.

    The manifest stays. Files are hard-linked, so that the source stays whole and a killed run can do it again.
    """
    release = os.path.join(root, "releases", digest)
    make_readable(source)
    sync_tree(source)
    link_files(release, source, names)
    times = read_json(os.path.join(release, TIMES), {})
    times.update((name, time_of(os.path.join(release, name))) for name in names)
    write_json(os.path.join(release, TIMES), times)
    sync_tree(release)
    flip(root, digest)


def flip(root, digest):
    """Point ``current`` to a release in one step; return whether it pointed elsewhere."""
    if current(root) == digest:
        return False
    point(os.path.join(root, "current"), os.path.join("releases", digest))
    # The directory's time is the time of its last use, by which pruning and rollback choose.
    os.utime(os.path.join(root, "releases", digest), None)
    return True
