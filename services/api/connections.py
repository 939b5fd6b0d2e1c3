"""Have the connections to controller and workers notice a host that is gone."""

import asyncio
import errno
import socket

# A host without power says nothing any more, and FastChat would wait three hours for the rest of its answer: the kernel
# asks a silent connection after 10 s, and gives it up after three questions 5 s apart. (A hung process's kernel does
# answer.)
KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
# Nor does it take what was sent (then the kernel does not ask, and would send it again for 15 minutes), or a connection
# (which the kernel asks for after 1, 3, 7, 15, 31 ... s). tcp(7)
TAKEN_MILLISECONDS = 25000
CONNECT_SECONDS = 3


def watch_connections(loop):
    """Have a loop's connections to controller and workers notice a host that is gone."""
    # httpx begins with the one, aiohttp with the other.
    connect, sock_connect = loop.create_connection, loop.sock_connect

    async def in_time(connecting):
        try:
            return await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except asyncio.TimeoutError:
            raise OSError(errno.ETIMEDOUT, f"no connection within {CONNECT_SECONDS} s") from None

    async def create_connection(*arguments, **options):
        transport, protocol = await in_time(connect(*arguments, **options))
        one = transport.get_extra_info("socket")
        if one is not None and one.family != socket.AF_UNIX:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in {**KEEP_ALIVE, "TCP_USER_TIMEOUT": TAKEN_MILLISECONDS}.items():
                one.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return transport, protocol

    loop.create_connection = create_connection
    loop.sock_connect = lambda sock, address: in_time(sock_connect(sock, address))
