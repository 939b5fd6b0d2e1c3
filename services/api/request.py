"""Read a request, and make of it the one that FastChat gets."""

import asyncio
import json
from collections import namedtuple

from .checks import BODY_LIMIT, MOST_SHOWN, shown
from .errors import Refused
from .parameters import REQUIRED

# ``body`` is what FastChat gets (a dict); ``usage``: a stream ends with it; ``base64``: embeddings are written so.
Asked = namedtuple("Asked", "body usage base64")


class Client:
    """The client's side of a request: its body is read once, then it is watched for having left."""

    def __init__(self, receive):
        """Take ASGI's ``receive``."""
        self.receive, self.left = receive, asyncio.Event()

    async def read(self):
        """Return the body of a request, or refuse one that is too large."""
        body, more = b"", True
        while more:
            message = await self.receive()
            body += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
            if len(body) > BODY_LIMIT:
                raise Refused(f"The body has more than {BODY_LIMIT} bytes: send less text.", 413)
        return body

    async def wait(self):
        """Return when the client has left (or has all of its answer); from here on nobody else may ``receive``."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    def replayed(self, body):
        """Return a ``receive`` that gives this body first, and says so when the client has left."""
        given = []

        async def replay():
            if given:
                await self.left.wait()
                return {"type": "http.disconnect"}
            given.append(True)
            return {"type": "http.request", "body": body, "more_body": False}

        return replay


def no_constant(name):
    """Refuse NaN and the infinities, which Python reads as JSON and nobody else does."""
    raise Refused(f"The body has {name}, which is not JSON: write a number.")


def finite(digits):
    """Return a number; a float that is too large would come out infinite, and a long integer takes its time."""
    value = float(digits)
    if abs(value) == float("inf") or len(digits) > MOST_SHOWN:
        raise Refused("The body has a number that is too large: write a smaller one.")
    return int(digits) if digits.lstrip("-").isdigit() else value


def each_once(pairs):
    """Return an object; JSON lets a name stand there twice, and all but the last value would be dropped in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for at, (name, _value) in enumerate(pairs) if name in dict(pairs[:at]))
        raise Refused(f"The body has {shown(twice)} twice in one object: send it once.")
    return found


READ = {"parse_constant": no_constant, "parse_float": finite, "parse_int": finite, "object_pairs_hook": each_once}


def parsed(body):
    """Return the object that a body (bytes) is; some clients write a byte order mark before it."""
    if body.startswith(b"\x1f\x8b"):
        raise Refused("The body is compressed, wanted JSON as it is: send it without Content-Encoding.")
    try:
        asked = json.loads(body.decode("utf-8-sig"), **READ)
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} is 0x{body[error.start]:02x}"
        raise Refused(f"The body is not UTF-8 ({byte}), wanted JSON in UTF-8: have your client encode it so.") from None
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON, wanted an object in JSON.") from None
    if not isinstance(asked, dict):
        raise Refused(f"The body is {shown(asked)}, wanted an object.")
    return asked


def understood(path, body, wanted):
    """Return what a request's body (bytes) asks for, or raise Refused with one sentence and the parameter's name.

    Of ``wanted``, as ``checks`` gives it, null means the default, as it does at OpenAI; FastChat would hand it on.
    """
    asked, found = parsed(body), {}
    for name in asked:
        if name not in wanted[path]:
            sentence = f"{shown(name)} is no parameter of {path}. Leave it out."
            raise Refused(sentence, param=name[:MOST_SHOWN], code="unknown_parameter")
    for name, check in wanted[path].items():
        try:
            value = None if asked.get(name) is None else check(name, asked[name])
        except Refused as refused:
            refused.param = name
            raise
        if value is not None:
            found[name] = value
        elif name in REQUIRED:
            raise Refused(f"{name} is missing: add it to the body.", param=name, code="missing_required_parameter")
    return for_fastchat(found)


def for_fastchat(found):
    """Return Asked for parameters that are right one by one: what some of them mean together, in FastChat's names."""
    options, base64 = found.pop("stream_options", None), found.pop("encoding_format", "float") == "base64"
    limit = found.pop("max_completion_tokens", None)
    if limit is not None and found.setdefault("max_tokens", limit) != limit:
        sentence = f"max_completion_tokens is {limit} and max_tokens is {found['max_tokens']}: send one of them."
        raise Refused(sentence, param="max_completion_tokens")
    if not found.get("stream"):
        if options is not None:
            raise Refused("stream_options is for streams only: set stream, or leave it out.", param="stream_options")
    elif found.get("logprobs") is not None:
        raise Refused("logprobs is not served in a stream. Leave it out.", param="logprobs")
    elif found.get("best_of", 1) != 1:
        raise Refused("best_of is not served in a stream. Leave it out.", param="best_of")
    return Asked(found, bool(options and options["include_usage"]), base64)


def scope_for(scope, body):
    """Return the ASGI scope of a request that has this body instead: no query, no key, headers that fit."""
    ours = (b"content-length", b"content-type", b"authorization")
    headers = [pair for pair in scope["headers"] if pair[0] not in ours]
    headers += [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    return {**scope, "headers": headers, "query_string": b""}
