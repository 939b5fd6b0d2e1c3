"""A release over HTTP, and the tracker of its swarm, for the fleet's addresses only. Python >= 3.9, nothing else.

Also a program, ``weights_server.py config.json`` on the host, because it outlives the Ansible module that starts it.
Its text is copied there, so it imports nothing of ours.
"""

import ipaddress
import json
import os
import random
import re
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlsplit

# Seconds for which a silent connection may hold a thread. A reader that stalled comes back with a Range.
IDLE = 60
# Seconds between announces, and after how long without one a peer is no longer named to others.
INTERVAL, GONE = 5, 30


def info_hash_of(query):
    """Return the 20 raw bytes of ``info_hash`` in a query, or b'': it is percent-encoded binary, not UTF-8 text."""
    for pair in query.split("&"):
        if pair.startswith("info_hash="):
            return unquote_to_bytes(pair[len("info_hash=") :])
    return b""


def compact(peers, version):
    """Return peers of one IP version as BEP 23 (v4) or BEP 7 (v6) wants: packed address and port, both big-endian."""
    chosen = [(ipaddress.ip_address(address), port) for address, port in peers]
    return b"".join(a.packed + port.to_bytes(2, "big") for a, port in chosen if a.version == version)


class Tracker:
    """Tracks the peers of one info-hash. A peer's address is that of its request, never what it claims."""

    def __init__(self, info_hash, clock=time.monotonic):
        """Keep the info-hash (20 bytes) and the clock (seconds)."""
        self.info_hash, self.clock, self.seen = info_hash, clock, {}

    def announce(self, address, query):
        """Record one announce (BEP 3) and return the bencoded answer with at most ``numwant`` of the other peers."""
        if info_hash_of(query) != self.info_hash:
            return b"d14:failure reason13:unknown swarme"
        fields = {key: values[0] for key, values in parse_qs(query, encoding="latin-1").items()}
        peer = (address, int(fields["port"]))
        now = self.clock()
        # setdefault, pop and list() are one step each under the interpreter's lock: no thread sees half of one.
        self.seen[peer] = now
        if fields.get("event") == "stopped":
            self.seen.pop(peer, None)
        others = [p for p, at in list(self.seen.items()) if p[0] != address and now - at < GONE]
        others = random.sample(others, min(len(others), max(0, int(fields.get("numwant", 50)))))
        four, six = compact(others, 4), compact(others, 6)
        answer = b"d8:intervali%de5:peers%d:%s" % (INTERVAL, len(four), four)
        return answer + (b"6:peers6%d:%s" % (len(six), six) if six else b"") + b"e"


def asked_range(header, size):
    """Return the first byte asked for by ``bytes=<first>-``, 0 without a header, None when it is beyond the file."""
    found = re.fullmatch(r"bytes=(\d+)-", header or "")
    first = int(found.group(1)) if found else 0
    return first if first < size or first == size == 0 else None


def opened_below(root, name):
    """Open a file of a release for reading without following a link in any part of its name."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        *parents, last = name.split("/")
        for parent in parents:
            deeper = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.fdopen(os.open(last, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb")
    finally:
        os.close(folder)


class Handler(BaseHTTPRequestHandler):
    """GET of ``/<digest>/<file of the manifest>`` and of ``/announce``; all else is 404, all other hosts get 403."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def do_GET(self):  # noqa: N802 (the name that http.server calls)
        """Answer one request."""
        parts = urlsplit(self.path)
        prefix, path = "/%s/" % self.server.digest, unquote(parts.path)
        name = path[len(prefix) :] if path.startswith(prefix) else ""
        if self.client_address[0] not in self.server.allowed:
            self.send_error(403)
        elif parts.path == "/announce" and self.server.tracker:
            self.announce(parts.query)
        elif name in self.server.names:
            self.file(name)
        else:
            self.send_error(404)

    def announce(self, query):
        """Answer an announce."""
        try:
            body = self.server.tracker.announce(self.client_address[0], query)
        except (KeyError, ValueError):
            return self.send_error(400)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def file(self, name):
        """Send one file, from the byte asked for to its end."""
        try:
            stream = opened_below(self.server.root, name)
        except OSError:
            return self.send_error(404)
        with stream:
            size = os.fstat(stream.fileno()).st_size
            first = asked_range(self.headers["Range"], size)
            if first is None:
                return self.send_error(416)
            self.send_response(206 if self.headers["Range"] else 200)
            self.send_header("Content-Length", str(size - first))
            if self.headers["Range"]:
                self.send_header("Content-Range", "bytes %d-%d/%d" % (first, size - 1, size))
            self.end_headers()
            self.connection.sendfile(stream, first)

    def log_message(self, form, *values):
        """Log refusals only, without the query, which has the info-hash."""
        if form.startswith('"%s"') and not str(values[1]).startswith("2"):
            print(self.client_address[0], urlsplit(self.path).path, values[1], file=sys.stderr)


class Server(ThreadingHTTPServer):
    """Listens on one address; a thread a connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *, address, port, root, digest, names, allowed, info_hash=""):
        """Serve these names below root to these addresses; track the swarm when an info-hash (hexadecimal) is given."""
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)
        self.root, self.digest, self.names, self.allowed = root, digest, frozenset(names), frozenset(allowed)
        self.tracker = Tracker(bytes.fromhex(info_hash)) if info_hash else None

    def handle_error(self, request, client_address):
        """Log in one line that a reader went away. It comes back and resumes."""
        print("%s went away: %s" % (client_address[0], sys.exc_info()[1]), file=sys.stderr)


if __name__ == "__main__":
    with open(sys.argv[1]) as config:
        Server(**json.load(config)).serve_forever()
