"""The fleet's controller against FastChat's own, beside each other over the same stand-in workers.

    export PYTHONPATH=$PWD:$PWD/collections
    python -m testbed.environment && .testbed/engine-env/bin/python bench/dispatch.py --sizes 8 100 400

Ours runs as the role starts it, FastChat's as people do (``python -m fastchat.serve.controller``). A worker is a port
of this process that answers what both controllers ask, and sends each a heart-beat every 45 s, as FastChat's workers
do. While one controller's dispatch is measured the other is stopped (SIGSTOP). All on loopback.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLONE = Path(__file__).resolve().parents[1]
OURS, THEIRS = "ours", "FastChat"
MODELS = ("vicuna-7b", "vicuna-13b")
HEART_BEAT, RETRY, ANSWER = 45, 5, 5  # seconds, of FastChat's worker
PAGE, TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
BUSY = 1_000_000  # a queue so long that the one worker with none is preferred for as long as it is listed


async def ask(port: int, path: str, body: dict | None = None, seconds: float = ANSWER) -> dict:
    """Return the answer to one JSON request on a connection of its own; OSError when there is none in time."""
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.0\r\nHost: x\r\n"

    async def exchange() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head.encode() + b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
            return await reader.read(-1)
        finally:
            writer.close()

    first, _, said = (await asyncio.wait_for(exchange(), seconds)).partition(b"\r\n\r\n")
    if not first.startswith(b"HTTP/1.1 200"):
        raise OSError(f"port {port} answers {path} with {first[:80]!r}")
    return json.loads(said)


class Worker:
    """Stands in for a FastChat worker: a status, a generation of one piece, heart-beats."""

    def __init__(self, number: int, queue_length: int) -> None:
        """Keep its number, which chooses the model, and the queue length that it tells."""
        self.status = {"model_names": [MODELS[number % 2]], "speed": 1, "queue_length": queue_length}
        self.hung, self.links, self.beats = asyncio.Event(), set(), []

    async def open(self) -> "Worker":
        """Listen on a free port."""
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until it is closed."""
        self.links.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not self.hung.is_set():
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(re.search(rb"content-length: *(\d+)|$", head)[1] or 0))
                if self.hung.is_set():
                    break
                status = b"/worker_get_status" in head
                said = json.dumps(self.status).encode() if status else b'{"text": "x", "error_code": 0}\0'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
                if b"connection: close" in head:
                    break
        if self.hung.is_set():
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await reader.read(-1)  # until who asked has had enough
        self.links.discard(writer)
        writer.close()

    async def register(self, to: "Controller") -> None:
        """Register as FastChat's worker does, and note when that was answered."""
        body = {"worker_name": self.url, "check_heart_beat": True, "worker_status": self.status, "multimodal": False}
        await ask(to.port, "/register_worker", body, 600)
        to.registered[self.url] = time.monotonic()

    async def beat(self, to: "Controller") -> None:
        """Send heart-beats for ever, the first after a part of the interval; register again with who knows us not."""
        await asyncio.sleep(random.uniform(0, HEART_BEAT))  # noqa: S311
        while True:
            try:
                body = {"worker_name": self.url, "queue_length": self.status["queue_length"]}
                if not (await ask(to.port, "/receive_heart_beat", body))["exist"]:
                    await self.register(to)
                await asyncio.sleep(HEART_BEAT)
            except (OSError, ValueError, asyncio.TimeoutError):
                await asyncio.sleep(RETRY)

    def fall_silent(self, *, dies: bool) -> None:
        """Die (the port refuses) or hang (it accepts, answers nothing); heart-beats end too."""
        for beat in self.beats:
            beat.cancel()
        if dies:
            self.server.close()
            for link in list(self.links):
                link.transport.abort()
        self.hung.set()


