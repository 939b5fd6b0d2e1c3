"""HTTP as the fetch engine needs it: ranges, bounded JSON, credentials for one origin, one-sentence errors.

Standard library only, Python >= 3.6. Proxies come from the environment (HTTPS_PROXY, NO_PROXY).
"""

import base64
import email.utils
import http.client
import json
import netrc
import os
import random
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, Optional, Tuple

from .errors import Denied, FetchError, Missing, Transient
from .urls import origin, public

JSON_LIMIT = 32 << 20  # bytes; the largest listings of public hubs are a few MB
LONGEST_WAIT = 300.0  # seconds; a server that asks for more gets this
LONGEST_BACKOFF = 60.0  # seconds
AGAIN = (408, 425, 429, 500, 502, 503, 504)
PARTIAL, DENIED, MISSING, BEYOND = 206, (401, 403), (404, 410), 416


class Beyond(FetchError):
    """The range begins at or after the end of the file (416)."""


class _SameOriginOnly(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but hand no Authorization on to another origin: hubs redirect to signed URLs of a CDN."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # noqa: PLR0917 (urllib's)
        """Return the next request, or raise FetchError for a redirect to anything but http and https."""
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and origin(req.full_url) != origin(newurl):
            following.headers = {
                k: v for k, v in following.headers.items() if k.lower() in ("range", "accept", "user-agent")
            }
        return following


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https only: no file:, ftp: or data: URL of a server's choosing."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameOriginOnly(),
    ):
        opener.add_handler(handler)
    return opener


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()


def netrc_login(host: str) -> Optional[Tuple[str, str]]:
    """Return (user, password) for a host from $NETRC or ~/.netrc, or None; an unreadable file counts as none."""
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        # Not authenticators(): a default entry would go to every host that a server names, a CDN among them.
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (found[0], found[2] or "") if found else None


def netrc_fault() -> str:
    """Return why $NETRC or ~/.netrc gives no login although it is there, ready to stand in brackets; '' otherwise."""
    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        netrc.netrc(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        return "; %s can not be read: %s" % (path, (error.strerror or str(error)).lower())
    except netrc.NetrcParseError as error:  # its words may hold a password
        return "; %s is no netrc file: line %s" % (path, error.lineno)
    return ""


def login_in(url: str) -> Optional[Tuple[str, str]]:
    """Return (user, password) that a URL carries, or None."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return None
    return urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")


def wait_asked(headers: Any) -> Optional[float]:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or a date), or None."""
    value = (headers.get("Retry-After") or "").strip()
    if value.isdigit():
        return min(float(value), LONGEST_WAIT)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, IndexError):
        return None
    return min(max(0.0, moment - time.time()), LONGEST_WAIT)


def reason_of(error: BaseException) -> str:
    """Return why a connection failed, in a few words and without the URL."""
    inner = getattr(error, "reason", None)
    cause = inner if isinstance(inner, BaseException) else error
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return text.splitlines()[0][:200].rstrip(".").lower()


