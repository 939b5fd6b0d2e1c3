"""Serve a release to the fleet: as web server and tracker, as seeder, or as rsync daemon. Python >= 3.9."""

import hashlib
import json
import os
import sys

from ..addresses.joining import base_url, canonical
from .aria2 import seeder
from .content import wrong
from .processes import PROGRAMS, await_port, start, stop
from .torrent import torrent_of, with_tracker
from .users import write_for_group


def rsync_daemon(release, address, port, fleet):
    """Return the text of a configuration that lets only the fleet read, and only one release."""
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


def torrent_info(release, manifest, cache):
    """Return the bencoded info of a release, from the cache or made now; ValueError when a file is not what it was."""
    if os.path.exists(cache):
        with open(cache, "rb") as stream:
            return stream.read()
    damaged = wrong(release, manifest)
    if damaged:
        raise ValueError("%s in %s is not what its manifest says: repair the release first." % (damaged[0], release))
    info, _ = torrent_of(release, manifest, os.path.basename(release), os.urandom(16).hex())
    os.makedirs(os.path.dirname(cache), 0o755, exist_ok=True)
    write_for_group(cache, info)
    return info


def serve(state, method, release, manifest, address, *, ports, fleet, lifetime, cache, source, limit=0, user=None):
    """Start the source's programs for a method; return the torrent (bytes; b'' for other methods than p2p).

    ``ports`` has http, peer and rsync; ``limit`` is bytes per second; ``source`` is the text of web_server.py.
    """
    stop_serving(state)
    fleet = sorted({canonical(host) for host in (address, *fleet)})  # as a connection says it
    if method == "rsync":
        config = write_for_group(
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
        "names": sorted(
            manifest["files"]
        ),  # also for p2p, because a host that lacks a few files does not join the swarm
    }
    if method == "p2p":
        info = torrent_info(release, manifest, cache)
        settings["info_hash"] = hashlib.sha1(info, usedforsecurity=False).hexdigest()
    program = write_for_group(os.path.join(state, "weights_server.py"), source.encode(), user)
    config = write_for_group(os.path.join(state, "server.json"), json.dumps(settings).encode(), user)
    start(state, "server", [sys.executable, "-sE", program, config], lifetime, user)
    await_port(state, "server", address, ports["http"])
    if method == "p2p":
        info = with_tracker(info, base_url(address, ports["http"]) + "/announce")
        torrent = write_for_group(os.path.join(state, "release.torrent"), info, user)
        start(state, "aria2", seeder(torrent, os.path.dirname(release), address, ports["peer"], limit), lifetime, user)
        await_port(state, "aria2", address, ports["peer"])
    return info


def stop_serving(state):
    """End all that serve or receive started; return whether there was anything."""
    return any([stop(state, what) for what in PROGRAMS])
