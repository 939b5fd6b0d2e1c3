"""A release: one directory of weights, described by its ``manifest.json``. Python 2.7 and 3.

``manifest.json`` is the same on every host: ``{"inputs": {}, "files": {name: {"size": bytes, "sha256": hex digits}}}``.
``.times.json`` beside it is this host's own: ``{name: mtime in nanoseconds}`` when a file was last known to be right,
so that a file is read again only when somebody touched it.
"""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import errno
import hashlib
import io
import json
import os
import shutil
from multiprocessing.pool import ThreadPool  # hashlib lets other threads run while it hashes

BLOCK = 1 << 20
MANIFEST, TIMES = "manifest.json", ".times.json"
RECORD = "conversion.json"  # of weights_convert, with times of its sources in it: only staging needs it
# A run that was killed may have left the parts.
OURS = (MANIFEST, TIMES, MANIFEST + ".part", TIMES + ".part", RECORD)


class ReleaseError(Exception):
    """One sentence: what was found, what is wanted, what to do."""


def sha256_of(path):
    """Return the hexadecimal sha256 of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with io.open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def time_of(path):
    """Return the time of the last change of a file's content, in nanoseconds (Python 2.7: rounded to microseconds)."""
    status = os.stat(path)
    return getattr(status, "st_mtime_ns", int(status.st_mtime * 1000000) * 1000)


def files_below(folder):
    """Return the sorted relative names of all regular files below a directory, without those that are ours."""
    names = []
    for parent, _folders, files in os.walk(folder):
        names += [os.path.relpath(os.path.join(parent, name), folder) for name in files]
    return sorted(name for name in names if name not in OURS)


def described(folder, known=None):
    """Return {relative name: {"size": bytes, "sha256": hexadecimal}} of a directory.

    ``known`` has such entries of files that were hashed while they were written; one whose size still fits is not read
    again.
    """
    known, entries = known or {}, {}
    for name in files_below(folder):
        path = os.path.join(folder, name)
        size = os.path.getsize(path)
        right = name in known and known[name]["size"] == size
        entries[name] = {"size": size, "sha256": known[name]["sha256"] if right else sha256_of(path)}
    return entries


def read_json(path, absent=None):
    """Return the content of a JSON file; ``absent`` when it is not there."""
    try:
        with io.open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (IOError, OSError) as error:
        if error.errno != errno.ENOENT:
            raise
        return absent
    except ValueError as error:
        raise ReleaseError("%s is not JSON (%s); remove its directory and run again." % (path, error))


