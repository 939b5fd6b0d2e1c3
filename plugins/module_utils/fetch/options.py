"""The options of a fetch, which all files of this room use. Python >= 3.6."""

from typing import NamedTuple, Optional, TextIO, Tuple


class Options(NamedTuple):
    """How to fetch; ``timeout`` and ``lock_wait`` in seconds, ``token`` a secret for the source's own host."""

    workers: int = 8  # as many as git-lfs: links limit each connection
    retries: int = 5
    timeout: float = 60.0
    lock_wait: float = 3600.0
    token: str = ""
    check_mode: bool = False
    stream: Optional[TextIO] = None
    only: Optional[Tuple[str, ...]] = None  # patterns of the files to fetch now; the others stay as they are
