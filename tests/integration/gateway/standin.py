"""Stand in for the API behind the gateway: answer as FastChat's server does where it matters here, and note who asked.

``python3 standin.py ADDRESS PORT``; an empty address is every one. FastChat allows every origin, so this does.
A POST of {"model": "busy"} gets a 503, and of {"model": "slow"} an answer after three seconds. GET /v1/models/asked
tells the methods and headers that came.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ASKED = []


class StandIn(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, said, **headers):
        """Send JSON with the headers that FastChat's own CORS has."""
        data = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(data)),
            "Content-Type": "application/json",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Credentials": "true",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def any_method(self):
        """Note the request, and answer it by its path and model."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/v1/models/asked":
            self.answer(200, ASKED)
            return
        ASKED.append([self.command, {name.lower(): value for name, value in self.headers.items()}])
        model = json.loads(body)["model"] if body else ""
        if model == "slow":
            time.sleep(3)
        if model == "busy":
            error = {"message": "No worker.", "type": "server_error", "param": None, "code": None}
            self.answer(503, {"error": error}, **{"Retry-After": "7"})
        else:
            self.answer(200, {"object": "list", "data": []})

    do_GET = do_POST = do_OPTIONS = any_method


ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), StandIn).serve_forever()
