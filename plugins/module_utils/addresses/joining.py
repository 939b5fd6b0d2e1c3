"""The one place in which a host and a port are joined. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import socket


def canonical(host):
    """Return an IPv6 address in the one form in which systemd and sockets say it (fd00::11); all else as it is."""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))
    except (OSError, IOError, ValueError):  # socket.error is the last but one in Python 2.7; a name, or fe80::1%eth0
        return host


def is_loopback(address):
    """Return whether an address reaches nobody but the host itself, as 127.0.1.1 does."""
    return address.startswith("127.") or address in ("::1", "localhost")


def bracketed(host):
    """Return a host as it stands in a URL: an IPv6 address (of which only those have a colon) in brackets, once."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    return "[%s]" % canonical(bare) if ":" in bare else host


def authority(host, port):
    """Return host:port as it stands in a URL, a listen directive or a socket unit; an IPv6 address in brackets."""
    return "%s:%s" % (bracketed(host), port)


def base_url(host, port, scheme="http"):
    """Return scheme://host:port without a slash at its end; an IPv6 address in brackets."""
    return "%s://%s" % (scheme, authority(host, port))
