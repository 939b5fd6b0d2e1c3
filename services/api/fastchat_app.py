"""FastChat's own application, told where the controller is, how patient it may be, and how it has a worker generate."""

import inspect

from .errors import CONTEXT_OVERFLOW
from .generation import generate_as_streams
from .parameters import LATER


class Forgetful(dict):
    """Keeps nothing. FastChat keeps a worker's prompt template for ever, also the error it once got instead."""

    def __setitem__(self, key, value):
        """Do not keep it."""


def fastchat(controller):
    """Return FastChat's application, told where the controller is, and the names of ``LATER`` that it does not know."""
    from fastchat.serve import openai_api_server as server  # noqa: PLC0415  (the tests of the checks have no FastChat)

    server.app_settings.controller_address = controller
    server.conv_template_map = Forgetful()
    # Its own patience with a host that is gone is the kernel's two minutes. 0.2.15 asks by httpx alone.
    if hasattr(server, "fetch_timeout"):
        import aiohttp  # noqa: PLC0415

        server.fetch_timeout = aiohttp.ClientTimeout(total=3 * 3600, sock_connect=3)
    import httpx  # noqa: PLC0415

    server.WORKER_API_TIMEOUT = httpx.Timeout(float(server.WORKER_API_TIMEOUT), connect=3.0)
    generate_as_streams(server)
    if "worker_addr" in inspect.signature(server.check_length).parameters:
        leave_room(server)
    return server.app, set(LATER) - set(inspect.signature(server.get_gen_params).parameters)


def leave_room(server):
    """Have an answer leave one token of the context free.

    A worker keeps the last ``context - max_new_tokens - 1`` tokens of a prompt (generate_stream of 0.2.36), while
    FastChat gives the answer all that is left: the prompt then loses its first token, and its count is one too few.
    """
    check_length = server.check_length

    async def with_room(request, prompt, max_tokens, worker_addr):
        more = max_tokens + 1 if isinstance(max_tokens, int) and max_tokens > 0 else max_tokens
        length, error = await check_length(request, prompt, more, worker_addr)
        if error is None and length == 1:
            sentence = "The prompt fills the context of this model, and leaves no room for an answer: send less text."
            return None, server.create_error_response(CONTEXT_OVERFLOW, sentence)
        return (length if length is None else length - 1), error

    server.check_length = with_room
