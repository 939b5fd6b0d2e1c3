"""How our services ask each other, and how they ask a worker for a real generation."""

import json
import urllib.request

# A site's proxy does not know the fleet (FastChat #1282).
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url, body, seconds):
    """Return the bytes of the answer to a POST of JSON; raise OSError when none comes in time."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"}, method="POST")
    with DIRECT.open(request, timeout=seconds) as reply:
        return reply.read()


def generation_fault(url, model, seconds):
    """Return '' when a worker generates two tokens, else the reason.

    The answer is read to its end, so that its slot becomes free.
    """
    ask = {"model": model, "prompt": "Hello", "temperature": 0.0, "max_new_tokens": 2, "top_k": -1, "stop": None}
    try:
        first = json.loads(post(url + "/worker_generate_stream", ask, seconds).split(b"\0")[0])
    except (OSError, ValueError) as error:
        return f"it generates nothing: {error}"
    return "" if first.get("error_code") == 0 else f"it generates nothing: {str(first)[:200]}"
