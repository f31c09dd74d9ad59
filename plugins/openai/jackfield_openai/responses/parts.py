"""The parts that the items of a stream become, numbered in the order in which they begin."""

from __future__ import annotations

from jackfield.api.canonical import Delta, Extensions, Part, PartEnd, PartStart, Signature, SignatureDelta, Text, ToolCall


class Parts:
    """Numbers the parts of an answer."""

    def __init__(self) -> None:
        self.seen: list[Part] = []
        """What began, in order."""

    def start(self, part: Part, extensions: Extensions | None = None) -> tuple[int, list[Delta]]:
        """Begin a part; return its number and what is to be said."""
        self.seen.append(part)
        at = len(self.seen) - 1
        return at, [PartStart(index=at, part=part, extensions=extensions or {})]

    def whole(self, part: Part) -> list[Delta]:
        """Return the deltas of a part that comes whole."""
        at, deltas = self.start(part)
        return [*deltas, PartEnd(index=at)]

    def sign(self, signature: Signature) -> list[Delta]:
        """Return the delta that gives the latest part a signature."""
        if not self.seen or not isinstance(self.seen[-1], Text | ToolCall):
            return []
        return [SignatureDelta(index=len(self.seen) - 1, signature=signature)]

    def take_ends(self, deltas: list[Delta]) -> list[Delta]:
        """Take the last end of a part out of `deltas`, if that part may still be signed."""
        last = deltas[-1] if deltas else None
        if isinstance(last, PartEnd) and last.index == len(self.seen) - 1 and isinstance(self.seen[-1], Text | ToolCall):
            return [deltas.pop()]
        return []
