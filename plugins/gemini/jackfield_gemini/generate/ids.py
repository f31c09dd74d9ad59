"""Ids of function calls. Google's are optional: most calls have none, and results are told apart by name and order.

A call without an id gets one here, for those who need it; it is known by its shape and not written back.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

_SHAPE: Final = re.compile(r"unnamed_[0-9a-f]{24}")


def made_id(seed: str, name: str, arguments: str) -> str:
    """Return an id for a call without one: the same for the same call in the same place."""
    said = f"{seed}\0{name}\0{arguments}".encode(errors="surrogatepass")
    return f"unnamed_{hashlib.sha256(said).hexdigest()[:24]}"


def is_made(call_id: str) -> bool:
    """Tell whether an id was made here."""
    return _SHAPE.fullmatch(call_id) is not None


class Pairing:
    """The calls of a conversation so far, and which of them have their result."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, str]] = []
        """Names and ids of calls without a result yet."""

    def state(self) -> tuple[tuple[str, str], ...]:
        """Return what all answers of `result` hang on."""
        return tuple(self._waiting)

    def resume(self, state: tuple[tuple[str, str], ...]) -> None:
        """Go on from a state."""
        self._waiting = list(state)

    def call(self, name: str, call_id: str) -> None:
        """Take note of a call."""
        self._waiting.append((name, call_id))

    def result(self, name: str | None, call_id: str | None) -> str | None:
        """Return the id of the call that a result belongs to: by its id, else by its name and order; None for no call's."""
        found = next((w for w in self._waiting if w[1] == call_id), None) if call_id is not None else None
        if found is None:
            # A call whose id was made here may well be answered under an id that only its client knows.
            found = next((w for w in self._waiting if w[0] == name and (call_id is None or is_made(w[1]))), None)
        if found is None:
            return call_id
        self._waiting.remove(found)
        return found[1]
