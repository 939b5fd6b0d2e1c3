"""A worker's host takes workers out of dispatch, drains and probes them. The worker is a stand-in for FastChat's."""

import argparse
import http.server
import json
import socket
import threading
import time

import pytest

from services.worker import leave, probe

ARGUMENTS = argparse.Namespace(controller="", patience=1, generation=1)


@pytest.fixture
def fake():
    """A worker and its controller on one port, with what they say as attributes."""
    said = argparse.Namespace(queue=0, error=0, exist=True, silent=False, registered=[])

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if said.silent:
                time.sleep(2)
            text = {
                "/worker_get_status": {"model_names": ["m"], "speed": 1, "queue_length": said.queue},
                "/worker_generate_stream": {"text": "x", "error_code": said.error},
                "/receive_heart_beat": {"exist": said.exist},
            }.get(self.path)
            if self.path == "/register_worker":
                said.registered.append(body)
            whole = json.dumps(text).encode() + b"\0" * (self.path == "/worker_generate_stream")
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    said.port = server.server_address[1]
    said.url = f"http://127.0.0.1:{said.port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield said
    server.shutdown()
    server.server_close()


@pytest.fixture
def asked(fake, monkeypatch):
    """judge() over one worker, and what systemctl was asked."""
    calls = []
    monkeypatch.setattr(probe, "systemctl", lambda *words: calls.append(words) or "ActiveState=active")
    arguments = argparse.Namespace(controller=fake.url, patience=1, generation=1)
    worker = {"url": fake.url, "port": fake.port, "model": "m", "concurrency": 5}

    def judge(was):
        calls.clear()
        return probe.judge("u", worker, was, arguments), [words for words in calls if words[0] != "show"]

    return judge


def test_a_worker_that_generates_is_good_and_is_left_alone(asked, fake):
    entry, did = asked({"restarts": 2, "failures": 1})
    assert (entry["state"], entry["restarts"], entry["failures"], did) == ("good", 0, 0, [])
    assert fake.registered == []


def test_one_that_its_controller_does_not_know_is_registered_again(asked, fake):
    fake.exist = False
    entry, did = asked({})
    assert entry["state"] == "good" and "registered again" in entry["said"] and did == []
    assert fake.registered[0]["worker_name"] == fake.url and fake.registered[0]["worker_status"]["model_names"] == ["m"]


@pytest.mark.parametrize("fault", ["silent", "error"])
def test_one_that_hangs_twice_is_killed_and_at_last_left_out(asked, fake, fault):
    setattr(fake, fault, 50001)
    entry, did = asked({})
    assert (entry["state"], entry["failures"], did) == ("failing", 1, [])
    entry, did = asked(entry)
    assert (entry["failures"], entry["restarts"], did) == (0, 1, [("kill", "--signal=KILL", "u")])
    entry, did = asked({**entry, "failures": 1, "restarts": probe.RESTARTS})
    assert entry["state"] == "left out" and did[-1] == ("--no-block", "stop", "u")
    assert "restarts did not help" in entry["said"]


def test_leaked_slots_are_noticed_only_when_they_stay(asked, fake):
    fake.queue = 4
    entry, did = asked({})
    assert entry["leaked"] >= 3 and did == []
    entry, did = asked(entry)
    assert did == [("--no-block", "restart", "u")] and "slots had leaked" in entry["said"]


def test_one_that_is_still_loading_is_neither_good_nor_failing():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    worker = {"url": f"http://127.0.0.1:{port}", "port": port, "model": "m", "concurrency": 5}
    assert probe.look(worker, ARGUMENTS) == (None, 0, "", None)


def test_a_drain_ends_when_nobody_is_connected_and_not_before():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        here, _ = server.accept()
        assert leave.connections(port) == 1
        assert leave.drain(port, 1) == 1, "it was still connected when the time was over"
        ended = []
        threading.Timer(1, lambda: (ended.append(time.monotonic()), client.close(), here.close())).start()
        assert leave.drain(port, 20) == 0
        # The last look before the end may have been as long ago as one look is from the next.
        assert leave.QUIET_SECONDS - 1 < time.monotonic() - ended[0] < 9
