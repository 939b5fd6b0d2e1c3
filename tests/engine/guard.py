"""The guard as a process, and stand-ins for controller and workers on sockets.

A stand-in worker answers FastChat's protocol with fixed words and remembers what it was sent; what it was sent is what
would have reached a model.
"""

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time

from testbed.paths import CLONE

PYTHON = os.environ.get("GUARD_PYTHON", sys.executable)  # the guard's; another stack's to test with its FastChat
MODEL = "standin"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "What is the capital of France?"}]}
CONV = {
    "name": "x", "system": "", "system_template": "{system_message}", "system_message": "",
    "roles": ["USER", "ASSISTANT"], "messages": [], "offset": 0, "sep_style": 1, "sep": "\n", "sep2": None,
    "stop_str": None, "stop_token_ids": None,
}  # fmt: skip


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class StandIn:
    """A server on a port of 127.0.0.1 whose paths are functions: body -> JSON, pieces, or a broken connection."""

    def __init__(self, paths):
        self.port, self.asked, self.left = free_port(), [], []
        self.url = f"http://127.0.0.1:{self.port}"
        stand_in = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # in chunks, as uvicorn sends: a broken stream is seen to be one

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                asked = json.loads(body) if body else None
                stand_in.asked.append((self.path, asked))
                said = paths[self.path](asked)
                if said is None:  # as when the process is killed
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in [json.dumps(said).encode()] if isinstance(said, dict) else said:
                    if piece is None:
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    try:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    except OSError:  # a worker of FastChat's stops generating here, and its slot is free
                        stand_in.left.append(time.monotonic())
                        return
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def generated(self):
        return [asked for path, asked in self.asked if path.startswith("/worker_generate")]


def pieces(*texts):
    for text in texts:
        time.sleep(0.2)
        yield json.dumps({"text": text, "error_code": 0, "usage": {}, "finish_reason": None}).encode() + b"\0"


def worker(**changed):
    paths = {
        "/worker_get_conv_template": lambda _: {"conv": CONV},
        "/model_details": lambda _: {"context_length": 2048},
        "/count_token": lambda _: {"count": 7},
        "/worker_generate_stream": lambda _: pieces("Par", "Paris"),
    }
    return StandIn({**paths, **{f"/{name}": act for name, act in changed.items()}})


class Controller(StandIn):
    """Lists what it is told to, and gives out its workers in turn."""

    def __init__(self, *workers):
        self.workers, self.given = list(workers), 0
        super().__init__(
            {
                "/refresh_all_workers": lambda _: {},
                "/list_models": lambda _: {"models": [MODEL] if self.workers else []},
                "/get_worker_address": self.give,
            }
        )

    def give(self, asked):
        if asked["model"] != MODEL:
            return {"address": ""}
        self.given += 1
        return {"address": self.workers[(self.given - 1) % len(self.workers)] if self.workers else ""}


class Api:
    """The guard as a process."""

    def __init__(self, controller, seconds=4, options=()):
        self.port = free_port()
        command = [PYTHON, "-m", "services.api", "--host=127.0.0.1", f"--port={self.port}"]
        command += [f"--controller-address={controller}", f"--again-seconds={seconds}", *options]
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(command, env={"LOGDIR": "", "PYTHONPATH": str(CLONE)}, **pipe)
        for _ in range(150):
            try:
                if self.ask("GET", "/fleet/alive")[0] == 200:
                    return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(self.stop())

    def connected(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-secret"}
        connection.request(method, path, data, headers)
        return connection

    def open(self, method, path, body=None):
        return self.connected(method, path, body).getresponse()

    def ask(self, method, path, body=None):
        answer = self.open(method, path, body)
        return answer.status, answer.read().decode()

    def stop(self):
        self.process.terminate()
        return self.process.communicate(timeout=20)[0]
