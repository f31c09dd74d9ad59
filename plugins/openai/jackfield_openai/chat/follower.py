"""Knowing what a client was sent of one stream, so that it can be mended and ended.

What clients insist on, as their SDKs show: a role in what a choice is sent (the Node helper), a finish reason for every
choice, tool calls numbered from 0 without gaps. OpenAI's SDKs raise at an event that has `error` and read no further;
others wait for `[DONE]`, so both are sent, in this order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from jackfield.api import Error, Event, Path, Usage
from jackfield.api.canonical import FinishReason
from jackfield.api.canonical.codec import to_json
from jackfield_openai.chat.encoding import DONE, Build
from jackfield_openai.chat.finish import decode_finish, encode_finish
from jackfield_openai.chat.responses import made_id
from jackfield_openai.chat.streams import OBJECT, error_of, is_done
from jackfield_openai.chat.usage import encode_usage
from jackfield_openai.chat.wire import CallPiece, FollowedChunk, SeenChoice, SeenDelta, followed_chunk
from jackfield_openai.errors import encode_error


class _Choice:
    """What a client knows of one choice."""

    __slots__ = ("calls", "finished", "gone", "named", "own_calls", "role_due")

    def __init__(self) -> None:
        self.named = False
        """Its role was sent."""
        self.role_due = False
        """Its role was taken out, and must stand in what is sent next."""
        self.finished = False
        self.calls: dict[int, int] = {}
        """The number that a call has for the client, by the upstream's."""
        self.own_calls: dict[int, int] = {}
        """The same for calls that a handler added."""
        self.gone: set[int] = set()
        """The upstream's numbers of calls that were taken out."""

    def number(self, piece: CallPiece, place: int, added: bool) -> int | None:
        """Return a call's number for the client, a new one where it begins; None for a piece of one that was taken out."""
        index = piece.index if piece.index is not None else place
        if added and (begins(piece) or index in self.own_calls):
            if begins(piece) or index not in self.own_calls:
                self.own_calls[index] = len(self.calls) + len(self.own_calls)
            return self.own_calls[index]
        if index in self.gone and index not in self.calls and not (added or begins(piece)):
            return None
        return self.calls.setdefault(index, len(self.calls) + len(self.own_calls))


def begins(piece: CallPiece) -> bool:
    """Tell whether a call begins with this piece."""
    return bool(piece.id or (piece.function is not None and piece.function.name) or (piece.custom is not None and piece.custom.name))


