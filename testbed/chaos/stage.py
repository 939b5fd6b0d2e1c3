"""The fleet that is hurt, the client that asks it, and what is seen meanwhile."""

import base64
import contextlib
import hashlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed import wheelhouse
from testbed.chaos import counting
from testbed.containers import fleet, layouts, runs
from testbed.paths import STATE

FLEET, CLIENT, CONTROLLER = "chaos", "client01", "ctl01"
WORKERS = ("gpu01", "gpu02")
HERE = Path(__file__).parent
CLIENT_PYTHON = "/opt/client/bin/python"
STEADY_SECONDS = 5.0
NOTICED_SECONDS = 20.0  # a fault that nobody has noticed yet looks like none: a hung worker is one after some 7 s
LOOK_SECONDS = 0.5


@dataclass
class Door:
    """Where the client knocks: ``ca`` is a file on this machine, '' for one that needs none."""

    url: str
    key: str = "none"
    ca: str = ""


def own_door() -> Door:
    """Return the fleet's own door: its gateway, where it has one, else its API server itself."""
    key = STATE / FLEET / "gateway-key"
    if not key.exists():
        return Door(f"http://{CONTROLLER}:8000/v1")
    certificate = STATE / FLEET / "gateway.pem"
    name = f"{fleet.prefix(FLEET)}-{CONTROLLER}"
    certificate.write_text(fleet.podman("exec", name, "cat", "/var/lib/fastchat-gateway/certificate.pem") + "\n")
    return Door(f"https://{CONTROLLER}/v1", key.read_text().strip(), str(certificate))


