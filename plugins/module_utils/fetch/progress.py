"""Tell those who wait how far a fetch is: ``<dest>.progress`` and a line, each second. Python >= 3.6."""

import collections
import contextlib
import threading
import time
from typing import Any, Dict, Iterator, Optional, TextIO

from ..storage.files import remove, write_json
from .space import human

PROGRESS_EVERY = 1.0  # seconds
PROGRESS_WINDOW = 10  # samples that the rate is taken over


class Progress:
    """Counts bytes from all threads, and tells each second."""

    def __init__(self, total: int, files: int, path: str, stream: Optional[TextIO]) -> None:
        """``path`` is the file to write, '' for none; ``total`` in bytes."""
        self.total, self.files, self.path, self.stream = total, files, path, stream
        self.done, self.fetched, self.finished = 0, 0, 0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.samples = collections.deque([(time.monotonic(), 0)], maxlen=PROGRESS_WINDOW)

    def add(self, there: int = 0, fetched: int = 0, finished: int = 0) -> None:
        """Count bytes that are there (also negative: thrown away), bytes off the source, and finished files."""
        with self.lock:
            self.done += there + fetched
            self.fetched += fetched
            self.finished += finished

    def facts(self) -> Dict[str, Any]:
        """Return what is known now; the rate is that of the last ten seconds, the seconds remaining may be None."""
        with self.lock:
            now, (then, before) = time.monotonic(), self.samples[0]
            self.samples.append((now, self.fetched))
            rate = (self.fetched - before) / (now - then) if now > then else 0.0
            left = max(0, self.total - self.done)
            return {
                "bytes_done": self.done,
                "bytes_total": self.total,
                "bytes_per_second": int(rate),
                "seconds_remaining": int(left / rate) if rate > 0 else None,
                "files_done": self.finished,
                "files_total": self.files,
                "at": int(time.time()),
            }

    def tell(self) -> None:
        """Write the file in one step, and the line."""
        facts = self.facts()
        if self.path:
            with contextlib.suppress(OSError):  # a full disk must not end the fetch through its progress
                write_json(self.path, facts, durable=False)
        if self.stream:
            left = facts["seconds_remaining"]
            print(
                "%s of %s, %s/s, %s, %d of %d files"
                % (
                    human(facts["bytes_done"]),
                    human(self.total),
                    human(facts["bytes_per_second"]),
                    "%d s left" % left if left is not None else "waiting",
                    self.finished,
                    self.files,
                ),
                file=self.stream,
                flush=True,
            )

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Tell each second while the block runs; the file stays when it fails, and goes when it succeeds."""
        self.tell()
        teller = threading.Thread(target=self._each_second, daemon=True)
        teller.start()
        try:
            yield
        except BaseException:
            self._end(teller)
            raise
        self._end(teller)
        if self.path:
            remove(self.path)

    def _end(self, teller: threading.Thread) -> None:
        """Stop telling, and tell for the last time."""
        self.ended.set()
        teller.join()
        self.tell()

    def _each_second(self) -> None:
        """Tell until the end."""
        while not self.ended.wait(PROGRESS_EVERY):
            self.tell()
