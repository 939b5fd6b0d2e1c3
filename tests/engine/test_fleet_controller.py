"""The launcher around FastChat's own controller, over HTTP, with workers that do as they are told.

The workers are stand-ins at the edge: they answer what FastChat's worker answers on the two paths that are asked. The
controller, its registry, its dispatch and uvicorn are the real ones, of the hosts' own environment.
"""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from guard import free_port

from testbed.paths import CLONE


def post(url, body=None, seconds=5):
    request = urllib.request.Request(url, data=json.dumps(body or {}).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=seconds) as reply:
        return json.loads(reply.read())


class Worker:
    """Answers as FastChat's worker; ``delay``, ``slow`` (to generate) and ``fault`` are what is wrong with it."""

    def __init__(self, models=("m",), port=0):
        self.models, self.delay, self.fault, self.queue, self.generated = list(models), 0, False, 0, 0
        self.slow = 0
        outer = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                time.sleep(outer.delay)
                if self.path.endswith("/worker_get_status"):
                    said = json.dumps({"model_names": outer.models, "speed": 1, "queue_length": outer.queue}).encode()
                else:
                    outer.generated += 1
                    time.sleep(outer.slow)
                    said = json.dumps({"text": "x", "error_code": 50001 if outer.fault else 0}).encode() + b"\0"
                with contextlib.suppress(OSError):  # who asked may have lost patience
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Controller:
    """The launcher as a process."""

    def __init__(self, folder):
        self.state, self.port, self.process = folder / "controller.json", free_port(), None
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (folder / "log").open("ab")
        self.start()

    def start(self):
        command = [sys.executable, "-m", "services.controller", f"--port={self.port}", f"--state-file={self.state}"]
        command += ["--interval=0.2", "--patience=0.5"]
        environment = {"PATH": "/usr/bin:/bin", "LOGDIR": "", "NO_PROXY": "*", "PYTHONPATH": str(CLONE)}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.until(lambda: isinstance(self.fleet(), dict))

    def until(self, right, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, KeyError):
                if right():
                    return
            assert time.monotonic() < deadline, self.fleet()
            time.sleep(0.05)

    def fleet(self):
        with urllib.request.urlopen(self.url + "/fleet", timeout=5) as reply:
            return json.loads(reply.read())["workers"]

    def state_of(self, worker):
        return self.fleet()[worker.url]["state"]

    def register(self, worker, below=""):
        status = {"model_names": worker.models, "speed": 1, "queue_length": 0}
        body = {"worker_name": worker.url + below, "check_heart_beat": True, "worker_status": status}
        post(self.url + "/register_worker", body)

    def chosen(self, model="m"):
        return post(self.url + "/get_worker_address", {"model": model})["address"]

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def controller(tmp_path):
    one = Controller(tmp_path)
    yield one
    one.kill()


@pytest.fixture
def workers():
    both = [Worker(), Worker()]
    yield both
    for one in both:
        with contextlib.suppress(OSError):
            one.close()


def serving(controller, workers):
    for one in workers:
        controller.register(one)
    controller.until(lambda: {controller.state_of(one) for one in workers} == {"serving"})


def test_a_worker_is_dispatched_to_only_after_it_generated(controller, workers):
    workers[0].fault = True
    controller.register(workers[0])
    controller.until(lambda: "generates nothing" in controller.fleet()[workers[0].url]["why"])
    assert controller.chosen() == "" and controller.state_of(workers[0]) == "joining"
    assert post(controller.url + "/receive_heart_beat", {"worker_name": workers[0].url, "queue_length": 0})["exist"]
    workers[0].fault = False
    controller.until(lambda: controller.chosen() == workers[0].url)
    assert workers[0].generated >= 2


def test_a_dead_worker_is_taken_out_and_comes_back_by_itself(controller, workers):
    serving(controller, workers)
    port = workers[0].server.server_address[1]
    workers[0].close()
    began = time.monotonic()
    controller.until(lambda: controller.state_of(workers[0]) == "down")
    assert time.monotonic() - began < 5
    assert {controller.chosen() for _ in range(6)} == {workers[1].url}
    workers[0] = Worker(port=port)
    controller.until(lambda: controller.state_of(workers[0]) == "serving")


def test_a_silent_worker_is_taken_out_but_never_the_last_one(controller, workers):
    serving(controller, workers)
    workers[0].delay = 3
    controller.until(lambda: controller.state_of(workers[0]) == "hung")
    workers[1].delay = 3
    time.sleep(2.5)
    assert controller.state_of(workers[1]) == "serving"
    workers[0].delay = workers[1].delay = 0
    controller.until(lambda: controller.state_of(workers[0]) == "serving")


def test_many_workers_that_are_slow_to_generate_hide_nobodys_death(controller, workers):
    serving(controller, workers)
    loading = Worker()
    loading.slow = 60
    for number in range(80):  # one stand-in for all of them, each below a path of its own
        controller.register(loading, f"/{number}")
    controller.until(lambda: loading.generated >= 64)  # more are not asked to generate at a time
    workers[0].close()
    began = time.monotonic()
    controller.until(lambda: controller.state_of(workers[0]) == "down")
    assert time.monotonic() - began < 5
    assert {controller.chosen() for _ in range(6)} == {workers[1].url}
    loading.close()


def test_who_leaves_stays_out_until_another_process_registers(controller, workers):
    serving(controller, workers)
    assert post(controller.url + "/fleet/leave", {"worker": workers[0].url, "why": "stopping"})["state"] == "leaving"
    post(controller.url + "/refresh_all_workers")  # undoes a drain in FastChat itself
    time.sleep(1)
    assert {controller.chosen() for _ in range(6)} == {workers[1].url}
    controller.register(workers[0])
    controller.until(lambda: controller.state_of(workers[0]) == "serving")
    post(controller.url + "/fleet/leave", {"worker": workers[0].url})
    post(controller.url + "/fleet/join", {"worker": workers[0].url})
    controller.until(lambda: controller.state_of(workers[0]) == "serving")


def test_a_restart_forgets_nobody(controller, workers):
    serving(controller, workers)
    post(controller.url + "/fleet/leave", {"worker": workers[1].url})
    controller.kill()
    controller.start()
    # At the first answer: who served is listed, who left is not.
    assert controller.chosen() == workers[0].url
    assert (controller.state_of(workers[0]), controller.state_of(workers[1])) == ("serving", "leaving")
    controller.kill()
    controller.state.write_text('{"cut')
    controller.start()
    assert controller.fleet() == {}


def test_who_is_forgotten_is_gone_and_nonsense_is_refused_in_a_sentence(controller, workers):
    serving(controller, workers)
    post(controller.url + "/fleet/forget", {"worker": workers[0].url})
    assert list(controller.fleet()) == [workers[1].url]
    for path, body in (("/fleet/leave", {}), ("/register_worker", {"worker_status": 1}), ("/receive_heart_beat", [])):
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(controller.url + path, body)
        assert refused.value.code == 400 and "does not take this" in refused.value.read().decode()
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(controller.url + "/fleet/nonsense", {"worker": "x"})
    assert refused.value.code == 404
    assert controller.chosen() == workers[1].url


def test_queue_lengths_are_those_of_the_workers(controller, workers):
    serving(controller, workers)
    workers[0].queue = 5
    controller.until(lambda: controller.fleet()[workers[0].url]["queue_length"] == 5)
    time.sleep(0.3)
    assert controller.chosen() == workers[1].url
