"""Read a request, and make of it the one that FastChat gets."""

import json

from .checks import BODY_LIMIT, MOST_SHOWN, REQUIRED, shown
from .errors import Refused


async def read(receive):
    """Return the body of a request, or refuse one that is too large."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise Refused(f"The body has more than {BODY_LIMIT} bytes.", 413)
    return body


def no_constant(name):
    """Refuse NaN and the infinities, which Python reads as JSON and nobody else does."""
    raise Refused(f"The body has {name}, which is not JSON.")


def finite(digits):
    """Return a number; a float that is too large would come out infinite, and a long integer takes its time."""
    value = float(digits)
    if abs(value) == float("inf") or len(digits) > MOST_SHOWN:
        raise Refused("The body has a number that is too large.")
    return int(digits) if digits.lstrip("-").isdigit() else value


def forwarded(path, body, wanted):
    """Return what of a request's body (bytes) FastChat gets, as bytes, or raise Refused with one sentence.

    Of ``wanted``, as ``checks`` gives it, null means the default, as it does at OpenAI; FastChat would hand it on.
    Parameters that FastChat does not know are left out, as FastChat does.
    """
    try:
        asked = json.loads(body.decode("utf-8"), parse_constant=no_constant, parse_float=finite, parse_int=finite)
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.") from None
    if not isinstance(asked, dict):
        raise Refused(f"The body is {shown(asked)}, wanted an object.")
    found = {name: check(name, asked[name]) for name, check in wanted[path].items() if asked.get(name) is not None}
    for name in wanted[path]:
        if name in REQUIRED and name not in found:
            raise Refused(f"{name} is missing.")
    return json.dumps(found).encode()


def scope_for(scope, body):
    """Return the ASGI scope of a request that has this body instead: no query, no key, headers that fit."""
    ours = (b"content-length", b"content-type", b"authorization")
    headers = [pair for pair in scope["headers"] if pair[0] not in ours]
    headers += [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    return {**scope, "headers": headers, "query_string": b""}


def replayed(body, receive):
    """Return a ``receive`` that gives this body first."""
    given = []

    async def replay():
        if given:
            return await receive()
        given.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
