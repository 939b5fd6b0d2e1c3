"""Where a request goes: to FastChat, to a refusal, or to the guard's own answer; and its line in the journal."""

import asyncio
import time

from .counts import COUNTS, arrive
from .embeddings import embed
from .errors import Refused, fail, reply
from .models import one_model
from .parameters import CHAT, EMBEDDINGS, MODELS, checks
from .request import Client, understood
from .retry import hand_on
from .schema import OPENAPI, openapi

ALIVE = "/fleet/alive"
COUNTED = "/fleet/counts"  # for the exporter; the gateway hands neither on
OWN = (ALIVE, COUNTED, OPENAPI)  # the guard's own


class Guard:
    """An ASGI application around FastChat's; ``settings`` are argparse's."""

    def __init__(self, app, settings, lacking=()):
        """Take FastChat's application, the settings, and the parameters that this FastChat does not know."""
        self.app, self.settings = app, settings
        self.wanted = checks(settings.most_answers, lacking)
        self.served = set()  # models that were answered for: one that is not known for a moment is worth waiting for

    def limits(self, path, asked):
        """Return (tokens, seconds) of an answer, 0 where there is no limit."""
        tokens, by_model = 0, self.settings.max_tokens
        if path == CHAT and "max_tokens" not in asked.body:  # FastChat's own default for completions is OpenAI's: 16
            tokens = by_model.get(asked.body["model"], by_model.get("default", 0))
        return tokens, self.settings.answer_seconds

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

        arrive()
        ours = scope["path"] in (ALIVE, COUNTED)
        COUNTS.running += not ours
        try:
            await self.answer(scope, Client(receive), counted)
        except Refused as refused:
            await fail(counted, refused)
        finally:
            COUNTS.running -= not ours
            if not ours:
                COUNTS.answered(self.shown(scope["path"]), said["status"])
                # Neither query nor body nor header: a client may put its key anywhere.
                where = f"{scope['method']} {self.shown(scope['path'])}"
                seconds = time.monotonic() - began
                print(f"{where} {said['status']} {said['bytes']} bytes {seconds:.1f} s", flush=True)

    def shown(self, path):
        """Return a path as the journal may have it."""
        if path in self.wanted or path == OPENAPI:
            return path
        return f"{MODELS}/(one)" if path.startswith(f"{MODELS}/") else "(another path)"

    async def answer(self, scope, client, send):
        """Answer, refuse, or hand on a request."""
        path, method = scope["path"], scope["method"]
        name = path[len(MODELS) + 1 :] if path.startswith(f"{MODELS}/") else ""
        if path not in (*self.wanted, *OWN) and not name:
            raise Refused("There is nothing at this path: the paths of the API begin with /v1/.", 404)
        right = "POST" if path in self.wanted and path != MODELS else "GET"
        if method != right:
            raise Refused(f"{method} is not for this path, wanted {right}.", 405, allow=right)
        if path == ALIVE:
            await reply(send, 200, {"alive": True})
            return
        if path == COUNTED:
            await reply(send, 200, COUNTS.said())
            return
        if path == OPENAPI:
            await reply(send, 200, openapi(self.wanted))
            return
        asked = understood(path, await client.read(), self.wanted) if method == "POST" else None
        watching = asyncio.ensure_future(client.wait())
        try:

            async def ask(scope, send, asked):
                limits = self.limits(path, asked) if asked else (0, 0)
                options = {"limits": limits, "served": self.served, "again_seconds": self.settings.again_seconds}
                await hand_on(self.app, scope, client, send, asked, **options)

            if name:
                await one_model(ask, scope, send, name)
            elif path == EMBEDDINGS:
                await embed(ask, scope, send, asked)
            else:
                await ask(scope, send, asked)
        finally:
            watching.cancel()
