"""FastChat's OpenAI API server, unpatched, behind a guard: ``fleet_api.py --host --port --controller-address``.

FastChat (0.2.15 to 0.2.36) hands a request on to a worker nearly as it came. There a wrong type or an empty prompt ends
in an exception that nobody catches, and each one loses a concurrency slot of that worker for ever. The guard reads each
request first and forwards only what it understood, so that workers get well-formed requests whatever clients send.

When the controller, or the worker that it chose, can not be reached, FastChat answers an error at once although another
worker would do. As long as nothing was sent to the client, the guard asks again: the controller takes a dead worker out
of dispatch within a second.
"""

import argparse
import asyncio
import errno
import json
import re
import socket
import sys
import time

MESSAGE_ROLES = ("system", "user", "assistant")
# Below, logits divided by it leave fp16's range: on a GPU sampling then fails an assertion, which costs the process.
COLDEST = 0.01
BODY_LIMIT = 524288
AGAIN_SECONDS = 10.0
MOST_MESSAGES = 1000
MOST_SHOWN = 40  # characters of a value, digits of a number
OK = 200
# FastChat's codes in an error's body (fastchat.constants.ErrorCode, 0.2.15 to 0.2.36).
INVALID_MODEL, INTERNAL_ERROR = 40301, 50001
# How often a request may reach a worker that then breaks off: one that kills workers must not go through all of them.
MOST_BEGUN = 2
# Then the controller, which asks each second, has noticed. (Through a tunnel a dead worker's port takes connections.)
NOTICED_SECONDS = 1.5
# What aiohttp and httpx say in FastChat's code 50001 when a worker was never reached, and when the connection to it
# broke. Anything else with that code is the worker's own answer, and would be given again.
UNREACHED = re.compile(r"Cannot connect to host|All connection attempts failed|Connection timeout to host")
BROKEN = re.compile(
    r"Server disconnected|Connection (reset|lost|closed|timed out)|payload is not completed|Errno 11[03]"
)
# A host without power says nothing any more, and FastChat would wait three hours for the rest of its answer: the kernel
# asks a silent connection after 10 s, and gives it up after three questions 5 s apart. (A hung process's kernel does
# answer.)
KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
# Nor does it take what was sent (then the kernel does not ask, and would send it again for 15 minutes), or a connection
# (which the kernel asks for after 1, 3, 7, 15, 31 ... s). tcp(7)
TAKEN_MILLISECONDS = 25000
CONNECT_SECONDS = 3
# Names, so that neither library has to be there: ancestors of every error of a connection in aiohttp and httpx.
UNREACHED_ERRORS = {
    "ClientConnectorError",
    "ServerTimeoutError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionRefusedError",
}
BROKEN_ERRORS = {"ClientConnectionError", "ClientPayloadError", "TransportError", "ConnectionError"}


class Refused(Exception):
    """A request that is answered here; ``status`` is HTTP's."""

    def __init__(self, message, status=400, kind="invalid_request_error"):
        """Take the sentence, HTTP's status, and the kind of error as OpenAI names it."""
        super().__init__(message)
        self.status, self.kind = status, kind


# --- What a request may say ------------------------------------------------------------------------------------------


