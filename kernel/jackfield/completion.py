"""Stage 12: tell observers what came of calls, after the calls, in one bounded queue."""

import asyncio
import logging
from contextvars import ContextVar
from typing import Final

from jackfield.api import Outcome, Usage
from jackfield.dispatch import ask
from jackfield.exchange import Exchange
from jackfield.sweeper import end_all

log = logging.getLogger("jackfield")
calls_log = logging.getLogger("jackfield.calls")

MOST_WAITING: Final = 10_000
"""Calls that may wait for observers; further ones are not reported to them, and counted."""
_LAST_WORDS: Final = 5.0
"""Seconds in which observers may still be told of calls when the host stops."""


class Completion:
    """Completes calls, one after the other, in a task of its own."""

    def __init__(self, current: ContextVar[Exchange | None]) -> None:
        self.dropped, self._current = 0, current
        self._waiting: asyncio.Queue[tuple[Exchange, Outcome]] = asyncio.Queue(MOST_WAITING)
        self._task = asyncio.get_running_loop().create_task(self._work(), name="jackfield-completion")

    def put(self, exchange: Exchange, canceled: bool) -> None:
        """Take a call that is over."""
        if exchange.failure is not None or calls_log.isEnabledFor(logging.INFO):
            _report(exchange, canceled)
        chains = exchange.generation.chains
        wanted = chains["request_complete"] or chains["handle_usage"] or exchange.afterwards
        if wanted and not self._waiting.full():
            self._waiting.put_nowait((exchange, exchange.outcome(canceled)))
            return
        if wanted:
            self.dropped += 1
            if self.dropped % 1000 == 1:
                log.warning("observers are too slow: %d calls were not reported to them", self.dropped)
        exchange.generation.calls -= 1

    async def drain(self) -> None:
        """Complete what still waits, for some seconds at most, then stop. May be called again."""
        joined = asyncio.ensure_future(self._waiting.join())
        await asyncio.wait((joined, self._task), timeout=_LAST_WORDS, return_when=asyncio.FIRST_COMPLETED)
        if not joined.done() and not self._task.done():
            log.warning("observers are too slow: the host stops, and %d calls were not reported to them", self._waiting.qsize())
        await end_all(joined, self._task)

    async def _work(self) -> None:
        while True:
            exchange, outcome = await self._waiting.get()
            chains, trace = exchange.generation.chains, exchange.trace
            for work in exchange.afterwards.values():
                await work()
            self._current.set(exchange)  # what observers call now, they call within the call that they are told of
            for tried in (t for t in exchange.tried if t.attempt._send is not None):  # else no provider was asked
                await ask(chains["handle_usage"], trace, tried.attempt, tried.usage or Usage(source="absent"))
            await ask(chains["request_complete"], trace, exchange.call, outcome)
            exchange.generation.calls -= 1
            self._waiting.task_done()


def _report(exchange: Exchange, canceled: bool) -> None:
    """Write one line about a call: information when it went well, a warning when it did not."""
    call, fault, outcome = exchange.call, exchange.failure, exchange.outcome(canceled)
    calls_log.log(
        logging.INFO if fault is None or fault.cause == "caller" else logging.WARNING,
        "%s -> %s %d %.0f ms%s%s",
        f"{call.id} {call.principal.name} {call.dialect} {call.operation} model={call.model or '-'}",
        outcome.status,
        outcome.http_status,
        outcome.duration * 1000,
        f" by {outcome.credential}/{outcome.model}" if outcome.credential is not None else "",
        f": {fault.message}{f': {fault.detail}' if fault.detail else ''}" if fault is not None else "",
    )
