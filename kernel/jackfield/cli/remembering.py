"""Keep over restarts what rests and what was switched off, in a state store that persists."""

import asyncio
import logging
from typing import Final

from jackfield.host import Jackfield

log = logging.getLogger("jackfield")

_KEY: Final = ":host/health"
"""No plugin's names begin like that."""
_EVERY: Final = 2.0
"""Seconds between two looks for whether there is something new."""
_DEADLINE: Final = 2.0
"""Seconds in which the store must answer."""


class Remembering:
    """Reads what was kept, and keeps what changes: soon, but never in a call."""

    def __init__(self, host: Jackfield) -> None:
        self._host, self._complained = host, False

    @property
    def remembers(self) -> bool:
        """Whether there is a store that still has it after a restart."""
        return bool(getattr(self._host.lasting.state, "persists", False))

    async def recall(self) -> None:
        """Take up what was kept."""
        health, store = self._host.lasting.health, self._host.lasting.state
        if store is None or not self.remembers:
            return
        try:
            async with asyncio.timeout(_DEADLINE):
                kept = await store.get(_KEY)
            if kept is not None:
                health.restore(kept)
                health.changed = False
        except (OSError, ValueError, TimeoutError) as fault:
            log.warning("what credentials were resting or switched off is not known: %s", fault or "the state store does not answer")
        if health.off:
            log.warning("switched off, as an operator said: %s (`jackfield credentials enable` undoes it)", ", ".join(sorted(health.off)))

    async def save(self) -> bool:
        """Keep what has changed since the last time; tell whether all is kept."""
        health, store = self._host.lasting.health, self._host.lasting.state
        if store is None or not self.remembers:
            return False
        if not health.changed:
            return True
        try:
            async with asyncio.timeout(_DEADLINE):
                await store.set(_KEY, health.snapshot())
        except Exception as fault:  # noqa: BLE001 (a plugin's store may raise anything)
            health.changed = True
            if not self._complained:
                log.warning("what credentials are resting or switched off is not kept: %s", fault or "the state store does not answer")
            self._complained = True
            return False
        if self._complained:
            log.info("what credentials are resting or switched off is kept again")
        self._complained = False
        return True

    async def run(self) -> None:
        """Keep what changes, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.save()
