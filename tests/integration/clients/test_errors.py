"""What a program gets when a call fails: its client's own exceptions, and what the client tries again by itself."""

import collections

import pytest
from clients_site import COMMANDS, MODEL, OPENAI_OWN, wait_until_served

SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
TOOL = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}


def openais(said):
    """Return the class of OpenAI's client that a result's exception is of; LangChain derives its own from it."""
    return next(kind for kind in said["kinds"] if kind in ("BadRequestError", "RateLimitError"))


def refused(said, kind, status, param=None, code=None):
    assert kind in said.get("kinds", ()), said
    assert (said["status_code"], said["param"], said["code"]) == (status, param, code), said
    assert [one for _, one in said["tries"]] == [status], said


@pytest.mark.parametrize("name", COMMANDS)
def test_a_gateway_whose_certificate_is_not_trusted_gets_no_request(another, name):
    said = another(name, SSL_CERT_FILE=SYSTEM, NODE_EXTRA_CA_CERTS=SYSTEM).chat()
    assert "APIConnectionError" in said["kinds"] and [status for _, status in said["tries"]] == [None], said


def test_a_wrong_key(client):
    said = client.chat(options={"api_key": "sk-wrong-0123456789abcdef"})
    refused(said, "AuthenticationError", 401, code="invalid_api_key")


def test_a_model_that_is_not_served(client):
    refused(client.chat(model="gpt-4o"), "NotFoundError", 404, "model", "model_not_found")
    refused(client.chat(call="stream", model="gpt-4o"), "NotFoundError", 404, "model", "model_not_found")
    said = client("embeddings", model="gpt-4o", input="x")
    refused(said, "NotFoundError", 404, "model", "model_not_found")


@pytest.mark.parametrize("client", OPENAI_OWN, indirect=True)
@pytest.mark.parametrize("name", ["gpt-4o", "lmsys/vicuna-7b-v1.5", "a model", "modèle", "x" * 300])
def test_a_model_that_is_not_served_can_not_be_retrieved(client, name):
    refused(client("retrieve", model=name), "NotFoundError", 404, "model", "model_not_found")


def test_what_can_not_be_served_is_named(client):
    refused(client.chat(tools=[TOOL]), "BadRequestError", 400, "tools", "unsupported_parameter")
    refused(client.chat(logprobs=True), "BadRequestError", 400, "logprobs", "unsupported_parameter")
    refused(client.chat(seed=1, call="stream"), "BadRequestError", 400, "seed", "unsupported_parameter")
    refused(client.chat(temperature=3), "BadRequestError", 400, "temperature")


def test_a_prompt_that_is_too_long(client):
    for call in ("chat", "stream"):
        said = client.chat("word " * 20000, call=call)
        refused(said, "BadRequestError", 400, "messages", "context_length_exceeded")


def test_a_body_that_is_too_large(client):
    refused(client.chat("x" * 600000), "APIError", 413)


def test_a_key_that_asks_too_often_waits_as_long_as_it_is_told(client):
    hello = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
    fast = client.many("chat", 120, 40, **hello, seed=1)  # the guard refuses it at once, so that they are many a second
    counts = collections.Counter(map(openais, fast))
    assert set(counts) == {"BadRequestError", "RateLimitError"} and counts["BadRequestError"] >= 20, (
        counts
    )  # the burst of a key, and what comes free meanwhile
    limited = [said for said in fast if openais(said) == "RateLimitError"]
    assert {(said["status_code"], said["code"], said["retry_after"]) for said in limited} == {
        (429, "rate_limit_exceeded", "1")
    }
    patient = client.many("chat", 40, 40, {"max_retries": 30}, **hello, seed=1)
    assert set(map(openais, patient)) == {"BadRequestError"}
    waits = [
        later[0] - sooner[0]
        for said in patient
        for sooner, later in zip(said["tries"], said["tries"][1:], strict=False)
    ]
    assert len(waits) > 5 and min(waits) > 0.95, waits


def test_without_an_api_server_a_client_tries_again_until_there_is_one(site, client):
    units = ("fastchat-api@0.service", "fastchat-api@1.service")
    with site.without(["systemctl", "stop", *units], ["systemctl", "start", *units], 3):
        said = client.chat(options={"max_retries": 60})
    statuses = [status for _, status in said["tries"]]
    assert set(statuses[:-1]) == {502} and statuses[-1] == 200, said
    assert min(later[0] - sooner[0] for sooner, later in zip(said["tries"], said["tries"][1:], strict=False)) > 0.95
    assert said["texts"] == ["The capital of France is Paris."]


def test_without_a_worker_a_client_tries_again_until_there_is_one(site, client):
    wait_until_served(client)  # by each API server, which waits only for a model that it knows
    wait_until_served(client)
    with site.without(site.fleet_says("leave"), site.fleet_says("join"), 11):
        said = client.chat(options={"max_retries": 10})
    statuses = [status for _, status in said["tries"]]
    assert set(statuses[:-1]) == {503} and statuses[-1] == 200, said
    assert said["tries"][1][0] - said["tries"][0][0] > 11, "it waits where the guard does, and as long as it is told"
    assert said["texts"] == ["The capital of France is Paris."]
