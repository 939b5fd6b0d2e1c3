"""From one host to all: torrent, seeding and receiving of a release. Python >= 3.9 (the runtime's interpreter)."""

import contextlib
import hashlib
import http
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

BLOCK = 1 << 20
# The swarm is fast when every host soon has something that others lack: many pieces, but not so many that their
# hashes (20 bytes each, sent to every host over ssh) grow large. 14 GB gives 2 MiB and 140 kB of hashes.
PIECE_LEAST, PIECES_MOST = 1 << 18, 8192
THREADS = 4
PROGRAMS = ("server", "aria2", "rsync")


# --- the torrent -----------------------------------------------------------------------------------------------------


def bencoded(value):
    """Return BEP 3's encoding of integers, strings, lists and dictionaries with string keys."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l%se" % b"".join(bencoded(item) for item in value)
    return b"d%se" % b"".join(bencoded(key) + bencoded(value[key]) for key in sorted(value, key=str.encode))


def piece_length(total):
    """Return the bytes of a piece: a power of two, at least 256 KiB, with at most 8192 pieces."""
    length = PIECE_LEAST
    while length * PIECES_MOST < total:
        length *= 2
    return length


def spans(files, length):
    """Return for each piece its list of (file name, offset, bytes): pieces run on over the ends of files (BEP 3)."""
    pieces, room = [], 0
    for name, size in files:
        offset = 0
        while offset < size:
            if not room:
                pieces.append([])
                room = length
            part = min(room, size - offset)
            pieces[-1].append((name, offset, part))
            offset, room = offset + part, room - part
    return pieces


def piece_hash(folder, piece):
    """Return the raw sha1 of one piece."""
    digest = hashlib.sha1(usedforsecurity=False)  # BEP 3's; what is published is checked by sha256 afterwards
    for name, offset, size in piece:
        with open(os.path.join(folder, name), "rb") as stream:
            stream.seek(offset)
            digest.update(stream.read(size))
    return digest.digest()


def torrent_of(folder, manifest, name, salt):
    """Return (bencoded info, its info-hash in hexadecimal) of the files that a manifest lists.

    The salt keeps the info-hash, without which no peer answers, from being computed from public weights. Empty files
    and the manifest itself are left out: receiving writes them.
    """
    files = [(entry, about["size"]) for entry, about in sorted(manifest["files"].items()) if about["size"]]
    length = piece_length(sum(size for _, size in files))
    with ThreadPoolExecutor(THREADS) as pool:
        hashes = b"".join(pool.map(lambda piece: piece_hash(folder, piece), spans(files, length)))
    info = {
        "name": name,
        "piece length": length,
        "pieces": hashes,
        "private": 1,  # BEP 27: peers come from the tracker alone
        "source": salt,
        "files": [{"length": size, "path": entry.split("/")} for entry, size in files],
    }
    raw = bencoded(info)
    return raw, hashlib.sha1(raw, usedforsecurity=False).hexdigest()


def with_tracker(info, url):
    """Return the torrent file around a bencoded info."""
    return b"d8:announce%s4:info%se" % (bencoded(url), info)


# --- processes that end by themselves ------------------------------------------------------------------------


def alive(state, what):
    """Return the process group of a program started here that still runs, else 0.

    The start time of /proc/<pid>/stat (field 22, proc(5)) tells it from another process that got its number.
    """
    try:
        with open(os.path.join(state, what + ".pid")) as stream:
            pid, began = stream.read().split()
        return int(pid) if began == started_at(pid) else 0
    except (OSError, ValueError, IndexError):
        return 0


def started_at(pid):
    """Return when a process started, in clock ticks since boot, as text; OSError when it is gone, '' for a zombie."""
    with open("/proc/%s/stat" % pid) as stream:
        fields = stream.read().rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def start(state, what, command, lifetime, user=None):
    """Start a program of its own session that ends after ``lifetime`` seconds, whoever is there to stop it or not."""
    with open(os.path.join(state, what + ".log"), "ab") as log:
        child = subprocess.Popen(
            ["timeout", "--kill-after=10", str(lifetime)] + command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=state,
            **identity(user),
        )
    with open(os.path.join(state, what + ".pid"), "w") as stream:
        stream.write("%d %s" % (child.pid, started_at(child.pid)))


def await_port(state, what, address, port, patience=15):
    """Wait until a program started here listens; RuntimeError with its last words when it ended or never does."""
    until = time.monotonic() + patience
    while alive(state, what) and time.monotonic() < until:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(
        "%s does not listen on %s port %d: %s" % (what, address, port, tail(state, what) or "no reason given")
    )


def identity(user):
    """Return the arguments with which subprocess becomes a user; none when we are that user or may not change."""
    if not user or os.geteuid() or pwd.getpwnam(user).pw_uid == os.geteuid():
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def stop(state, what, patience=10):
    """End a program started here, and all it started; return whether there was one."""
    group = alive(state, what)
    if not group:
        return False
    os.killpg(group, signal.SIGTERM)
    until = time.monotonic() + patience
    while alive(state, what):
        if time.monotonic() > until:
            os.killpg(group, signal.SIGKILL)
        time.sleep(0.05)
    return True


def tail(state, what, size=400):
    """Return the end of a program's log as one line."""
    try:
        with open(os.path.join(state, what + ".log"), "rb") as stream:
            return " ".join(stream.read()[-size:].decode(errors="replace").split())
    except OSError:
        return ""