def shown(value):
    """Return a value as a message may quote it: short, and never a whole prompt."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "nested too deeply"
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def number(lowest, highest, extra=()):
    """Return a check for a number between two bounds, or one of some others."""

    def check(name, value):
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not right or not (lowest <= value <= highest or value in extra):
            also = "".join(f"{one} or " for one in extra)
            raise Refused(f"{name} is {shown(value)}, wanted {also}a number from {lowest} to {highest}.")
        return value

    return check


def integer(lowest, highest, extra=()):
    """Return a check for an integer, as ``number``."""

    def check(name, value):
        if not isinstance(value, int):
            raise Refused(f"{name} is {shown(value)}, wanted an integer.")
        return number(lowest, highest, extra)(name, value)

    return check


def boolean(name, value):
    """Return a boolean or refuse."""
    if not isinstance(value, bool):
        raise Refused(f"{name} is {shown(value)}, wanted true or false.")
    return value


def text(longest, shortest=1):
    """Return a check for text of some length that can be written as UTF-8."""

    def check(name, value):
        if not isinstance(value, str):
            raise Refused(f"{name} is {shown(value)}, wanted text.")
        if not shortest <= len(value) <= longest:
            raise Refused(f"{name} has {len(value)} characters, wanted {shortest} to {longest}.")
        if re.search("[\ud800-\udfff]", value):
            raise Refused(f"{name} has half of a surrogate pair, which is no character.")
        return value

    return check


def one_of(*wanted):
    """Return a check for one of some words."""

    def check(name, value):
        if value not in wanted:
            raise Refused(f"{name} is {shown(value)}, wanted one of: {', '.join(wanted)}.")
        return value

    return check


def texts(most, longest):
    """Return a check for text, or a list of it."""

    def check(name, value):
        if not isinstance(value, list):
            return text(longest)(name, value)
        if not 1 <= len(value) <= most:
            raise Refused(f"{name} has {len(value)} entries, wanted 1 to {most}.")
        if all(isinstance(entry, (int, list)) for entry in value):
            # FastChat would ask the internet for OpenAI's tokenizer, whose numbers are not the model's.
            raise Refused(f"{name} is given in tokens, wanted text.")
        return [text(longest)(f"{name}[{at}]", entry) for at, entry in enumerate(value)]

    return check


def content(name, value):
    """Return a message's content as text: parts are joined as FastChat does, what is not text is refused."""
    if not isinstance(value, list):
        return text(BODY_LIMIT, 0)(name, value)
    if not value:
        raise Refused(f"{name} is an empty list, wanted text.")
    pieces = []
    for at, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            # Workers open an image's address themselves, be it a file of theirs or a neighbour's URL (FastChat #3873).
            raise Refused(f"{name}[{at}] is of type {shown(kind)}, wanted text: nothing else is served here.")
        pieces.append(text(BODY_LIMIT, 0)(f"{name}[{at}].text", part.get("text")))
    return "\n".join(pieces)


def messages(name, value):
    """Return a chat's messages with role and text only."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MESSAGES:
        raise Refused(f"{name} is {shown(value)}, wanted a list of 1 to {MOST_MESSAGES} messages.")
    found = []
    for at, message in enumerate(value):
        if not isinstance(message, dict):
            raise Refused(f"{name}[{at}] is {shown(message)}, wanted an object with role and content.")
        role = one_of(*MESSAGE_ROLES)(f"{name}[{at}].role", message.get("role"))
        found.append({"role": role, "content": content(f"{name}[{at}].content", message.get("content"))})
    return found


def checks(answers):
    """Return {path: {parameter: its check}}; ``answers`` is the most that ``n`` may ask for."""
    sampling = {
        "temperature": number(COLDEST, 2, extra=(0,)),
        "top_p": number(0, 1),
        "top_k": integer(1, 1000, extra=(-1,)),
        "n": integer(1, answers),
        "max_tokens": integer(1, 1048576),
        "stop": texts(16, 256),
        "stream": boolean,
        "presence_penalty": number(-2, 2),
        "frequency_penalty": number(-2, 2),
    }
    completions = {
        "prompt": texts(answers, BODY_LIMIT),
        "echo": boolean,
        "logprobs": integer(0, 5),
        "best_of": integer(1, answers),
        "use_beam_search": boolean,
    }
    model = {"model": text(256)}
    return {
        "/v1/chat/completions": {**model, "messages": messages, **sampling},
        "/v1/completions": {**model, **completions, **sampling},
        # A worker does nothing else while it embeds.
        "/v1/embeddings": {**model, "input": texts(16, 8192), "encoding_format": one_of("float", "base64")},
    }


REQUIRED = {"model", "messages", "prompt", "input"}


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


# --- One try, and what may be said about it --------------------------------------------------------------------------


class Held:
    """FastChat's answer to one try: kept back until it is one that the client shall see."""

    def __init__(self, send, chat):
        """Take ASGI's ``send``, and whether it is a chat."""
        self.send, self.chat = send, chat
        self.start, self.body, self.released = None, b"", False

    @property
    def streams(self):
        """Whether it is a stream of events."""
        return any(name == b"content-type" and b"event-stream" in value for name, value in self.start["headers"])

    async def __call__(self, message):
        """Take a message of the application; let it through from the first event on that holds something generated."""
        if self.released:
            await self.send(message)
        elif message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            # FastChat sends a chat's first event, the role, before it asks a worker.
            begun = self.body.count(b"\n\n") > (1 if self.chat else 0)
            if self.start["status"] == OK and self.streams and begun and self.fault() is None:
                await self.release(message.get("more_body", False))

    async def release(self, more=False):
        """Send what was kept back."""
        self.released = True
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": self.body, "more_body": more})

    def fault(self):
        """Return (code, message) of an error of FastChat's in the answer, None when there is none."""
        try:
            last = self.body.split(b"data: ")[-2 if self.body.rstrip().endswith(b"[DONE]") else -1]
            said = json.loads(last if self.streams else self.body)
            return (said["error_code"], said["text"]) if self.streams else (said["code"], said["message"])
        except (ValueError, KeyError, TypeError, IndexError):
            return None


