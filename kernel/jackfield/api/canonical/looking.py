"""Looks at answers that pass as bytes: at the edges of a stream, by needles, and at a whole one put together from its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from jackfield.api.canonical.request import Request
from jackfield.api.canonical.response import Response, Usage
from jackfield.api.canonical.stream import play
from jackfield.api.dialect import Dialect
from jackfield.api.event import Event

_EDGE: Final = 4096
"""Bytes of a stream's end that are looked at, or its last event where that is longer."""


def events_of(dialect: Dialect, whole: bytes) -> list[Event]:
    """Return the events of bytes that end at an event boundary; comments are left out."""
    return sound(dialect, whole)[0]


def sound(dialect: Dialect, whole: bytes) -> tuple[list[Event], bytes]:
    """Return the events of bytes that end at an event boundary, and the bytes without what breaks clients."""
    framing, make = dialect.framing, dialect.event_type
    plain = framing.plain_frames(whole)
    if plain is not None:
        return [make(frame) for frame in plain], whole
    return [make(frame, name, end) for frame, name, end in framing.frames(whole)], framing.clean(whole)


def edges(dialect: Dialect, first: bytes, tail: Iterable[bytes]) -> tuple[bytes, bytes]:
    """Return the first event of a stream and its last ones, as bytes, given its first and its latest reads."""
    around, ends = dialect.framing.around, b""
    for whole in reversed(list(tail)):
        ends = whole + ends
        if len(ends) > _EDGE:
            ends = ends[min(around(ends, len(ends) - 1)[0], around(ends, len(ends) - _EDGE)[1]) :]
            break
    return first[slice(*around(first, 0))], ends


def found(dialect: Dialect, needles: Iterable[bytes], among: Iterable[bytes]) -> list[Event]:
    """Return the last event at each of a stream's edges in which a needle stands, for each needle."""
    around, hits = dialect.framing.around, list[Event]()
    for edge in among:
        spans = {around(edge, at) for needle in needles if (at := edge.rfind(needle)) >= 0}
        hits += [event for span in sorted(spans) for event in events_of(dialect, edge[slice(*span)])]
    return hits


def minted(dialect: Dialect, raw: bytes, *, whole: bool = False, edge: bool = False) -> list[str]:
    """Return what later requests may name of a `whole` answer; of events else: of the first at an `edge`, and of those with a needle."""
    pieces = [raw] if whole else [event.data for event in _holding(dialect, dialect.needles.minted, raw, edge)]
    return [name for seen in map(dialect.minted, pieces) for name in (*seen.stored, *seen.sealed)]


def errors_in(dialect: Dialect, whole: bytes) -> Iterator[tuple[int, Event]]:
    """Yield where in whole events one begins that reports an error, and that event. Only those are read in which a needle stands."""
    for start, end in _spans(dialect, dialect.needles.error, whole):
        yield from ((start, event) for event in events_of(dialect, whole[start:end]) if event.error is not None)


def _holding(dialect: Dialect, needles: Iterable[bytes], whole: bytes, first: bool) -> list[Event]:
    spans = {*_spans(dialect, needles, whole), *([dialect.framing.around(whole, 0)] if first else ())}
    return [event for span in sorted(spans) for event in events_of(dialect, whole[slice(*span)])]


def _spans(dialect: Dialect, needles: Iterable[bytes], whole: bytes) -> list[tuple[int, int]]:
    """Return where the events stand in which a needle stands, in their order."""
    around, spans = dialect.framing.around, set[tuple[int, int]]()
    for needle in needles:
        at = whole.find(needle)
        while at >= 0:
            spans.add(span := around(whole, at))
            at = whole.find(needle, span[1])
    return sorted(spans)


def usage_at(dialect: Dialect, among: Iterable[bytes]) -> Usage | None:
    """Return what the upstream said that the call cost, at a stream's edges."""
    reports = reversed(found(dialect, dialect.needles.usage, among))
    return next((usage for event in reports if (usage := event.usage) is not None), None)


def played(dialect: Dialect, request: Request, response: Response) -> Sequence[Event]:
    """Return a whole answer as the events of a stream."""
    return dialect.encode_stream(request, []).feed(list(play(response)))
