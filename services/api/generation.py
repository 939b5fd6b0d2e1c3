"""Have a worker generate, always as a stream: when the client leaves, its connection closes and the worker stops.

FastChat asks for whole answers by a call that nothing can stop. These functions stand in its place, with the names and
arguments that it has for them. They also see what FastChat does not tell: what a worker counted, and what it ignored.
"""

import asyncio
import contextvars
import inspect
import json
import ssl
import time

from .counts import COUNTS
from .errors import INTERNAL_ERROR, NO_WORKER, OUT_OF_RANGE

OK = 200
WHOLE_SECONDS = 3 * 3600  # as long as FastChat waits for a whole answer; a worker's host that is gone is noticed before
BY_VLLM = "cumulative_logprob"  # a field of what FastChat's worker of vLLM says, and of no other's
# Workers are asked by plain http, but httpx would read all certificates anew for each client: 26 ms of a core a time.
TLS = ssl.create_default_context()
CURRENT = contextvars.ContextVar("tally")  # the Tally of the request that this task belongs to
# What FastChat's own worker ignores (generate_stream reads none of it), with the values that change nothing.
IGNORED = {"presence_penalty": 0, "frequency_penalty": 0, "best_of": 1, "use_beam_search": False}


class Tally:
    """What the workers did for one request; ``tokens`` is the most for an answer whose request does not say."""

    def __init__(self, answers=1, tokens=0, seconds=0):
        """Take how many answers each prompt gets, and the limits of an answer (0: none)."""
        self.answers, self.tokens, self.seconds = answers, tokens, seconds
        self.begun, self.used, self.running = 0, [], set()
        self.error = self.fault = None  # a connection's exception; (code, message) of a worker's error

    def usage(self):
        """Return OpenAI's usage: each prompt counts once, however many answers it gets."""
        prompt = sum(used.get("prompt_tokens", 0) for used in self.used) // self.answers
        completion = sum(used.get("completion_tokens") or 0 for used in self.used)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def stop(self, but=None):
        """Stop what is still generated: of several answers the others, when one failed."""
        for task in self.running - {but}:
            task.cancel()


def counted(said):
    """Return the usage of a worker's last word with every token that was made, the one that ended the answer as well.

    FastChat's worker says the index of the last token (``completion_tokens: i`` in generate_stream of
    fastchat.serve.inference, 0.2.15 to 0.2.36), which is one less. vLLM's counts the tokens.
    """
    used = dict(said.get("usage") or {})
    if used.get("completion_tokens") is not None and BY_VLLM not in said:
        used["completion_tokens"] += 1
        used["total_tokens"] = used.get("prompt_tokens", 0) + used["completion_tokens"]
    return used


def not_done(payload, said):
    """Return a sentence about a parameter that the worker ignores, which its first word shows, else None."""
    if BY_VLLM in said:
        return "logprobs is not served by this worker. Leave it out." if payload.get("logprobs") is not None else None
    for name, harmless in IGNORED.items():
        if (payload.get(name) or harmless) != harmless:
            return f"{name} is not served by this worker: only one of vLLM can. Leave it out."
    return None


def refusal(payload, said):
    """Return FastChat's form of an error when the worker ignores a parameter, else None."""
    sentence = not_done(payload, said) if said.get("error_code") == 0 else None
    return {"error_code": OUT_OF_RANGE, "text": sentence} if sentence else None


async def words(client, url, payload, headers, timeout):
    """Yield what a worker says: the text so far, again and again."""
    async with client.stream("POST", url, headers=headers, json=payload, timeout=timeout) as response:
        if response.status_code != OK:
            yield {"error_code": INTERNAL_ERROR, "text": f"The worker answered {response.status_code}."}
            return
        rest = b""
        async for piece in response.aiter_raw():
            *whole, rest = (rest + piece).split(b"\0")
            for one in whole:
                if one:
                    yield json.loads(one.decode())


async def limited(saying, tally):
    """Yield what ``saying`` yields until the tally's seconds are over; then say last that the limit was reached."""
    until, last = time.monotonic() + tally.seconds, None
    while True:
        try:
            left = until - time.monotonic() if tally.seconds else None
            last = await asyncio.wait_for(saying.__anext__(), left)
        except StopAsyncIteration:
            if last is None:
                yield {"error_code": INTERNAL_ERROR, "text": "The worker gave no answer; please ask again."}
            return
        except asyncio.TimeoutError:
            late = {"error_code": NO_WORKER, "text": f"No worker had time for this within {tally.seconds:g} s."}
            yield late if last is None else {**last, "finish_reason": "length"}
            return
        yield last


async def generated(server, payload, worker, timeout):
    """Yield what the worker at a URL says to a payload of FastChat's, and put its usage right."""
    import httpx  # noqa: PLC0415  (the tests of the checks do not have it)

    tally = CURRENT.get(None) or Tally()
    tally.begun += 1
    if tally.tokens:
        payload = {**payload, "max_new_tokens": min(payload["max_new_tokens"], tally.tokens)}
    task, used, ignored = asyncio.current_task(), None, None
    began, first = time.monotonic(), None
    tally.running.add(task)
    try:
        async with httpx.AsyncClient(verify=TLS) as client:
            saying = words(client, f"{worker}/worker_generate_stream", payload, server.headers, timeout)
            try:
                async for said in limited(saying, tally):
                    ignored = refusal(payload, said) if used is None else None
                    if ignored:
                        break
                    used = counted(said)
                    if first is None and said.get("error_code") == 0:
                        first = time.monotonic()
                    yield {**said, "usage": used}
            finally:
                await saying.aclose()
    except httpx.HTTPError as error:
        tally.error = error
        raise
    finally:
        tally.used.append(used or {})
        tally.running.discard(task)
        if first is not None:
            COUNTS.generated(began, first, time.monotonic(), used)
    if ignored:
        yield ignored


async def last_of(saying):
    """Return the last word of an answer; when it is an error, the request's other answers are stopped."""
    last = None
    async for said in saying:
        last = said
    tally = CURRENT.get(None)
    if last["error_code"] and tally:
        tally.fault = last["error_code"], last["text"]
        tally.stop(but=asyncio.current_task())
    return last


def generate_as_streams(server):
    """Have FastChat's module of its API server (0.2.15 to 0.2.36) generate by the functions of this one."""
    import httpx  # noqa: PLC0415

    patient = httpx.Timeout(WHOLE_SECONDS, connect=3.0)

    def by_address(timeout, whole):
        """Return a function (payload, worker_addr), as of 0.2.36."""

        def stream(payload, worker_addr):
            return generated(server, payload, worker_addr, timeout)

        async def answer(payload, worker_addr):
            return await last_of(stream(payload, worker_addr))

        return answer if whole else stream

    def by_model(timeout, whole):
        """Return a function whose last argument is the payload and which asks for a worker itself, as of 0.2.15."""

        async def stream(*arguments):
            payload = arguments[-1]
            async with httpx.AsyncClient(verify=TLS) as client:
                worker_addr = await server._get_worker_address(payload["model"], client)
            async for said in generated(server, payload, worker_addr, timeout):
                yield said

        async def answer(*arguments):
            return await last_of(stream(*arguments))

        return answer if whole else stream

    names = ("generate_completion", "generate_completion_stream", "chat_completion", "chat_completion_stream")
    for name in names:
        if not hasattr(server, name):
            continue
        arguments = list(inspect.signature(getattr(server, name)).parameters)
        whole = not name.endswith("_stream")
        timeout = patient if whole else server.WORKER_API_TIMEOUT
        make = by_address if "worker_addr" in arguments else by_model
        setattr(server, name, make(timeout, whole))
