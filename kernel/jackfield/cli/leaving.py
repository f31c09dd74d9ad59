"""Leave a port without taking away the call of a client that comes, or comes back, at that very moment."""

import asyncio
import os
import socket
from typing import Final

from jackfield.server import Server

_LOOK: Final = 0.1
"""Seconds between two looks for connections that have been quiet long enough."""


async def leave(server: Server, quiet: float, seconds: float, handed_over: bool) -> float:
    """Take no new connections, and end those that are open: each with its next answer, or when it has been quiet for `quiet` seconds.
    With 0 they end at once, or with the answer that they wait for.

    Returns when there are none, `seconds` later at most, how many of these are left. Unless another process serves (`handed_over`), those
    who have come already are let in.
    """
    if not quiet:
        server.close_doors(at_once=True)
        return seconds
    loop = asyncio.get_running_loop()
    held = [] if handed_over else [os.dup(one.fileno()) for one in server.sockets]
    server.close_doors(at_once=False)
    for number in held:
        await _let_in(server, number)
    began = loop.time()
    while server.close_quiet(loop.time() - quiet, began) and loop.time() < began + seconds:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(_LOOK)
    return max(0.0, began + seconds - loop.time())


async def _let_in(server: Server, number: int) -> None:
    """Accept those who wait at a socket, and close it: the system would reset their connections."""
    with socket.socket(fileno=number) as door:
        door.setblocking(False)
        came = list[socket.socket]()
        try:
            while True:
                came.append(door.accept()[0])
        except OSError:  # nobody any more
            pass
    for one in came:
        one.setblocking(False)
        await server.let_in(one)
