"""Reading a stream: events to canonical deltas.

Source: Anthropic's guide "Streaming Messages": `message_start`, for each block `content_block_start`, its deltas,
`content_block_stop`, then `message_delta` and `message_stop`; `ping` and `error` anywhere. What no increment of canonical words
can say (calls of server tools, compactions, thoughts that others sealed) comes as a whole part when its block ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Error, Event
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    CitationDelta,
    Delta,
    Done,
    Finish,
    FinishReason,
    OpaqueDelta,
    Part,
    PartEnd,
    PartStart,
    ServerToolCall,
    Signature,
    SignatureDelta,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageDelta,
    read_signature,
)
from jackfield.api.canonical.codec import to_json
from jackfield_anthropic.errors import read_error
from jackfield_anthropic.messages import blocks
from jackfield_anthropic.messages.citations import decode_citation
from jackfield_anthropic.messages.extras import FAMILY, NAME, kept
from jackfield_anthropic.messages.finish import decode_finish, word_kept
from jackfield_anthropic.messages.responses import block_of_answer, take_text, tier_of
from jackfield_anthropic.messages.thoughts import UNSIGNED, belongs_to
from jackfield_anthropic.messages.usage import IN_STREAM, decode_usage, encode_usage
from jackfield_anthropic.messages.wire import DELTA, PlainEvent, plain_event

KEYS: Final = "=keys"
"""The key under which token counts at the end keep which of them were told, where those are not the usual ones."""
UNSAID: Final = "=unsaid"
"""The key under which a delta or an end keeps that the wire left out what canonical words must say, or the other way round."""

_NO_WORDS: Final = "the provider's stream ended with an error that says nothing"


class _Block:
    """A block while its deltas come in."""

    __slots__ = ("closed", "index", "part", "pieces", "said", "started", "swallowed", "wire")

    def __init__(self, part: Part, wire: Any) -> None:
        self.part = part
        self.wire: Any = wire
        """The block as it began; of use for parts that come whole at its end."""
        self.index = -1
        self.started = False
        self.closed = False
        self.swallowed = False
        """It carries the signature of another part."""
        self.said = False
        """Arguments have come, or a signature."""
        self.pieces: list[str] = []

    @property
    def late(self) -> bool:
        """The part can only be told when it is whole."""
        return isinstance(self.part, ServerToolCall) or (isinstance(self.wire, dict) and self.wire.get("type") == "compaction")


class MessagesStreamDecoder:
    """Turns the events of one stream into deltas."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._open: _Block | None = None
        self._next = 0
        self._call: int | None = None
        """The latest tool call, by its part's number."""
        self._waiting: Signature | None = None
        """The signature of the next tool call."""
        self._counts: dict[str, Any] = {}
        self._begun = self._finished = self._over = False

    def feed(self, event: Event) -> Sequence[Delta]:
        """Return what an event says."""
        if self._over:
            return ()
        if event.frame.startswith(DELTA):
            quick = self._plain(event.frame[len(DELTA) :])
            if quick is not None:
                return (quick,)
        value = event.json
        if not isinstance(value, dict):
            return self._fail(value) if event.name == "error" else ()
        try:
            return self._read(value, event)
        except RecursionError:
            return ()

    def close(self) -> Sequence[Delta]:
        """Return what is still to be said: the end, if the answer had come to it."""
        if self._over:
            return ()
        self._over = True
        return (Done(),) if self._finished else self._end_open()

    def _plain(self, data: bytes) -> Delta | None:
        """Read an event that adds words, thoughts or arguments to the open block; None for all others."""
        try:
            said = plain_event(data)
        except ValueError:
            return None
        block = self._open
        if block is None or not block.started or block is not self._blocks.get(said.index):
            return None
        return _increment(block, said)

    def _read(self, value: dict[str, Any], event: Event) -> Sequence[Delta]:
        match value.get("type") or event.name:
            case "message_start":
                return self._start(value)
            case "content_block_start":
                return [*self._begin({}), *self._start_block(value)]
            case "content_block_delta":
                return [*self._begin({}), *self._add(value, event)]
            case "content_block_stop":
                return self._stop_block(self._blocks.get(_index(value)))
            case "message_delta":
                return [*self._begin({}), *self._finish(value)]
            case "message_stop":
                return self._stop()
            case "error":
                return self._fail(value)
            case "ping":
                return ()
        if isinstance(value.get("error"), dict):
            return self._fail(value)
        return (OpaqueDelta(dialect=NAME, name=event.name, value=event.data.decode(errors="replace")),)

    # --------------------------------------------------------------------------------- beginning and end

    def _begin(self, message: dict[str, Any]) -> list[Delta]:
        if self._begun:
            return []
        self._begun = True
        rest = {
            key: item for key, item in message.items() if key not in ("type", "role", "content", "stop_reason", "stop_sequence", "usage")
        }
        usage = message.get("usage")
        self._counts = dict(usage) if isinstance(usage, dict) else {}
        return [
            Begin(
                id=take_text(rest, "id"),
                model=take_text(rest, "model"),
                service_tier=tier_of(usage),
                usage=decode_usage(self._counts) if self._counts else None,
                extensions=kept(rest),
            )
        ]

    def _start(self, value: dict[str, Any]) -> list[Delta]:
        message = value.get("message")
        said = message if isinstance(message, dict) else {}
        deltas = self._begin(said)
        content = said.get("content")
        for at, block in enumerate(content if isinstance(content, list) else ()):
            deltas += self._start_block({"index": at, "content_block": block})
            deltas += self._stop_block(self._blocks.get(at))
        if decode_finish(said.get("stop_reason")) is not None:
            deltas += self._finish({"delta": {key: said.get(key) for key in ("stop_reason", "stop_sequence")}})
        return deltas

    def _finish(self, value: dict[str, Any]) -> list[Delta]:
        deltas = self._end_open()
        delta, usage = value.get("delta"), value.get("usage")
        said = dict(delta) if isinstance(delta, dict) else {}
        word, stop = said.pop("stop_reason", None), said.pop("stop_sequence", None)
        reason = decode_finish(word)
        if reason is not None and not self._finished:
            self._finished = True
            beside = {key: item for key, item in value.items() if key not in ("type", "delta", "usage")}
            extensions = kept({**said, **beside, **word_kept(word, calls=self._call is not None)})
            deltas.append(Finish(reason=reason, stop_sequence=stop if isinstance(stop, str) else None, extensions=extensions))
        if isinstance(usage, dict):
            deltas.append(self._usage(usage))
        return deltas

    def _usage(self, said: dict[str, Any]) -> UsageDelta:
        """Return the counts so far: those at the end replace those at the beginning, which may be more."""
        told = {key for key, item in said.items() if item is not None}
        self._counts.update({key: item for key, item in said.items() if item is not None})
        usage = decode_usage(self._counts)
        usual = {key for key, item in encode_usage(usage).items() if key in IN_STREAM and item is not None}
        return UsageDelta(usage=usage, extensions={NAME: {KEYS: sorted(told)}} if told != usual else {})

    def _stop(self) -> list[Delta]:
        self._over = True
        deltas = [*self._begin({}), *self._end_open()]
        if not self._finished:
            reason: FinishReason = "tool_calls" if self._call is not None else "stop"
            deltas.append(Finish(reason=reason, extensions={NAME: {UNSAID: True}}))
        return [*deltas, Done()]

    def _fail(self, value: Any) -> list[Delta]:
        self._over = True
        error = read_error(value) or Error(message=to_json(value).decode()[:500] if value else _NO_WORDS)
        return [*self._begin({}), *self._end_open(), StreamError(error=error)]

    # ------------------------------------------------------------------------------------------ blocks

    def _end_open(self) -> list[Delta]:
        return self._stop_block(self._open) if self._open is not None else []

    def _start_block(self, value: dict[str, Any]) -> list[Delta]:
        deltas = self._end_open()
        wire = value.get("content_block")
        block = _Block(block_of_answer(wire), wire)
        self._blocks[_index(value)] = self._open = block
        if isinstance(block.part, ToolCall):
            return [*deltas, *self._start_call(block, block.part)]
        if block.late or (isinstance(block.part, Thinking) and block.part.redacted is None):
            return deltas
        return [*deltas, *self._tell(block, block.part)]

    def _start_call(self, block: _Block, call: ToolCall) -> list[Delta]:
        whole = call.arguments != "{}"
        block.said = whole
        signature, self._waiting = self._waiting, None
        began = msgspec.structs.replace(call, arguments=call.arguments if whole else "", signature=signature)
        deltas = self._tell(block, began)
        self._call = block.index
        return deltas

    def _tell(self, block: _Block, part: Part) -> list[Delta]:
        """Start a part."""
        block.part, block.started, block.index = part, True, self._next
        self._next += 1
        return [PartStart(index=block.index, part=part)]

    def _add(self, value: dict[str, Any], event: Event) -> Sequence[Delta]:
        block, delta = self._blocks.get(_index(value)), value.get("delta")
        if not isinstance(delta, dict):
            return ()
        deltas: list[Delta] = []
        if block is None or block.closed:
            deltas = self._start_block({"index": _index(value), "content_block": _block_for(delta)})
            block = self._open
        if block is None:
            return deltas
        made = self._increments(block, delta)
        return [*deltas, *made] if made is not None else [*deltas, self._opaque(block, event)]

    @staticmethod
    def _opaque(block: _Block, event: Event) -> Delta:
        return OpaqueDelta(dialect=NAME, name=event.name, value=event.data.decode(errors="replace"))

    def _increments(self, block: _Block, delta: dict[str, Any]) -> list[Delta] | None:
        """Return what a delta adds to a block; None for one that cannot be understood."""
        beside = {key: item for key, item in delta.items() if key not in ("type", "text", "thinking", "partial_json", "citation")}
        match delta:
            case {"type": "text_delta", "text": str(text)} if isinstance(block.part, Text):
                return [TextDelta(index=block.index, text=text, extensions=kept(beside))]
            case {"type": "thinking_delta", "thinking": str(text)} if isinstance(block.part, Thinking):
                start = [] if block.started else self._tell(block, _unsigned(block.part))
                return [*start, ThinkingDelta(index=block.index, text=text, extensions=kept(beside))]
            case {"type": "signature_delta", "signature": str(value)} if isinstance(block.part, Thinking):
                return self._sign(block, block.part, value)
            case {"type": "input_json_delta", "partial_json": str(text)} if block.late:
                block.pieces.append(text)
                return []
            case {"type": "input_json_delta", "partial_json": str(text)} if isinstance(block.part, ToolCall):
                block.said = block.said or bool(text)
                return [ArgumentsDelta(index=block.index, text=text, extensions=kept(beside))]
            case {"type": "citations_delta", "citation": dict(citation)} if isinstance(block.part, Text):
                return [CitationDelta(index=block.index, citation=decode_citation(citation), extensions=kept(beside))]
            case {"type": "compaction_delta"} if block.late:
                block.wire = {**block.wire, **{key: item for key, item in delta.items() if key != "type"}}
                return []
        return None

    def _sign(self, block: _Block, part: Thinking, value: str) -> list[Delta]:
        if not value:
            return []
        block.said = True
        if value == UNSIGNED:
            return [] if block.started else self._tell(block, _unsigned(part))
        signature, sealed = read_signature(value, FAMILY)
        carried = belongs_to(signature)
        if carried is not None and not block.started:
            block.swallowed = True
            if carried[0] == "next":
                self._waiting = carried[1]
                return []
            return [SignatureDelta(index=self._call, signature=carried[1])] if self._call is not None else []
        if sealed and not block.started:
            return self._tell(block, msgspec.structs.replace(_unsigned(part), redacted=signature))
        start = [] if block.started else self._tell(block, _unsigned(part))
        return [*start, SignatureDelta(index=block.index, signature=signature)]

    def _stop_block(self, block: _Block | None) -> list[Delta]:
        if block is None or block.closed:
            return []
        block.closed = True
        if self._open is block:
            self._open = None
        if block.swallowed:
            return []
        deltas: list[Delta] = []
        extensions: dict[str, dict[str, Any]] = {}
        if not block.started:
            deltas = self._tell(block, _whole(block))
        if isinstance(block.part, ToolCall) and not block.said:
            deltas.append(ArgumentsDelta(index=block.index, text="{}", extensions={NAME: {UNSAID: True}}))
        if isinstance(block.part, Thinking) and block.part.redacted is None and not block.said:
            extensions = {NAME: {UNSAID: True}}
        return [*deltas, PartEnd(index=block.index, extensions=extensions)]