@dataclass
class Stage:
    """One fleet, brought up once; faults call ``on``, ``playbook``, ``begins`` and ``lifted``."""

    model: str
    concurrency: int
    door: Door = field(default_factory=lambda: Door(""))
    records: list[dict[str, Any]] = field(default_factory=list)
    looks: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    # --- hosts ---

    @staticmethod
    def container(host: str) -> str:
        """Return the name of a host's container."""
        return f"{fleet.prefix(FLEET)}-{host}"

    def on(self, host: str, *command: str, check: bool = True) -> str:
        """Return the standard output of a command on a host."""
        return fleet.podman("exec", self.container(host), *command, check=check)

    def shell(self, host: str, script: str, check: bool = True) -> str:
        """Return the standard output of a shell's script on a host."""
        return self.on(host, "bash", "-c", script, check=check)

    def drops(self, host: str, what: str, there: str = "") -> None:
        """Insert or delete a rule that drops every packet of a host, or those from and to an address."""
        pid = fleet.podman("inspect", "--format", "{{.State.Pid}}", self.container(host))
        source, destination = (f"{side} {there}" if there else "" for side in ("--source", "--destination"))
        script = f"iptables --{what} INPUT {source} --jump DROP; iptables --{what} OUTPUT {destination} --jump DROP"
        subprocess.run(["nsenter", "--target", pid, "--net", "sh", "-ec", script], check=True, capture_output=True)

    def reimage(self, host: str) -> str:
        """Give a host an empty disk and another ssh host key, which nobody here knows yet; return its fingerprint."""
        wanted = layouts.layout_of(FLEET)
        fleet.podman("rm", "--force", "--time", "10", self.container(host))
        wheels = f"{wheelhouse.ensure(**wanted['wheelhouse'])}:/srv/wheelhouse:ro"
        name = fleet.start(FLEET, host, wanted["hosts"][host], [wheels])
        key = fleet.authorize(name, (STATE / FLEET / "id_ed25519.pub").read_text())
        # The port that leads to it is the testbed's matter, its key is what an operator has to accept.
        port = fleet.podman("port", name, "22/tcp").rsplit(":", 1)[1]
        config = STATE / FLEET / "ssh_config"
        config.write_text(re.sub(rf"(Host {host}\n  HostName .*\n  Port )\d+", rf"\g<1>{port}", config.read_text()))
        whole = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
        return "SHA256:" + base64.b64encode(whole).decode().rstrip("=")

    def playbook(self, name: str, *arguments: str, **variables: Any) -> str:
        """Run a playbook; return '' when it ended well, else what its failed tasks said."""
        runner = runs.run(FLEET, name, (runs.DEMO,), arguments, variables, quiet=True)
        return "" if runner.rc == 0 else runs.words(runner) or f"{name} ended with {runner.rc}"

    # --- the moments of a fault ---

    def begins(self, in_flight: int = 0) -> None:
        """Note that the fault begins now."""
        self.marks = {"began": time.monotonic(), "lifted": time.monotonic(), "in_flight": in_flight}

    def lifted(self) -> None:
        """Note that the fault is lifted now; without a call it was over as soon as it began."""
        self.marks["lifted"] = time.monotonic()

    # --- bringing up ---

    def up(self) -> None:
        """Bring up and provision; what is there stays as it is."""
        layouts.bring_up(FLEET, FLEET)
        if fault := self.playbook("site.yml"):
            raise SystemExit(f"The fleet that was to be hurt does not serve: {fault}")

    def client(self) -> None:
        """Give the client's host an environment with ``openai``, from the wheels that the fleet's hosts get."""
        name = self.container(CLIENT)
        if "openai" in self.on(CLIENT, CLIENT_PYTHON, "-c", "import openai; print(openai.__name__)", check=False):
            return
        uv = subprocess.run(["which", "uv"], check=True, capture_output=True, text=True).stdout.strip()
        fleet.podman("cp", uv, f"{name}:/usr/local/bin/uv")
        self.on(CLIENT, "uv", "venv", "--quiet", "--clear", "--python", "/usr/bin/python3", "/opt/client")
        self.on(
            CLIENT, "uv", "pip", "install", "--quiet", "--python", CLIENT_PYTHON, "--no-cache", "--offline",
            "--no-index", "--find-links", "/srv/wheelhouse", "openai",
        )  # fmt: skip

    def knocking(self) -> list[str]:
        """Return the client's options for the door; what it trusts is brought to its host."""
        words = ["--url", self.door.url, "--key", self.door.key]
        if self.door.ca:
            fleet.podman("cp", self.door.ca, f"{self.container(CLIENT)}:/etc/chaos-ca.pem")
            words += ["--ca", "/etc/chaos-ca.pem"]
        return words

    # --- asking and looking ---

    def _lines(self, process: subprocess.Popen[str], into: list[dict[str, Any]]) -> threading.Thread:
        """Read JSON lines of a process into a list, beside us."""

        def read() -> None:
            for line in process.stdout or ():
                into.append(json.loads(line))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return reader

    def _start(self, host: str, python: str, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of the scripts beside this file on a host; its standard input is ours to end."""
        if fleet.podman("inspect", "--format", "{{.State.Running}}", self.container(host), check=False) != "true":
            raise RuntimeError(f"{host} is off")
        command = ["podman", *fleet.runtime(), "exec", "--interactive", self.container(host), python]
        command += ["-c", (HERE / script).read_text(), *arguments]
        errors = (STATE / FLEET / f"{script}.log").open("a")
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True)

    @staticmethod
    def _end(process: subprocess.Popen[str], reader: threading.Thread) -> None:
        """End a script, which ends with its standard input, and wait for the last that it says."""
        if process.stdin:
            process.stdin.close()
        reader.join()
        process.wait()

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Ask until the block ends, and then wait for what was asked."""
        self.records = []
        how = [*self.knocking(), "--model", self.model, "--concurrency", str(self.concurrency)]
        process = self._start(CLIENT, CLIENT_PYTHON, "load.py", *how)
        reader = self._lines(process, self.records)
        try:
            yield
        finally:
            self._end(process, reader)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the controller until the block ends; the looking starts anew where its host was switched off."""
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
        """Wait until the fleet has been whole for a while and answered a request sent since; False when it is late."""
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
