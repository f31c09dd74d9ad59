"""The state store that needs nothing: values in this process's memory, gone when it ends."""

from __future__ import annotations

import time

from jackfield.api import StateStore


class MemoryStore:
    """Values of all plugins. `scoped` gives one plugin its own names."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes | int, float | None]] = {}

    def scoped(self, plugin: str) -> StateStore:
        """Return the store as one plugin sees it."""
        return _Scoped(self, f"{plugin}/")

    def read(self, key: str) -> bytes | int | None:
        """Return a value that has not expired."""
        held = self._values.get(key)
        if held is None:
            return None
        if held[1] is not None and held[1] <= time.monotonic():
            del self._values[key]
            return None
        return held[0]

    def write(self, key: str, value: bytes | int, ttl: float | None) -> None:
        """Keep a value for `ttl` seconds; None: for good."""
        if len(self._values) % 1024 == 1023:  # now and then, forget what nobody asked for again
            for expired in [k for k in self._values if self.read(k) is None]:
                self._values.pop(expired, None)
        self._values[key] = (value, None if ttl is None else time.monotonic() + ttl)

    def expiry(self, key: str) -> float | None:
        """Return when a value expires, as a monotonic time."""
        held = self._values.get(key)
        return held[1] if held else None

    def forget(self, key: str) -> None:
        """Forget a value."""
        self._values.pop(key, None)


class _Scoped:
    """One plugin's names in the store."""

    def __init__(self, store: MemoryStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        value = self._store.read(self._prefix + key)
        return str(value).encode() if isinstance(value, int) else value

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        if if_absent and self._store.read(self._prefix + key) is not None:
            return False
        self._store.write(self._prefix + key, value, ttl)
        return True

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        name = self._prefix + key
        held = self._store.read(name)
        before = held if isinstance(held, int) else int(held or 0)
        if maximum is not None and before + n > maximum:
            return None
        ends = self._store.expiry(name) if held is not None else None
        left = ends - time.monotonic() if ends is not None else None if held is not None else ttl
        self._store.write(name, before + n, left)
        return before + n

    async def delete(self, key: str) -> None:
        self._store.forget(self._prefix + key)
