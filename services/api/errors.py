"""How a request is refused, and how errors of the guard and of FastChat reach the client: in OpenAI's one form."""

import json
import re

# FastChat's codes in an error's body (fastchat.constants.ErrorCode, 0.2.15 to 0.2.36).
INVALID_MODEL, OUT_OF_RANGE, CONTEXT_OVERFLOW, INTERNAL_ERROR = 40301, 40302, 40303, 50001
NO_WORKERS, NO_WORKER = 50005, 50006
FAULT, BUSY = 500, 503  # from FAULT on a status says that the request is not to blame
RETRY_AFTER = 2  # seconds after a 503: by then the controller has noticed who is gone


class Refused(Exception):
    """A request that is answered here; ``status`` is HTTP's."""

    def __init__(self, message, status=400, kind="invalid_request_error", *, param=None, code=None, allow=None):
        """Take the sentence, HTTP's status, and the kind, the parameter and the code of error as OpenAI names them.

        ``allow`` is the method of a path that was asked by another one.
        """
        super().__init__(message)
        self.status, self.kind, self.param, self.code, self.allow = status, kind, param, code, allow

    def said(self):
        """Return the error as the client reads it."""
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}


def translated(code, message, path, model):
    """Return FastChat's error (its code and message) as a Refused that OpenAI's clients understand."""
    if code == INVALID_MODEL:
        return unknown_model(model)
    if code == CONTEXT_OVERFLOW:
        param = "messages" if path.endswith("/chat/completions") else "prompt"
        return Refused(message, param=param, code="context_length_exceeded")
    if code == OUT_OF_RANGE:
        named = re.search(r"(?:- '|^)(\w+)(?:'$| is )", message)
        return Refused(message, param=named.group(1) if named else None)
    if code < INTERNAL_ERROR:
        return Refused(message)
    return Refused(message, BUSY if code in (NO_WORKERS, NO_WORKER) else FAULT, "server_error")


def unknown_model(model):
    """Return the refusal of a model that no worker has."""
    message = "There is no such model here: GET /v1/models lists those that are served."
    if model is not None:
        message = f"There is no model {json.dumps(model)[:80]} here: GET /v1/models lists those that are served."
    return Refused(message, 404, param="model", code="model_not_found")


async def reply(send, status, value, *more):
    """Send JSON, with more headers."""
    body = json.dumps(value).encode()
    headers = [*more, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == BUSY:
        headers.append((b"retry-after", str(RETRY_AFTER).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fail(send, refused):
    """Send an error in OpenAI's form."""
    allow = [(b"allow", refused.allow.encode())] if refused.allow else []
    await reply(send, refused.status, refused.said(), *allow)
