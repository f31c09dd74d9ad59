"""What lives as long as the host: connections, the sweeper, the calls in flight, and completion."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import count
from typing import Final

from jackfield.api import Failure
from jackfield.completion import Completion
from jackfield.exchange import Exchange
from jackfield.generation import Generation, Lasting
from jackfield.settings import Config
from jackfield.sweeper import Sweeper
from jackfield.transport import Transport

current: ContextVar[Exchange | None] = ContextVar("jackfield_exchange", default=None)
"""The call that the running task serves: the parent of calls that plugins make in it."""

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Shared:
    """One host's lasting parts. `generation` is what new calls begin with."""

    def __init__(self, config: Config) -> None:
        times = config.timeouts
        self.sweeper = Sweeper(times.first_byte, times.idle, times.client_body, config.server.keepalive)
        self.transport = Transport(times, config.limits, self.sweeper)
        self.completion = Completion()
        self.lasting = Lasting()
        self.generation: Generation | None = None
        self.calls: set[Exchange] = set()
        self.bytes_in_flight = 0
        self.on_idle: Callable[[], None] | None = None
        self.first_models: Callable[[], Awaitable[None]] = _nothing
        """Waits, for a moment at most, until providers have said what models they have."""
        self._ids = count(1)
        self._run = _base36(int(time.time() * 1000)) + _base36(os.getpid() % 1296).zfill(2)

    def next_id(self) -> str:
        """Return a new call's id: unique over restarts and workers, and cheap."""
        return f"{self._run}-{next(self._ids)}"

    def begin(self, exchange: Exchange) -> None:
        """Count a call in."""
        exchange.task = asyncio.current_task()
        self.calls.add(exchange)

    def end(self, exchange: Exchange) -> None:
        """Count a call out."""
        self.calls.discard(exchange)
        exchange.task = None  # the task's context holds the exchange: without this every call would be a cycle
        if not self.calls and self.on_idle is not None:
            self.on_idle()

    def stop_calls(self, reason: Failure) -> None:
        """End every call in flight in its dialect's error form."""
        for exchange in list(self.calls):
            exchange.stop(reason)


async def _nothing() -> None:
    """Nobody has to be waited for."""


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
