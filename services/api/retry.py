"""Have FastChat answer a request; ask it again while no worker can be reached and nothing was sent to the client."""

import asyncio
import json
import re
import sys
import time

from .errors import INTERNAL_ERROR, INVALID_MODEL, Refused
from .generation import CURRENT, Tally
from .request import scope_for
from .stream import OK, Held

# How often a request may reach a worker that then breaks off: one that kills workers must not go through all of them.
MOST_BEGUN = 2
# Then the controller, which asks each second, has noticed. (Through a tunnel a dead worker's port takes connections.)
NOTICED_SECONDS = 1.5
# What FastChat's code 50001 says when a worker was never reached (the words of aiohttp, httpx and FastChat 0.2.15), and
# when the connection to it broke. Anything else with that code is the worker's own answer, and would be given again.
UNREACHED = re.compile(
    r"Cannot connect to host|All connection attempts failed|Connection timeout to host|^No available worker"
)
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


async def hand_on(app, scope, client, send, asked, *, limits, served, again_seconds):
    """Have FastChat's application ``app`` answer; ask again for ``again_seconds`` while no worker can be reached.

    ``client`` is the request's Client; ``asked`` is what ``understood`` returned, None for a GET. ``limits``
    are (tokens, seconds) of an answer, 0 for none. ``served`` is the set of models that were answered for; a model that
    is answered for is added to it. Raises Refused when there is no answer,
    and the application's own error in the middle of one.
    """
    body = json.dumps(asked.body).encode() if asked else b""
    scope = scope_for(scope, body)
    model = asked.body["model"] if asked else None
    until, pause, begun = None, 0.2, 0
    while True:
        tally = Tally(asked.body.get("n", 1) if asked else 1, *limits)
        held = Held(send, scope["path"], tally, model=model, usage=bool(asked and asked.usage))
        error = await one_try(app, scope, client, body, held)
        if client.left.is_set() and not held.over:  # a client that has all of its stream leaves as well
            return
        if held.released and error:
            raise error  # in the middle of an answer: the connection is cut, so that the client notices
        again = "" if held.released else worth_again(held, error or tally.error, model, served)
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
            raise Refused("The server could not answer this: tell its operator when you asked.", 500, "server_error")
        if not held.released:
            refused = held.refused()
            if refused:
                raise refused
            await held.release()
        if held.start["status"] == OK and model:
            served.add(model)
        return


async def one_try(app, scope, client, body, held):
    """Have the application answer once into ``held``; return its error, None when there is none.

    It is stopped when the client leaves, and with it what a worker generates.
    """
    CURRENT.set(held.tally)  # what the application starts inherits it
    answering = asyncio.ensure_future(app(dict(scope), client.replayed(body), held))
    leaving = asyncio.ensure_future(client.left.wait())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and held.over:
            await asyncio.wait({answering}, timeout=1)  # the client has all of its answer
    finally:
        leaving.cancel()
        answering.cancel()
        held.tally.stop()
    try:
        await answering
    except asyncio.CancelledError:
        return None
    except Exception as caught:  # whatever it is, the client gets one sentence and the journal its name
        return caught
    return None


def worth_again(held, error, model, served):
    """Return "unreached" or "begun" (by a worker) when asking again may help, else ""."""
    if error is not None:
        names = {kind.__name__ for kind in type(error).__mro__}
        if names & UNREACHED_ERRORS or UNREACHED.search(str(error)):
            return "unreached"
        return "begun" if names & BROKEN_ERRORS else ""
    code, message = held.fault() or (0, "")
    if code == INVALID_MODEL and model in served:  # the controller lost it for a moment
        return "unreached"
    if code == INTERNAL_ERROR and UNREACHED.search(message):
        return "unreached"
    return "begun" if code == INTERNAL_ERROR and BROKEN.search(message) else ""