@contextlib.contextmanager
def acting_as(user):
    """Let all threads of this process read, write and start programs as a user for a while, when we are root."""
    if not identity(user):
        yield
        return
    account, groups = pwd.getpwnam(user), os.getgroups()
    os.setgroups([])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def own_all(folder, user):
    """Give a directory that a broken-off run had sealed already back to the user who receives."""
    if not identity(user):
        return
    account = pwd.getpwnam(user)
    for parent, folders, files in os.walk(folder):
        for name in [".", *folders, *files]:
            os.chown(os.path.join(parent, name), account.pw_uid, account.pw_gid, follow_symlinks=False)


def owned(folder, user=None):
    """Make a directory, this user's when one is given, and return its path."""
    os.makedirs(folder, 0o755, exist_ok=True)
    if user and not os.geteuid():
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    return folder


# --- serving ---------------------------------------------------------------------------------------------------------


def aria2(torrent, folder, address, port, limit, *more):
    """Return the aria2c command of one peer, which seeds until it is stopped; limit is bytes per second each way."""
    return [
        "aria2c",
        "--no-conf=true",
        "--dir=%s" % folder,
        # Listens on this address only, and leaves from it: the tracker knows a peer by where it comes from.
        "--interface=%s" % address,
        "--listen-port=%d" % port,
        "--enable-dht=false",
        "--enable-dht6=false",
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=false",
        "--disable-ipv6=%s" % ("false" if ":" in address else "true"),
        "--follow-torrent=false",
        "--seed-ratio=0.0",
        # Without it, one announce that fails (a source that restarts) is tried again only after two minutes.
        "--bt-tracker-interval=5",
        "--bt-max-open-files=50",
        "--max-overall-upload-limit=%d" % limit,
        "--max-overall-download-limit=%d" % limit,
        # Sparse files: room is checked before the first byte, and a resumed file is judged by its pieces' hashes.
        "--file-allocation=none",
        "--disk-cache=32M",
        "--summary-interval=0",
        "--console-log-level=warn",
        "--show-console-readout=false",
        *more,
        torrent,
    ]


def seeder(torrent, releases, address, port, limit):
    """Return the source's command: it trusts its own files, whose sha256 were compared when the torrent was made.

    Three peers at a time: what they have is rarest first, so they pass it on, and the source sends less of it twice
    (bench/distribute.py: 1.6 times the file with all 16 connected, 1.4 times with three).
    """
    more = ["--bt-seed-unverified=true", "--allow-overwrite=true", "--bt-max-peers=3"]
    return aria2(torrent, releases, address, port, limit, *more)


def receiver(torrent, folder, address, port, *, limit, stall):
    """Return a receiver's command: what is there is judged by its hashes; ``stall`` seconds without a byte end it.

    ``--bt-hash-check-seed`` stays on: without it a peer that finds itself complete leaves at once.
    """
    return aria2(
        torrent,
        folder,
        address,
        port,
        limit,
        "--check-integrity=true",
        "--auto-save-interval=1",  # also how soon the control file of a finished file goes
        "--bt-stop-timeout=%d" % stall,
    )


def rsync_daemon(release, address, port, fleet):
    """Return the text of a configuration that lets the fleet read one release, and nobody anything else."""
    return """port = %d
address = %s
use chroot = no
list = no
read only = yes
[release]
path = %s
hosts allow = %s
hosts deny = *
""" % (port, address, release, " ".join(fleet))


