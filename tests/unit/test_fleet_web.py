"""Our code around FastChat's web page. FastChat and gradio themselves run in tests/integration/web."""

import asyncio
import http.server
import json
import threading

import pytest

from services.web.browser import OnlyChat, without_elsewhere
from services.web.controller import models_of, template_of
from services.web.page import Requests

TEMPLATE = {"name": "vicuna_v1.1", "messages": [["USER", "hi"]]}


@pytest.fixture
def controller():
    """Stand in for a controller that is its own worker of the model `vicuna`; yield (URL, what it was asked)."""
    asked = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            mine = f"http://127.0.0.1:{self.server.server_port}"
            answer = {
                "/list_models": {"models": ["vicuna", "alpaca", "vicuna"]},
                "/get_worker_address": {"address": mine if body.get("model") == "vicuna" else ""},
                "/worker_get_conv_template": {"conv": TEMPLATE},
            }[self.path]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_words):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_the_template_is_the_worker_s_own_and_no_worker_is_no_template(controller, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    url, asked = controller
    assert models_of(url) == ["alpaca", "vicuna"]
    assert template_of(url, "vicuna") == TEMPLATE
    assert template_of(url, "alpaca") == {}
    assert ("/worker_get_conv_template", {"model": "vicuna"}) in asked
    assert not [path for path, _body in asked if "refresh" in path], "that would block FastChat's own controller"


def test_a_controller_that_is_not_there_is_an_oserror(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(OSError):
        models_of("http://127.0.0.1:9")


def through_only_chat(path, kind="http"):
    """Return (status, head) of a GET; behind it everything answers 200."""
    sent = []

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"in"})

    async def send(message):
        sent.append(message)

    asyncio.run(OnlyChat(app)({"type": kind, "path": path}, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/upload_progress",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/chat/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=https://x.hf.space/",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/deep_link",
    ],
)
def test_what_no_chat_needs_is_closed(path):
    status, head = through_only_chat(path)
    assert status == 404 and b"content-security-policy" in head and b"x" not in head


@pytest.mark.parametrize("path", ["/", "/chat/", "/config", "/fleet", "/gradio_api/queue/join", "/assets/file-1.js"])
def test_what_a_chat_needs_is_open_and_tells_browsers_to_go_nowhere_else(path):
    status, head = through_only_chat(path)
    assert status == 200 and head[b"x"] == b"y"
    policy = head[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self';") and "http" not in policy and "*" not in policy


def test_what_is_no_request_is_handed_on_as_it_is():
    assert b"content-security-policy" not in through_only_chat("/gradio_api/upload", kind="lifespan")[1]


def test_tags_that_name_other_servers_are_taken_out_and_no_others():
    page = (
        '<link rel="preconnect" href="https://fonts.googleapis.com" />\n<link\n\trel="preconnect"\n\t'
        'href="https://fonts.gstatic.com"\n\tcrossorigin="anonymous"\n/>\n<script\n\tsrc="https://cdnjs.example/x.js"\n\t'
        'async\n></script>\n<script type="module" src="./assets/index.js"></script>'
        '<link rel="manifest" href="/m.json" />'
    )
    kept = without_elsewhere(page)
    assert "http" not in kept
    assert kept.split() == [
        "<script", 'type="module"', 'src="./assets/index.js"></script><link', 'rel="manifest"', 'href="/m.json"', "/>",
    ]  # fmt: skip


def test_a_worker_is_asked_with_top_k_and_nobody_else():
    class Module:  # stands in for the package requests
        exceptions = "theirs"

        def post(self, url, json=None, **more):
            return url, json, more

    ours = Requests(Module())
    assert ours.exceptions == "theirs"
    assert ours.post("http://w/worker_generate_stream", json={"prompt": "p"}, stream=True)[1:] == (
        {"top_k": -1, "prompt": "p"},
        {"stream": True},
    )
    assert ours.post("http://c/get_worker_address", json={"model": "m"})[1] == {"model": "m"}
    assert ours.post("http://w/worker_generate_stream", json={"top_k": 5})[1] == {"top_k": 5}
