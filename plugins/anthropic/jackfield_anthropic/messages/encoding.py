"""Writing a stream: canonical deltas to events.

Clients want one block after the other, numbered without gaps, each with its stop; Claude Code asks again, whole, where the
beginning of a block is missing, and loses what is added to a block after its stop. So increments of a part that is not open wait
until those before it are complete. Blocks of words and thoughts are opened by their first increment: an empty one
could not be sent back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Event, Loss
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Choice,
    Delta,
    Done,
    Finish,
    LogprobsDelta,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Refusal,
    SignatureDelta,
    StreamError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
    UsageDelta,
)
from jackfield.api.canonical.codec import to_json
from jackfield_anthropic.errors import encode_error
from jackfield_anthropic.messages.extras import NAME, extra
from jackfield_anthropic.messages.losses import dropped
from jackfield_anthropic.messages.responses import finish_wire, made_id, shown_tier
from jackfield_anthropic.messages.streams import KEYS, UNSAID
from jackfield_anthropic.messages.usage import IN_STREAM, encode_usage
from jackfield_anthropic.messages.wire import DELTA
from jackfield_anthropic.messages.writing import BlockWriter, Written

Build = Callable[[bytes, str], Event]
"""Makes an event of a name that carries the bytes given."""

_BESIDE: Final = ("context_management", "input_transformations")
"""Members of a `message_delta` that stand beside its delta."""


class MessagesStreamEncoder:
    """Turns the deltas of one stream into events."""

    def __init__(self, losses: list[Loss], build: Build, event_type: type[Event]) -> None:
        self._losses, self._build, self._event_type = losses, build, event_type
        self._begun = self._over = self._told = False
        self._writer: BlockWriter | None = None
        self._index = -1
        """The open part's number."""
        self._count = 0
        """How many blocks have begun."""
        self._waiting: list[Delta] = []
        self._calls: set[int] = set()
        self._refused = False
        self._finish: Finish | None = None
        self._usage: UsageDelta | None = None
        self._noted: set[str] = set()

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        """Return the events for deltas that came together."""
        if self._over or not deltas:
            return ()
        if isinstance(deltas[-1], StreamError):
            # No stop before it: Claude Code would take the half text for a whole one, and not ask again.
            deltas = [delta for delta in deltas if not isinstance(delta, PartEnd)]
        events: list[Event] = []
        for at, delta in enumerate(deltas):
            quick = self._quick(delta)
            if quick is not None:
                events.append(quick)
            elif not self._over:
                events += self._take(delta, deltas[at + 1 :] if isinstance(delta, PartStart) else ())
        return events

    def _quick(self, delta: Delta) -> Event | None:
        """Write an increment of the open block; None where there is more to it."""
        writer = self._writer
        if writer is None or not isinstance(delta, TextDelta | ThinkingDelta | ArgumentsDelta) or NAME in delta.extensions:
            return None
        if delta.index != self._index or delta.choice:
            return None
        data = writer.quick(delta)
        return self._event_type(DELTA + data, "content_block_delta", b"\n\n") if data is not None else None

    def _take(self, delta: Delta, later: Sequence[Delta]) -> list[Event]:
        match delta:
            case Begin():
                return self._begin(delta)
            case OpaqueDelta():
                return self._opaque(delta)
            case StreamError(error=error):
                self._over = True
                return [self._build(encode_error(error), "error")]
            case UsageDelta():
                self._usage = delta
                return self._message_delta() if self._finish is not None else []
            case Done():
                return self._end()
        if delta.choice:
            return self._lose("choices[1]", "there is one answer to a request")
        if isinstance(delta, LogprobsDelta):
            return self._lose("choices[0].logprobs", "messages tell no likelihoods")
        start = [] if self._begun else self._begin(Begin())
        if isinstance(delta, Finish):
            self._finish = delta
            return [*start, *self._settle()]
        return [*start, *self._part(delta, later)]

    def _lose(self, path: str, why: str) -> list[Event]:
        """Note a loss, once a stream."""
        if path not in self._noted:
            self._noted.add(path)
            dropped(self._losses, path, why)
        return []

    # -------------------------------------------------------------------------------------- the message

    def _begin(self, begin: Begin) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        tier = shown_tier(begin.service_tier)
        message: dict[str, Any] = {
            "id": begin.id or made_id(),
            "type": "message",
            "role": "assistant",
            "model": begin.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(begin.usage or Usage(), tier),
        }
        # Null, not absent, is what a client expects of a stop reason that is still to come.
        message.update(extra(begin.extensions))
        return [self._build(to_json({"type": "message_start", "message": message}), "message_start")]

    def _message_delta(self) -> list[Event]:
        if self._told:
            return []
        self._told = True
        finish = self._finish or Finish(reason="tool_calls" if self._calls else "stop")
        choice = Choice(finish=finish.reason, stop_sequence=finish.stop_sequence, extensions=_without(finish.extensions, UNSAID))
        said = finish_wire(choice, self._losses, calls=bool(self._calls), refused=self._refused)
        beside: dict[str, Any] = {key: said.pop(key) for key in _BESIDE if key in said}
        wire = {"type": "message_delta", "delta": said, "usage": self._counts(), **beside}
        return [self._build(to_json(wire), "message_delta")]

    def _counts(self) -> dict[str, Any]:
        if self._usage is None:
            return {"output_tokens": 0}
        keys = extra(self._usage.extensions).get(KEYS)
        said = encode_usage(self._usage.usage)
        usual: Collection[str] = keys if isinstance(keys, list) else IN_STREAM
        told = {key: item for key, item in said.items() if key in usual}
        return {**told, "output_tokens": self._usage.usage.output}

    def _end(self) -> list[Event]:
        events = [*([] if self._begun else self._begin(Begin())), *self._settle(), *self._message_delta()]
        self._over = True
        return [*events, self._build(b'{"type":"message_stop"}', "message_stop")]

    def _opaque(self, delta: OpaqueDelta) -> list[Event]:
        if delta.dialect != NAME:
            return self._lose(f"stream.{delta.name}", f"an event that {delta.dialect} alone understands")
        start = [] if self._begun else self._begin(Begin())
        try:
            wire = msgspec.json.decode(delta.value, type=dict[str, Any])
        except ValueError:
            return start
        if wire.get("type") == "content_block_delta":
            wire["index"] = max(self._count - 1, 0)
        return [*start, self._build(to_json(wire), delta.name or str(wire.get("type", "")))]

    # ------------------------------------------------------------------------------------------ blocks

    def _part(self, delta: Any, later: Sequence[Delta]) -> list[Event]:
        """Take a delta of a part: at once where the part is open or nothing is, else when its turn comes."""
        if self._writer is None:
            return self._unopened(delta, later)
        if delta.index != self._index:
            self._waiting.append(delta)
            return []
        events = self._written(self._writer.add(delta))
        if self._writer.complete:
            events += self._close()
        return events

    def _unopened(self, delta: Any, later: Sequence[Delta]) -> list[Event]:
        if isinstance(delta, PartStart):
            self._writer, self._index = BlockWriter(delta, later, self._losses), delta.index
            if isinstance(delta.part, ToolCall):
                self._calls.add(delta.index)
            self._refused = self._refused or isinstance(delta.part, Refusal)
            return self._written(self._writer.start())
        if isinstance(delta, SignatureDelta) and delta.index in self._calls:
            return self._written(BlockWriter.late_signature(delta))
        if not isinstance(delta, PartEnd):
            dropped(self._losses, f"choices[0].message.parts[{delta.index}]", "what came after the part's end has no place")
        return []

    def _close(self) -> list[Event]:
        """End the open block, and take what waited for that."""
        if self._writer is None:
            return []
        events = self._written(self._writer.end())
        self._writer = None
        waiting, self._waiting = self._waiting, []
        for at, delta in enumerate(waiting):
            events += self._part(delta, waiting[at + 1 :] if isinstance(delta, PartStart) else ())
        return events

    def _settle(self) -> list[Event]:
        """End all blocks: nothing is added any more."""
        events: list[Event] = []
        while self._writer is not None:
            events += self._close()
        return events

    def _written(self, written: Sequence[Written]) -> list[Event]:
        """Number what the writer of a block wrote, and make events of it."""
        events = []
        for name, wire in written:
            self._count += name == "content_block_start"
            events.append(self._build(to_json({"type": name, "index": self._count - 1, **wire}), name))
        if self._writer is not None and written:
            self._writer.number = self._count - 1
        return events


def _without(extensions: dict[str, dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    own = extensions.get(NAME)
    return {NAME: {name: item for name, item in own.items() if name != key}} if own and key in own else extensions