class ChatFollower:
    """Follows one stream of chunks."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._header: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage_sent = False
        self._failed = False
        self._over = False
        self.complete = False
        """The answer has come to its end, or to an error; at most `[DONE]` is missing."""

    # ---------------------------------------------------------------------------------------- what is sent

    def feed(self, event: Event) -> None:
        """Take note of an event that leaves as it came."""
        chunk = self._look(event)
        if chunk is None:
            return
        for choice in chunk.choices or ():
            for place, piece in enumerate(_pieces(choice)):
                self._choice(choice.index).number(piece, place, added=False)
        self._note(chunk)

    def _look(self, event: Event) -> FollowedChunk | None:
        """Return what an event says, as far as it matters here; None for ends and errors, which are noted."""
        data = event.data
        if is_done(data):
            self._over = self.complete = True
            return None
        chunk: FollowedChunk | None
        try:
            chunk = followed_chunk(data)
        except ValueError:
            chunk = _look_slowly(event.json)
        if chunk is not None and chunk.id and not self._header:
            self._header = _header(chunk.id, chunk.model, chunk.created)
        odd = chunk is None or chunk.error is not None or chunk.choices is None or event.name == "error"
        if odd and error_of(event.json, event.name) is not None:
            self._failed = self.complete = True
            return None
        return chunk

    def _note(self, chunk: FollowedChunk) -> None:
        if chunk.usage is not None:
            self._usage_sent = True
        for choice in chunk.choices or ():
            state = self._choice(choice.index)
            state.named = state.named or (choice.delta is not None and choice.delta.role is not None)
            state.finished = state.finished or decode_finish(choice.finish_reason) is not None
        self.complete = self.complete or (bool(self._choices) and all(c.finished for c in self._choices.values()))

    def _choice(self, index: int) -> _Choice:
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = _Choice()
            self.complete = self._over or self._failed
        return state

    # ------------------------------------------------------------------------------------ what was changed

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event after a change; nothing once the stream is over."""
        if self._over:
            return ()
        chunk = self._look(event)
        if chunk is None:
            return (event,)
        if added and chunk.choices and all(self._choice(choice.index).finished for choice in chunk.choices):
            return ()
        changes = self._as_own(event) if added else {}
        silenced = [self._renumber(at, choice, event, changes, added) for at, choice in enumerate(chunk.choices or ())]
        if silenced and all(silenced) and chunk.usage is None:
            return ()
        for at, choice in enumerate(chunk.choices or ()):
            self._mend(at, choice, changes)
        self._note(chunk)
        return (event.with_changes(changes) if changes else event,)

    def _as_own(self, event: Event) -> dict[Path, Any]:
        """Return the changes that make a handler's own event one of this stream."""
        if not self._header:
            self._header = _header("", "", None)
        value = event.json
        wanted = {key: said for key, said in self._header.items() if said or key not in value}
        return {(key,): said for key, said in wanted.items() if value.get(key) != said}

    def _renumber(self, at: int, choice: SeenChoice, event: Event, changes: dict[Path, Any], added: bool) -> bool:
        """Give tool calls the numbers that they have for the client; tell whether nothing of the choice may leave."""
        state = self._choice(choice.index)
        numbers = [state.number(piece, place, added) for place, piece in enumerate(_pieces(choice))]
        pieces = zip(_pieces(choice), numbers, strict=True)
        if all(number is not None and piece.index in (None, number) for piece, number in pieces):
            return False
        raw = event.json["choices"][at]["delta"]["tool_calls"]
        kept = [{**piece, "index": number} for piece, number in zip(raw, numbers, strict=True) if number is not None]
        changes["choices", at, "delta", "tool_calls"] = kept
        return not kept and choice.finish_reason is None and not (choice.delta is not None and choice.delta.content)

    def _mend(self, at: int, choice: SeenChoice, changes: dict[Path, Any]) -> None:
        state = self._choice(choice.index)
        named = choice.delta is not None and choice.delta.role is not None
        if state.role_due and not named and choice.delta is not None:
            changes["choices", at, "delta", "role"] = "assistant"
            named = True
        state.role_due = state.role_due and not named
        state.named = state.named or named
        if choice.finish_reason == "tool_calls" and state.gone and not state.calls and not state.own_calls:
            # Nobody may wait for calls that the client never saw.
            changes["choices", at, "finish_reason"] = "stop"

    def drop(self, event: Event) -> Sequence[Event]:
        """Take note that a handler took out an event. What ends a choice or the stream leaves all the same, without words."""
        if self._over:
            return ()
        chunk = self._look(event)
        if chunk is None:
            return (event,)
        ending = False
        for choice in chunk.choices or ():
            state = self._choice(choice.index)
            named = choice.delta is not None and choice.delta.role is not None
            state.role_due = state.role_due or (named and not state.named)
            calls = (piece.index if piece.index is not None else place for place, piece in enumerate(_pieces(choice)))
            state.gone |= {index for index in calls if index not in state.calls}
            ending = ending or (decode_finish(choice.finish_reason) is not None and not state.finished)
        if not ending:
            return ()
        return self.admit(event.with_changes({("choices", at, "delta"): {} for at in range(len(chunk.choices or ()))}), added=False)

    # -------------------------------------------------------------------------------------------- endings

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        """Return the events that end the answer here: finish reasons, token counts where given, the end marker."""
        if self._over:
            return ()
        events: list[Event] = []
        if not self._failed:
            events += self._finish_open(reason)
            if usage is not None and not self._usage_sent:
                events.append(self._chunk({"choices": [], "usage": encode_usage(usage)}))
        self._over = self.complete = True
        return [*events, self._build(DONE)]

    def _finish_open(self, reason: FinishReason) -> list[Event]:
        if not self._choices:
            self._choice(0)
        events = []
        for index, state in sorted(self._choices.items()):
            if not state.finished:
                state.finished = True
                delta = {} if state.named else {"role": "assistant", "content": ""}
                choice = {"index": index, "delta": delta, "finish_reason": encode_finish(reason)}
                events.append(self._chunk({"choices": [choice]}))
        return events

    def _chunk(self, said: dict[str, Any]) -> Event:
        if not self._header:
            self._header = _header("", "", None)
        return self._build(to_json({**self._header, **said}))

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the events that end the stream here with an error; of one that has failed already only the end marker."""
        if self._over:
            return ()
        self._over = self.complete = True
        events = [] if self._failed else [self._build(encode_error(error))]
        return [*events, self._build(DONE)]


def _header(stream_id: str, model: str, created: Any) -> dict[str, Any]:
    when = created if isinstance(created, int) and created else int(time.time())
    return {"id": stream_id or made_id(), "object": OBJECT, "created": when, "model": model}


def _pieces(choice: SeenChoice) -> Sequence[CallPiece]:
    return (choice.delta.tool_calls if choice.delta is not None else None) or ()


def _look_slowly(value: Any) -> FollowedChunk | None:
    """Read a chunk that is not quite of OpenAI's form, such as one whose content is a list."""
    if not isinstance(value, dict):
        return None
    choices, found = value.get("choices"), None
    if isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices):
        found = [_seen(choice, at) for at, choice in enumerate(choices)]
    usage = value.get("usage")
    return FollowedChunk(
        id=_text(value.get("id")) or "",
        model=_text(value.get("model")) or "",
        created=value.get("created"),
        choices=found,
        usage=usage if isinstance(usage, dict) else None,
        error=value.get("error"),
    )


def _seen(choice: dict[str, Any], at: int) -> SeenChoice:
    index, delta = choice.get("index"), choice.get("delta")
    seen = None
    if isinstance(delta, dict):
        seen = SeenDelta(role=_text(delta.get("role")), content="" if delta.get("content") is None else "words")
    return SeenChoice(
        index=index if isinstance(index, int) else at,
        delta=seen,
        finish_reason=_text(choice.get("finish_reason")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
