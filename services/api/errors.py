"""How a request is refused, and how errors of the guard and of FastChat reach the client: in OpenAI's one form."""

import json
import re

# FastChat's codes in an error's body (fastchat.constants.ErrorCode, 0.2.15 to 0.2.36).
INVALID_MODEL, OUT_OF_RANGE, CONTEXT_OVERFLOW, INTERNAL_ERROR = 40301, 40302, 40303, 50001
NO_WORKER = 50006
FAULT = 500  # from here on a status says that the request is not to blame
STATUSES = {40101: 401, 40102: 401, 40103: 403, 42901: 429, 42902: 429, 42903: 503, 50005: 503, 50006: 503}
KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
RETRY_AFTER = {502: 2, 503: 2}  # seconds: by then the controller has noticed who is gone


class Refused(Exception):
    """A request that is answered here; ``status`` is HTTP's."""

    def __init__(self, message, status=400, kind="invalid_request_error", param=None, code=None):
        """Take the sentence, HTTP's status, and the kind, the parameter and the code of error as OpenAI names them."""
        super().__init__(message)
        self.status, self.kind, self.param, self.code = status, kind, param, code

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
    status = STATUSES.get(code, FAULT if code >= INTERNAL_ERROR else 400)
    kind = KINDS.get(status, "server_error" if status >= FAULT else "invalid_request_error")
    return Refused(message, status, kind)


def unknown_model(model):
    """Return the refusal of a model that no worker has."""
    message = "There is no such model here: GET /v1/models lists those that are served."
    if model is not None:
        message = f"There is no model {json.dumps(model)[:80]} here: GET /v1/models lists those that are served."
    return Refused(message, 404, param="model", code="model_not_found")


async def reply(send, status, value):
    """Send JSON."""
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in RETRY_AFTER:
        headers.append((b"retry-after", str(RETRY_AFTER[status]).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def fail(send, refused):
    """Send an error in OpenAI's form."""
    await reply(send, refused.status, refused.said())
