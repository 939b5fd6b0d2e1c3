"""Which workers there are, and which of them FastChat dispatches to: each is asked how it is, every second."""

import asyncio
import concurrent.futures
import inspect
import time

from services.common.asking import generation_fault

from . import state_file
from .worker import DOWN, HUNG, JOINING, LEAVING, SERVING, said_within

GENERATE_SECONDS = 120
RETRY_SECONDS = 5  # between two generations of a worker that could not
FORGET_SECONDS = 7 * 24 * 3600


class Fleet:
    """The workers, and FastChat's registry kept as they are. All of it but the generations runs on the event loop."""

    def __init__(self, controller, state_path, patience, interval):
        """Keep a FastChat ``Controller``; seconds of patience with a worker, and between two looks at it."""
        self.controller, self.state_path = controller, state_path
        self.patience, self.interval = patience, interval
        self.workers, self.started = {}, time.time()
        self.takes_multimodal = "multimodal" in inspect.signature(controller.register_worker).parameters
        self.pool = concurrent.futures.ThreadPoolExecutor(64)
        self.tasks = set()

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

    def write(self):
        """Write down whom we know."""
        state_file.write(self.state_path, self.workers)

    async def restore(self):
        """Ask whom we knew; who served and still answers is listed before the first request is answered."""
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
        """Take over what a worker says of itself."""
        worker.models, worker.queue_length, worker.misses = said["model_names"], said["queue_length"], 0

    async def look(self, url, worker):
        """Ask one worker, and act on it."""
        worker.busy = True
        try:
            said = await said_within(url, self.patience)
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
        elif isinstance(said, TimeoutError):  # nobody refused us, but nobody answered in time either
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
