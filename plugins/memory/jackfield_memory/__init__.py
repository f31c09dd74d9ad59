"""The state store that needs nothing: values in this process's memory, gone when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from jackfield.api import StateStore

SWEEP_AFTER = 1024
"""Writes between two looks for values that have expired and that nobody asked for again."""


class MemoryStore:
    """Values with their expiry, as monotonic times."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes | int, float | None]] = {}
        self._writes = 0

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""
        value = self._held(key)
        return str(value).encode() if isinstance(value, int) else value

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value for `ttl` seconds. With `if_absent`, return False where there is one already."""
        if if_absent and self._held(key) is not None:
            return False
        self._write(key, value, None if ttl is None else time.monotonic() + ttl)
        return True

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter; return the new value, or None, changing nothing, where it would pass `maximum`."""
        held = self._held(key)
        total = int(held or 0) + n
        if maximum is not None and total > maximum:
            return None
        ends = None if ttl is None else time.monotonic() + ttl
        self._write(key, total, ends if held is None else self._values[key][1])
        return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        self._values.pop(key, None)

    def _held(self, key: str) -> bytes | int | None:
        value, ends = self._values.get(key, (None, None))
        if ends is not None and ends <= time.monotonic():
            del self._values[key]
            return None
        return value

    def _write(self, key: str, value: bytes | int, ends: float | None) -> None:
        self._values[key] = (value, ends)
        self._writes += 1
        if self._writes % SWEEP_AFTER == 0:
            for name in list(self._values):
                self._held(name)


def register_state_stores() -> Sequence[tuple[str, Callable[[dict[str, Any]], StateStore]]]:
    """Return the kind `memory`; it has no settings."""
    return [("memory", lambda settings: MemoryStore())]