class Client:
    """Asks servers. ``authorization`` is sent to the origin of ``home`` only, a login of netrc to its own host only."""

    def __init__(self, home: str, authorization: str = "", timeout: float = 60.0) -> None:
        """Take the login out of ``home`` if it carries one and no other is given. ``timeout`` is in seconds."""
        login = login_in(home)
        self.home, self.timeout = origin(home), timeout
        self.authorization = authorization or (basic(*login) if login else "")
        self.opener = _opener()

    def headers_for(self, url: str) -> Dict[str, str]:
        """Return the credentials that go to this URL."""
        if self.authorization and origin(url) == self.home:
            return {"Authorization": self.authorization}
        login = netrc_login(origin(url)[1])
        return {"Authorization": basic(*login)} if login else {}

    def open(self, url: str, headers: Dict[str, str], data: Optional[bytes] = None, method: str = "") -> Any:
        """Return the response; raises Denied, Missing, Transient or FetchError with the public part of the URL."""
        origin(url)
        given = {name.lower() for name in headers}
        sent = headers if "authorization" in given else dict(self.headers_for(url), **headers)
        parts = urllib.parse.urlsplit(url)
        clean = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        where = public(url)
        request = urllib.request.Request(clean, data=data, headers=sent, method=method or None)
        request.add_header("User-Agent", "fastchat-fleet")
        try:
            return self.opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            raise self.refusal(where, error, "Authorization" in sent) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
                raise FetchError(
                    "the certificate of %s is not trusted (%s): install its authority on this host."
                    % (where, reason_of(error))
                ) from None
            raise Transient("%s did not answer: %s." % (where, reason_of(error))) from None

    @staticmethod
    def refusal(where: str, error: urllib.error.HTTPError, with_login: bool) -> FetchError:
        """Return the error that an HTTP status stands for; hubs say in a header of their own what they mind."""
        if error.code in DENIED:
            said = re.sub(r"\s+", " ", error.headers.get("X-Error-Message") or "")[:200].strip().rstrip(".")
            seen = "HTTP %d%s" % (error.code, ", " + said if said else "")
            if with_login:
                return Denied(
                    "%s refused the request with the login that was given (%s): give one that may read it."
                    % (where, seen)
                )
            return Denied(
                "%s refused the request, and no login was given (%s): give a token or a netrc entry that may read it."
                % (where, seen + netrc_fault())
            )
        if error.code in MISSING:
            return Missing("%s does not exist (HTTP %d): check URL and revision." % (where, error.code))
        if error.code == BEYOND:
            return Beyond("%s is shorter than what is here (HTTP %d)." % (where, error.code))
        if error.code in AGAIN:
            return Transient("%s answered HTTP %d." % (where, error.code), wait_asked(error.headers))
        return FetchError("%s answered HTTP %d, wanted 200." % (where, error.code))

    def json(self, url: str, headers: Dict[str, str], data: Optional[bytes] = None) -> Tuple[Any, Any]:
        """Return (decoded JSON, response headers) of at most 32 MiB."""
        with self.open(url, headers, data) as response:
            try:
                body = response.read(JSON_LIMIT + 1)
            except (OSError, http.client.HTTPException) as error:
                raise Transient("%s broke off its answer: %s." % (public(url), reason_of(error))) from None
        if len(body) > JSON_LIMIT:
            raise FetchError("%s answered more than %d bytes of JSON: check the URL." % (public(url), JSON_LIMIT))
        try:
            return json.loads(body.decode("utf-8")), response.headers
        except (ValueError, RecursionError):
            kind = response.headers.get("Content-Type") or "without a type"
            raise FetchError(
                "%s answered no JSON (%s, %d bytes): check the URL." % (public(url), kind[:80], len(body))
            ) from None

    def range(self, url: str, headers: Dict[str, str], offset: int, size: int) -> Tuple[Any, int]:
        """Return (response, offset it starts at): 0 when the server ignores the range, ``offset`` when it does not."""
        asked = dict(headers, Range="bytes=%d-" % offset) if offset else headers
        try:
            response = self.open(url, asked)
        except Beyond:  # the local file is as long as the remote one, or longer: compare it with the whole
            response = self.open(url, headers)
        if response.status != PARTIAL:
            start, total = 0, response.headers.get("Content-Length")
        else:
            match = re.match(r"bytes (\d+)-\d+/(\d+|\*)$", response.headers.get("Content-Range") or "")
            start, total = (int(match.group(1)), match.group(2)) if match else (-1, None)
            if start != offset:
                response.close()
                raise FetchError(
                    "%s answered the range %r, asked for from byte %d: correct the server or the proxy before it."
                    % (public(url), (response.headers.get("Content-Range") or "")[:80], offset)
                )
        if size >= 0 and total is not None and total.isdigit() and int(total) != size:
            response.close()
            if (response.headers.get("Content-Type") or "").startswith("text/html"):
                raise FetchError(
                    "%s answered a web page (text/html, %s bytes), wanted a file of %d: read what it says."
                    % (public(url), total, size)
                )
            raise FetchError(
                "%s has %s bytes, wanted %d: correct the source, or the size that is wanted."
                % (public(url), total, size)
            )
        return response, start


def retried(action: Callable[[], Any], retries: int) -> Any:
    """Return what ``action`` returns, calling it again up to ``retries`` times while it raises Transient."""
    for attempt in range(retries + 1):
        try:
            return action()
        except Transient as error:
            if attempt == retries:
                raise FetchError("%s (%d attempts)." % (str(error).rstrip("."), attempt + 1)) from None
            time.sleep(backoff(attempt, error.wait))
    raise AssertionError("unreachable")


def backoff(attempt: int, wait: Optional[float]) -> float:
    """Return the seconds to wait after the attempt of this number (from 0): exponential, jittered, at least ``wait``.

    The jitter keeps a fleet whose mirror was restarted from coming back at the same moment.
    """
    doubled = min(LONGEST_BACKOFF, 0.5 * 2.0**attempt)
    return max(wait or 0.0, 0.0) + doubled * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


def text_of(mapping: Dict[str, Any], key: str) -> str:
    """Return a string out of a server's JSON object, '' when it is absent or something else."""
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def whole_of(mapping: Dict[str, Any], key: str) -> int:
    """Return a whole number >= 0 out of a server's JSON object, -1 when it is absent or something else."""
    value = mapping.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else -1
