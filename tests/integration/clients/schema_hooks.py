"""Hooks of schemathesis: answers are short, because the run wants many requests."""

import schemathesis

MOST = 2
LIMITS = ("max_tokens", "max_completion_tokens")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lower a limit of tokens that is right; set one where there is none."""
    body = case.body
    if not isinstance(body, dict) or not ("messages" in body or "prompt" in body):
        return
    there = [name for name in LIMITS if body.get(name) is not None]
    for name in there:
        if isinstance(body[name], int) and not isinstance(body[name], bool) and MOST < body[name] <= 1048576:
            body[name] = MOST
    if not there:
        body["max_tokens"] = MOST
