"""Accept connections at sockets that were made by another process.

Each worker has sockets of its own, and the system shares connections out among them. It looks at those of the others from time to
time as well: who came to a worker that has died, or is too busy to let anybody in, does not wait for it.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger("jackfield")

_LOOK: Final = 0.05
"""Seconds between two looks at the sockets of others."""
_PAUSE: Final = 1.0
"""Seconds without accepting when the system has no more file descriptors, or no memory."""


class Door:
    """One such socket, and what lets in those that come: at once where it is `own`."""

    def __init__(self, held: socket.socket, let_in: Callable[[socket.socket], Awaitable[None]], *, own: bool) -> None:
        self.sockets = (held,)
        self._held, self._let_in, self._loop = held, let_in, asyncio.get_running_loop()
        self._coming = set[asyncio.Task[None]]()
        self._own, self._later = own, self._loop.call_later(0 if own else _LOOK, self._open)

    def close(self) -> None:
        """Accept no more."""
        self._later.cancel()
        self._loop.remove_reader(self._held.fileno())
        self._held.close()

    def _open(self) -> None:
        if self._own:
            self._loop.add_reader(self._held.fileno(), self._accept)
        else:
            self._later = self._loop.call_later(_LOOK, self._open)
            while self._accept():  # all that wait: nobody else lets them in
                pass

    def _accept(self) -> bool:
        """Let in who came first; tell whether anybody had come."""
        try:
            came, _ = self._held.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False  # nobody has come, or has gone again
        except OSError as fault:
            log.error("no connection can be accepted for now: %s", fault.strerror or fault)
            self._loop.remove_reader(self._held.fileno())
            self._later.cancel()
            self._later = self._loop.call_later(_PAUSE, self._open)
            return False
        came.setblocking(False)
        came.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._bring(came))
        self._coming.add(task)
        task.add_done_callback(self._coming.discard)
        return True

    async def _bring(self, came: socket.socket) -> None:
        try:
            await self._let_in(came)
        except OSError as fault:  # a handshake that failed
            log.debug("a connection came to nothing: %s", fault)
