"""The guard in front of FastChat's own API server, as it is installed; controller and workers are stand-ins."""

import http.client
import json
import threading
import time

import pytest
from guard import CHAT, MODEL, free_port, pieces, worker


def test_a_chat_goes_through_whole_and_streamed(fleet):
    here = worker()
    _controller, api = fleet(here)
    status, said = api.ask("POST", "/v1/chat/completions", CHAT)
    assert status == 200 and json.loads(said)["choices"][0]["message"]["content"] == "Paris"
    arrived, answer = [], api.open("POST", "/v1/chat/completions", {**CHAT, "stream": True})
    while line := answer.readline():
        if line.startswith(b"data: {"):
            arrived.append((time.monotonic(), json.loads(line[6:])["choices"][0]["delta"]))
    assert [delta.get("content") for _, delta in arrived] == [None, "Par", "is"]
    assert arrived[2][0] - arrived[1][0] > 0.1, "pieces come as they are made"
    completion = {"model": MODEL, "prompt": "What", "stream": True}
    assert api.ask("POST", "/v1/completions", completion)[1].count('"text": "') == 2
    assert json.loads(api.ask("GET", "/v1/models")[1])["data"][0]["id"] == MODEL


def test_null_is_the_default_and_parts_of_text_are_text(fleet):
    here = worker()
    _controller, api = fleet(here)
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "the capital?"}]
    odd = {"messages": [{"role": "user", "content": parts}], "temperature": None, "top_p": None, "tools": []}
    assert api.ask("POST", "/v1/chat/completions", {**CHAT, **odd})[0] == 200
    (sent,) = here.generated()
    assert sent["temperature"] == 0.7 and "What is\nthe capital?" in sent["prompt"] and "tools" not in sent


def test_other_paths_are_not_there_and_no_worker_hears_of_what_is_refused(fleet):
    here = worker()
    controller, api = fleet(here)
    schema = ["/docs", "/redoc", "/api/v1/chat/completions", "/api/v1/token_check", "/"]
    for path in [*schema, "/v1/engines/x/embeddings", "/v1/chat/completions/", "//v1/models", "/v1/../docs"]:
        for method in ("GET", "POST"):
            assert api.ask(method, path, CHAT)[0] == 404, path
    assert api.ask("DELETE", "/v1/models")[0] == 405
    for body in (b"", b"{", b"\xff", b"[]", b"[" * 100000, json.dumps({**CHAT, "temperature": "hot"}).encode()):
        assert api.ask("POST", "/v1/chat/completions", body)[0] == 400
    assert api.ask("POST", "/v1/chat/completions", b"x" * 600000)[0] == 413
    assert controller.asked == [] and here.asked == []


def test_a_worker_that_is_gone_is_not_the_client_s_matter(fleet):
    here = worker()
    controller, api = fleet(f"http://127.0.0.1:{free_port()}", here)
    for stream in (False, True):
        controller.given = 0  # the dead one first
        status, said = api.ask("POST", "/v1/chat/completions", {**CHAT, "stream": stream})
        assert status == 200 and "Par" in said


def test_an_answer_that_broke_before_its_first_word_is_asked_for_once_more(fleet):
    killed, here = worker(worker_generate_stream=lambda _: None), worker()
    controller, api = fleet(killed, here)
    for stream in (False, True):
        controller.given = 0
        status, said = api.ask("POST", "/v1/chat/completions", {**CHAT, "stream": stream})
        assert status == 200 and "Par" in said
    assert len(killed.generated()) == 2


def test_a_request_that_kills_workers_is_not_led_through_all_of_them(fleet):
    killed = worker(worker_generate_stream=lambda _: None)
    _controller, api = fleet(killed)
    answer = api.open("POST", "/v1/chat/completions", CHAT)
    assert answer.status == 503 and json.loads(answer.read())["error"]["type"] == "server_error"
    assert int(answer.getheader("Retry-After")) > 0
    assert len(killed.generated()) == 2


def test_an_answer_that_breaks_after_its_first_word_is_cut_and_not_begun_again(fleet):
    killed = worker(worker_generate_stream=lambda _: [*pieces("Par"), None])
    _controller, api = fleet(killed)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        api.ask("POST", "/v1/chat/completions", {**CHAT, "stream": True})
    assert len(killed.generated()) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_was_served_is_waited_for_and_another_is_not(fleet, stream):
    here = worker()
    controller, api = fleet(here)
    assert api.ask("POST", "/v1/chat/completions", {**CHAT, "stream": stream})[0] == 200
    gone, controller.workers = controller.workers, []
    threading.Timer(1.5, lambda: controller.workers.extend(gone)).start()
    assert api.ask("POST", "/v1/chat/completions", {**CHAT, "stream": stream})[0] == 200
    began = time.monotonic()
    assert api.ask("POST", "/v1/chat/completions", {**CHAT, "model": "another"})[0] == 404
    assert time.monotonic() - began < 1


def test_without_any_worker_it_says_so_after_the_time_it_was_given(fleet):
    _controller, api = fleet(f"http://127.0.0.1:{free_port()}", seconds=2)
    began = time.monotonic()
    status, said = api.ask("POST", "/v1/chat/completions", CHAT)
    assert status == 503 and "No worker could be reached" in said
    assert 1 < time.monotonic() - began < 5


def test_a_worker_s_own_error_is_said_once(fleet):
    error = {"text": "out of memory", "error_code": 50002}
    streamed = [json.dumps(error).encode() + b"\0"]
    here = worker(worker_generate_stream=lambda _: streamed)
    _controller, api = fleet(here)
    for stream in (False, True):
        status, said = api.ask("POST", "/v1/chat/completions", {**CHAT, "stream": stream})
        error = {"message": "out of memory", "type": "server_error", "param": None, "code": None}
        assert status == 500 and json.loads(said) == {"error": error}
    assert len(here.generated()) == 2


def test_the_log_has_no_body_no_key_and_no_query(fleet):
    _controller, api = fleet(worker())
    api.ask("POST", "/v1/chat/completions?api_key=sk-in-the-query", CHAT)
    api.ask("POST", "/sk-in-the-path", CHAT)
    api.ask("POST", "/v1/chat/completions", {**CHAT, "model": "sk-in-the-model"})
    log = api.stop()
    assert "POST /v1/chat/completions 200 " in log and "(another path) 404" in log
    assert "sk-" not in log and "France" not in log


def test_it_ends_when_told_to_and_finishes_what_it_was_saying(fleet):
    here = worker(worker_generate_stream=lambda _: pieces(*("Paris"[: n + 1] for n in range(5))))
    _controller, api = fleet(here)
    answer = api.open("POST", "/v1/chat/completions", {**CHAT, "stream": True})
    answer.readline()
    api.process.terminate()
    assert answer.read().endswith(b"data: [DONE]\n\n")
    api.process.wait(timeout=10)
