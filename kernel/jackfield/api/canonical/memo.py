"""Remembering what was made of things that come again and again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

_encode: Final = msgspec.json.Encoder().encode
Value = TypeVar("Value")
Thing = TypeVar("Thing")


class Memo(Generic[Value]):
    """What was made of things that come again and again, such as the past of a conversation, which each of its turns repeats.

    It is bounded by `most` bytes: each value counts with the size of what it was made of and what any value costs beside;
    one made of more than `largest` bytes is not kept. Values are kept in two halves: whenever the recent one is full, all
    that was not asked for since the last time goes. What it holds is shared by all who ask, and must not be changed.

    A key may be the `id` of an object if the value holds the object: as long as it does, nobody else has that id.
    """

    EACH: Final = 1024
    """Bytes that a value counts beside its size: its key, and the structs around its texts."""

    def __init__(self, most: int = 16 << 20, largest: int = 1 << 20) -> None:
        self._half, self._largest, self._size = most // 2, largest, 0
        self._recent: dict[Hashable, tuple[Value, int]] = {}
        self._former: dict[Hashable, tuple[Value, int]] = {}

    def get(self, key: Hashable) -> Value | None:
        """Return what was kept under a key; None for nothing."""
        found = self._recent.get(key)
        if found is None:
            found = self._former.pop(key, None)
            if found is None:
                return None
            self._keep(key, found)
        return found[0]

    def all(self, keys: Sequence[Hashable]) -> list[Value | None]:
        """Return what was kept under each of many keys."""
        found = list(map(self._recent.get, keys))
        return [self.get(key) if known is None else known[0] for key, known in zip(keys, found, strict=True)]

    def put(self, key: Hashable, value: Value, size: int) -> Value:
        """Keep a value, which was made of `size` bytes, and return it."""
        if size <= self._largest:
            self._former.pop(key, None)
            self._keep(key, (value, size + self.EACH))
        return value

    def _keep(self, key: Hashable, entry: tuple[Value, int]) -> None:
        before = self._recent.get(key)
        self._size += entry[1] - (before[1] if before is not None else 0)
        if self._size > self._half:
            self._former, self._recent, self._size = self._recent, {}, entry[1]
            self._former.pop(key, None)
        self._recent[key] = entry


class Runs(Generic[Value]):
    """What was made of runs of things that come again in the same order, such as messages: known by the things' identity.

    A conversation that goes on begins with the same runs; to recall these costs a fraction of recalling each message.
    """

    LENGTH: Final = 16

    def __init__(self) -> None:
        self._memo = Memo[tuple[tuple[object, ...], Value]]()

    def of(self, things: tuple[Thing, ...]) -> list[tuple[tuple[Thing, ...], Value | None]]:
        """Cut things into runs, the last of which may be shorter; return each with what was kept of it."""
        runs, keys = _cut(things)
        return [(run, None if one is None else one[1]) for run, one in zip(runs, self._memo.all(keys), strict=True)]

    def keep(self, run: tuple[object, ...], value: Value) -> Value:
        """Keep what was made of a run, and return it. A short run is not kept: it will grow."""
        size = measured(run) if len(run) == self.LENGTH else None
        if size is not None:
            self._memo.put(tuple(map(id, run)), (run, value), size)
        return value


class _Latest:
    """The things that were cut into runs last: one request's are cut several times in a row."""

    cut: tuple[tuple[Any, ...], list[tuple[Any, ...]], list[Hashable]] = (), [], []
    """They, their runs and the keys of these, in one value: hooks in threads read requests too."""


def _cut(things: tuple[Any, ...]) -> tuple[list[tuple[Any, ...]], list[Hashable]]:
    """Return the runs of things, and the key of each."""
    latest = _Latest.cut
    if latest[0] is not things:
        runs = [things[at : at + Runs.LENGTH] for at in range(0, len(things), Runs.LENGTH)]
        latest = _Latest.cut = things, runs, [tuple(map(id, run)) for run in runs]
    return latest[1], latest[2]


def measured(value: object) -> int | None:
    """Return about how many bytes a struct or several hold; None for what cannot be told, and could be of any size."""
    try:
        return len(_encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