def written(path, content, group=None):
    """Write a small file that only its owner and this group may read."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as stream:
        stream.write(content)
    os.chmod(path, 0o640)
    if group and not os.geteuid():
        shutil.chown(path, 0, pwd.getpwnam(group).pw_gid)
    return path


def torrent_info(release, manifest, cache):
    """Return the bencoded info of a release, from the cache or made now; ValueError when a file is not what it was."""
    if os.path.exists(cache):
        with open(cache, "rb") as stream:
            return stream.read()
    damaged = wrong(release, manifest)
    if damaged:
        raise ValueError("%s in %s is not what its manifest says: mend the release first." % (damaged[0], release))
    info, _ = torrent_of(release, manifest, os.path.basename(release), os.urandom(16).hex())
    os.makedirs(os.path.dirname(cache), 0o755, exist_ok=True)
    os.rename(written(cache + ".part", info), cache)
    return info


def serve(state, method, release, manifest, address, *, ports, fleet, lifetime, cache, source, limit=0, user=None):
    """Start what the source runs for a method; return the torrent (bytes; b'' but for p2p).

    ``ports`` has http, peer and rsync; ``limit`` is bytes per second; ``source`` is the text of weights_server.py.
    """
    stop_serving(state)
    fleet = sorted({address, *fleet})
    if method == "rsync":
        config = written(
            os.path.join(state, "rsyncd.conf"), rsync_daemon(release, address, ports["rsync"], fleet).encode(), user
        )
        start(state, "rsync", ["rsync", "--daemon", "--no-detach", "--config=" + config], lifetime, user)
        await_port(state, "rsync", address, ports["rsync"])
        return b""
    info, digest = b"", os.path.basename(release)
    settings = {
        "address": address,
        "port": ports["http"],
        "root": release,
        "digest": digest,
        "allowed": fleet,
        "names": sorted(manifest["files"]),  # with p2p too: who lacks a few files does not join a swarm
    }
    if method == "p2p":
        info = torrent_info(release, manifest, cache)
        settings["info_hash"] = hashlib.sha1(info, usedforsecurity=False).hexdigest()
    program = written(os.path.join(state, "weights_server.py"), source.encode(), user)
    config = written(os.path.join(state, "server.json"), json.dumps(settings).encode(), user)
    start(state, "server", [sys.executable, "-sE", program, config], lifetime, user)
    await_port(state, "server", address, ports["http"])
    if method == "p2p":
        host = "[%s]" % address if ":" in address else address
        info = with_tracker(info, "http://%s:%d/announce" % (host, ports["http"]))
        torrent = written(os.path.join(state, "release.torrent"), info, user)
        start(state, "aria2", seeder(torrent, os.path.dirname(release), address, ports["peer"], limit), lifetime, user)
        await_port(state, "aria2", address, ports["peer"])
    return info


def stop_serving(state):
    """End all that serve or receive started; return whether there was anything."""
    return any([stop(state, what) for what in PROGRAMS])


# --- receiving -------------------------------------------------------------------------------------------------------


def sizes(folder, manifest):
    """Return the bytes that are on the disk of the files of a manifest; holes do not count."""
    total = 0
    for name, about in manifest["files"].items():
        try:
            total += min(os.stat(os.path.join(folder, name)).st_blocks * 512, about["size"])
        except OSError:
            pass
    return total


def total_size(manifest):
    """Return the bytes of a release."""
    return sum(about["size"] for about in manifest["files"].values())


def sha256_matches(path, about):
    """Return whether a regular file has the size and sha256 of its entry in the manifest."""
    if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) != about["size"]:
        return False
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest() == about["sha256"]


def wrong(folder, manifest):
    """Return the sorted names of files that are missing or not what the manifest says, hashing several at once."""
    names = sorted(manifest["files"])
    with ThreadPoolExecutor(THREADS) as pool:
        fine = pool.map(lambda name: sha256_matches(os.path.join(folder, name), manifest["files"][name]), names)
    return [name for name, good in zip(names, fine) if not good]  # noqa: B905 (strict= is 3.10's)


def shortage(folder, manifest):
    """Return one sentence when the rest of a release does not fit, else ''."""
    wanted = total_size(manifest) - sizes(folder, manifest)
    free = shutil.disk_usage(os.path.dirname(folder)).free
    if wanted <= free:
        return ""
    return "%s needs %d MB more and has %d MB free." % (folder, wanted / 1e6, free / 1e6)


def join(state, folder, manifest, torrent, address, *, port, lifetime, stall, limit=0, user=None):
    """Start receiving from the swarm unless it goes on already; return whether it was started."""
    path, control, before = os.path.join(state, "release.torrent"), folder + ".aria2", b""
    if os.path.exists(path):
        with open(path, "rb") as stream:
            before = stream.read()
    if before == torrent and alive(state, "aria2"):
        return False
    stop(state, "aria2")
    if before != torrent and os.path.exists(control):
        os.remove(control)  # it belongs to one torrent
    # aria2 keeps a control file until it has everything. Without one, a file of full length may still have holes.
    if os.path.isdir(folder) and not os.path.exists(control):
        drop(folder, wrong(folder, manifest))
    written(path, torrent, user)
    command = receiver(path, os.path.dirname(folder), address, port, limit=limit, stall=stall)
    start(state, "aria2", command, lifetime, user)
    return True


def drop(folder, names):
    """Remove the files of these names that are there."""
    for name in names:
        if os.path.lexists(os.path.join(folder, name)):
            os.remove(os.path.join(folder, name))


def swarm_done(folder, manifest):
    """Return whether aria2 has every piece: its control file is gone and each file has its length."""
    lengths = {name: about["size"] for name, about in manifest["files"].items() if about["size"]}
    paths = {name: os.path.join(folder, name) for name in lengths}
    full = all(os.path.isfile(paths[name]) and os.path.getsize(paths[name]) == lengths[name] for name in lengths)
    return full and not os.path.exists(folder + ".aria2")


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
    with urllib.request.urlopen(asked, timeout=wait) as answer, open(path, "ab") as stream:
        if have and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            stream.truncate(0)  # a mirror without ranges begins again
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
    """Make a received directory root's, as readable as a release, and judge it by sha256; return what was wrong.

    Nobody else can write it when it is judged. Wrong files and what no manifest lists are removed: the next run
    receives the former again.
    """
    for name, about in manifest["files"].items():
        if not about["size"]:
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            open(os.path.join(folder, name), "ab").close()
    # From the top: once a directory is ours, nobody exchanges what is in it between a look and a step.
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