class Guard:
    """An ASGI application around FastChat's; ``settings`` are argparse's."""

    def __init__(self, app, settings):
        """Take FastChat's application and the settings."""
        self.app, self.settings = app, settings
        self.wanted = checks(settings.most_answers)
        self.served = set()  # models that were answered for: one that is not known for a moment is worth waiting for

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        began, said = time.monotonic(), {"status": 0, "bytes": 0}

        async def counted(message):
            if message["type"] == "http.response.start":
                said["status"] = message["status"]
            said["bytes"] += len(message.get("body", b""))
            await send(message)

        known = scope["path"] in {*self.wanted, "/v1/models", "/fleet/alive"}
        try:
            await self.answer(scope, receive, counted)
        except Refused as refused:
            await fail(counted, refused)
        finally:
            if scope["path"] != "/fleet/alive":
                # Neither query nor body nor header: a client may put its key anywhere.
                where = f"{scope['method']} {scope['path'] if known else '(another path)'}"
                seconds = time.monotonic() - began
                print(f"{where} {said['status']} {said['bytes']} bytes {seconds:.1f} s", flush=True)

    async def answer(self, scope, receive, send):
        """Answer, refuse, or hand on a request."""
        path, method = scope["path"], scope["method"]
        if path == "/fleet/alive" and method == "GET":
            await reply(send, 200, {"alive": True})
            return
        if (path == "/v1/models" and method == "GET") or (path in self.wanted and method == "POST"):
            body = await read(receive) if method == "POST" else b""
            if method == "POST":
                body = forwarded(path, body, self.wanted)
            await self.hand_on(scope, receive, send, body)
        elif path == "/v1/models" or path in self.wanted:
            raise Refused(f"{method} is not for this path.", 405)
        else:
            raise Refused("There is nothing here.", 404)

    async def hand_on(self, scope, receive, send, body):
        """Have FastChat answer; again while no worker can be reached and nothing was sent."""
        ours = (b"content-length", b"content-type", b"authorization")
        headers = [pair for pair in scope["headers"] if pair[0] not in ours]
        headers += [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        scope = {**scope, "headers": headers, "query_string": b""}
        model = json.loads(body)["model"] if body else None
        until, pause, begun = None, 0.2, 0
        while True:
            held, error = Held(send, scope["path"] == "/v1/chat/completions"), None
            try:
                await self.app(dict(scope), replayed(body, receive), held)
            except Exception as caught:  # whatever it is, the client gets one sentence and the journal its name
                error = caught
            if held.released and error:
                raise error  # in the middle of an answer: the connection is cut, so that the client notices
            again = "" if held.released else self.worth_again(held, error, model)
            begun += again == "begun"
            if again and begun < MOST_BEGUN and (until is None or time.monotonic() + pause < until):
                until = until or time.monotonic() + self.settings.again_seconds
                await asyncio.sleep(max(pause, NOTICED_SECONDS) if again == "begun" else pause)
                pause = min(pause * 1.5, 1.0)
                continue
            if again:
                raise Refused("No worker could be reached; please ask again.", 503, "server_error")
            if error:
                print(f"{scope['path']}: {type(error).__name__}", file=sys.stderr, flush=True)
                raise Refused("The server could not answer this.", 500, "server_error")
            if held.start is None:  # the client has left
                return
            if not held.released:
                if held.start["status"] == OK and held.streams and held.fault():
                    raise Refused(str(held.fault()[1]), 500, "server_error")
                await held.release()
            if held.start["status"] == OK and model:
                self.served.add(model)
            return

    def worth_again(self, held, error, model):
        """Return "unreached" or "begun" (by a worker) when asking again may help, else ""."""
        if error is not None:
            names = {kind.__name__ for kind in type(error).__mro__}
            if names & UNREACHED_ERRORS or str(error).startswith("No available worker"):
                return "unreached"
            return "begun" if names & BROKEN_ERRORS else ""
        code, message = held.fault() or (0, "")
        if code == INVALID_MODEL and model in self.served:  # the controller lost it for a moment
            return "unreached"
        if code == INTERNAL_ERROR and UNREACHED.search(message):
            return "unreached"
        return "begun" if code == INTERNAL_ERROR and BROKEN.search(message) else ""


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


def replayed(body, receive):
    """Return a ``receive`` that gives this body first."""
    given = []

    async def replay():
        if given:
            return await receive()
        given.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def reply(send, status, said):
    """Send JSON."""
    body = json.dumps(said).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fail(send, refused):
    """Send an error in OpenAI's form."""
    error = {"message": str(refused), "type": refused.kind, "param": None, "code": None}
    await reply(send, refused.status, {"error": error})


class Forgetful(dict):
    """Keeps nothing. FastChat keeps a worker's prompt template for ever, also the error it once got instead."""

    def __setitem__(self, key, value):
        """Do not keep it."""


def watch_connections(loop):
    """Have a loop's connections to controller and workers notice a host that is gone."""
    # httpx begins with the one, aiohttp with the other.
    connect, sock_connect = loop.create_connection, loop.sock_connect

    async def in_time(connecting):
        try:
            return await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except asyncio.TimeoutError:
            raise OSError(errno.ETIMEDOUT, f"no connection within {CONNECT_SECONDS} s") from None

    async def create_connection(*arguments, **options):
        transport, protocol = await in_time(connect(*arguments, **options))
        one = transport.get_extra_info("socket")
        if one is not None and one.family != socket.AF_UNIX:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in {**KEEP_ALIVE, "TCP_USER_TIMEOUT": TAKEN_MILLISECONDS}.items():
                one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return transport, protocol

    loop.create_connection = create_connection
    loop.sock_connect = lambda sock, address: in_time(sock_connect(sock, address))


# --- The process -----------------------------------------------------------------------------------------------------


def fastchat(controller):
    """Return FastChat's application, told where the controller is."""
    from fastchat.serve import openai_api_server as server  # noqa: PLC0415  (the tests of the checks have no FastChat)

    server.app_settings.controller_address = controller
    server.conv_template_map = Forgetful()
    # Its own patience with a host that is gone is the kernel's two minutes. 0.2.15 asks by httpx alone.
    if hasattr(server, "fetch_timeout"):
        import aiohttp  # noqa: PLC0415

        server.fetch_timeout = aiohttp.ClientTimeout(total=3 * 3600, sock_connect=3)
    import httpx  # noqa: PLC0415

    server.WORKER_API_TIMEOUT = httpx.Timeout(float(server.WORKER_API_TIMEOUT), connect=3.0)
    return server.app


async def serve(guard, **options):
    """Serve until a signal ends it."""
    import uvicorn  # noqa: PLC0415

    watch_connections(asyncio.get_running_loop())
    await uvicorn.Server(uvicorn.Config(guard, **options)).serve()


def main():
    """Serve until told to stop; running answers are finished first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--controller-address", required=True)
    parser.add_argument("--most-answers", type=int, default=4, help="the most that n may ask for")
    parser.add_argument("--again-seconds", type=float, default=AGAIN_SECONDS)
    settings = parser.parse_args()
    guard = Guard(fastchat(settings.controller_address), settings)
    # The access log is the guard's own: uvicorn's has the query, and clients put keys there.
    options = {"access_log": False, "log_level": "warning", "server_header": False}
    asyncio.run(serve(guard, host=settings.host, port=settings.port, **options))


if __name__ == "__main__":
    main()
