"""Which session is bound to whom: in a store that workers share, with the latest in this process's memory."""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from jackfield.api import StateStore

MOST_SESSIONS: Final = 10_000
"""Bindings in memory; those that were used longest ago go first."""
BELIEVED: Final = 10.0
"""Seconds for which a binding in memory is taken for what the store has: another worker may have bound the session anew."""
PAUSE: Final = 5.0
"""Seconds for which a store that is away is left alone."""
RENEWED: Final = 0.25
"""Part of the time to live after which it begins anew in the store when the session goes on."""


class Binding(msgspec.Struct):
    """To whom a session is bound: a candidate, or a credential, by its id."""

    to: str
    used: float
    """When, by the host's clock."""
    read: float
    """When the store was seen to have it."""
    written: float = -math.inf
    """When its time to live in the store began."""
    place: int = 0
    """Where the candidate stood among the eligible ones: it often stands there still."""


class Bindings:
    """Bindings of sessions, by key. Where the store is away those of this process still count."""

    def __init__(self, store: StateStore, clock: Callable[[], float], ttl: float, log: logging.Logger) -> None:
        self._store, self._clock, self._ttl, self._log = store, clock, ttl, log
        self._held = OrderedDict[str, Binding]()
        self._away_until: float | None = None
        """When a store that is away may be asked again; None while it is there."""

    def held(self, key: str) -> Binding | None:
        """Return the binding of a session that this process knows."""
        binding, now = self._held.get(key), self._clock()
        if binding is None or now - binding.used > self._ttl:
            self._held.pop(key, None)
            return None
        binding.used = now
        self._held.move_to_end(key)
        return binding

    def believed(self, binding: Binding) -> bool:
        """Tell whether a binding need not be looked up."""
        return self._clock() - binding.read <= BELIEVED

    async def look_up(self, key: str) -> Binding | None:
        """Return the binding of a session as the store has it, or as this process knows it."""
        value, now = await self._ask(key), self._clock()
        before = self.held(key)  # by now: the session may have been bound while the store was asked
        if before is not None and value in (None, before.to.encode()):
            before.read, before.written = now, before.written if value is not None else -math.inf
            return before
        return self._hold(key, value.decode(errors="replace")) if value is not None else None

    async def bind(self, key: str, to: str, instead: str | None, *, shared: bool) -> None:
        """Bind a session that was bound to `instead`, or to nobody; what somebody else did meanwhile is left alone.

        One that is not `shared` is bound in this process alone.
        """
        before = self.held(key)
        if (before.to if before is not None else None) != instead:
            return
        binding = self._hold(key, to)
        if shared and not await self._write(key, binding, if_absent=instead is None) and (value := await self._ask(key)) is not None:
            binding.to = value.decode(errors="replace")  # another worker was first

    async def put(self, key: str, to: str, *, shared: bool) -> None:
        """Bind a session, whatever it was bound to."""
        binding = self._hold(key, to)
        if shared:
            await self._write(key, binding)

    def stale(self, binding: Binding) -> bool:
        """Tell whether the time to live of a binding should begin anew."""
        return self._clock() - binding.written > self._ttl * RENEWED

    def _hold(self, key: str, to: str) -> Binding:
        now = self._clock()
        binding = self._held[key] = Binding(to, now, now)
        self._held.move_to_end(key)
        if len(self._held) > MOST_SESSIONS:
            self._held.popitem(last=False)
        return binding

    async def _ask(self, key: str) -> bytes | None:
        if self._is_away():
            return None
        try:
            value = await self._store.get(key)
        except OSError as fault:
            self._lost(fault)
            return None
        self._found()
        return value

    async def _write(self, key: str, binding: Binding, *, if_absent: bool = False) -> bool:
        """Write a binding; tell whether it may stay: False where there is another one."""
        if self._is_away():
            return True
        try:
            written = await self._store.set(key, binding.to.encode(), ttl=self._ttl, if_absent=if_absent)
        except OSError as fault:
            self._lost(fault)
            return True
        self._found()
        binding.read = binding.written = self._clock()
        return written

    def _is_away(self) -> bool:
        return self._away_until is not None and self._clock() < self._away_until

    def _lost(self, fault: OSError) -> None:
        if self._away_until is None:
            self._log.warning("the state store is away (%s): sessions stay together within this process alone", fault)
        self._away_until = self._clock() + PAUSE

    def _found(self) -> None:
        if self._away_until is not None:
            self._away_until = None
            self._log.info("the state store is back")
