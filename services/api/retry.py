"""Have FastChat answer a request; ask it again while no worker can be reached and nothing was sent to the client."""

import asyncio
import json
import re
import sys
import time

from .errors import Refused
from .request import replayed, scope_for
from .stream import OK, Held

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
# Names, so that neither library has to be there: ancestors of every error of a connection in aiohttp and httpx.
UNREACHED_ERRORS = {
    "ClientConnectorError",
    "ServerTimeoutError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionRefusedError",
}
BROKEN_ERRORS = {"ClientConnectionError", "ClientPayloadError", "TransportError", "ConnectionError"}


async def hand_on(app, scope, receive, send, body, *, served, again_seconds):
    """Have FastChat's application ``app`` answer; ask again for ``again_seconds`` while no worker can be reached.

    ``body`` is what ``forwarded`` returned (bytes; empty for a GET). ``served`` is the set of models that were answered
    for; a model that is answered for is added to it. Raises Refused when there is no answer, and the application's own
    error in the middle of one.
    """
    scope = scope_for(scope, body)
    model = json.loads(body)["model"] if body else None
    until, pause, begun = None, 0.2, 0
    while True:
        held, error = Held(send, scope["path"] == "/v1/chat/completions"), None
        try:
            await app(dict(scope), replayed(body, receive), held)
        except Exception as caught:  # whatever it is, the client gets one sentence and the journal its name
            error = caught
        if held.released and error:
            raise error  # in the middle of an answer: the connection is cut, so that the client notices
        again = "" if held.released else worth_again(held, error, model, served)
        begun += again == "begun"
        if again and begun < MOST_BEGUN and (until is None or time.monotonic() + pause < until):
            until = until or time.monotonic() + again_seconds
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
            served.add(model)
        return


def worth_again(held, error, model, served):
    """Return "unreached" or "begun" (by a worker) when asking again may help, else ""."""
    if error is not None:
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & UNREACHED_ERRORS or str(error).startswith("No available worker"):
            return "unreached"
        return "begun" if names & BROKEN_ERRORS else ""
    code, message = held.fault() or (0, "")
    if code == INVALID_MODEL and model in served:  # the controller lost it for a moment
        return "unreached"
    if code == INTERNAL_ERROR and UNREACHED.search(message):
        return "unreached"
    return "begun" if code == INTERNAL_ERROR and BROKEN.search(message) else ""