class Controller:
    """One of the two controllers as a process."""

    def __init__(self, kind: str, folder: Path) -> None:
        """Choose a port; ``folder`` takes its state and logs."""
        self.kind, self.registered = kind, {}
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.folder = folder / f"{kind}-{self.port}"
        self.folder.mkdir()
        ours = ["-m", "services.controller", "--state-file=controller.json"]
        self.command = [sys.executable, *(ours if kind == OURS else ["-m", "fastchat.serve.controller"])]
        self.command += [f"--port={self.port}"]
        self.environment = {**os.environ, "NO_PROXY": "*", "PYTHONPATH": str(CLONE)}
        self.environment |= {"LOGDIR": ""} if kind == OURS else {}

    async def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder, env=self.environment)
        while True:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await ask(self.port, "/list_models", {})
                return
            await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def used(self) -> tuple[float, float]:
        """Return the processor seconds used so far, and the resident MB."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK, int(fields[21]) * PAGE / 1e6

    async def all_listed(self, workers: list[Worker], since: float, cap: float) -> float:
        """Return the seconds until all workers are dispatched to: FastChat when it has answered their registrations."""
        while time.monotonic() < since + cap:
            if self.kind == OURS:
                with contextlib.suppress(OSError, asyncio.TimeoutError):
                    known = (await ask(self.port, "/fleet"))["workers"]
                    if all(known.get(one.url, {}).get("state") == "serving" for one in workers):
                        return time.monotonic() - since
            elif all(self.registered.get(one.url, 0) > since for one in workers):
                return max(self.registered[one.url] for one in workers) - since
            await asyncio.sleep(0.1)
        return float("inf")

    async def gone(self, worker: Worker, since: float, cap: float) -> float:
        """Return the seconds until a worker was dispatched to for the last time, asking twenty times a second."""
        last = since
        while time.monotonic() < min(last + 5, since + cap):
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                body = {"model": worker.status["model_names"][0]}
                if (await ask(self.port, "/get_worker_address", body))["address"] == worker.url:
                    last = time.monotonic()
            await asyncio.sleep(0.05)
        return last - since if last + 5 < since + cap else float("inf")


async def client(port: int, seconds: float) -> dict:
    """Ask for addresses from 16 clients at once; return requests/s, and median and 99th percentile in ms."""
    took, end = [], time.monotonic() + seconds

    async def one(number: int) -> None:
        while time.monotonic() < end:
            began = time.monotonic()
            if not (await ask(port, "/get_worker_address", {"model": MODELS[number % 2]}, 60))["address"]:
                raise RuntimeError("Nobody is listed.")
            took.append((time.monotonic() - began) * 1e3)

    await asyncio.gather(*map(one, range(16)))
    return {"rate": len(took) / seconds, "median": statistics.median(took), "p99": sorted(took)[len(took) * 99 // 100]}


async def dispatch(to: Controller, other: Controller, seconds: float) -> dict:
    """Measure one controller's dispatch from another process, with the other controller stopped."""
    other.process.send_signal(signal.SIGSTOP)
    command = [sys.executable, __file__, "--client", str(to.port), "--seconds", str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await process.communicate()
    other.process.send_signal(signal.SIGCONT)
    return json.loads(said)


async def trial(size: int, folder: Path, given: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Measure everything with one number of workers; return {what: [(ours, FastChat's), ...]}."""
    results: dict[str, list[tuple[float, float]]] = {}
    both = ours, theirs = [Controller(kind, folder) for kind in (OURS, THEIRS)]
    workers = [await Worker(number, BUSY if number > 1 else 0).open() for number in range(size)]
    try:
        took = []
        for one in both:
            await one.start()
            began = time.monotonic()
            await asyncio.gather(*(worker.register(one) for worker in workers))
            took.append(await one.all_listed(workers, began, given.cap))
        results["registration"] = [tuple(took)]
        for worker in workers:
            worker.beats = [asyncio.create_task(worker.beat(one)) for one in both]
        await asyncio.sleep(3)
        before, began = [one.used() for one in both], time.monotonic()
        await asyncio.sleep(given.rest)
        share = 100 / (time.monotonic() - began)
        after = [one.used() for one in both]
        results["cpu"] = [tuple((b[0] - a[0]) * share for a, b in zip(before, after, strict=True))]
        results["memory"] = [tuple(used[1] for used in after)]
        for repeat in range(given.repeat):
            order = [(ours, theirs), (theirs, ours)][:: -1 if repeat % 2 else 1]
            said = {to.kind: await dispatch(to, other, given.seconds) for to, other in order}
            for name in ("rate", "median", "p99"):
                results.setdefault(name, []).append((said[OURS][name], said[THEIRS][name]))
        await asyncio.sleep(3 + random.random())  # noqa: S311  (who was stopped comes back to its rhythm)
        began = time.monotonic()
        workers[0].fall_silent(dies=True)
        workers[1].fall_silent(dies=False)
        gone = await asyncio.gather(*(one.gone(worker, began, given.cap) for worker in workers[:2] for one in both))
        results["dead"], results["hung"] = [tuple(gone[:2])], [tuple(gone[2:])]
        took = []
        for one in both:
            one.kill()
            began = time.monotonic()
            await one.start()
            took.append(await one.all_listed(workers[2:], began, 60))
        results["restart"] = [tuple(took)]
    finally:
        for one in both:
            if hasattr(one, "process"):
                one.kill()
        for worker in workers:
            worker.fall_silent(dies=True)
    return results


def short(value: float, digits: int) -> str:
    """Return a number with some significant digits, without an exponent."""
    return f"{value:.0f}" if 10**digits <= value < float("inf") else f"{value:.{digits}g}"


def cell(pairs: list[tuple[float, float]]) -> str:
    """Return ``ours / FastChat's (ratio)``: medians, and the median of the ratios within a pair, with their range."""
    middle = " / ".join(short(statistics.median(pair[side] for pair in pairs), 3) for side in (0, 1))
    ratios = sorted(a / b if b else float("inf") for a, b in pairs)
    spread = f"; {short(ratios[0], 2)} - {short(ratios[-1], 2)}" if len(ratios) > 1 else ""
    return f"{middle} ({short(statistics.median(ratios), 2)}{spread})"


def main() -> None:
    """Print one row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 100, 400], help="workers")
    parser.add_argument("--seconds", type=float, default=4, help="of one measurement of dispatch")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of dispatch, interleaved")
    parser.add_argument("--rest", type=float, default=15, help="seconds in which the processor's use is measured")
    parser.add_argument("--cap", type=float, default=200, help="seconds to wait for a worker to be given up")
    given = parser.parse_args()
    if given.client:
        print(json.dumps(asyncio.run(client(given.client, given.seconds))))
        return
    names = {"rate": "requests/s", "median": "median, ms", "p99": "99th percentile, ms", "cpu": "CPU at rest, %"}
    names |= {"memory": "resident, MB", "dead": "dead, s", "hung": "hung, s", "restart": "restart, s"}
    names |= {"registration": "all register, s"}
    print(f"ours / FastChat's (ratio); {given.repeat} x {given.seconds:g} s of dispatch; inf: longer than waited for")
    print(f"| workers | {' | '.join(names.values())} | load, before - after |\n|{'---|' * (len(names) + 2)}")
    with tempfile.TemporaryDirectory(prefix="fleet-dispatch-") as folder:
        for size in given.sizes:
            before = os.getloadavg()[0]
            results = asyncio.run(trial(size, Path(folder), given))
            cells = " | ".join(cell(results[name]) for name in names)
            print(f"| {size} | {cells} | {before:.1f} - {os.getloadavg()[0]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
