"""Function calls that arrive in pieces: `partialArgs` and `willContinue`.

Source: Vertex AI's guide "Function calling", section on streaming of arguments, and the API reference, `PartialArg`: each
piece names the place of its value by a JSON Path (RFC 9535); texts may come in several pieces.
"""

from __future__ import annotations

import re
from typing import Any, Final

from jackfield.api.canonical.codec import to_json

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")
_VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")
_MOST: Final = 10_000
"""Most members of a list that a path may name."""


class Arguments:
    """The arguments of one call while their pieces come in."""

    def __init__(self) -> None:
        self._value: Any = {}

    def add(self, piece: dict[str, Any]) -> None:
        """Take a piece; one without a place or a value says nothing."""
        path, key = piece.get("jsonPath"), next((key for key in _VALUES if key in piece), None)
        if not isinstance(path, str) or key is None:
            return
        value = None if key == "nullValue" else piece[key]
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)
        steps: list[str | int] = [int(index) if index else name or quoted for name, index, quoted in _STEP.findall(path)]
        if steps:
            self._value = _put(self._value, steps, value)

    def add_whole(self, args: dict[str, Any]) -> None:
        """Take arguments that come whole."""
        self._value = {**self._value, **args}

    def text(self) -> str:
        """Return the arguments as JSON."""
        return to_json(self._value).decode()


def _put(holder: Any, steps: list[str | int], value: Any) -> Any:
    """Return what holds a value with it in its place; more of a text is added to it."""
    if not steps:
        return holder + value if isinstance(holder, str) and isinstance(value, str) else value
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        holder = holder if isinstance(holder, dict) else {}
        holder[step] = _put(holder.get(step), rest, value)
        return holder
    holder = holder if isinstance(holder, list) else []
    if step < _MOST:
        holder += [None] * (step + 1 - len(holder))
        holder[step] = _put(holder[step], rest, value)
    return holder
