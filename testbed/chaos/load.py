"""Ask a fleet without a pause, as a real OpenAI client, and print what became of each request; a JSON object a line.

Runs on a host that is none of the fleet's, under an environment with ``openai``. Ends when its standard input does and
every request has come to an end. Times are CLOCK_MONOTONIC, which all containers of a machine share.
"""

import argparse
import json
import ssl
import sys
import threading
import time

QUESTIONS = (
    "What is the capital of France?",
    "Name three colours.",
    "What do bees make?",
    "Write one sentence about the sea.",
    "How many days has a week?",
)
PAUSE_AFTER_FAILURE = 0.5  # a patient client waits so long, so that an outage is not counted as a storm of requests
ERROR_CHARACTERS = 300


def asked_whole(client, request):
    """Return (text, finish reason) of a request that is answered at once."""
    choice = client.chat.completions.create(**request).choices[0]
    return choice.message.content or "", choice.finish_reason


def asked_streaming(client, request):
    """Return (text, finish reason) of a streamed request; a stream that breaks off has None for a reason."""
    text, reason = "", None
    for chunk in client.chat.completions.create(stream=True, **request):
        for choice in chunk.choices or []:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason


def outcome(text, reason):
    """Return the outcome of a request that ended without an exception, and its error."""
    if "NETWORK ERROR" in text:  # FastChat's SERVER_ERROR_MSG, with status 200
        return "failed", text
    if not reason:
        return "truncated", f"the stream ended without a finish_reason after {len(text)} characters"
    return ("answered", "") if text.strip() else ("failed", "an empty answer")


def one_request(client, request, kind):
    """Return the record of one request: kind, began, ended, outcome (answered, failed, truncated), error."""
    began = time.monotonic()
    try:
        text, reason = (asked_streaming if kind == "stream" else asked_whole)(client, request)
        became, error = outcome(text, reason)
    except Exception as exception:  # noqa: BLE001  (every error that a client can meet is counted here)
        cause = f" ({exception.__cause__!r})" if exception.__cause__ else ""
        became, error = "failed", f"{type(exception).__name__}: {exception}{cause}"
    return {
        "kind": kind,
        "began": began,
        "ended": time.monotonic(),
        "outcome": became,
        "error": error[:ERROR_CHARACTERS],
    }


class Load:
    """Several threads that ask, each for a whole and a streamed answer in turn."""

    def __init__(self, arguments):
        """Keep the arguments; nothing is asked yet."""
        self.arguments = arguments
        self.stopped, self.lock, self.count = threading.Event(), threading.Lock(), 0

    def client(self):
        """Return a client that never retries: a retry would hide what is counted."""
        import openai  # noqa: PLC0415  (the control node, which tests what is counted, has none)

        options = {}
        if self.arguments.ca:
            trust = ssl.create_default_context(cafile=self.arguments.ca)
            options["http_client"] = openai.DefaultHttpxClient(verify=trust)
        key, url = self.arguments.key, self.arguments.url
        return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=self.arguments.timeout, **options)

    def ask(self, number):
        """Ask until ``stopped`` is set."""
        client = self.client()
        turn = number
        while not self.stopped.is_set():
            turn += 1
            question = {"role": "user", "content": QUESTIONS[turn % len(QUESTIONS)]}
            request = {"model": self.arguments.model, "messages": [question], "temperature": 0}
            request["max_tokens"] = self.arguments.tokens
            record = one_request(client, request, ("whole", "stream")[turn % 2])
            with self.lock:
                self.count += 1
                print(json.dumps({"id": self.count, **record}), flush=True)
            if record["outcome"] != "answered":
                self.stopped.wait(PAUSE_AFTER_FAILURE)

    def run(self):
        """Ask until the standard input ends, then wait for the last answers."""
        askers = [threading.Thread(target=self.ask, args=(number,)) for number in range(self.arguments.concurrency)]
        for asker in askers:
            asker.start()
        sys.stdin.read()
        self.stopped.set()
        for asker in askers:
            asker.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", default="none")
    parser.add_argument("--ca", default="")
    parser.add_argument("--model", required=True)
    parser.add_argument("--concurrency", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--timeout", type=float, default=120)
    Load(parser.parse_args()).run()
