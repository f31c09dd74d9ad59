"""Accept connections at a socket that several processes share: one at a time, so that each gets its part.

What an event loop does by itself is to take all that wait. Whoever is first would then serve them all, for as long as they live.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger("jackfield")

_PAUSE: Final = 1.0
"""Seconds without accepting when the system has no more file descriptors, or no memory."""


class Door:
    """One such socket, and who lets in those that come."""

    def __init__(self, held: socket.socket, let_in: Callable[[socket.socket], Awaitable[None]]) -> None:
        self.sockets = (held,)
        self._held, self._let_in, self._loop = held, let_in, asyncio.get_running_loop()
        self._coming = set[asyncio.Task[None]]()
        self._later: asyncio.TimerHandle | None = None
        self._open()

    def close(self) -> None:
        """Accept no more."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._held.fileno())
        self._held.close()

    def _open(self) -> None:
        self._loop.add_reader(self._held.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            came, _ = self._held.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was quicker, or it has gone
        except OSError as fault:
            log.error("no connection can be accepted for now: %s", fault.strerror or fault)
            self._loop.remove_reader(self._held.fileno())
            self._later = self._loop.call_later(_PAUSE, self._open)
            return
        came.setblocking(False)
        came.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._bring(came))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)

    async def _bring(self, came: socket.socket) -> None:
        try:
            await self._let_in(came)
        except OSError as fault:  # a handshake that failed
            log.debug("a connection came to nothing: %s", fault)
