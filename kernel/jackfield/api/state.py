"""Shared state of plugins: four operations that every kind of store can keep, and nothing else."""

from typing import Protocol


class StateStore(Protocol):
    """A store of small values: four operations that every kind of store can keep. Each plugin sees its own names alone.

    Keys that derive from a request begin with the principal's name, so that no caller can reach
    another's. Every operation may raise `OSError` when the store is away.
    """

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired."""

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value for `ttl` seconds (None: for good). With `if_absent`, return False where there is one already."""

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter that starts at 0; return the new value, or None, changing nothing, where it would pass `maximum`.

        `ttl` counts from the counter's first addition.
        """

    async def delete(self, key: str) -> None:
        """Forget a value."""
