"""Shared state of plugins: four operations that every kind of store can keep, and nothing else.

A kind of store is a pair of a name and a factory, from the hook `register_state_stores`. The factory is called with what the
configuration says beside `kind`: as the struct that its argument `config` is annotated with, read as strictly as a plugin's
settings, else as a dict. It only makes the store: one that has to reach a file or a service does so when it is first asked.
"""

from typing import Protocol


class StateStore(Protocol):
    """A store of small values: four operations that every kind of store can keep. Each plugin sees its own names alone.

    Keys that derive from a request begin with the principal's name, so that no caller can reach
    another's. Every operation may raise `OSError`, with one line that says why, when the store is away; where it took too long
    it may have been done all the same. What the asking plugin did wrong is a `ValueError` or a `TypeError`.

    One store serves all generations of a host whose settings for it are the same, from one event loop. It may have
    `persists = True`, which says that values are still there after a restart, and `async close()`, which is called when the
    host stops, after all plugins have closed; what was set before is kept.
    """

    async def get(self, key: str) -> bytes | None:
        """Return a value; None when there is none or it has expired. A counter is its decimal digits."""

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value for `ttl` seconds (None: for good). With `if_absent`, return False where there is one already.

        Of several that set with `if_absent` at once, one alone gets True.
        """

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        """Add to a counter that starts at 0; return the new value, or None, changing nothing, where it would pass `maximum`.

        `ttl` counts from the counter's first addition. However many add at once, `maximum` is never passed. A value
        that was set and is no number is a `ValueError`.
        """

    async def delete(self, key: str) -> None:
        """Forget a value."""
