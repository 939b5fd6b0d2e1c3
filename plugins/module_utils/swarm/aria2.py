"""The command lines of aria2c for the host that has the release and for those that receive it. Pure. Python >= 3.9."""


def aria2(torrent, folder, address, port, limit, *more):
    """Return the aria2c command of one peer, which seeds until it is stopped; limit is bytes per second each way."""
    return [
        "aria2c",
        "--no-conf=true",
        "--dir=%s" % folder,
        # Listens on this address only, and leaves from it: the tracker knows a peer by where it comes from.
        "--interface=%s" % address,
        "--listen-port=%d" % port,
        "--http-proxy=",  # the tracker is the fleet's own, whatever proxy the host has
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
        # Files are sparse: room is checked before the first byte, and a resumed file by its pieces' hashes.
        "--file-allocation=none",
        "--disk-cache=32M",
        "--summary-interval=0",
        "--console-log-level=warn",
        "--show-console-readout=false",
        *more,
        torrent,
    ]


def seeder(torrent, releases, address, port, limit):
    """Return the command of the source. It trusts its own files, which were hashed when the torrent was made.

    Three peers at a time: what they have is rarest first, so they pass it on, and the source sends less of it twice
    (bench/distribute.py: 1.6 times the file with all 16 connected, 1.4 times with three).
    """
    more = ["--bt-seed-unverified=true", "--allow-overwrite=true", "--bt-max-peers=3"]
    return aria2(torrent, releases, address, port, limit, *more)


def receiver(torrent, folder, address, port, *, limit, stall):
    """Return a receiver's command. It checks present files by hash and ends after ``stall`` seconds without a byte.

    ``--bt-hash-check-seed`` stays on: without it a peer that finds itself complete leaves at once.
    """
    return aria2(
        torrent,
        folder,
        address,
        port,
        limit,
        "--check-integrity=true",
        "--auto-save-interval=1",  # this is also how soon the control file of a finished file is removed
        "--bt-stop-timeout=%d" % stall,
    )
