"""What this process counted: requests by path and status, the time to the first word, tokens per second.

The environment is the stack's and has no library for metrics, and every stack would have to resolve one. So the guard
keeps plain numbers and says them at ``GET /fleet/counts``; the exporter makes a histogram of them. Every process counts
for itself, and its numbers begin at zero with it.
"""

import bisect
import contextvars
import time

FIRST_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)
RATES = (1, 2, 5, 10, 20, 30, 50, 75, 100, 200)  # tokens per second
ARRIVED = contextvars.ContextVar("arrived")  # when the request of this task came (monotonic seconds)


class Histogram:
    """How many values were at most each of some bounds; ``counts`` has one more, for those above all of them."""

    def __init__(self, bounds):
        """Begin with nothing."""
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value):
        """Count a value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def said(self):
        """Return it as JSON has it."""
        return {"bounds": list(self.bounds), "counts": list(self.counts), "sum": self.sum}


class Counts:
    """The numbers of one process; everything runs on its event loop."""

    def __init__(self):
        """Begin with nothing."""
        self.requests, self.tokens, self.running = {}, {"prompt": 0, "completion": 0}, 0
        self.first_token, self.rate = Histogram(FIRST_SECONDS), Histogram(RATES)

    def answered(self, path, status):
        """Count a request by what the journal calls its path, and the status that it was answered with.

        0 is a client that left before there was an answer.
        """
        self.requests[path, status] = self.requests.get((path, status), 0) + 1

    def generated(self, began, first, ended, usage):
        """Count an answer: when it was asked for, said its first word and ended (monotonic), and its usage."""
        self.first_token.add(first - ARRIVED.get(began))
        made = usage.get("completion_tokens") or 0
        self.tokens["prompt"] += usage.get("prompt_tokens") or 0
        self.tokens["completion"] += made
        if made > 1 and ended > first:
            self.rate.add((made - 1) / (ended - first))

    def said(self):
        """Return the numbers as ``GET /fleet/counts`` says them."""
        requests = [[path, str(status), number] for (path, status), number in sorted(self.requests.items())]
        rest = {"first_token": self.first_token.said(), "rate": self.rate.said()}
        return {"requests": requests, "running": self.running, "tokens": dict(self.tokens), **rest}


COUNTS = Counts()


def arrive():
    """Note that the request of this task came now."""
    ARRIVED.set(time.monotonic())
