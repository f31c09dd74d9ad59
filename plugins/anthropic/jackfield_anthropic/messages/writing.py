"""Writing one block of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    CitationDelta,
    Delta,
    Opaque,
    Part,
    PartEnd,
    PartStart,
    Refusal,
    ServerToolCall,
    Signature,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
)
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_anthropic.messages import blocks, calls, thoughts
from jackfield_anthropic.messages.citations import encode_citation
from jackfield_anthropic.messages.extras import extra
from jackfield_anthropic.messages.losses import changed, dropped
from jackfield_anthropic.messages.streams import UNSAID

Written = tuple[str, dict[str, Any]]
"""An event's name, and its members but for type and index."""

_START: Final = "content_block_start"
_DELTA: Final = "content_block_delta"
_STOP: Final[Written] = ("content_block_stop", {})
_KEYS: Final[dict[type[Any], bytes]] = {
    TextDelta: b'"text_delta","text":',
    ThinkingDelta: b'"thinking_delta","thinking":',
    ArgumentsDelta: b'"input_json_delta","partial_json":',
}


def _added(**delta: Any) -> Written:
    return _DELTA, {"delta": delta}


class BlockWriter:
    """One part while it is written."""

    def __init__(self, start: PartStart, later: Sequence[Delta], losses: list[Loss]) -> None:
        self._part, self._losses = start.part, losses
        self._path = f"choices[0].message.parts[{start.index}]"
        self.number = -1
        """The block's number on the wire, once it is open."""
        self.complete = False
        """Nothing is added to it any more."""
        self._opened = self._ended = self._unsaid = False
        self._signature = start.part.signature if isinstance(start.part, Thinking | ToolCall) else None
        self._early = isinstance(start.part, ToolCall) and self._signature is not None
        self._arguments: list[str] = []
        self._words: str | None = None
        """Whether words of thoughts were the open ones or a summary's, and of which paragraph."""
        if isinstance(start.part, ToolCall) and self._signature is None:
            signed = [delta.signature for delta in later if isinstance(delta, SignatureDelta) and delta.index == start.index]
            self._signature, self._early = (signed[0], True) if signed else (None, False)

    def quick(self, delta: TextDelta | ThinkingDelta | ArgumentsDelta) -> bytes | None:
        """Return the data of an increment of the plainest kind; None where there is more to it."""
        part = type(self._part)
        if not self._opened or self._ended or not delta.text:
            return None
        if part is ToolCall and type(delta) is ArgumentsDelta and self._part.kind == "function":  # type: ignore[union-attr]
            self._arguments.append(delta.text)
        elif not (
            (part is Text and type(delta) is TextDelta) or (part is Thinking and type(delta) is ThinkingDelta and self._words == "text")
        ):
            return None
        return b'{"type":"content_block_delta","index":%d,"delta":{"type":%b%b}}' % (self.number, _KEYS[type(delta)], to_json(delta.text))

    # ------------------------------------------------------------------------------------------ beginning

    def start(self) -> list[Written]:
        """Return the events with which the part begins; none yet where its first increment opens it."""
        match self._part:
            case Text(text=text, citations=citations):
                events = self._say(text) if text else []
                return [*events, *(event for citation in citations for event in self._cite(CitationDelta(index=0, citation=citation)))]
            case Thinking(redacted=redacted) if redacted is not None or self._part.text or self._part.summary:
                return self._start_thought(self._part)
            case Thinking():
                return []
            case ToolCall():
                return self._start_call(self._part)
            case Refusal(text=text):
                changed(self._losses, self._path, "a refusal becomes a text")
                return self._say(text) if text else []
            case Audio(transcript=text):
                return self._say(text) if text else []
        return self._whole(self._part)

    def _open(self, block: dict[str, Any]) -> list[Written]:
        if self._opened:
            return []
        self._opened = True
        return [(_START, {"content_block": block})]

    def _start_thought(self, part: Thinking) -> list[Written]:
        if part.redacted is not None and part.signature is None:
            wire = thoughts.encode_answered(part)
            if wire is not None and wire["type"] == "redacted_thinking":
                self._unsaid = True
                return self._open(wire)
            self._signature = None
        words = thoughts.words_of(part)
        self._words = "text" if part.text else None
        opened = self._open(self._thought())
        return [*opened, _added(type="thinking_delta", thinking=words)] if words else opened

    def _thought(self) -> dict[str, Any]:
        return {"type": "thinking", "thinking": "", "signature": ""}

    def _start_call(self, call: ToolCall) -> list[Written]:
        bare = msgspec.structs.replace(call, arguments="", signature=None, kind="function")
        if call.kind == "custom":
            changed(self._losses, f"{self._path}.arguments", "arguments are an object: other text becomes its member `input`")
        before = _carried(self._signature, before=True) if self._early and self._signature is not None else []
        events = [*before, *self._open(calls.encode_call(bare, self._path, self._losses))]
        if call.arguments:
            events += self._add_arguments(call.arguments)
        return events

    def _whole(self, part: Part) -> list[Written]:
        """Write a part that comes whole."""
        found = blocks.encode_answered(part, self._path, self._losses)
        if not found:
            return []
        if isinstance(part, Opaque) and part.kind == "compaction":
            return self._compaction(part)
        wire = found[0]
        if isinstance(part, ServerToolCall):
            opened = self._open({**wire, "input": {}})
            return [*opened, _added(type="input_json_delta", partial_json=part.arguments)] if part.arguments not in ("", "{}") else opened
        return self._open(wire)

    def _compaction(self, part: Opaque) -> list[Written]:
        wire = msgspec.json.decode(part.value)
        opened = self._open({"type": "compaction", "content": None})
        return [*opened, (_DELTA, {"delta": {**wire, "type": "compaction_delta"}})]

    # ------------------------------------------------------------------------------------------ increments

    def add(self, delta: Delta) -> list[Written]:
        """Return the events for what is added to the part."""
        match delta:
            case TextDelta(text=text):
                return self._say(text, extra(delta.extensions)) if text or self._opened else []
            case AudioDelta(transcript=text):
                return self._say(text) if text else []
            case ThinkingDelta():
                return self._think(delta)
            case ArgumentsDelta(text=text):
                self._unsaid = UNSAID in extra(delta.extensions)
                return self._add_arguments(text, extra(delta.extensions))
            case SignatureDelta(signature=signature):
                return self._sign(signature)
            case CitationDelta():
                return self._cite(delta)
            case PartEnd():
                self._ended, self.complete = True, not isinstance(self._part, ToolCall) or self._has_arguments()
                self._unsaid = self._unsaid or UNSAID in extra(delta.extensions)
        return []

    def _say(self, text: str, beside: dict[str, Any] | None = None) -> list[Written]:
        own = extra(self._part.extensions) if isinstance(self._part, Text) else {}
        opened = self._open(overlay({"type": "text", "text": ""}, own))
        return [*opened, (_DELTA, {"delta": {"type": "text_delta", "text": text, **(beside or {})}})]

    def _think(self, delta: ThinkingDelta) -> list[Written]:
        kind = "text" if delta.summary is None else f"summary {delta.summary}"
        if self._words is not None and (self._words == "text") != (kind == "text"):
            return []  # the same thoughts told twice: in the open, and as a summary
        text = delta.text if self._words in (None, kind) else f"\n\n{delta.text}"
        self._words = kind
        return [*self._open(self._thought()), (_DELTA, {"delta": {"type": "thinking_delta", "thinking": text, **extra(delta.extensions)}})]

    def _add_arguments(self, text: str, beside: dict[str, Any] | None = None) -> list[Written]:
        if not isinstance(self._part, ToolCall):
            return []
        self._arguments.append(text)
        if self._ended:
            self.complete = self._has_arguments()
        if self._part.kind == "custom":
            return []
        if beside and UNSAID in beside:
            return []
        return [(_DELTA, {"delta": {"type": "input_json_delta", "partial_json": text, **(beside or {})}})]

    def _has_arguments(self) -> bool:
        """Tell whether the arguments are complete: servers that mix the pieces of several calls end a part before its last one."""
        try:
            msgspec.json.decode("".join(self._arguments))
        except (ValueError, RecursionError):
            return isinstance(self._part, ToolCall) and self._part.kind == "custom"
        return True

    def _sign(self, signature: Signature) -> list[Written]:
        if isinstance(self._part, ToolCall | Thinking):
            if not self._early:
                self._signature = signature
            return self._open(self._thought()) if isinstance(self._part, Thinking) else []
        dropped(self._losses, f"{self._path}.signature", "texts have no signatures")
        return []

    def _cite(self, said: CitationDelta) -> list[Written]:
        wire = encode_citation(said.citation, answer=True)
        if wire is None:
            dropped(self._losses, f"{self._path}.citations", "citations of others cannot be said")
            return []
        own = extra(self._part.extensions) if isinstance(self._part, Text) else {}
        opened = self._open(overlay({"type": "text", "text": "", "citations": []}, own))
        return [*opened, (_DELTA, {"delta": {"type": "citations_delta", "citation": wire, **extra(said.extensions)}})]

    # ------------------------------------------------------------------------------------------------ end

    def end(self) -> list[Written]:
        """Return the events with which the part ends."""
        events: list[Written] = []
        if isinstance(self._part, Audio) and self._opened:
            changed(self._losses, self._path, "sound is not taken: its transcript stands for it")
        elif isinstance(self._part, Audio):
            dropped(self._losses, self._path, "messages take no Audio")
        if isinstance(self._part, Thinking):
            events = self._seal(self._part)
        if isinstance(self._part, ToolCall) and self._part.kind == "custom":
            text = to_json({"input": "".join(self._arguments)}).decode()
            events.append(_added(type="input_json_delta", partial_json=text))
        if not self._opened:
            return []
        events.append(_STOP)
        if isinstance(self._part, ToolCall) and self._signature is not None and not self._early:
            events += _carried(self._signature, before=False)
        return events

    def _seal(self, part: Thinking) -> list[Written]:
        """Return the signature of a thought: its own, or what tells that it has none."""
        if not self._opened or self._unsaid:
            return []
        signed = msgspec.structs.replace(part, signature=self._signature)
        value = thoughts.seal_of(signed)
        return [_added(type="signature_delta", signature=value)] if value else []

    @staticmethod
    def late_signature(delta: SignatureDelta) -> list[Written]:
        """Return the block for the signature of a call whose block has ended."""
        return _carried(delta.signature, before=False)


def _carried(signature: Signature, *, before: bool) -> list[Written]:
    """Return a block that carries a tool call's signature."""
    value = thoughts.carried_in(signature, before=before)
    block = {"type": "thinking", "thinking": "", "signature": ""}
    return [(_START, {"content_block": block}), _added(type="signature_delta", signature=value), _STOP]
