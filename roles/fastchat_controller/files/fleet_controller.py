"""FastChat's controller, unpatched, behind a door that knows which workers can really answer.

FastChat (0.2.15 to 0.2.36) lists a worker from the moment it registers, before its port is open, goes on dispatching to
a dead one for 90 to 180 s, blocks while it refreshes, and forgets everything when it restarts. So this process:

- lists a worker only after it generated a token, and takes it out as soon as it does not answer (asked every second);
- answers ``/refresh_all_workers`` and does nothing, since that is done all the time;
- takes a worker out of dispatch on ``/fleet/leave``, and keeps it out until another process registers in its place;
- writes down whom it knows, and asks them again before it answers its first request;
- serves on the socket that systemd holds, so that requests wait while it restarts.

``GET /fleet`` says what it knows of every worker; ``POST /fleet/state``, ``leave``, ``join`` and ``forget`` take
``{"worker": URL}``. Nothing here asks who you are: only the fleet may reach it.
"""

import argparse
import asyncio
import concurrent.futures
import dataclasses
import inspect
import json
import os
import socket
import time
import urllib.parse

import fastchat.serve.controller as fastchat
import uvicorn
from asking import generation_fault

JOINING, SERVING, LEAVING, HUNG, DOWN = "joining", "serving", "leaving", "hung", "down"
GENERATE_SECONDS = 120
RETRY_SECONDS = 5  # between two generations of a worker that could not
FORGET_SECONDS = 7 * 24 * 3600


@dataclasses.dataclass
class Worker:
    """What is known of one worker. ``since`` and ``tried`` are monotonic seconds; ``misses`` counts silent answers."""

    state: str = JOINING
    models: list = dataclasses.field(default_factory=list)
    queue_length: int = 0
    why: str = ""
    multimodal: bool = False
    since: float = dataclasses.field(default_factory=time.monotonic)
    misses: int = 0
    tried: float = 0.0
    busy: bool = False


def is_silence(error):
    """Return whether nobody refused us, but nobody answered in time either."""
    return isinstance(error, TimeoutError)


async def status_of(url):
    """Return a worker's status; OSError or ValueError when it has none to give.

    A thread for each question would take the interpreter's lock from the dispatch, and slow workers would take all
    threads. HTTP/1.0, since the answer then ends with the connection (RFC 1945, section 7.2.2).
    """
    at = urllib.parse.urlsplit(url)
    if at.scheme != "http" or not at.hostname:
        raise ValueError(f"{url} is no http:// address")
    reader, writer = await asyncio.open_connection(at.hostname, at.port or 80)
    try:
        head = f"POST {at.path}/worker_get_status HTTP/1.0\r\nHost: {at.netloc}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        first, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if first.split(None, 2)[1:2] != [b"200"]:
        raise OSError(f"it answers {first[:80].decode(errors='replace')!r} when asked how it is")
    return json.loads(body)


