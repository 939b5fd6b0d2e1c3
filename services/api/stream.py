"""FastChat's answer to one try, held back until the client shall see it."""

import json

OK = 200


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
