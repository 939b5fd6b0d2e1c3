"""The workers, and which of them FastChat dispatches to. Each worker is asked for its status every second."""

import asyncio
import concurrent.futures
import inspect
import time

from services.common.asking import generation_fault

from . import state_file
from .worker import DOWN, HUNG, JOINING, LEAVING, SERVING, said_within

GENERATE_SECONDS = 120
RETRY_SECONDS = 5  # between two attempts of a worker that generated nothing
FORGET_SECONDS = 7 * 24 * 3600


class Fleet:
    """Keeps FastChat's registry in line with the workers. Everything but the generations runs on the event loop."""

    def __init__(self, controller, state_path, patience, interval):
        """Keep a FastChat ``Controller``. ``patience`` (for an answer) and ``interval`` are seconds."""
        self.controller, self.state_path = controller, state_path
        self.patience, self.interval = patience, interval
        self.workers, self.started = {}, time.time()
        self.takes_multimodal = "multimodal" in inspect.signature(controller.register_worker).parameters
        self.pool = concurrent.futures.ThreadPoolExecutor(64)
        self.tasks = set()

    def list_worker(self, url, worker):
        """Put a worker into FastChat's registry. FastChat must not check its heart-beat, since we do."""
        status = {"model_names": worker.models, "speed": 1, "queue_length": worker.queue_length}
        self.controller.register_worker(url, False, status, *([worker.multimodal] if self.takes_multimodal else []))

    def become(self, url, state, why=""):
        """Change a worker's state. FastChat lists only the workers that are serving."""
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
        """Return whether this worker is the last one that serves one of its models."""
        others = [one for one in self.workers.values() if one is not worker and one.state == SERVING]
        return any(all(model not in one.models for one in others) for model in worker.models)

    def write(self):
        """Write down the known workers."""
        state_file.write(self.state_path, self.workers)

    async def restore(self):
        """Before the first request is answered, ask the workers that served and list those that answer."""
        self.workers = state_file.read(self.state_path)
        served = [url for url, worker in self.workers.items() if worker.state == SERVING]
        asked = await asyncio.gather(*(said_within(url, self.patience) for url in served))
        for url, said in dict(zip(served, asked)).items():  # noqa: B905  (Python 3.9 has no strict=)
            if isinstance(said, dict):
                self.note(self.workers[url], said)
                self.become(url, SERVING)
            else:
                self.become(url, DOWN, str(said))

    @staticmethod
    def note(worker, said):
        """Note what a worker reports about itself."""
        worker.models, worker.queue_length, worker.misses = said["model_names"], said["queue_length"], 0

    async def look(self, url, worker):
        """Ask one worker for its status, and act on the answer."""
        worker.busy = True
        try:
            said = await said_within(url, self.patience)
            if self.workers.get(url) is worker:
                await self.judge(url, worker, said)
        finally:
            worker.busy = False

    async def judge(self, url, worker, said):
        """Act on what a worker answered, or on the error when it did not."""
        if isinstance(said, dict):
            self.note(worker, said)
            if worker.state == SERVING:
                self.controller.worker_info[url].queue_length = worker.queue_length  # a heart-beat would log each time
            elif worker.state != LEAVING:
                await self.admit(url, worker)
        elif isinstance(said, TimeoutError):  # the connection was not refused, but no answer came in time
            worker.misses += 1
            if worker.misses > 1 and worker.state == SERVING and not self.is_last(worker):
                self.become(url, HUNG, f"no answer within {self.patience:g} s, twice")
        elif worker.state in (SERVING, HUNG, LEAVING):
            self.become(url, DOWN, str(said))

    async def admit(self, url, worker):
        """List a worker once it has generated a token."""
        if worker.why and time.monotonic() - worker.tried < RETRY_SECONDS:
            return
        was, worker.tried = worker.state, time.monotonic()
        ask = asyncio.get_running_loop().run_in_executor
        fault = await ask(self.pool, generation_fault, url, worker.models[0], GENERATE_SECONDS)
        if self.workers.get(url) is worker and worker.state == was:
            self.become(url, JOINING if fault else SERVING, fault)

    async def watch(self):
        """Ask every worker once per interval, one after another but without waiting for slow ones."""
        while True:
            began, known = time.monotonic(), list(self.workers.items())
            for number, (url, worker) in enumerate(known):
                # The questions are spread over the interval: hundreds at once would hold up the dispatch.
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
