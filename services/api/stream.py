"""FastChat's answer to one try, held back until the client shall see it, and put into OpenAI's form."""

import json
import time

from .errors import FAULT, INTERNAL_ERROR, OUT_OF_RANGE, translated
from .parameters import CHAT, COMPLETIONS

OK = 200
DONE = b"data: [DONE]\n\n"


def event(value):
    """Return a server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


class Held:
    """FastChat's answer to one try: kept back until it is one that the client shall see."""

    def __init__(self, send, path, tally, *, model=None, usage=False):
        """Take ASGI's ``send``, the path, the request's Tally and model, and whether a stream ends with the usage."""
        self.send, self.path, self.tally, self.model, self.usage = send, path, tally, model, usage
        self.start, self.streams, self.body, self.released, self.over = None, False, b"", False, False
        self.rest, self.head, self.ended, self.said_error = b"", {}, set(), None
        self.created = int(time.time())

    async def __call__(self, message):
        """Take a message of the application; let it through from the first event on that holds something generated."""
        if message["type"] == "http.response.start":
            self.start = message
            kinds = [value for name, value in message["headers"] if name == b"content-type"]
            self.streams = any(b"event-stream" in kind for kind in kinds)
        elif message["type"] == "http.response.body" and not (self.start["status"] == OK and self.streams):
            self.body += message.get("body", b"")
        elif message["type"] == "http.response.body" and not self.over:
            *whole, self.rest = (self.rest + message.get("body", b"")).split(b"\n\n")
            for one in whole:
                await self.take(one)
            if not message.get("more_body", False) and self.released:
                await self.end()

    async def take(self, one):
        """Take an event of FastChat's stream."""
        if self.said_error:
            return
        said = one[len(b"data: ") :]
        if said == b"[DONE]":
            self.body += event({**self.head, "choices": [], "usage": self.tally.usage()}) if self.usage else b""
            self.body += DONE
        elif "error_code" in (value := json.loads(said)):
            self.said_error = value["error_code"], value["text"]
            if not self.released:
                return
            self.body += event(translated(*self.said_error, self.path, self.model).said())
        else:
            self.body += event(self.chunk(value))
            # FastChat sends a chat's first event, the role, before it asks a worker.
            if not self.released and not any("role" in choice.get("delta", {}) for choice in value["choices"]):
                await self.release(more=True)
        if self.released:
            await self.flush()

    def chunk(self, value):
        """Return a chunk with what OpenAI's have and FastChat's lack."""
        if not self.head:
            kind = "chat.completion.chunk" if self.path == CHAT else "text_completion"
            self.head = {"id": value["id"], "object": kind, "created": self.created, "model": value["model"]}
        for choice in value["choices"]:
            choice.setdefault("finish_reason", None)
            choice.setdefault("logprobs", None)
            if self.path == COMPLETIONS:
                choice["index"] = self.index(choice)
        return {**self.head, "choices": value["choices"], **({"usage": None} if self.usage else {})}

    def index(self, choice):
        """Return which of a completion's answers a choice belongs to.

        FastChat begins to count again with each prompt, and says how answers ended when all of them did.
        """
        at = self.tally.begun - 1
        if choice["finish_reason"] is None:
            return at
        if not choice.get("text"):
            at = min(set(range(self.tally.begun)) - self.ended, default=at)
        self.ended.add(at)
        return at

    async def flush(self):
        """Send what there is of a stream."""
        body, self.body = self.body, b""
        if body:
            await self.send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self):
        """End a stream."""
        self.over = True
        await self.send({"type": "http.response.body", "body": self.body, "more_body": False})

    async def release(self, more=False):
        """Send what was kept back: of a stream its beginning, or the whole answer."""
        self.released = True
        if not more and not self.streams and self.path in (CHAT, COMPLETIONS):
            self.body = self.counted()
        headers = [pair for pair in self.start["headers"] if pair[0] != b"content-length"]
        if not self.streams:
            headers.append((b"content-length", str(len(self.body)).encode()))
        await self.send({**self.start, "headers": headers})
        if more:
            await self.flush()
        else:
            await self.end()

    def counted(self):
        """Return a whole answer with the usage of all its answers."""
        answer = json.loads(self.body)
        for choice in answer["choices"]:
            choice.setdefault("logprobs", None)
        return json.dumps({**answer, "usage": self.tally.usage()}, ensure_ascii=False).encode()

    def fault(self):
        """Return (code, message) of an error of FastChat's in the answer, None when there is none."""
        if self.start is None:
            return self.tally.fault
        if self.start["status"] == OK:  # FastChat's errors have another status, except for those in a stream
            return self.said_error
        try:
            said = json.loads(self.body)
            return said["code"], said["message"]
        except (ValueError, KeyError, TypeError):
            return None

    def refused(self):
        """Return what the client hears of an error of FastChat's, None when there is none."""
        fault = self.fault()
        if fault:
            return translated(*fault, self.path, self.model)
        if self.start and self.start["status"] == OK:
            return None
        code = OUT_OF_RANGE if self.start and self.start["status"] < FAULT else INTERNAL_ERROR
        return translated(
            code, "FastChat could not answer this: tell its operator when you asked.", self.path, self.model
        )


class Kept:
    """What would have been sent to a client."""

    def __init__(self):
        """Begin with nothing."""
        self.body = b""

    async def __call__(self, message):
        """Take a message; the status is always 200, since anything else is raised."""
        self.body += message.get("body", b"")

    def value(self):
        """Return what the body says, None when the client left before there was one."""
        return json.loads(self.body) if self.body else None
