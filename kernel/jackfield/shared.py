"""What lives as long as the host: connections, the sweeper, the calls in flight, and completion."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import count
from typing import Final

from jackfield.agreed import Agreed
from jackfield.api import CallError, HttpProvider, HttpRequest, HttpResponse, failure
from jackfield.api.canonical.thinking import thinks
from jackfield.bindings import Bindings
from jackfield.completion import Completion
from jackfield.credentials import Source
from jackfield.exchange import Exchange, Tried
from jackfield.generation import Generation, Lasting
from jackfield.refreshing import Refreshing
from jackfield.settings import ENDLESS, Config
from jackfield.sweeper import Sweeper, Watch
from jackfield.transport import Transport

_LAST_WORDS: Final = 2.0
"""Seconds in which calls that were stopped may still write their error."""


class Shared:
    """One host's lasting parts."""

    def __init__(self, config: Config) -> None:
        self.sweeper = Sweeper()
        self.current: ContextVar[Exchange | None] = ContextVar("jackfield_exchange", default=None)
        """The call of this host that the running task serves: the parent of calls that plugins make in it."""
        self.completion, self.lasting = Completion(self.current), Lasting()
        self.bindings = Bindings(self.lasting)
        self.transport = Transport(config, self.sweeper, self.lasting.accounts)
        self.sweeper.waiting.add(self.lasting.health)
        self._generation: Generation | None = None
        self.bytes_in_flight = 0
        self.first_models: Callable[[], Awaitable[None]] = _nothing
        """Waits, for a moment at most, until providers have said what models they have."""
        self.refresh: Callable[[Source], Awaitable[None]] = _nothing
        """Takes the credentials that a source has now."""
        self._calls: set[Exchange] = set()
        self.sweeper.waiting.add(self)
        self.refreshing, self.agreed = Refreshing(self), Agreed(self.lasting)
        self._idle, self._ids, self._run = asyncio.Event(), count(1), secrets.token_hex(4)

    @property
    def generation(self) -> Generation:
        """What new calls begin with. Raises `CallError` before there is one."""
        if self._generation is None:
            raise CallError(failure("plugin", "the host has not started", code="not_started"))
        return self._generation

    @generation.setter
    def generation(self, generation: Generation) -> None:
        self._generation, self.lasting.state = generation, generation.state
        self.transport.adopt(generation.config, generation.private_origins())
        health, said = self.lasting.health, generation.config
        health.cooldown, health.probe = said.cooldown, said.probe
        for gone in self.lasting.accounts.keys() - generation.models.accounts.keys():
            del self.lasting.accounts[gone]

    async def close(self) -> None:
        """End what runs in the background, and close all connections."""
        await self.completion.drain()
        self.sweeper.stop()
        await self.transport.close()

    def next_id(self) -> str:
        """Return a new call's id: unique over restarts and workers, and cheap."""
        return f"{self._run}-{next(self._ids)}"

    def begin(self, exchange: Exchange) -> None:
        """Count a call in: the running task serves it."""
        self.current.set(exchange)
        exchange.task = asyncio.current_task()
        exchange.generation.calls += 1
        self._calls.add(exchange)

    def sender(self, exchange: Exchange, made: Tried) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
        """Return what sends an attempt's requests; from now on the call may take as long as holds for this attempt."""
        call, attempt, account, provider = exchange.call, made.attempt, made.account, made.attempt.provider
        said = attempt.candidate.thinking or getattr(call.body._canonical, "thinking", None)  # which is read only where it was already
        known = thinks(said, exchange.generation.models.known(provider, attempt.model).thinking)
        limits = self.transport.waits(provider.key, (call.model, attempt.model), known, exchange.timeouts, provider.timeouts)
        exchange.limits["attempt"] = limits["total"]
        if not isinstance(provider, HttpProvider):  # it may not send anything, and is held to the limits all the same
            made.watch = watch = Watch(self.sweeper)
            watch.idle = limits["idle"]
            watch.arm(limits["first_byte"], "first_byte")
        return lambda request: self.transport.request(request, account, limits)

    def look(self, now: float) -> None:
        """End the calls that have taken too long, and keep the connections of others alive. Called by the sweeper."""
        for exchange in list(self._calls):
            limit = min(exchange.limits.values(), default=ENDLESS)
            if time.perf_counter() - exchange.started >= limit[0]:
                says = "the call took longer than {:g} s ({})".format(*limit)
                exchange.stop(failure("network", says, code="total_timeout", blame="request", help="none"))
            exchange.keep_alive(exchange.generation.config.server.nonstream_keepalive)

    def end(self, exchange: Exchange) -> None:
        """Count a call out."""
        self._calls.discard(exchange)
        exchange.task = None  # else every call would be a cycle
        self.current.set(None)  # the task is the connection's, which may live on without another call
        if not self._calls:
            self._idle.set()

    async def let_finish(self, grace: float) -> None:
        """Wait for the calls in flight; end those that are left in their dialect's error form, then wait a moment for that."""
        for seconds in (grace, _LAST_WORDS):
            if self._calls:
                self._idle.clear()
                try:
                    await asyncio.wait_for(self._idle.wait(), seconds)
                except TimeoutError:
                    for exchange in list(self._calls):
                        exchange.stop(failure("overload", "the host is stopping", code="stopping"))


async def _nothing(*_: object) -> None:
    """Nobody has to be waited for."""
