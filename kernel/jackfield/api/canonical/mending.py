"""A stream that was changed on its way, made one that its clients accept: numbers, blocks, repeated text, endings.

Pure: what is changed, and by whom, is told by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jackfield.api.canonical.response import Error, FinishReason
from jackfield.api.canonical.stream import ArgumentsDelta, TextDelta, ThinkingDelta
from jackfield.api.dialect import Dialect
from jackfield.api.event import End, Event

_LOGGED: Final = 256
"""Events that a stream remembers before its follower is told of them. Most streams that nobody changes are shorter, and
then the follower costs nothing."""
_KINDS: Final[dict[type[Any], str]] = {TextDelta: "text", ThinkingDelta: "thinking", ArgumentsDelta: "arguments"}

Item = tuple[Event | None, Event | None]
"""An event on its way, and the upstream's event that it comes from: the same where it is unchanged, None where it was
added. The first is None where the second was taken out."""
Answer = Event | Sequence[Event] | End
"""What becomes of an event, where somebody wants it changed."""


class MendedStream:
    """One stream in one dialect, by what leaves of it."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect, self._follower = dialect, dialect.follow()
        self._log: list[Event] = []
        self._repeats = type(dialect).repeats is not Dialect.repeats
        self._said: dict[tuple[str, int, int], list[str]] = {}
        self.changed = False
        """Something was changed, so that every event since may have to be."""

    def follow(self, events: Sequence[Event]) -> None:
        """Take note of events that leave as they came; the follower is told when they grow many, or when it is needed."""
        self._log += events
        if len(self._log) > _LOGGED:
            self._tell_follower()

    def settle(self, items: Sequence[Item]) -> list[Event]:
        """Return the events that leave, after a change."""
        self._tell_follower()
        self.changed = True
        leaving: list[Event] = []
        for event, origin in items:
            if event is not None:
                leaving += self.admit(event, added=origin is None)
            elif origin is not None:
                self._take_down(origin, kept=False)
                leaving += self._follower.drop(origin)
        return leaving

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event, with the text in place that it repeats; `added` tells that it came from no upstream."""
        self._take_down(event)
        repeats = ((r.path, (r.of, r.choice, r.index)) for r in (self._dialect.repeats(event) if self._repeats else ()))
        # Of what came without increments nothing was changed.
        changes = {path: "".join(self._said[place]) for path, place in repeats if place in self._said}
        return self._follower.admit(event.with_changes(changes) if changes else event, added)

    def end(self, reason: FinishReason) -> Sequence[Event]:
        """Return the events that end the answer here."""
        return self._follower.finish(reason, None)

    def missing(self) -> Sequence[Event] | None:
        """Return what is missing at the end of a complete answer; None when the answer is not complete."""
        self._tell_follower()
        return self._follower.finish("stop", None) if self._follower.complete else None

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the events that end the stream with an error."""
        self._tell_follower()
        return self._follower.fail(error)

    def _tell_follower(self) -> None:
        for event in self._log:
            self._take_down(event)
            self._follower.feed(event)
        self._log = []

    def _take_down(self, event: Event, kept: bool = True) -> None:
        """Keep what an event adds to the answer, nothing where it was taken out, for the events that will repeat it."""
        for delta in event.deltas if self._repeats else ():
            if isinstance(delta, TextDelta | ThinkingDelta | ArgumentsDelta):
                said = self._said.setdefault((_KINDS[type(delta)], delta.choice, delta.index), [])
                said.append(delta.text if kept else "")


def replaced(event: Event, origin: Event | None, answer: Answer) -> list[Item]:
    """Say what becomes of an event: which of the answer's events stands in its place, and which are added."""
    made = [answer] if isinstance(answer, Event) else list(answer.events if isinstance(answer, End) else answer)
    if not made:
        return [(None, origin)] if origin is not None and not isinstance(answer, End) else []
    heir = next((at for at, one in enumerate(made) if one is event), 0)
    return [(one, origin if at == heir else None) for at, one in enumerate(made)]
