"""Show URLs in messages without secrets, and find the origin that credentials belong to. Python >= 3.6."""

import re
import urllib.parse
from typing import Tuple

from .errors import FetchError


def public(url: str) -> str:
    """Return a URL without the parts that may be secret: user, password, query, fragment."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def origin(url: str) -> Tuple[str, str, int]:
    """Return (scheme, host, port): credentials for one origin go to no other.

    Raises FetchError for what is no http or https URL, so that no answer of a server makes us open a local file.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        if parts.hostname and not re.search(r"[\x00-\x20\x7f]", url):
            return parts.scheme, parts.hostname, port
    except (ValueError, KeyError):
        pass
    raise FetchError("%r is no http or https URL: correct it, or serve the weights over one." % public_or_text(url))


def public_or_text(url: str) -> str:
    """Return ``public(url)``, or the first characters of a text that does not parse."""
    try:
        return public(url)
    except ValueError:
        return url[:40]
