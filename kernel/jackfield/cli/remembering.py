"""What rests, what is switched off and what limits are used up, shared over a state store that persists: by the workers of one host,
by hosts on several machines, and by one host before and after a restart.

A store has no lists and tells of nothing. So each change is a value of its own, and its name is appended to a journal: a counter,
and the latest names by number. Whoever sees that the counter has grown reads what it names.
"""

import asyncio
import logging
from typing import Final

from jackfield.api.canonical.hints import LONGEST
from jackfield.host import Jackfield
from jackfield.state import HOST, State

log = logging.getLogger("jackfield")

_EVERY: Final = 0.3
"""Seconds between two looks for news, own and others'."""
_JOURNAL: Final = 4096
"""Changes that can be read by who was away for a while; after more, all is read anew."""
_AT_ONCE: Final = 64
"""Values that are read at the same time."""


class Remembering:
    """Reads what others found out, and tells what was found out here: soon, but never in a call."""

    def __init__(self, host: Jackfield) -> None:
        self._host, self._complained, self._seen = host, False, 0
        self._own = set[int]()
        """Numbers of the journal that were written here."""

    @property
    def _state(self) -> State:
        return State(self._host.lasting, HOST)  # the host need not have started when this is made

    @property
    def remembers(self) -> bool:
        """Whether there is a store that still has it after a restart."""
        return self._state.persists

    async def recall(self) -> None:
        """Take up what is known."""
        health = self._host.lasting.health
        if not self.remembers:
            return
        try:
            self._seen = await self._written()
            await self._read(["", *self._host.lasting.accounts])
        except (OSError, ValueError) as fault:
            log.warning("what credentials were resting or switched off is not known: %s", fault)
        if health.off:
            log.warning("switched off, as an operator said: %s (`jackfield credentials enable` undoes it)", ", ".join(sorted(health.off)))

    async def save(self) -> bool:
        """Tell what has changed since the last time; return whether all is kept."""
        health, state = self._host.lasting.health, self._state
        if not self.remembers:
            return False
        news, health.news = sorted(health.news), set()
        try:
            while news:
                await state.set(f"health/{news[0]}", health.tell(news[0]), ttl=LONGEST if news[0] else None)
                number = await state.add("health.journal")
                assert number is not None
                self._own.add(number)
                await state.set(f"health.journal/{number % _JOURNAL}", f"{number} {news[0]}".encode(), ttl=LONGEST)
                del news[0]
        except Exception as fault:  # noqa: BLE001 (a plugin's store may raise anything)
            health.news.update(news)
            if not self._complained:
                log.warning("what credentials are resting or switched off is not kept: %s", fault)
            self._complained = True
            return False
        if self._complained:
            log.info("what credentials are resting or switched off is kept again")
        self._complained = False
        return True

    async def listen(self) -> None:
        """Take over what others have told since the last time."""
        state, now = self._state, await self._written()
        if now - self._seen >= _JOURNAL or now < self._seen:
            names = ["", *self._host.lasting.accounts]
        else:
            numbers = [n for n in range(self._seen + 1, now + 1) if n not in self._own]
            said = [(n, ((await state.get(f"health.journal/{n % _JOURNAL}")) or b"").decode().partition(" ")) for n in numbers]
            names = list(dict.fromkeys(name for n, (number, _, name) in said if number == str(n)))
            if any(number != str(n) for n, (number, _, _) in said):  # its name is being written just now: what it names is there already
                names = ["", *self._host.lasting.accounts]
        await self._read(names)
        self._own = {n for n in self._own if n > now}
        self._seen = now

    async def run(self) -> None:
        """Tell and listen, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            if await self.save():
                try:
                    await self.listen()
                    await self._host.agreed.settle()
                except (OSError, ValueError) as fault:
                    log.debug("what others found out is not known: %s", fault)

    async def _written(self) -> int:
        return int(await self._state.get("health.journal") or 0)

    async def _read(self, names: list[str]) -> None:
        """Take over what is told of some credentials."""
        state, lasting = self._state, self._host.lasting
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            for name, told in zip(some, await asyncio.gather(*(state.get(f"health/{name}") for name in some)), strict=True):
                if told is not None and name not in lasting.health.news:
                    lasting.health.take_over(name, told, lasting.accounts.get(name))
