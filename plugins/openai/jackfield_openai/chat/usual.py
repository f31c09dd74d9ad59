"""Chunks that differ from the one before in their words alone, as nearly all of a stream do: read by their bytes."""

from __future__ import annotations

from typing import Final

import msgspec

from jackfield.api.canonical import ArgumentsDelta, Delta, TextDelta, ThinkingDelta
from jackfield_openai.chat.choices import ChoiceDecoder
from jackfield_openai.chat.extras import NAME
from jackfield_openai.chat.responses import CHUNK

Words = TextDelta | ThinkingDelta | ArgumentsDelta

_PLACES: Final[dict[type[Words], tuple[bytes, ...]]] = {
    TextDelta: (b'"content":"',),
    ThinkingDelta: (b'"reasoning_content":"', b'"reasoning":"'),
    ArgumentsDelta: (b'"arguments":"',),
}
_text: Final = msgspec.json.Decoder(str).decode


class UsualChunk:
    """The bytes that a chunk shares with those that go on with the same part, around its words and its padding."""

    __slots__ = ("_after", "_before", "_choice", "_index", "_made", "_padding", "_rest", "_state")

    def __init__(self, before: bytes, after: bytes, padding: str | None, said: Words, choice: ChoiceDecoder) -> None:
        self._before, self._after, self._padding = before, after, padding
        self._rest = b"" if padding is None else None
        self._made, self._index, self._choice, self._state = type(said), said.index, choice, choice.state

    @property
    def stale(self) -> bool:
        """The part is no longer open."""
        return self._state != self._choice.state

    def read(self, frame: bytes) -> Delta | None:
        """Return what a chunk adds to the part; None for one of another form."""
        before, after, choice = self._before, self._after, self._choice
        if self._state != choice.state or not frame.startswith(before) or (ends := frame.find(after, len(before))) < 0:
            return None
        rest = frame[ends + len(after) :]
        try:
            text = _text(frame[len(before) : ends])
            if text and rest == self._rest:
                return self._made(choice=choice.index, index=self._index, text=text)
            if not text or self._padding is None or rest.count(b'"') != 1 or rest[-2:] != b'"}' or b"\\" in rest:
                return None
            extensions = {NAME: {CHUNK: {self._padding: rest[:-2].decode()}}}
        except ValueError:
            return None
        return self._made(choice=choice.index, index=self._index, text=text, extensions=extensions)


def learn(frame: bytes, said: Delta, choice: ChoiceDecoder, padding: str | None) -> UsualChunk | None:
    """Return the form of a chunk that said no more than some words, and padding under a name where it had any."""
    if not isinstance(said, Words):
        return None
    places = [(at, place) for place in _PLACES[type(said)] if (at := frame.find(place)) >= 0 and frame.count(place) == 1]
    if len(places) != 1:
        return None
    begins = places[0][0] + len(places[0][1]) - 1
    ends = _end(frame, begins)
    after = frame[ends:]
    if padding is not None:
        mark = b',"%b":"' % padding.encode()
        if after.count(mark) != 1:
            return None
        after = after[: after.index(mark) + len(mark)]
    return UsualChunk(frame[:begins], after, padding, said, choice)


def _end(frame: bytes, begins: int) -> int:
    """Return where the JSON text that begins at a place ends."""
    at = begins + 1
    while frame[at : at + 1] != b'"':
        at += 2 if frame[at : at + 1] == b"\\" else 1
    return at + 1
