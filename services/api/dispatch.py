"""Where a request goes: to FastChat, to a refusal, or to the guard's own answer; and its line in the journal."""

import time

from .checks import checks
from .errors import Refused, fail, reply
from .request import forwarded, read
from .retry import hand_on


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
            await hand_on(
                self.app, scope, receive, send, body, served=self.served, again_seconds=self.settings.again_seconds
            )
        elif path == "/v1/models" or path in self.wanted:
            raise Refused(f"{method} is not for this path.", 405)
        else:
            raise Refused("There is nothing here.", 404)
