# ruff: noqa: F821  (`asked` is put before this script, which runs on a host)
"""Print the TCP ports of a host that accept a connection, of all 65535."""

import asyncio
import json


async def accepts(host, port, free):
    """Return the port when it accepts a connection within five seconds, else None."""
    async with free:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
        except (OSError, asyncio.TimeoutError):
            return None
        writer.close()
        return port


async def scan(host):
    """Return all ports that accept."""
    free = asyncio.Semaphore(400)
    found = await asyncio.gather(*(accepts(host, port, free) for port in range(1, 65536)))
    return [port for port in found if port]


print(json.dumps(asyncio.run(scan(asked["host"]))))
