"""The errors of a fetch, each with one sentence for the operator. Python >= 3.6."""

from typing import Optional


class FetchError(Exception):
    """One sentence for the operator: the file, what was found, what to do. Trying again does not help."""


class Missing(FetchError):
    """The server says that there is no such thing (404, 410)."""


class Denied(FetchError):
    """The server wants other credentials (401, 403)."""


class Transient(FetchError):
    """Trying again may help; ``wait`` is the number of seconds that the server asked for, or None."""

    def __init__(self, message: str, wait: Optional[float] = None) -> None:
        """Keep the sentence and the pause."""
        super().__init__(message)
        self.wait = wait
