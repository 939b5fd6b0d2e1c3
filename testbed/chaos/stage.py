"""Observe one fault: the client's load, the looks at the controller, and the moments of the fault."""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.chaos import counting
from testbed.chaos.hosts import CLIENT, CLIENT_PYTHON, CONTROLLER, FLEET, WORKERS, container, on
from testbed.containers import fleet
from testbed.paths import STATE

HERE = Path(__file__).parent
STEADY_SECONDS = 5.0
NOTICED_SECONDS = 20.0  # a fault is noticed late: a hung worker only after about 7 s
LOOK_SECONDS = 0.5


@dataclass
class Endpoint:
    """The API that the client asks: ``ca`` is a file on this machine, '' for an API that needs none."""

    url: str
    key: str = "none"
    ca: str = ""


def own_endpoint() -> Endpoint:
    """Return the fleet's own endpoint: its gateway where it has one, else its API server."""
    key = STATE / FLEET / "gateway-key"
    if not key.exists():
        return Endpoint(f"http://{CONTROLLER}:8000/v1")
    certificate = STATE / FLEET / "gateway.pem"
    certificate.write_text(on(CONTROLLER, "cat", "/var/lib/fastchat-gateway/certificate.pem") + "\n")
    return Endpoint(f"https://{CONTROLLER}/v1", key.read_text().strip(), str(certificate))


@dataclass
class Stage:
    """Collects observations of the fleet during a fault, which calls ``begins`` and ``lifted``."""

    model: str
    concurrency: int
    endpoint: Endpoint = field(default_factory=lambda: Endpoint(""))
    records: list[dict[str, Any]] = field(default_factory=list)
    looks: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def begins(self, in_flight: int = 0) -> None:
        """Note that the fault begins now."""
        self.marks = {"began": time.monotonic(), "lifted": time.monotonic(), "in_flight": in_flight}

    def lifted(self) -> None:
        """Note that the fault is lifted now; without a call it was over as soon as it began."""
        self.marks["lifted"] = time.monotonic()

    def client_options(self) -> list[str]:
        """Return the client's options for the endpoint; the certificate that it trusts is copied to its host."""
        words = ["--url", self.endpoint.url, "--key", self.endpoint.key]
        if self.endpoint.ca:
            fleet.podman("cp", self.endpoint.ca, f"{container(CLIENT)}:/etc/chaos-ca.pem")
            words += ["--ca", "/etc/chaos-ca.pem"]
        return words

    def _lines(self, process: subprocess.Popen[str], into: list[dict[str, Any]]) -> threading.Thread:
        """Start a thread that reads the JSON lines of a process into a list; return the thread."""

        def read() -> None:
            for line in process.stdout or ():
                into.append(json.loads(line))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return reader

    def _start(self, host: str, python: str, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of the scripts beside this file on a host; it ends when its standard input is closed."""
        if fleet.podman("inspect", "--format", "{{.State.Running}}", container(host), check=False) != "true":
            raise RuntimeError(f"{host} is off")
        command = ["podman", *fleet.runtime(), "exec", "--interactive", container(host), python]
        command += ["-c", (HERE / script).read_text(), *arguments]
        errors = (STATE / FLEET / f"{script}.log").open("a")
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    @staticmethod
    def _end(process: subprocess.Popen[str], reader: threading.Thread) -> None:
        """Close the standard input of a script, which ends it, and read its output to the end."""
        if process.stdin:
            process.stdin.close()
        reader.join()
        process.wait()

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Keep the client asking until the block ends, then wait for its last answers."""
        self.records = []
        how = [*self.client_options(), "--model", self.model, "--concurrency", str(self.concurrency)]
        process = self._start(CLIENT, CLIENT_PYTHON, "load.py", *how)
        reader = self._lines(process, self.records)
        try:
            yield
        finally:
            self._end(process, reader)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the controller until the block ends; start again when its host was switched off."""
        self.looks, self.over = [], threading.Event()
        urls = [f"http://{CONTROLLER}:{port}" for port in (21001, 8000, 8001)]

        def watch() -> None:
            while not self.over.is_set():
                try:
                    process = self._start(CONTROLLER, "/usr/bin/python3", "watch.py", *urls)
                except RuntimeError:  # its host is off
                    self.looks.append({"at": time.monotonic(), "workers": None, "apis": {}})
                    time.sleep(1)
                    continue
                reader = self._lines(process, self.looks)
                while reader.is_alive() and not self.over.wait(0.2):
                    pass
                self._end(process, reader)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            self.over.set()
            watcher.join()

    def until_whole(self, before: dict[str, Any], seconds: float) -> bool:
        """Wait until the fleet has been whole for a while and has answered a new request; False when it is late."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now, looks = time.monotonic(), list(self.looks)
            since = counting.whole_again(looks, before, self.marks["lifted"])
            fresh = looks and now - looks[-1]["at"] < STEADY_SECONDS
            answered = counting.recovery(list(self.records), looks, before, self.marks) is not None
            noticed = now - self.marks["began"] > NOTICED_SECONDS
            if since is not None and noticed and fresh and answered and now - since > STEADY_SECONDS:
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def serving_now(self, seconds: float = 300) -> dict[str, Any]:
        """Return the first look in which every worker serves and the client has been answered."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            look = self.looks[-1] if self.looks else {"workers": None}
            states = list((look["workers"] or {}).values())
            answered = any(one["outcome"] == "answered" for one in list(self.records))
            if answered and states.count("serving") == len(WORKERS) == len(states):
                return look
            time.sleep(LOOK_SECONDS)
        last = self.looks[-1] if self.looks else "nothing"
        raise SystemExit(f"Before the fault the fleet did not serve within {seconds:.0f} s: last seen {last}.")