def _increment(block: _Block, said: PlainEvent) -> Delta | None:
    delta, part = said.delta, block.part
    if delta.text is not None and type(part) is Text:
        return TextDelta(index=block.index, text=delta.text)
    if delta.thinking is not None and type(part) is Thinking:
        return ThinkingDelta(index=block.index, text=delta.thinking)
    if delta.partial_json is not None and type(part) is ToolCall:
        block.said = block.said or bool(delta.partial_json)
        return ArgumentsDelta(index=block.index, text=delta.partial_json)
    return None


def _index(value: dict[str, Any]) -> int:
    index = value.get("index")
    return index if isinstance(index, int) else 0


def _unsigned(part: Thinking) -> Thinking:
    """Return a thought as it begins in a stream: its signature comes at its end."""
    return Thinking(text=part.text, extensions={}) if part.signature is None else part


def _block_for(delta: dict[str, Any]) -> dict[str, Any]:
    """Return the block that a delta adds to, where none was begun."""
    if delta.get("type") in ("thinking_delta", "signature_delta"):
        return {"type": "thinking", "thinking": "", "signature": ""}
    if delta.get("type") == "input_json_delta":
        return {"type": "tool_use", "id": "", "name": "", "input": {}}
    return {"type": "text", "text": ""}


def _whole(block: _Block) -> Part:
    """Return a part that is told when its block ends."""
    if isinstance(block.part, ServerToolCall):
        written = "".join(block.pieces)
        return msgspec.structs.replace(block.part, arguments=written) if written else block.part
    if isinstance(block.part, Thinking):
        return _unsigned(block.part)
    return blocks.opaque(block.wire, block.wire.get("type"))
