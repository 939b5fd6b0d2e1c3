"""The one place in which a host and a port are joined. Python 2.7 and 3."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type


def bracketed(host):
    """Return a host as it stands in a URL: an IPv6 address (of which only those have a colon) in brackets, once."""
    return "[%s]" % host if ":" in host and not host.startswith("[") else host


def authority(host, port):
    """Return host:port as it stands in a URL, a listen directive or a socket unit; an IPv6 address in brackets."""
    return "%s:%s" % (bracketed(host), port)


def base_url(host, port, scheme="http"):
    """Return scheme://host:port without a slash at its end; an IPv6 address in brackets."""
    return "%s://%s" % (scheme, authority(host, port))
