"""Receive a release from the fleet: join the swarm, or fetch over HTTP or rsync, then seal it. Python >= 3.9."""

import http
import os
import shutil
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from ..storage.digests import BLOCK
from ..storage.files import remove
from .aria2 import receiver
from .content import THREADS, sizes, swarm_done, total_size, wrong
from .processes import alive, start, stop, tail
from .users import identity, write_for_group

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the fleet is not behind the site's proxy


def join(state, folder, manifest, torrent, address, *, port, lifetime, stall, limit=0, user=None):
    """Start receiving from the swarm unless that runs already; return whether it was started."""
    path, control, before = os.path.join(state, "release.torrent"), folder + ".aria2", b""
    if os.path.exists(path):
        with open(path, "rb") as stream:
            before = stream.read()
    if before == torrent and alive(state, "aria2"):
        return False
    stop(state, "aria2")
    if before != torrent:
        remove(control)  # it belongs to one torrent only
    # aria2 keeps a control file until it has everything. Without one, a file of full length may still have holes.
    if os.path.isdir(folder) and not os.path.exists(control):
        drop(folder, wrong(folder, manifest))
    write_for_group(path, torrent, user)
    command = receiver(path, os.path.dirname(folder), address, port, limit=limit, stall=stall)
    start(state, "aria2", command, lifetime, user)
    return True


def drop(folder, names):
    """Remove the files of these names that are there."""
    for name in names:
        remove(os.path.join(folder, name))


def await_swarm(state, folder, manifest, stall, poll=0.5):
    """Wait until aria2 has every piece; RuntimeError with one sentence when it ended before."""
    while not swarm_done(folder, manifest):
        if not alive(state, "aria2") and not swarm_done(folder, manifest):
            raise RuntimeError(unfinished(folder, manifest, stall, tail(state, "aria2")))
        time.sleep(poll)


def unfinished(folder, manifest, stall, said):
    """Return the sentence for a transfer that ended too early."""
    return (
        "%s has %d of %d bytes and for %d seconds no host sent more; what is there is kept. See that the builder "
        "answers and run this again: it goes on there. The last words were: %s"
        % (folder, sizes(folder, manifest), total_size(manifest), stall, said or "none")
    )


def one_file(url, path, size, wait):
    """Fetch a file by HTTP, from where an earlier try stopped; OSError when it can not go on."""
    have = os.path.getsize(path) if os.path.exists(path) else 0
    if have >= size:
        return
    asked = urllib.request.Request(url, headers={"Range": "bytes=%d-" % have} if have else {})
    with DIRECT.open(asked, timeout=wait) as answer, open(path, "ab") as stream:
        if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            stream.truncate(0)  # a mirror without ranges sends the whole file again
        shutil.copyfileobj(answer, stream, BLOCK)
    if os.path.getsize(path) < size:
        raise OSError("%s ended after %d of %d bytes" % (url, os.path.getsize(path), size))


def persistent(action, progress, stall, pause=1.0):
    """Call an action until it does not raise OSError; RuntimeError when nothing came for ``stall`` seconds."""
    last, since = progress(), time.monotonic()
    while True:
        try:
            return action()
        except OSError as error:
            now = progress()
            if now > last:
                last, since, pause = now, time.monotonic(), 1.0
            elif time.monotonic() - since > stall:
                raise RuntimeError(str(error))
            time.sleep(pause)
            pause = min(pause * 2, 15)


def fetch_http(base, folder, manifest, stall):
    """Fetch the files of a release below a URL, several at once; RuntimeError with one sentence."""

    def one(name):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        size = manifest["files"][name]["size"]
        action = lambda: one_file("%s/%s" % (base, quote(name)), path, size, min(60, stall))  # noqa: E731
        persistent(action, lambda: os.path.getsize(path) if os.path.exists(path) else 0, stall)

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, sorted(manifest["files"])))
    except RuntimeError as error:
        raise RuntimeError(unfinished(folder, manifest, stall, str(error)))


def fetch_rsync(url, folder, manifest, stall, *, limit=0, user=None):
    """Fetch a manifest's files from an rsync daemon, again and again until all are there; RuntimeError, one sentence.

    ``--append`` goes on where a cut file ends; what that trusts is judged by sha256 afterwards.
    """
    command = ["rsync", "--append", "--timeout=%d" % min(60, stall), "--bwlimit=%d" % (limit // 1024)]
    command += ["--from0", "--files-from=-", url, folder + "/"]
    names = "\0".join(sorted(manifest["files"]))

    def once():
        done = subprocess.run(command, input=names, capture_output=True, text=True, check=False, **identity(user))
        if done.returncode:
            raise OSError(" ".join(done.stderr.split())[-400:])

    try:
        persistent(once, lambda: sizes(folder, manifest), stall)
    except RuntimeError as error:
        raise RuntimeError(unfinished(folder, manifest, stall, str(error)))


def seal(folder, manifest):
    """Give a received directory to root, make it readable and check it by sha256; return the wrong files.

    Nobody else can write it when it is checked. Wrong files and unlisted ones are removed, and the next run receives
    the wrong ones again.
    """
    for name, about in manifest["files"].items():
        if not about["size"]:
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            open(os.path.join(folder, name), "ab").close()
    # This goes from the top down: once a directory is root's, nobody can replace a file in it meanwhile.
    os.chown(os.path.dirname(folder), os.geteuid(), os.getegid())
    for parent, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            path = os.path.join(parent, name)
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
            if os.path.islink(path) or (name in files and os.path.relpath(path, folder) not in manifest["files"]):
                os.remove(path)
            else:
                os.chmod(path, 0o644 if name in files else 0o755)
    damaged = wrong(folder, manifest)
    drop(folder, damaged)
    return damaged
