"""Run the exporter: ``python -m services.exporter``."""

import argparse
import socket

import pynvml
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app

import services.exporter

from .fleet import Fleet
from .gateway import Gateways
from .gpus import Gpus
from .host import Host
from .serving import application, server_of


def named(text):
    """Return (name, value) of ``name=value``."""
    name, _, value = text.partition("=")
    return name, value


def registry_of(arguments):
    """Return the registry with everything that this host has to say."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    paths = {name: getattr(arguments, name) for name in ("plan", "probe", "settings", "runtime", "weights")}
    registry.register(Host(paths))
    registry.register(Gpus(pynvml))
    if arguments.controller:
        registry.register(Fleet(arguments.controller, dict(arguments.api)))
    if arguments.gateway:
        gateways = Gateways(dict(arguments.gateway), arguments.secrets, arguments.ask_seconds)
        gateways.start()
        registry.register(gateways)
    return registry


def main():
    """Serve metrics for ever, and on the controller's host the page."""
    parser = argparse.ArgumentParser(prog="services.exporter", description=services.exporter.__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--controller", default="", help="base URL, on the controller's host")
    parser.add_argument("--api", type=named, action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--gateway", type=named, action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--peer", type=named, action="append", default=[], metavar="HOST=URL", help="other exporters")
    parser.add_argument("--name", default=socket.gethostname(), help="what this host is called on the page")
    parser.add_argument("--ask-seconds", type=float, default=30, help="seconds between two questions to a gateway")
    parser.add_argument("--secrets", default="/etc/fastchat/exporter", help="where the key and the certificates are")
    parser.add_argument("--plan", default="/etc/fastchat/plan.json")
    parser.add_argument("--probe", default="/run/fastchat/probe.json")
    parser.add_argument("--settings", default="/etc/fastchat")
    parser.add_argument("--runtime", default="/opt/fastchat")
    parser.add_argument("--weights", default="/srv/fastchat")
    arguments = parser.parse_args()
    registry = registry_of(arguments)
    serving = metrics = make_wsgi_app(registry)
    if arguments.controller:
        serving = application(arguments.name, registry, dict(arguments.peer), metrics)
    server_of(arguments.host, arguments.port, serving).serve_forever()


if __name__ == "__main__":
    main()
