"""The state store that needs nothing: values in this process's memory, gone when it ends."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import StateStore

SWEEP_EVERY: Final = 30.0
"""Seconds between two looks for values that have expired and that nobody asked for again."""
SWEEP_MOST: Final = 1000
"""Values dropped in one go, so that many which expire together hold up nobody."""


class Config(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """There are no settings."""


class MemoryStore:
    """Values with the times at which they expire."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes | int, float | None]] = {}
        self._expiring: list[tuple[float, str]] = []
        """A heap of expiries; those that hold no longer are passed over when their turn comes."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many values take up memory."""
        return len(self._values)

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""
        value = self._held(key)
        return str(value).encode() if isinstance(value, int) else value

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value for `ttl` seconds. With `if_absent`, return False where there is one already."""
        if not isinstance(value, bytes):
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        if if_absent and self._held(key) is not None:
            return False
        self._write(key, value, ttl)
        return True

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter; return the new value, or None, changing nothing, where it would pass `maximum`."""
        held = self._held(key)
        total = n if held is None else int(held) + n
        if maximum is not None and total > maximum:
            return None
        if held is None:
            self._write(key, total, ttl)
        else:
            self._values[key] = (total, self._values[key][1])
        return total

    async def delete(self, key: str) -> None:
        """Forget a value."""
        self._values.pop(key, None)

    async def close(self) -> None:
        """Look for expired values no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _held(self, key: str) -> bytes | int | None:
        value, ends = self._values.get(key, (None, None))
        if ends is not None and ends <= self._clock():
            del self._values[key]
            return None
        return value

    def _write(self, key: str, value: bytes | int, ttl: float | None) -> None:
        ends = None if ttl is None else self._clock() + ttl
        self._values[key] = (value, ends)
        if ends is not None:
            heapq.heappush(self._expiring, (ends, key))
            if self._timer is None:
                self._sweep()
            elif len(self._expiring) > 2 * len(self._values) + SWEEP_MOST:  # the same few names, set again and again
                self._expiring = [(at, name) for name, (_, at) in self._values.items() if at is not None]
                heapq.heapify(self._expiring)

    def _sweep(self) -> None:
        """Drop what has expired, and come again as long as something is going to."""
        now, expiring, left = self._clock(), self._expiring, SWEEP_MOST
        while expiring and expiring[0][0] <= now and left:
            ends, key = heapq.heappop(expiring)
            if self._values.get(key, (b"", None))[1] == ends:
                del self._values[key]
            left -= 1
        pause = SWEEP_EVERY if left else 0.0
        self._timer = asyncio.get_running_loop().call_later(pause, self._sweep) if expiring else None


def register_state_stores() -> Sequence[tuple[str, Callable[[Any], StateStore]]]:
    """Return the kind `memory`."""
    return [("memory", MemoryStore)]
