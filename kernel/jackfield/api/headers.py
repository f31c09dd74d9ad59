"""Headers and query parameters: immutable lists of pairs, the same in process and over the wire."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

_SENSITIVE: Final = re.compile(r"auth|key|token|cookie|secret|password", re.IGNORECASE)


class Pairs:
    """An immutable, ordered list of name and value pairs in which names may repeat.

    Look-ups compare names exactly; `Headers` compares them without regard to case. Iterating gives
    the pairs in their order. Two lists are equal when their pairs are.
    """

    __slots__ = ("_index", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] | dict[str, str] = (), index: Mapping[str, str] | None = None) -> None:
        """`index` finds the first value of a name where one is at hand that does; without it one is made when it is needed."""
        self._pairs: tuple[tuple[str, str], ...] = tuple(pairs.items() if isinstance(pairs, dict) else pairs)
        self._index = index

    _fold: "staticmethod[[str], str]" = staticmethod(str)
    """Makes names that are the same equal."""

    def _first(self) -> Mapping[str, str]:
        if self._index is None:
            self._index = {self._fold(name): value for name, value in reversed(self._pairs)}
        return self._index

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of `name`, or `default`."""
        return self._first().get(self._fold(name), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of `name`, in order."""
        wanted = self._fold(name)
        return tuple(value for key, value in self._pairs if self._fold(key) == wanted)

    def with_changes(self, changes: Mapping[str, str | None]) -> Self:
        """Return a copy in which each name of `changes` has that value alone, or is gone where the value is None."""
        gone = {self._fold(name) for name in changes}
        kept = (pair for pair in self._pairs if self._fold(pair[0]) not in gone)
        return type(self)((*kept, *((name, value) for name, value in changes.items() if value is not None)))

    def __getitem__(self, name: str) -> str:
        return self._first()[self._fold(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._fold(name) in self._first()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pairs) and self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}: {'***' if _SENSITIVE.search(k) else v}" for k, v in self._pairs)
        return f"{type(self).__name__}({shown})"


class Headers(Pairs):
    """Header fields. Names are compared without regard to case (RFC 9110, section 5.1)."""

    __slots__ = ()

    _fold = staticmethod(str.lower)
