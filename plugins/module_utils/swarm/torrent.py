"""The torrent of a release: its pieces, its info-hash, its file. Reads only. Python >= 3.9."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from .content import THREADS

# The swarm is fast when every host soon has pieces that others lack. So there are many pieces, but not so many that
# their hashes (20 bytes each, sent to every host over ssh) grow large. 14 GB gives 2 MiB and 140 kB of hashes.
PIECE_LEAST, PIECES_MOST = 1 << 18, 8192


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
