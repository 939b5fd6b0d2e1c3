"""A terminal of its own for a program: what it draws is read, its size can change, and keys can be pressed."""

import os
import time
from dataclasses import dataclass, field

from ptyprocess import PtyProcessUnicode

CTRL_C = "\x03"


@dataclass
class Terminal:
    """A program on a pseudo terminal; ``drawn`` is all that it has drawn."""

    process: PtyProcessUnicode
    drawn: str = field(default="")

    @classmethod
    def run(cls, words: list[str], columns: int = 100, **options) -> "Terminal":
        """Start a program on a terminal of 24 lines."""
        return cls(PtyProcessUnicode.spawn(words, dimensions=(24, columns), **options))

    def read(self) -> bool:
        """Read what is there; return False at the end."""
        try:
            self.drawn += self.process.read(65536)
        except EOFError:
            return False
        return True

    def until(self, text: str, seconds: float = 60) -> None:
        """Read until a text was drawn."""
        end = time.monotonic() + seconds
        while text not in self.drawn:
            assert time.monotonic() < end, f"{text!r} was not drawn: {self.drawn}"
            assert self.read(), f"ended before {text!r} was drawn: {self.drawn}"

    def press(self, keys: str) -> None:
        """Press keys."""
        self.process.write(keys)

    def resize(self, columns: int) -> None:
        """Change the width; the kernel tells the program by SIGWINCH."""
        self.process.setwinsize(24, columns)

    def end(self) -> int:
        """Read to the end; return the exit status."""
        while self.read():
            pass
        self.process.wait()
        status = self.process.exitstatus
        return -self.process.signalstatus if status is None else status

    def close(self) -> None:
        """End what still runs on the terminal."""
        if self.process.isalive():
            self.process.terminate(force=True)
        os.close(self.process.fd) if not self.process.closed and self.process.fd >= 0 else None
