"""What the command itself says: one sentence at a time, on stderr, so that a pipe gets the playbook's output alone."""

from rich.console import Console
from rich.text import Text

MINUTE, HOUR = 60, 3600


def say(sentence: str, style: str = "") -> None:
    """Print a sentence to stderr, wrapped to a terminal; in colour only where rich finds a terminal that has it.

    Where nobody reads stderr any more, nothing is said.
    """
    try:
        console = Console(stderr=True, highlight=False)
        console.print(Text(sentence, style=style), soft_wrap=not console.is_terminal)
    except OSError:
        return


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < 2 * HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def hosts(count: int) -> str:
    """Return a number of hosts in words: ``1 host``, ``3 hosts``."""
    return f"{count} host" if count == 1 else f"{count} hosts"


def several(names: list[str], most: int = 6) -> str:
    """Return names as a list in words; beyond ``most`` the others are counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return ", ".join(names)
