"""How a request is refused, and how the guard itself answers over ASGI."""

import json


class Refused(Exception):
    """A request that is answered here; ``status`` is HTTP's."""

    def __init__(self, message, status=400, kind="invalid_request_error"):
        """Take the sentence, HTTP's status, and the kind of error as OpenAI names it."""
        super().__init__(message)
        self.status, self.kind = status, kind


async def reply(send, status, value):
    """Send JSON."""
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fail(send, refused):
    """Send an error in OpenAI's form."""
    error = {"message": str(refused), "type": refused.kind, "param": None, "code": None}
    await reply(send, refused.status, {"error": error})
