"""What the Python clients share: calls come as lines of JSON on standard input, and what they bring leaves as lines.

A call is {"call", "options", "arguments"}; its result also has `tries`, [[seconds, status], ...] of the requests that
were really sent, or `error` with the client's own exception. OPENAI_BASE_URL, OPENAI_API_KEY and SSL_CERT_FILE are read
by the clients themselves, as a user sets them.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import openai

HERE = threading.local()  # the requests of the call that runs in this thread


def sent(request):
    """Note that a request leaves."""
    HERE.tries.append([time.time(), None])


def answered(response):
    """Note the status of the last request."""
    HERE.tries[-1][1] = response.status_code


HTTP = openai.DefaultHttpxClient(event_hooks={"request": [sent], "response": [answered]})


def told(error):
    """Return a client's exception as data."""
    headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    said = {name: getattr(error, name, None) for name in ("status_code", "type", "param", "code")}
    kinds = [kind.__name__ for kind in type(error).__mro__]
    return {**said, "error": kinds[0], "kinds": kinds, "message": str(error), "retry_after": headers.get("retry-after")}


def done(call, options, arguments):
    """Make one call; return what it brought, with its requests."""
    HERE.tries = []
    try:
        result = call(options, **arguments)
    except Exception as error:  # whatever a program would get
        result = told(error)
    return {"left": time.time(), **result, "tries": HERE.tries}


def serve(**calls):
    """Make calls until standard input ends; one with `count` is made so often, by `threads` at once."""
    for line in sys.stdin:
        asked = json.loads(line)
        call, options, arguments = calls[asked["call"]], asked["options"], asked["arguments"]
        count = asked.get("count", 1)
        with ThreadPoolExecutor(asked.get("threads", 1)) as pool:
            results = list(pool.map(lambda _: done(call, options, arguments), range(count)))  # noqa: B023
        print(json.dumps(results), flush=True)
