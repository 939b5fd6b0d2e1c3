"""Report the progress of a fetch each second: in files (see ``tell``) and as a line. Python >= 3.6."""

import contextlib
import threading
import time
from typing import Any, Dict, Iterator, Optional, TextIO

from ..storage import progress
from ..storage.files import remove, write_json
from .space import human

PROGRESS_EVERY = 1.0  # seconds


class Progress:
    """Counts the bytes of all threads, and reports each second."""

    def __init__(self, total: int, files: int, path: str, stream: Optional[TextIO]) -> None:
        """``path`` is the file to write, '' for none; ``total`` in bytes."""
        self.total, self.files, self.path, self.stream = total, files, path, stream
        self.done, self.fetched, self.finished = 0, 0, 0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.meter = progress.Meter(total)

    def add(self, there: int = 0, fetched: int = 0, finished: int = 0) -> None:
        """Count bytes that are there (negative when thrown away), bytes from the source, and finished files."""
        with self.lock:
            self.done += there + fetched
            self.fetched += fetched
            self.finished += finished

    def facts(self) -> Dict[str, Any]:
        """Return what is known now; the rate is that of the bytes that came from the source."""
        with self.lock:
            return {
                **self.meter.facts(self.done, self.fetched),
                "files_done": self.finished,
                "files_total": self.files,
                "at": int(time.time()),
            }

    def tell(self) -> None:
        """Replace ``path`` and the report that a run's view reads (storage/progress.py), and write the line."""
        facts = self.facts()
        if self.path:
            with contextlib.suppress(OSError):  # a full disk must not end the fetch through its progress
                write_json(self.path, facts, durable=False)
            progress.report(facts)
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
        """Report each second while the block runs; the file stays when the block fails, else it is removed."""
        self.tell()
        teller = threading.Thread(target=self._each_second, daemon=True)
        teller.start()
        try:
            yield
        except BaseException:
            self._end(teller)
            progress.withdraw()
            raise
        self._end(teller)
        if self.path:
            remove(self.path)
            progress.withdraw()

    def _end(self, teller: threading.Thread) -> None:
        """Report for the last time, and stop."""
        self.ended.set()
        teller.join()
        self.tell()

    def _each_second(self) -> None:
        """Report each second until the end."""
        while not self.ended.wait(PROGRESS_EVERY):
            self.tell()
