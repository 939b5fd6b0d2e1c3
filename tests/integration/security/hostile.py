"""Some hundred requests that schemathesis makes from FastChat's own schema, right and wrong ones, sent to the gateway.

``hostile.py SCHEMA URL CERTIFICATE`` (KEY, MODEL and COUNT in the environment); runs under .testbed/security-env and
prints JSON: how often each path answered with each status, and the requests that were answered by a server's error.
"""

import collections
import json
import os
import sys
import time
from pathlib import Path

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

SCHEMA, URL, CERTIFICATE = sys.argv[1:]
KEY, MODEL, COUNT = os.environ["KEY"], os.environ["MODEL"], int(os.environ["COUNT"])
LIMITED = 429
PATHS = {"/v1/chat/completions": "POST", "/v1/completions": "POST", "/v1/embeddings": "POST", "/v1/models": "GET"}

schema = schemathesis.openapi.from_dict(json.loads(Path(SCHEMA).read_text()))
counts, broken = collections.Counter(), []
session = requests.Session()
session.trust_env = False  # otherwise the machine's own CA bundle comes before this certificate
session.verify = CERTIFICATE


def send(path, method, body, right):
    """Send one request; with a model name that is right, only its other fields can stop it."""
    if isinstance(body, dict):
        body["model"] = MODEL
        # Half of the messages get a valid role too: no generator guesses one.
        for message in body["messages"] if right and isinstance(body.get("messages"), list) else []:
            if isinstance(message, dict):
                message["role"] = "user"
        if "max_tokens" not in body or (isinstance(body["max_tokens"], int) and body["max_tokens"] > 2):
            body["max_tokens"] = 2  # the test wants many requests, not long answers
    data = body if isinstance(body, bytes) else json.dumps(body, default=repr).encode()
    data = data if method == "POST" else None
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    while (
        answer := session.request(method, URL + path, data=data, headers=headers, timeout=300)
    ).status_code == LIMITED:
        time.sleep(0.3)  # the gateway throttles a key that asks too often; this test is about the guard
    counts[f"{path} {answer.status_code}"] += 1
    if answer.status_code >= 500:
        broken.append([path, answer.status_code, answer.text[:300], repr(data)[:600]])


def run(path, method, mode):
    """Send COUNT generated requests of one mode to one path."""
    operation = schema[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=COUNT, deadline=None, derandomize=True, phases=[Phase.generate], database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def ask(case):
        send(path, method, case.body, mode is GenerationMode.POSITIVE)

    ask()


for path, method in PATHS.items():
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if method == "POST" else (GenerationMode.POSITIVE,):
        run(path, method, mode)
print(json.dumps({"counts": counts, "broken": broken}))