class Fleet:
    """The workers, and FastChat's registry kept as they are. Everything but the questions runs on the event loop."""

    def __init__(self, controller, state_file, patience, interval):
        """Keep a FastChat ``Controller``; seconds of patience with a worker, and between two looks at it."""
        self.controller, self.state_file = controller, state_file
        self.patience, self.interval = patience, interval
        self.workers, self.started = {}, time.time()
        self.takes_multimodal = "multimodal" in inspect.signature(controller.register_worker).parameters
        self.pool = concurrent.futures.ThreadPoolExecutor(64)
        self.tasks = set()

    # --- what FastChat dispatches to ---

    def list_worker(self, url, worker):
        """Put a worker into FastChat's registry. No heart-beat is checked there: that is ours."""
        status = {"model_names": worker.models, "speed": 1, "queue_length": worker.queue_length}
        self.controller.register_worker(url, False, status, *([worker.multimodal] if self.takes_multimodal else []))

    def become(self, url, state, why=""):
        """Change a worker's state; listed by FastChat is who is serving, and nobody else."""
        worker = self.workers[url]
        news = (worker.state, worker.why) != (state, why)
        if worker.state != state:
            worker.since = time.monotonic()
        worker.state, worker.why = state, why
        if state == SERVING:
            self.list_worker(url, worker)
        elif url in self.controller.worker_info:
            self.controller.remove_worker(url)
        if news:
            print(f"{url}: {state}{', ' + why if why else ''}", flush=True)
            self.write()

    def is_last(self, worker):
        """Return whether without this worker one of its models would have none."""
        others = [one for one in self.workers.values() if one is not worker and one.state == SERVING]
        return any(all(model not in one.models for one in others) for model in worker.models)

    # --- what is remembered ---

    def write(self):
        """Write down whom we know, in one step."""
        kept = ("state", "models", "multimodal", "why")
        known = {url: {name: getattr(one, name) for name in kept} for url, one in self.workers.items()}
        part = self.state_file + ".part"
        try:
            with open(part, "w") as stream:
                json.dump(known, stream)
            os.replace(part, self.state_file)
        except OSError as error:  # a full disk must not stop the dispatch
            print(f"{self.state_file} can not be written: {error}", flush=True)

    async def restore(self):
        """Ask whom we knew; who served and still answers is listed before the first request is answered."""
        try:
            with open(self.state_file) as stream:
                known = json.load(stream)
            self.workers = {url: Worker(**one) for url, one in known.items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError) as error:
            print(f"{self.state_file} can not be read, workers have to register again: {error}", flush=True)
            return
        served = [url for url, one in self.workers.items() if one.state == SERVING]
        asked = await asyncio.gather(*map(self.status, served))
        for url, said in dict(zip(served, asked)).items():  # noqa: B905  (Python 3.8 and 3.9 have no strict=)
            if isinstance(said, dict):
                self.note(self.workers[url], said)
                self.become(url, SERVING)
            else:
                self.become(url, DOWN, str(said))

    # --- what workers say ---

    async def status(self, url):
        """Return a worker's status, or the OSError or ValueError that stands for it."""
        try:
            return await asyncio.wait_for(status_of(url), self.patience)
        except asyncio.TimeoutError:
            return TimeoutError()  # which the other is not before Python 3.11
        except (OSError, ValueError) as error:
            return error

    @staticmethod
    def note(worker, said):
        """Take over what a worker says of itself."""
        worker.models, worker.queue_length, worker.misses = said["model_names"], said["queue_length"], 0

    async def look(self, url, worker):
        """Ask one worker, and act on it."""
        worker.busy = True
        try:
            said = await self.status(url)
            if self.workers.get(url) is worker:
                await self.judge(url, worker, said)
        finally:
            worker.busy = False

    async def judge(self, url, worker, said):
        """Act on what a worker said, or on its silence."""
        if isinstance(said, dict):
            self.note(worker, said)
            if worker.state == SERVING:
                self.controller.worker_info[url].queue_length = worker.queue_length  # a heart-beat would log each time
            elif worker.state != LEAVING:
                await self.admit(url, worker)
        elif is_silence(said):
            worker.misses += 1
            if worker.misses > 1 and worker.state == SERVING and not self.is_last(worker):
                self.become(url, HUNG, f"no answer within {self.patience:g} s, twice")
        elif worker.state in (SERVING, HUNG, LEAVING):
            self.become(url, DOWN, str(said))

    async def admit(self, url, worker):
        """List a worker once it has generated."""
        if worker.why and time.monotonic() - worker.tried < RETRY_SECONDS:
            return
        was, worker.tried = worker.state, time.monotonic()
        ask = asyncio.get_running_loop().run_in_executor
        fault = await ask(self.pool, generation_fault, url, worker.models[0], GENERATE_SECONDS)
        if self.workers.get(url) is worker and worker.state == was:
            self.become(url, JOINING if fault else SERVING, fault)

    async def watch(self):
        """Look at every worker, each second, one after another but without waiting for the slow ones."""
        while True:
            began, known = time.monotonic(), list(self.workers.items())
            for number, (url, worker) in enumerate(known):
                # Spread over the second: asked all at once, hundreds of workers would hold up the dispatch.
                early = began + self.interval * number / len(known) - time.monotonic()
                if early > self.interval / 100:
                    await asyncio.sleep(early)
                if self.workers.get(url) is not worker:
                    continue
                if not worker.busy:
                    task = asyncio.ensure_future(self.look(url, worker))
                    self.tasks.add(task)
                    task.add_done_callback(self.tasks.discard)
                if worker.state == DOWN and time.monotonic() - worker.since > FORGET_SECONDS:
                    del self.workers[url]
            await asyncio.sleep(max(0, began + self.interval - time.monotonic()))

    # --- what is asked of us ---

    def describe(self, url):
        """Return what GET /fleet says of one worker."""
        worker = self.workers.get(url)
        if worker is None:
            return {"state": "unknown", "models": [], "queue_length": 0, "since": 0, "why": "it never registered"}
        said = {name: getattr(worker, name) for name in ("state", "models", "queue_length", "why")}
        return {**said, "since": int(time.monotonic() - worker.since)}

    def register(self, data):
        """Take in a worker's new process: whatever was known of the one before it is over."""
        url, status = data["worker_name"], data.get("worker_status") or {}
        if url in self.workers:
            self.become(url, DOWN, "replaced")
        self.workers[url] = Worker(models=status.get("model_names", []), multimodal=data.get("multimodal", False))
        print(f"{url}: registers for {', '.join(self.workers[url].models)}", flush=True)
        self.write()

    def ask(self, path, data):
        """Answer what is ours, None for a path that is not; KeyError and TypeError for a question that is none."""
        if path == "/refresh_all_workers":
            return {}
        if path == "/register_worker":
            self.register(data)
            return {}
        if path == "/receive_heart_beat":
            return {"exist": data["worker_name"] in self.workers}
        if path == "/fleet":
            return {"workers": {url: self.describe(url) for url in sorted(self.workers)}, "started": self.started}
        what = path[len("/fleet/") :]
        if what not in ("state", "leave", "join", "forget"):
            return None
        url = data["worker"]
        if url in self.workers and what == "leave":
            self.become(url, DOWN if data.get("gone") else LEAVING, str(data.get("why", "")) or "asked to")
        elif url in self.workers and what == "join":
            self.become(url, JOINING)
        elif url in self.workers and what == "forget":
            self.become(url, DOWN)
            del self.workers[url]
            self.write()
        return self.describe(url)


