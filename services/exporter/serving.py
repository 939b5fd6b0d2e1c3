"""Serve the metrics of this host, and on the controller's host the page of all of them."""

import concurrent.futures
import socket
import socketserver
import time
import wsgiref.simple_server

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.common.asking import DIRECT

from .glance import glance
from .page import POLICY, page

SECONDS = 3  # for a host's metrics


def read(text):
    """Return {metric: [(labels, value)]} of metrics as a host says them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def metrics_of(url):
    """Return what an exporter at a base URL says, None when it does not answer."""
    try:
        with DIRECT.open(url + "/metrics", timeout=SECONDS) as answer:
            return read(answer.read().decode())
    except (OSError, ValueError):
        return None


def gathered(here, registry, peers):
    """Return {host: metrics} of this host (``here``) and of the exporters at {host: base URL}."""
    others = {name: url for name, url in peers.items() if name != here}
    with concurrent.futures.ThreadPoolExecutor(max(1, len(others))) as pool:
        asked = {name: pool.submit(metrics_of, url) for name, url in others.items()}
        own = read(generate_latest(registry).decode())
        return {here: own, **{name: one.result() for name, one in asked.items()}}


def application(here, registry, peers, metrics):
    """Return the WSGI application: the page at /status, and ``metrics`` (another one) everywhere else."""

    def answered(environ, start_response):
        if environ.get("PATH_INFO") != "/status":
            return metrics(environ, start_response)
        shown = glance(here, gathered(here, registry, peers))
        body = page(shown, time.strftime("%Y-%m-%d %H:%M:%S %Z")).encode()
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
        more = [
            ("Content-Security-Policy", POLICY),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response("200 OK", headers + more)
        return [body]

    return answered


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    """Writes no line for each request, since Prometheus asks all the time."""

    def log_message(self, *_words):
        """Write nothing."""

    def address_string(self):
        """Return the address as it is: a name would have to be looked up."""
        return self.client_address[0]


def server_of(host, port, application):
    """Return the server of a WSGI application at an address of IPv4 or IPv6."""

    class Bound(Server):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self):
            """Bind, and look up no name for the address."""
            socketserver.TCPServer.server_bind(self)
            self.server_name, self.server_port = host, port
            self.setup_environ()

    server = Bound((host, port), Handler)
    server.set_app(application)
    return server
