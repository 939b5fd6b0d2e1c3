"""Where lines go: a pipe, or a terminal with a part at its end that is drawn again and again. Python >= 3.10.

No function here raises OSError: when nobody can read any more (a closed pipe, a full disk), the run goes on in silence.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .lines import Line, painted, plain

TERMINAL = "FASTCHAT_TERMINAL"  # a terminal's device, for a run whose output somebody else reads (ansible-runner)
NARROW = 40  # columns below which no line is broken any further
Make = Callable[[int], list[Line]]


def draws(environ: Mapping[str, str]) -> bool:
    """Return whether the environment is one where a terminal can be drawn on."""
    return environ.get("TERM", "dumb") not in ("dumb", "unknown", "") and environ.get("CI", "") in ("", "0", "false")


def redraws(stdout: Any, environ: Mapping[str, str]) -> str:
    """Return the device to draw on: '' for none, '-' for stdout itself, else its path.

    Nothing is drawn in a pipe, in CI, on a dumb terminal, or where ansible-runner reads the output and names no
    terminal.
    """
    if not draws(environ):
        return ""
    if environ.get("AWX_ISOLATED_DATA_DIR"):
        return environ.get(TERMINAL, "")
    try:
        return "-" if stdout.isatty() else ""
    except (AttributeError, ValueError, OSError):
        return ""


def width_of(stdout: Any, environ: Mapping[str, str]) -> int:
    """Return the columns of the terminal that stdout is, 0 when it is none or ansible-runner's."""
    if environ.get("AWX_ISOLATED_DATA_DIR"):
        return 0
    try:
        return max(NARROW, os.get_terminal_size(stdout.fileno()).columns) if stdout.isatty() else 0
    except (AttributeError, ValueError, OSError):
        return 0


class Lines:
    """Prints lines through Ansible's display, so that its log and ansible-runner have them too."""

    live = False

    def __init__(self, display: Any, colour: bool) -> None:
        """``display`` is Ansible's."""
        self.display, self.colour, self.gone = display, colour, False

    @property
    def width(self) -> int:
        """Return the columns at which lines are broken, 0 for never."""
        return width_of(sys.stdout, os.environ)

    def say(self, make: Make) -> None:
        """Print the lines that ``make(columns)`` returns; 0 columns break none."""
        for line in make(self.width):
            self.write(painted(line) if self.colour else plain(line), plain(line))
        self.flush()

    def write(self, shown: str, logged: str) -> None:
        """Print one line, which the log gets without colours."""
        with quietly(self):
            self.display.display(shown, screen_only=True)
        if logged.strip():
            self.display.display(logged, log_only=True)

    def flush(self) -> None:
        """Let the reader of a pipe see it now."""
        with quietly(self):
            sys.stdout.flush()

    def draw(self, region: Callable[[int, int], Any]) -> None:
        """Draw nothing: what is printed in a pipe stays."""

    def rest(self) -> None:
        """Leave nothing that is drawn."""


@contextlib.contextmanager
def quietly(lines: Lines) -> Any:
    """Let stdout lead nowhere from the first write on that fails, so that neither the run nor its end fails."""
    try:
        yield
    except OSError:
        if not lines.gone:
            lines.gone = True
            with contextlib.suppress(OSError, ValueError, AttributeError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                os.close(nowhere)


class Terminal(Lines):
    """Prints lines above a region that rich draws at the end of a terminal."""

    live = True

    def __init__(self, display: Any, colour: bool, device: str) -> None:
        """``device`` is '-' for stdout, else a terminal's path, which gets the lines too. ImportError without rich."""
        super().__init__(display, colour)
        from rich.console import Console  # noqa: PLC0415  (a control node may lack it; then lines are all there is)
        from rich.live import Live  # noqa: PLC0415

        self.apart = device != "-"
        self.file = open(device, "w", encoding="utf-8", errors="replace") if self.apart else sys.stdout
        self.console = Console(
            file=self.file, force_terminal=True, no_color=not colour, highlight=False, markup=False, emoji=False
        )
        self._live, self.region = Live, None

    @property
    def width(self) -> int:
        """Return the columns; lines that ansible-runner reads are not broken."""
        return 0 if self.apart else self.size()[0]

    def size(self) -> tuple[int, int]:
        """Return (columns, rows) of the terminal as it is now."""
        try:
            found = os.get_terminal_size(self.file.fileno())
        except (OSError, ValueError):
            return 80, 24
        return found.columns or 80, found.lines or 24

    def say(self, make: Make) -> None:
        """Print lines above the region; ansible-runner gets them too, unbroken."""
        if self.apart:
            super().say(make)
        from rich.text import Text  # noqa: PLC0415

        with quietly(self), self.display._lock:
            self.console.width = max(NARROW, self.size()[0])
            for line in make(self.console.width):
                self.console.print(Text.from_ansi(painted(line)), soft_wrap=True)
                if not self.apart and plain(line).strip():
                    self.display.display(plain(line), log_only=True)
            self.file.flush()

    def draw(self, region: Callable[[int, int], Any]) -> None:
        """Draw the region anew; ``region(columns, rows)`` returns what rich can draw, None for nothing."""
        with quietly(self), self.display._lock:
            columns, rows = self.size()
            self.console.width, self.console.height = max(NARROW, columns), rows
            shown = region(max(NARROW, columns), rows)
            if shown is None:
                self.rest()
            elif self.region is None:
                errors = not self.apart and sys.stderr is not None and sys.stderr.isatty()
                self.region = self._live(
                    shown, console=self.console, auto_refresh=False, transient=True,
                    redirect_stdout=not self.apart, redirect_stderr=errors, vertical_overflow="crop",
                )  # fmt: skip
                self.region.start(refresh=True)
                self.console.show_cursor(True)  # a run that is killed must not leave a terminal without one
            else:
                self.region.update(shown, refresh=True)

    def rest(self) -> None:
        """Take the region away, and give stdout back."""
        with quietly(self), self.display._lock:
            if self.region is not None:
                region, self.region = self.region, None
                region.stop()