async def body_of(receive):
    """Return the body of a request, whole."""
    whole, more = b"", True
    while more:
        message = await receive()
        whole, more = whole + message.get("body", b""), message.get("more_body", False)
    return whole


async def answer(send, code, value):
    """Send one JSON answer, as compact as FastChat's own: a gate looks for "state":"serving"."""
    await send({"type": "http.response.start", "status": code, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(value, separators=(",", ":")).encode()})


def door(fleet, inner):
    """Return the application in front of FastChat's: what is ours is answered here, everything else goes through."""
    ours = ("/fleet", "/register_worker", "/receive_heart_beat", "/refresh_all_workers")

    async def application(scope, receive, send):
        if scope["type"] != "http" or not scope["path"].startswith(ours):
            return await inner(scope, receive, send)
        try:
            body = await body_of(receive)
            said = fleet.ask(scope["path"], json.loads(body) if body else {})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return await answer(send, 400, {"error": f"{scope['path']} does not take this: {error!r}"})
        if said is None:
            return await answer(send, 404, {"error": f"{scope['path']} is not known here"})
        return await answer(send, 200, said)

    return application


def listening(host, port):
    """Return the socket that systemd holds for us (sd_listen_fds(3)), or one of our own."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=3)
    own = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.bind((host, port))
    return own


async def serve(arguments):
    """Restore, then serve and watch until a signal ends it."""
    # Names are looked up in these threads; generations have their own, so that slow ones hide nobody's death.
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(64))
    fastchat.controller = fastchat.Controller("shortest_queue")
    fleet = Fleet(fastchat.controller, arguments.state_file, arguments.patience, arguments.interval)
    await fleet.restore()
    watch = asyncio.ensure_future(fleet.watch())
    config = uvicorn.Config(door(fleet, fastchat.app), log_level="warning", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listening(arguments.host, arguments.port)])
    watch.cancel()


def main():
    """Take the arguments; end at once when served, since FastChat's own thread would hold the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=21001)
    parser.add_argument("--state-file", default="/var/lib/fastchat/controller.json")
    parser.add_argument("--patience", type=float, default=3.0, help="seconds in which a worker says how it is")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two looks at a worker")
    asyncio.run(serve(parser.parse_args()))
    os._exit(0)


if __name__ == "__main__":
    main()
