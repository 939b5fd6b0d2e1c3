"""The fleet of the security tests: run ``site.yml`` over it, and send requests to it from an outsider."""

import json
import os
import secrets
import threading
from pathlib import Path

import yaml

from testbed.containers import fleet, runs
from testbed.paths import STATE

FLEET = "security"
HERE = Path(__file__).parent
INVENTORY = HERE / "hosts.yml"
OPENAI = ["/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
ONE_MODEL = "/v1/models/smollm2-demo"


class Secured:
    """A fleet with generated keys. Ansible gets them in a file, as from a vault, so they are in no argument list."""

    def __init__(self) -> None:
        """Make keys for alice and bob; they stand in a second inventory that only its owner reads."""
        self.second = STATE / FLEET / "keys.yml"
        self.certificate = STATE / FLEET / "certificate.pem"
        if os.environ.get("KEEP_FLEET") and self.second.exists():  # a fleet that was kept has the keys of its last run
            self.keys = yaml.safe_load(self.second.read_text())["all"]["vars"]["fastchat_gateway_api_keys"]
        else:
            self.give(alice=self.new_key(), bob=self.new_key())

    @staticmethod
    def new_key():
        return f"sk-{secrets.token_hex(20)}"

    def give(self, **keys):
        """Put these keys in force from the next run on."""
        self.keys = keys
        self.write(fastchat_gateway_api_keys=keys)

    def write(self, **variables):
        descriptor = os.open(self.second, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            yaml.safe_dump({"all": {"vars": variables}}, file)

    def run(self, *arguments, playbook="site.yml", **variables):
        """Run a playbook; what it printed is the runner's ``stdout``."""
        runner = runs.run(FLEET, playbook, (INVENTORY, self.second), arguments, variables, quiet=True)
        self.certificate.write_text(self.on("ctl01", "cat", "/var/lib/fastchat-gateway/certificate.pem", check=False))
        return runner

    def on(self, host, *command, check=True, stdin=None):
        """Return the standard output of a command on a host."""
        flag = ["--interactive"] if stdin is not None else []
        return fleet.podman("exec", *flag, f"{fleet.prefix(FLEET)}-{host}", *command, check=check, stdin=stdin)

    def script(self, host, name, asked, python="python3"):
        """Run a script of this directory on a host, with JSON on its standard input; return the JSON that it prints."""
        code = f"import json, sys\nasked = json.loads({json.dumps(json.dumps(asked))})\n{(HERE / name).read_text()}"
        return json.loads(self.on(host, python, "-", stdin=code))

    def open_ports(self, seen_from, host):
        """Return the TCP ports of a host that accept a connection from another one."""
        return self.script(seen_from, "scan.py", {"host": host})

    def ask(self, *requests):
        """Return [status, body, seconds at which each piece came] of requests of the outsider to the gateway."""
        whole = [{"method": "GET", "headers": {}, "body": None, **request} for request in requests]
        return self.script("outsider", "ask.py", {"host": "ctl01", "requests": whole})

    def bearer(self, who):
        return {"Authorization": f"Bearer {self.keys[who]}", "Content-Type": "application/json"}

    def chat(self, who="alice", stream=False, tokens=60, question="What is the capital of France?"):
        """Return a request that a worker answers."""
        body = {"model": "smollm2-demo", "temperature": 0, "max_tokens": tokens, "stream": stream}
        body["messages"] = [{"role": "user", "content": question}]
        return {"method": "POST", "path": "/v1/chat/completions", "headers": self.bearer(who), "body": body}

    def pid(self):
        return self.on("ctl01", "systemctl", "show", "--property=MainPID", "fastchat-gateway.service")


class Streaming(threading.Thread):
    """A long answer that is streamed to somebody while something else happens."""

    def __init__(self, site, who):
        super().__init__()
        self.site, self.request = (
            site,
            site.chat(who, stream=True, tokens=400, question="Count from 1 to 200 in words."),
        )

    def run(self):
        (self.said,) = self.site.ask(self.request)