def write_json(path, value):
    """Write a JSON file through to the disk, in one step."""
    with io.open(path + ".part", "wb") as stream:
        stream.write(json.dumps(value, indent=2, sort_keys=True).encode("utf-8") + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(path + ".part", path)


def suspects(folder, manifest):
    """Return (names that are missing or have another size, names that were touched since they were last right)."""
    times, wrong, touched = read_json(os.path.join(folder, TIMES), {}), [], []
    for name, entry in sorted(manifest["files"].items()):
        path = os.path.join(folder, name)
        if not os.path.isfile(path) or os.path.getsize(path) != entry["size"]:
            wrong.append(name)
        elif times.get(name) != time_of(path):
            touched.append(name)
    return wrong, touched


def damaged(folder, manifest, full=False, note=True):
    """Return the sorted names of the files that are not what the manifest says.

    Sizes and times are compared, and what was touched is read again; with ``full`` everything is, in parallel. A file
    that turns out right has its time noted (unless ``note`` is false), so that the next look is cheap.
    """
    wrong, touched = suspects(folder, manifest)
    unread = [name for name in sorted(manifest["files"]) if name not in wrong] if full else touched
    if not unread:
        return wrong
    pool = ThreadPool(min(8, len(unread)))
    try:
        digests = pool.map(lambda name: sha256_of(os.path.join(folder, name)), unread)
    finally:
        pool.close()
    found = dict(zip(unread, digests))  # noqa: B905  (Python 2.7 has no strict)
    bad = [name for name in unread if found[name] != manifest["files"][name]["sha256"]]
    if note and (touched or bad):
        note_times(folder, [name for name in manifest["files"] if name not in wrong and name not in bad])
    return sorted(wrong + bad)


def note_times(folder, names):
    """Write down the times of files that are known to be right."""
    write_json(os.path.join(folder, TIMES), dict((name, time_of(os.path.join(folder, name))) for name in names))


def synced(folder):
    """Write every file below a directory, and the directories, through to the disk."""
    for parent, _folders, files in os.walk(folder):
        for name in files + ["."]:
            descriptor = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def made_readable(folder):
    """Let the service read what root wrote under whatever umask; a hard link is somebody else's file and stays so."""
    for parent, _folders, files in os.walk(folder):
        os.chmod(parent, 0o755)  # noqa: S103  (weights are no secret)
        for name in files:
            path = os.path.join(parent, name)
            if os.stat(path).st_nlink == 1:
                os.chmod(path, 0o644)


def publish(root, digest, source, manifest):
    """Rename one finished directory to ``releases/<digest>`` with its manifest and flip ``current`` to it.

    Everything is on the disk before it gets its name. A broken release of that name is mended file by file, so that a
    service that reads it meanwhile finds each file either old or new.
    """
    release = os.path.join(root, "releases", digest)
    write_json(os.path.join(source, MANIFEST), manifest)
    made_readable(source)
    note_times(source, manifest["files"])
    synced(source)
    if not os.path.isdir(os.path.dirname(release)):
        os.makedirs(os.path.dirname(release), 0o755)
    if os.path.isdir(release):
        replace_files(release, source)
    else:
        os.rename(source, release)
    flip(root, digest)
    if os.path.isfile(os.path.join(release, RECORD)):
        os.remove(os.path.join(release, RECORD))  # not before: it tells a conversion that its target is finished
    if os.path.isdir(source):
        os.rename(source, source + ".part")  # half removed, it must not look finished
        shutil.rmtree(source + ".part", ignore_errors=True)


def replace_files(release, source):
    """Put each file of a finished directory in the place of a release's own, its manifest last; drop what is left over.

    Hard links, so that the source stays whole: a run that is killed in between does all of it again.
    """
    linked(release, source, files_below(source) + [TIMES, MANIFEST])
    for name in set(files_below(release)) - set(files_below(source)):
        os.remove(os.path.join(release, name))


def linked(release, source, names):
    """Put files of a directory in the place of a release's own, each in one step; what is linked from there stays."""
    for name in names:
        final, beside = os.path.join(release, name), os.path.join(release, name + ".new")
        if not os.path.isdir(os.path.dirname(beside)):
            os.makedirs(os.path.dirname(beside), 0o755)
        if os.path.lexists(beside):
            os.remove(beside)
        if os.path.exists(final) and os.path.samefile(os.path.join(source, name), final):
            continue
        os.link(os.path.join(source, name), beside)
        os.rename(beside, final)


def mended(root, digest, source, names):
    """Put files that were compared with a release's manifest in the place of its damaged ones, and make it current.

    The manifest stays. Hard links, so that the source stays whole: a run that is killed in between does it again.
    """
    release = os.path.join(root, "releases", digest)
    made_readable(source)
    synced(source)
    linked(release, source, names)
    times = read_json(os.path.join(release, TIMES), {})
    times.update((name, time_of(os.path.join(release, name))) for name in names)
    write_json(os.path.join(release, TIMES), times)
    synced(release)
    flip(root, digest)


def current(root):
    """Return the digest that ``current`` points to, '' when there is none."""
    link = os.path.join(root, "current")
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else ""


def flip(root, digest):
    """Point ``current`` to a release in one step; return whether it pointed elsewhere."""
    if current(root) == digest:
        return False
    beside = os.path.join(root, "current.part")
    if os.path.lexists(beside):
        os.remove(beside)
    os.symlink(os.path.join("releases", digest), beside)
    os.rename(beside, os.path.join(root, "current"))
    # The time of the directory is the time of its last use: what pruning and rollback go by.
    os.utime(os.path.join(root, "releases", digest), None)
    return True


def by_use(root):
    """Return the digests of all whole releases, the last used first."""
    folder = os.path.join(root, "releases")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    whole = [name for name in names if os.path.isfile(os.path.join(folder, name, MANIFEST))]
    return sorted(whole, key=lambda name: (name == current(root), time_of(os.path.join(folder, name))), reverse=True)


def superfluous(root, keep):
    """Return the digests beyond the last ``keep`` releases; the current one is never among them."""
    return [name for name in by_use(root)[max(1, keep) :] if name != current(root)]


def differences(before, after, path=""):
    """Return "key: value before -> value after" for what differs in two dictionaries, keys of nested ones dotted."""
    said = []
    for key in sorted(set(before) | set(after)):
        pair, name = (before.get(key), after.get(key)), path + key
        if pair[0] == pair[1]:
            continue
        if all(isinstance(value, dict) for value in pair):
            said += differences(pair[0], pair[1], name + ".")
        else:
            said.append("%s: %s -> %s" % ((name,) + tuple(json.dumps(value, sort_keys=True) for value in pair)))
    return said


def inputs_of(root, digest):
    """Return what a release was made from, {} when its manifest does not say."""
    return (read_json(os.path.join(root, "releases", digest, MANIFEST), {}) if digest else {}).get("inputs", {})


def previous(root):
    """Return the digest to roll back to; raise ReleaseError when there is none."""
    others = [name for name in by_use(root) if name != current(root)]
    if not others:
        raise ReleaseError(
            "%s has no release besides %s, wanted one to roll back to; publish it again."
            % (root, current(root) or "none")
        )
    return others[0]
