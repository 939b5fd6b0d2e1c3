"""What the guard makes of FastChat's answers: right counts, one form of error, limits, and no work without a client."""

import base64
import json
import struct
import time

import pytest
from guard import CHAT, MODEL, worker

PROMPT = {"model": MODEL, "prompt": "What"}


def made(count, seconds=0.0, finish="length", **more):
    """Yield what FastChat's worker says while it makes some tokens: it counts from 0."""
    for at in range(count):
        time.sleep(seconds)
        used = {"prompt_tokens": 7, "completion_tokens": at, "total_tokens": 7 + at}
        said = {"text": "a" * (at + 1), "error_code": 0, "usage": used, "finish_reason": None, **more}
        yield json.dumps(said).encode() + b"\0"
    yield json.dumps({**said, "finish_reason": finish}).encode() + b"\0"


def endless(_asked):
    """Yield what a worker says that nobody stops: a minute."""
    return made(300, 0.2)


def events(api, path, body):
    """Return the events of a stream, the last "[DONE]" as text."""
    status, said = api.ask("POST", path, {**body, "stream": True})
    assert status == 200, said
    told = [line[len("data: ") :] for line in said.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in told]


def error(api, path, body):
    """Return (status, error) of a refusal."""
    status, said = api.ask("POST" if body else "GET", path, body)
    assert list(json.loads(said)) == ["error"]
    assert set(json.loads(said)["error"]) == {"message", "type", "param", "code"}
    return status, json.loads(said)["error"]


