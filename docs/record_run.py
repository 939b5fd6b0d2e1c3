r"""Record a command in a terminal of its own and draw what stands there at its end as an SVG: docs/run.svg.

With the demo's fleet (``make demo``), in a clone with its .venv active:

    python docs/record_run.py --out docs/run.svg -- ansible-playbook -i inventory/demo site.yml \
      -e fastchat_worker_concurrency=8

tmux is the terminal. The picture therefore has what a person would have seen: what the run drew and took away again is
not on it. The file loads nothing.
"""

import argparse
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

LOOK_EVERY = 0.5  # seconds between two looks whether the command has ended
COLUMNS, ROWS = 104, 50
SCROLLED = 5000  # lines that the terminal keeps above its screen
# A dark terminal: readable on GitHub's light page and on its dark one.
THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [(72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65), (121, 192, 255), (210, 168, 255), (86, 212, 221),
     (200, 208, 216)],
    [(139, 148, 158), (255, 161, 152), (126, 231, 135), (242, 204, 96), (165, 214, 255), (226, 197, 255),
     (179, 240, 255), (255, 255, 255)],
)  # fmt: skip
# rich names a font on a server of its own choice; the picture takes the reader's.
FONT_FACE = re.compile(r"\s*@font-face \{\{.*?\n    \}\}", re.DOTALL)
FORMAT = FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace(
    "Fira Code, monospace", "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"
)


class Terminal:
    """A tmux server of its own, with one window in which one command runs."""

    def __init__(self, folder: Path, columns: int, rows: int, command: list[str]) -> None:
        """Start the command; ``folder`` holds the server's socket and the command's exit status."""
        self.socket, self.status = folder / "tmux", folder / "status"
        settings = folder / "tmux.conf"
        settings.write_text(
            f"set -g status off\nset -g default-terminal tmux-256color\nset -g history-limit {SCROLLED}\n"
        )
        # The window stays until it was looked at a last time.
        line = f"{shlex.join(command)}; echo $? > {self.status}; exec sleep infinity"
        self.ask("-f", str(settings), "new-session", "-d", "-x", str(columns), "-y", str(rows), line)

    def ask(self, *words: str) -> str:
        """Run a command of tmux; return what it prints."""
        environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TMUX", "NO_COLOR")}
        command = ["tmux", "-u", "-S", str(self.socket), *words]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=environment).stdout

    def shown(self) -> list[str]:
        """Return the lines of the screen and those that have left it, with their colours."""
        lines = self.ask("capture-pane", "-e", "-p", "-S", "-").split("\n")
        while lines and not Text.from_ansi(lines[-1]).plain.strip():
            lines.pop()
        return lines

    def ended(self) -> int | None:
        """Return the command's exit status once it has one."""
        text = self.status.read_text().strip() if self.status.exists() else ""
        return int(text) if text else None

    def close(self) -> None:
        """End the server, and with it the window."""
        self.ask("kill-server")


def watch(terminal: Terminal) -> tuple[list[str], int]:
    """Wait for the command's end; return (the lines of the terminal, exit status)."""
    while (status := terminal.ended()) is None:
        time.sleep(LOOK_EVERY)
    return terminal.shown(), status


def picture(lines: list[str], columns: int, title: str) -> str:
    """Return lines with ANSI colours as the text of an SVG."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, highlight=False)
    # As one text: tmux says a colour once, where it begins, and that may be lines before.
    console.print(Text.from_ansi("\n".join(lines)), soft_wrap=True)
    return console.export_svg(title=title, theme=THEME, code_format=FORMAT, unique_id="run")


def main() -> None:
    """Record the command; exit with its status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the SVG to write")
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("command", nargs="+")
    chosen = parser.parse_args()
    if not shutil.which("tmux"):
        sys.exit("tmux is not on this machine, and it is the terminal of the picture: apt-get install tmux.")
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(Path(folder), chosen.columns, ROWS, chosen.command)
        try:
            lines, status = watch(terminal)
        finally:
            terminal.close()
    chosen.out.write_text(picture(lines, chosen.columns, shlex.join(chosen.command)), encoding="utf-8")
    sys.exit(status)


if __name__ == "__main__":
    main()
