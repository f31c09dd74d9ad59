"""Writing a stream: canonical deltas to chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Event, Loss, Request
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Delta,
    Done,
    Finish,
    OpaqueDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    Usage,
    UsageDelta,
)
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_openai.chat.content import lost
from jackfield_openai.chat.extras import NAME, extra
from jackfield_openai.chat.responses import CHUNK, made_id
from jackfield_openai.chat.streams import BEFORE, HIDDEN, OBJECT
from jackfield_openai.chat.tiers import write_tier
from jackfield_openai.chat.usage import encode_usage
from jackfield_openai.chat.writing import Chunk, DeltaWriter
from jackfield_openai.errors import encode_error

DONE: Final = b"[DONE]"
"""The data of the event that ends a stream."""

Build = Callable[[bytes], Event]
"""Makes an event that carries the bytes given."""


class ChatStreamEncoder:
    """Turns the deltas of one stream into chunks.

    Each delta that adds something becomes a chunk, unless the first of those that came together says that they
    stood in one. The chunk with the token counts is written only if `request.stream_usage` asks for it.
    """

    def __init__(self, request: Request, losses: list[Loss], build: Build) -> None:
        self._asked = bool(request.stream_usage)
        self._losses = losses
        self._build = build
        self._header: dict[str, Any] = {}
        self._head = b""
        self._writer = DeltaWriter(losses)
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._usage: Usage | None = None
        self._over = False

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        """Return the events for deltas that came together."""
        if self._over or not deltas:
            return ()
        first = deltas[0]
        said = None if isinstance(first, OpaqueDelta) or not first.extensions else extra(first.extensions).get(CHUNK)
        if isinstance(said, dict):
            return self._together(deltas, said)
        events: list[Event] = []
        for delta in deltas:
            quick = self._quick(delta)
            events += self._single(delta) if quick is None else (quick,)
        return events

    def _quick(self, delta: Delta) -> Event | None:
        """Write more words, thoughts or arguments of a part of the plainest kind; None for all others."""
        if not isinstance(delta, TextDelta | ThinkingDelta | ArgumentsDelta) or NAME in delta.extensions or delta.choice not in self._begun:
            return None
        words = self._writer.plain(delta)
        if words is None or self._over:
            return None
        return self._build(b'%b{"index":%d,"delta":{%b},"finish_reason":null}]}' % (self._head, delta.choice, words))

    def _together(self, deltas: Sequence[Delta], said: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        chunk, written = Chunk(), False
        after: list[Delta] = []
        for delta in deltas:
            if isinstance(delta, Done | StreamError | OpaqueDelta):
                after.append(delta)
            elif isinstance(delta, Begin):
                events += self._begin(delta)
                self._begun |= {entry.get("index", 0) for entry in said.get("choices", ())}
                written = True
            else:
                written = True
                self._write(delta, chunk)
                if isinstance(delta, UsageDelta) and not extra(delta.extensions).get(HIDDEN):
                    chunk.usage = encode_usage(delta.usage)
                self._begun.add(getattr(delta, "choice", 0))
        if written and (chunk.usage is None or self._asked or chunk.choices or said.get("choices")):
            events.append(self._event(chunk.wire(self._head_or_new(), said)))
            self._usage = None
        return [*events, *(event for delta in after for event in self._single(delta))]

    def _write(self, delta: Delta, chunk: Chunk) -> None:
        self._writer.write(delta, chunk)
        if isinstance(delta, Finish):
            self._finished.add(delta.choice)

    def _single(self, delta: Delta) -> list[Event]:
        match delta:
            case Begin():
                return [*self._begin(delta), self._role(0)]
            case UsageDelta(usage=usage):
                self._usage = usage
                return self._usage_chunk() if self._finished and self._finished >= self._begun else []
            case OpaqueDelta():
                return self._opaque(delta)
            case StreamError(error=error):
                self._over = True
                return [self._build(encode_error(error)), self._build(DONE)]
            case Done():
                events = self._usage_chunk()
                self._over = True
                return [*events, self._build(DONE)]
        chunk = Chunk()
        self._write(delta, chunk)
        if not chunk.choices:
            return []
        index = next(iter(chunk.choices))
        role = [] if index in self._begun else [self._role(index)]
        return [*role, self._event(chunk.wire(self._head_or_new(), {}))]

    # --------------------------------------------------------------------------------- what every chunk repeats

    def _begin(self, begin: Begin) -> list[Event]:
        kept = {key: value for key, value in extra(begin.extensions).items() if key not in (CHUNK, BEFORE)}
        created = begin.created if begin.created is not None else int(time.time())
        header: dict[str, Any] = {"id": begin.id or made_id(), "object": OBJECT, "created": created, "model": begin.model}
        write_tier(header, begin.service_tier, kept, self._losses)
        self._set_header(overlay(header, kept))
        if begin.usage is not None:
            self._usage = begin.usage
        before = extra(begin.extensions).get(BEFORE)
        return [self._event(chunk) for chunk in before] if isinstance(before, list) else []

    def _set_header(self, header: dict[str, Any]) -> None:
        self._header = header
        self._head = to_json(header)[:-1] + b',"choices":['

    def _head_or_new(self) -> dict[str, Any]:
        if not self._header:
            self._begin(Begin())
        return self._header

    def _role(self, index: int) -> Event:
        self._begun.add(index)
        chunk = Chunk()
        chunk.delta(index).update(role="assistant", content="")
        return self._event(chunk.wire(self._head_or_new(), {}))

    def _event(self, wire: dict[str, Any]) -> Event:
        return self._build(to_json(wire))

    def _usage_chunk(self) -> list[Event]:
        usage, self._usage = self._usage, None
        if usage is None or not self._asked or usage.source == "absent":
            return []
        return [self._event({**self._head_or_new(), "choices": [], "usage": encode_usage(usage)})]

    def _opaque(self, delta: OpaqueDelta) -> list[Event]:
        if delta.dialect != NAME:
            lost(self._losses, "stream", f"an event {delta.name or 'without a name'} that {delta.dialect} alone understands")
            return []
        try:
            chunk = msgspec.json.decode(delta.value)
        except ValueError:
            return []
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            # It may be the one that names the speaker of a further choice.
            if isinstance(choice, dict) and isinstance(choice.get("index"), int):
                self._begun.add(choice["index"])
        return [self._build(delta.value.encode())]
