"""Stage 12: tell observers what came of calls, after the calls, in one bounded queue."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from jackfield.api import Outcome, Usage
from jackfield.dispatch import ask

if TYPE_CHECKING:
    from jackfield.exchange import Exchange

log = logging.getLogger("jackfield")
calls_log = logging.getLogger("jackfield.calls")

MOST_WAITING: Final = 10_000
"""Calls that may wait for observers; beyond that the oldest are dropped and counted."""
_NO_USAGE: Final = Usage(source="absent")


class Completion:
    """Completes calls, one after the other, in a task of its own."""

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[tuple[Exchange, Outcome]] = deque()
        self._wake: asyncio.Event = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to complete calls."""
        self._task = asyncio.get_running_loop().create_task(self._work(), name="jackfield-completion")

    def put(self, exchange: Exchange, canceled: bool) -> None:
        """Take a call that is over."""
        if calls_log.isEnabledFor(logging.INFO) or exchange.failure is not None:
            _report(exchange, canceled)
        chains = exchange.generation.chains
        if not chains.request_complete and not chains.handle_usage:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            if self.dropped in (1, 100) or self.dropped % 10_000 == 0:
                log.warning("observers are too slow: %d calls were not reported to them", self.dropped)
        self._waiting.append((exchange, exchange.outcome(canceled)))
        if not self._wake.is_set():
            self._wake.set()

    async def drain(self) -> None:
        """Complete what still waits, then stop."""
        if self._task is not None:
            while self._waiting and not self._task.done():
                await asyncio.sleep(0)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            while self._waiting:
                exchange, outcome = self._waiting[0]
                await _tell(exchange, outcome)
                self._waiting.popleft()
            self._wake.clear()


async def _tell(exchange: Exchange, outcome: Outcome) -> None:
    chains, trace = exchange.generation.chains, exchange.trace
    for tried in exchange.tried:
        await ask(chains.handle_usage, trace, tried.attempt, tried.usage or _NO_USAGE)
    await ask(chains.request_complete, trace, exchange.call, outcome)


def _report(exchange: Exchange, canceled: bool) -> None:
    """Write one line about a call: information when it went well, a warning when it did not."""
    call, fault = exchange.call, exchange.failure
    outcome = exchange.outcome(canceled)
    level = logging.INFO if fault is None or fault.cause == "caller" else logging.WARNING
    calls_log.log(
        level,
        "%s %s %s %s model=%s -> %s %s %.0f ms%s",
        call.id, call.principal.name, call.dialect, call.operation, call.model or "-", outcome.status, outcome.http_status,
        outcome.duration * 1000, f": {fault.message} {fault.detail}".rstrip() if fault else "",
    )  # fmt: skip