@pytest.mark.parametrize("answers", [1, 2])
def test_every_token_of_every_answer_is_counted_and_the_prompt_once(fleet, answers):
    here = worker(worker_generate_stream=lambda _: made(3))
    _controller, api = fleet(here)
    right = {"prompt_tokens": 7, "completion_tokens": 3 * answers, "total_tokens": 7 + 3 * answers}
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/completions", PROMPT)):
        asked = {**body, "n": answers}
        answer = json.loads(api.ask("POST", path, asked)[1])
        assert answer["usage"] == right
        assert [choice["finish_reason"] for choice in answer["choices"]] == ["length"] * answers
        *chunks, last, done = events(api, path, {**asked, "stream_options": {"include_usage": True}})
        assert done == "[DONE]" and last["choices"] == [] and last["usage"] == right
        assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
        ends = [choice for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
        assert [(end["index"], end["finish_reason"]) for end in ends] == [(at, "length") for at in range(answers)]
        kind = "chat.completion.chunk" if "chat" in path else "text_completion"
        assert {(one["object"], one["id"], one["model"]) for one in [*chunks, last]} == {(kind, last["id"], MODEL)}
        assert all("usage" not in chunk for chunk in events(api, path, asked)[:-1])


def test_several_prompts_in_a_stream_have_their_own_indices(fleet):
    _controller, api = fleet(worker(worker_generate_stream=lambda _: made(1)))
    *chunks, _done = events(api, "/v1/completions", {**PROMPT, "prompt": ["a", "b"], "n": 2})
    said = [(one["choices"][0]["index"], one["choices"][0]["text"]) for one in chunks]
    assert said == [(at, "a") for at in range(4)] + [(at, "") for at in range(4)]


def test_a_client_that_leaves_takes_its_work_with_it(fleet):
    here = worker(worker_generate_stream=endless)
    _controller, api = fleet(here)
    for path, body in (("/v1/chat/completions", {**CHAT, "n": 2}), ("/v1/completions", PROMPT)):
        here.left.clear()
        connection = api.connected("POST", path, {**body, "max_tokens": 300})
        time.sleep(1)
        left = time.monotonic()
        connection.close()
        while len(here.left) < body.get("n", 1) and time.monotonic() < left + 5:
            time.sleep(0.05)
        assert len(here.left) == body.get("n", 1) and max(here.left) - left < 2


def test_of_several_answers_none_goes_on_when_one_failed(fleet):
    failed = json.dumps({"text": "no memory", "error_code": 50002}).encode() + b"\0"
    turns = iter([lambda: endless(None), lambda: (time.sleep(1), failed)[1:]])
    here = worker(worker_generate_stream=lambda _: next(turns)())
    _controller, api = fleet(here)
    began = time.monotonic()
    status, said = error(api, "/v1/chat/completions", {**CHAT, "n": 2})
    assert (status, said["message"]) == (500, "no memory") and time.monotonic() - began < 4
    while not here.left and time.monotonic() - began < 4:
        time.sleep(0.05)
    assert len(here.left) == 1


def test_an_answer_without_a_limit_of_its_own_gets_the_model_s(fleet):
    here = worker(worker_generate_stream=lambda _: made(1))
    _controller, api = fleet(here, options=["--max-tokens=default=5", f"--max-tokens={MODEL}=9"])
    for asked, tokens in (({}, 9), ({"max_tokens": 50}, 50), ({"max_completion_tokens": 3}, 3)):
        assert api.ask("POST", "/v1/chat/completions", {**CHAT, **asked})[0] == 200
        assert here.generated()[-1]["max_new_tokens"] == tokens
    assert api.ask("POST", "/v1/completions", PROMPT)[0] == 200
    assert here.generated()[-1]["max_new_tokens"] == 16


def test_an_answer_ends_when_its_time_is_over_and_says_length(fleet):
    here = worker(worker_generate_stream=endless)
    _controller, api = fleet(here, options=["--answer-seconds=1.5"])
    began = time.monotonic()
    answer = json.loads(api.ask("POST", "/v1/chat/completions", CHAT)[1])
    assert answer["choices"][0]["finish_reason"] == "length" and 1 <= answer["usage"]["completion_tokens"] <= 8
    *_chunks, last, _done = events(api, "/v1/chat/completions", CHAT)
    assert last["choices"][0]["finish_reason"] == "length"
    assert time.monotonic() - began < 6


def test_a_worker_that_begins_too_late_is_a_503(fleet):
    _controller, api = fleet(worker(worker_generate_stream=lambda _: made(1, 5)), options=["--answer-seconds=1"])
    for stream in (False, True):
        status, said = error(api, "/v1/chat/completions", {**CHAT, "stream": stream})
        assert status == 503 and "within 1 s" in said["message"] and said["type"] == "server_error"


def test_errors_have_one_form_and_openai_s_codes(fleet):
    here = worker(count_token=lambda _: {"count": 5000})
    _controller, api = fleet(here)
    for stream in (False, True):
        status, said = error(api, "/v1/chat/completions", {**CHAT, "stream": stream})
        assert (status, said["code"], said["param"]) == (400, "context_length_exceeded", "messages")
        status, said = error(api, "/v1/completions", {**PROMPT, "stream": stream})
        assert (status, said["code"], said["param"]) == (400, "context_length_exceeded", "prompt")
        status, said = error(api, "/v1/completions", {**PROMPT, "stream": stream, "model": "gpt-5"})
        assert (status, said["code"], said["param"]) == (404, "model_not_found", "model") and "gpt-5" in said["message"]
    status, said = error(api, "/v1/embeddings", {"model": "gpt-5", "input": "a"})
    assert (status, said["code"]) == (404, "model_not_found")
    status, said = error(api, "/v1/chat/completions", {**CHAT, "tools": [{"type": "function"}]})
    assert (status, said["param"], said["type"]) == (400, "tools", "invalid_request_error")
    assert error(api, "/nowhere", CHAT)[0] == 404 and error(api, "/v1/models", CHAT)[0] == 405
    assert here.generated() == []


def test_an_error_in_the_middle_of_a_stream_is_its_last_event(fleet):
    failed = json.dumps({"text": "no memory left", "error_code": 50002}).encode() + b"\0"
    _controller, api = fleet(worker(worker_generate_stream=lambda _: [*list(made(2))[:2], failed]))
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/completions", PROMPT)):
        *_chunks, last = events(api, path, body)
        said = {"message": "no memory left", "type": "server_error", "param": None, "code": None}
        assert last == {"error": said}


def test_one_model_is_there_or_not(fleet):
    _controller, api = fleet(worker())
    status, said = api.ask("GET", f"/v1/models/{MODEL}")
    assert status == 200 and json.loads(said)["id"] == MODEL and json.loads(said)["object"] == "model"
    status, said = error(api, "/v1/models/gpt-5", None)
    assert (status, said["code"], said["param"]) == (404, "model_not_found", "model")
    assert api.ask("POST", f"/v1/models/{MODEL}", CHAT)[0] == 405


def test_many_embeddings_are_asked_for_in_parts_and_come_in_order(fleet):
    def embedded(asked):
        return {"embedding": [[float(text), 0.5] for text in asked["input"]], "token_num": len(asked["input"])}

    here = worker(worker_get_embeddings=embedded)
    _controller, api = fleet(here)
    asked = {"model": MODEL, "input": [str(number) for number in range(40)]}
    answer = json.loads(api.ask("POST", "/v1/embeddings", asked)[1])
    assert [(one["index"], one["embedding"]) for one in answer["data"]] == [(at, [at, 0.5]) for at in range(40)]
    assert answer["usage"] == {"prompt_tokens": 40, "total_tokens": 40} and answer["model"] == MODEL
    assert max(len(body["input"]) for path, body in here.asked if path == "/worker_get_embeddings") <= 16
    packed = json.loads(api.ask("POST", "/v1/embeddings", {**asked, "input": "3", "encoding_format": "base64"})[1])
    assert struct.unpack("<2f", base64.b64decode(packed["data"][0]["embedding"])) == (3.0, 0.5)


def test_what_a_worker_ignores_is_refused_and_what_one_of_vllm_can_is_honoured(fleet):
    asked = {**CHAT, "presence_penalty": 1}
    _controller, api = fleet(worker(worker_generate_stream=endless))
    for stream in (False, True):
        status, said = error(api, "/v1/chat/completions", {**asked, "stream": stream})
        assert (status, said["param"]) == (400, "presence_penalty")
    _controller, api = fleet(worker(worker_generate_stream=lambda _: made(3, cumulative_logprob=[-1.0])))
    status, said = api.ask("POST", "/v1/chat/completions", asked)
    if status == 400:  # FastChat 0.2.15 hands it on to nobody
        assert json.loads(said)["error"]["param"] == "presence_penalty"
    else:
        assert json.loads(said)["usage"]["completion_tokens"] == 2  # vLLM counts from 1


def test_every_turn_reaches_the_prompt(fleet):
    here = worker(worker_generate_stream=lambda _: made(1))
    _controller, api = fleet(here)
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", None), ("developer", "Be kind."), ("user", "Well?")]
    said = [{"role": role, "content": content} for role, content in turns]
    assert api.ask("POST", "/v1/chat/completions", {**CHAT, "messages": said})[0] == 200
    prompt = here.generated()[-1]["prompt"]
    assert prompt.startswith("Be brief.\nBe kind.") and "Hi" in prompt and "Well?" in prompt


def test_the_prompt_keeps_its_first_token_when_the_answer_gets_all_the_rest(fleet):
    here = worker(worker_generate_stream=lambda _: made(1))
    _controller, api = fleet(here)
    assert api.ask("POST", "/v1/chat/completions", CHAT)[0] == 200
    # A worker keeps the last context - max_new_tokens - 1 tokens of the prompt, of which there are 7.
    assert 2048 - here.generated()[-1]["max_new_tokens"] - 1 >= 7
