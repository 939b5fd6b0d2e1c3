"""What the controller and the API servers say, as metrics."""

import concurrent.futures
import json

from services.common.asking import DIRECT

from .families import counter, gauge, histogram, states

STATES = ("joining", "serving", "leaving", "hung", "down")
SECONDS = 3  # for one answer; Prometheus waits for ten


def asked(url, seconds=SECONDS):
    """Return the JSON that a GET gives, None when there is none in time."""
    try:
        with DIRECT.open(url, timeout=seconds) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


class Fleet:
    """Collects what the controller at a base URL and the API servers ({name: base URL}) say."""

    def __init__(self, controller, servers):
        """Take the addresses; nothing is asked yet."""
        self.controller, self.servers = controller, servers

    def answers(self):
        """Return (what GET /fleet of the controller says, {name: what an API server counted}); None for no answer."""
        with concurrent.futures.ThreadPoolExecutor(1 + len(self.servers)) as pool:
            fleet = pool.submit(asked, self.controller + "/fleet")
            counts = {name: pool.submit(asked, url + "/fleet/counts") for name, url in self.servers.items()}
            return fleet.result(), {name: one.result() for name, one in counts.items()}

    def collect(self):
        """Yield the families."""
        fleet, counts = self.answers()
        yield from of_controller(fleet)
        yield from of_guards(counts)


def of_controller(fleet):
    """Yield what the controller knows of its workers."""
    yield gauge("fastchat_controller_up", "1 while the controller answers.", [({}, int(fleet is not None))])
    if fleet is None:
        return
    workers = fleet["workers"]
    yield gauge("fastchat_workers_registered", "Workers that the controller knows.", [({}, len(workers))])
    serving = sum(one["state"] == "serving" for one in workers.values())
    yield gauge("fastchat_workers_serving", "Workers that get requests.", [({}, serving)])
    seen = [({"worker": url}, one["state"]) for url, one in workers.items()]
    yield states("fastchat_worker_state", "How the controller finds a worker.", seen, STATES)
    queues = [({"worker": url}, one["queue_length"]) for url, one in workers.items()]
    yield gauge("fastchat_worker_queue_length", "Requests that a worker has, answered or waiting.", queues)
    since = [({"worker": url}, one["since"]) for url, one in workers.items()]
    yield gauge("fastchat_worker_state_age_seconds", "Seconds for which a worker has been in its state.", since)


def of_guards(counts):
    """Yield what the guards counted. Each process has series of its own, so that its restart is one to Prometheus."""
    alive = {name: one for name, one in counts.items() if one is not None}
    up = [({"api": name}, int(name in alive)) for name in counts]
    yield gauge("fastchat_api_up", "1 while an API server answers.", up)
    requests = [
        ({"api": name, "path": path, "code": code}, number)
        for name, one in alive.items()
        for path, code, number in one["requests"]
    ]
    yield counter("fastchat_api_requests_total", "Requests that were answered, by HTTP's status.", requests)
    running = [({"api": name}, one["running"]) for name, one in alive.items()]
    yield gauge("fastchat_api_requests_running", "Requests that are being answered.", running)
    tokens = [
        ({"api": name, "kind": kind}, number) for name, one in alive.items() for kind, number in one["tokens"].items()
    ]
    yield counter(
        "fastchat_api_tokens_total", "Tokens of prompts that were read and of answers that were made.", tokens
    )
    first = [({"api": name}, one["first_token"]) for name, one in alive.items()]
    yield histogram("fastchat_api_first_token_seconds", "From a request to the first word of an answer to it.", first)
    rates = [({"api": name}, one["rate"]) for name, one in alive.items()]
    text = "Tokens per second of an answer after its first word."
    yield histogram("fastchat_api_answer_tokens_per_second", text, rates)
