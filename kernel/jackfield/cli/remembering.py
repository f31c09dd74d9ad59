"""Keep over restarts what rests and what was switched off, in a state store that persists."""

import asyncio
import logging
from typing import Final

from jackfield.host import Jackfield
from jackfield.state import HOST, State

log = logging.getLogger("jackfield")

_KEY: Final = "health"
_EVERY: Final = 2.0
"""Seconds between two looks for whether there is something new."""


class Remembering:
    """Reads what was kept, and keeps what changes: soon, but never in a call."""

    def __init__(self, host: Jackfield) -> None:
        self._host, self._complained = host, False

    @property
    def _state(self) -> State:
        return State(self._host.lasting, HOST)  # the host need not have started when this is made

    @property
    def remembers(self) -> bool:
        """Whether there is a store that still has it after a restart."""
        return self._state.persists

    async def recall(self) -> None:
        """Take up what was kept."""
        health = self._host.lasting.health
        if not self.remembers:
            return
        try:
            if (kept := await self._state.get(_KEY)) is not None:
                health.restore(kept)
                health.changed = False
        except (OSError, ValueError) as fault:
            log.warning("what credentials were resting or switched off is not known: %s", fault)
        if health.off:
            log.warning("switched off, as an operator said: %s (`jackfield credentials enable` undoes it)", ", ".join(sorted(health.off)))

    async def save(self) -> bool:
        """Keep what has changed since the last time; tell whether all is kept."""
        health = self._host.lasting.health
        if not self.remembers:
            return False
        if not health.changed:
            return True
        try:
            await self._state.set(_KEY, health.snapshot())
        except Exception as fault:  # noqa: BLE001 (a plugin's store may raise anything)
            health.changed = True
            if not self._complained:
                log.warning("what credentials are resting or switched off is not kept: %s", fault)
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
