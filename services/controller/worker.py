"""What the controller knows about one worker, and how it asks a worker for its status."""

import asyncio
import dataclasses
import json
import time
import urllib.parse

JOINING, SERVING, LEAVING, HUNG, DOWN = "joining", "serving", "leaving", "hung", "down"


@dataclasses.dataclass
class Worker:
    """What is known about one worker. ``since`` and ``tried`` are monotonic seconds, ``misses`` counts timeouts."""

    state: str = JOINING
    models: list = dataclasses.field(default_factory=list)
    queue_length: int = 0
    why: str = ""
    multimodal: bool = False
    since: float = dataclasses.field(default_factory=time.monotonic)
    misses: int = 0
    tried: float = 0.0
    busy: bool = False


async def status_of(url):
    """Return a worker's status; raise OSError or ValueError when it has none.

    A thread for each question would take the interpreter's lock from the dispatch, and slow workers would take all
    threads. It speaks HTTP/1.0, because the answer then ends with the connection (RFC 1945, section 7.2.2).
    """
    at = urllib.parse.urlsplit(url)
    if at.scheme != "http" or not at.hostname:
        raise ValueError(f"{url} is no http:// address")
    reader, writer = await asyncio.open_connection(at.hostname, at.port or 80)
    try:
        head = f"POST {at.path}/worker_get_status HTTP/1.0\r\nHost: {at.netloc}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        first, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if first.split(None, 2)[1:2] != [b"200"]:
        raise OSError(f"it answers {first[:80].decode(errors='replace')!r} when asked how it is")
    return json.loads(body)


async def said_within(url, seconds):
    """Return a worker's status, or the error that it gave: OSError, ValueError, or TimeoutError without an answer."""
    try:
        return await asyncio.wait_for(status_of(url), seconds)
    except asyncio.TimeoutError:
        return TimeoutError()  # which the other is not before Python 3.11
    except (OSError, ValueError) as error:
        return error
