"""The state store as plugins and the host itself see it: under names of their own, and never for longer than a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from jackfield.api import StateStore
from jackfield.dispatch import Answer
from jackfield.generation import Lasting

STATE_DEADLINE: Final = 1.0
"""Seconds in which the state store must answer."""
HOST: Final = ":host"
"""The host's own name here; no plugin's id begins like that."""


class State:
    """The store under the names of one owner: a plugin by its id, or the host. Nobody waits for it longer than `STATE_DEADLINE`."""

    def __init__(self, lasting: Lasting, owner: str) -> None:
        self._lasting, self._owner = lasting, owner

    @property
    def persists(self) -> bool:
        """Whether the store still has a value after a restart."""
        return bool(getattr(self._lasting.state, "persists", False))

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""
        return await self._ask(lambda store, name: store.get(name), key)

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value. With `if_absent`, return False where there is one already."""
        return await self._ask(lambda store, name: store.set(name, value, ttl=ttl, if_absent=if_absent), key)

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter; return the new value, or None, changing nothing, where it would pass `maximum`."""
        return await self._ask(lambda store, name: store.add(name, n, maximum=maximum, ttl=ttl), key)

    async def delete(self, key: str) -> None:
        """Forget a value."""
        await self._ask(lambda store, name: store.delete(name), key)

    async def _ask(self, operation: Callable[[StateStore, str], Awaitable[Answer]], key: str) -> Answer:
        if (store := self._lasting.state) is None:
            raise OSError("there is no state store: plug in a plugin with one, such as memory, and see `state` in the configuration")
        try:
            async with asyncio.timeout(STATE_DEADLINE):
                return await operation(store, f"{self._owner}/{key}")
        except Exception as fault:
            if isinstance(fault, ValueError | TypeError):  # of the one that asks
                raise
            raise OSError(f"the state store failed: {str(fault) or f'no answer within {STATE_DEADLINE:g} s'}") from fault
