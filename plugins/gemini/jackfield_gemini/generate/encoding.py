"""Writing a stream: canonical deltas to chunks.

Each chunk holds what is new. Calls leave whole, for clients cannot put them together; finish reasons, citations and token
counts stand in the last chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Event, Loss, Request
from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    AudioDelta,
    Begin,
    Choice,
    Citation,
    CitationDelta,
    Delta,
    Done,
    Finish,
    Logprobs,
    LogprobsDelta,
    Message,
    OpaqueDelta,
    Part,
    PartEnd,
    PartStart,
    Refusal,
    SignatureDelta,
    Source,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Usage,
    UsageDelta,
)
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_gemini.generate import carried, signing
from jackfield_gemini.generate.errors import encode_error
from jackfield_gemini.generate.extras import NAME, extra
from jackfield_gemini.generate.finish import word_for
from jackfield_gemini.generate.grounding import write_all
from jackfield_gemini.generate.logprobs import encode_logprobs
from jackfield_gemini.generate.media import UNSAID, lost
from jackfield_gemini.generate.parts import REFUSED, encode_part
from jackfield_gemini.generate.responses import BLOCKED, encode_counts, encode_head, made_id, note_finish
from jackfield_gemini.generate.settings import TIERS, USUAL_TIER
from jackfield_gemini.generate.usage import TIER

Build = Callable[[bytes], Event]
"""Makes an event that carries the bytes given."""

_GROWING: Final = (Text, Refusal, Thinking, ToolCall)
"""Parts that grow; all others come whole."""


class _Open:
    """A part while its increments come in."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.text: list[str] = []
        self.arguments: list[str] = []
        self.citations: list[Citation] = []
        self.summary: int | None = None
        """The paragraph of a summary that was written last."""
        self.quick = b""
        """What stands around this part's words in a chunk that holds nothing else: filled at its second increment."""

    def thought(self) -> Thinking:
        """Return a thought with what was said of it so far."""
        assert isinstance(self.part, Thinking)
        return msgspec.structs.replace(self.part, text=self.part.text + "".join(self.text), summary=())


class _Answer:
    """One choice while its chunks are written."""

    def __init__(self) -> None:
        self.parts: dict[int, _Open] = {}
        self.waiting: list[dict[str, Any]] = []
        """Parts of the chunk that is being written, and where each one's words may grow."""
        self.tail: tuple[int, dict[str, Any]] | None = None
        self.finish: Finish | None = None
        self.logprobs: list[Logprobs] = []
        self.sent = self.called = False


class GenerateStreamEncoder:
    """Turns the deltas of one stream into chunks: one for the deltas that come together."""

    def __init__(self, request: Request, losses: list[Loss], build: Build) -> None:
        self._losses, self._build = losses, build
        self._answers: dict[int, _Answer] = {}
        self._head: dict[str, Any] = {}
        self._rest: dict[str, Any] = {}
        self._tail = b""
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._over = self._told = False

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        """Return the events for deltas that came together."""
        if self._over or not deltas:
            return ()
        first = deltas[0]
        if len(deltas) == 1 and isinstance(first, TextDelta | ThinkingDelta) and (quick := self._quick(first)) is not None:
            return (quick,)
        after: list[Event] = []
        for delta in deltas:
            if self._over:
                break
            match delta:
                case OpaqueDelta():
                    after += self._opaque(delta)
                case StreamError(error=error):
                    after += [*self._flush(), self._build(encode_error(error))]
                    self._over = True
                case Done():
                    after.append(self._last())
                    self._over = True
                case _:
                    self._take(delta)
        return after if self._over else [*self._flush(), *after]

    def _quick(self, delta: TextDelta | ThinkingDelta) -> Event | None:
        """Return the chunk of words alone."""
        answer = self._answers.get(delta.choice)
        opened = answer.parts.get(delta.index) if answer is not None else None
        if answer is None or opened is None or not opened.quick or not self._tail or answer.waiting or not delta.text:
            return None
        if isinstance(delta, ThinkingDelta) and delta.summary != opened.summary:
            return None
        opened.text.append(delta.text)
        return self._build(b"%b%b%b" % (opened.quick, to_json(delta.text), self._tail))

    # ------------------------------------------------------------------------------------------- taking deltas

    def _take(self, delta: Delta) -> None:
        match delta:
            case Begin():
                self._begin(delta)
            case UsageDelta(usage=usage):
                self._usage = usage
            case PartStart(choice=choice, index=index, part=part):
                self._start(self._answer(choice), index, part, f"choices[{choice}].parts[{index}]")
            case Finish(choice=choice):
                self._answer(choice).finish = delta
            case LogprobsDelta(choice=choice, logprobs=logprobs):
                self._answer(choice).logprobs.append(logprobs)
            case TextDelta() | ThinkingDelta() | ArgumentsDelta() | SignatureDelta() | CitationDelta() | AudioDelta() | PartEnd():
                answer = self._answer(delta.choice)
                opened = answer.parts.get(delta.index)
                if opened is not None:
                    self._grow(answer, opened, delta)

    def _answer(self, choice: int) -> _Answer:
        return self._answers.setdefault(choice, _Answer())

    def _begin(self, begin: Begin) -> None:
        self._rest = dict(extra(begin.extensions))
        self._head = encode_head(begin.id or made_id(), begin.model, begin.created, self._rest)
        self._tail = b'}],"role":"model"},"index":0}],%b' % to_json({**self._head, **self._repeated()})[1:]
        self._tier = begin.service_tier
        if begin.usage is not None and begin.usage.source != "absent":
            self._usage = begin.usage

    def _repeated(self) -> dict[str, Any]:
        return {key: value for key, value in self._rest.items() if key != BLOCKED}

    def _start(self, answer: _Answer, index: int, part: Part, path: str) -> None:
        answer.parts[index] = _Open(part)
        if isinstance(part, Refusal):
            self._losses.append(Loss(path, "changed", REFUSED))
            part = Text(text=part.text)
        if isinstance(part, ToolCall):
            return
        if not isinstance(part, _GROWING):
            if not isinstance(part, Audio) or part.source is not None or part.transcript is not None:
                self._write(answer, index, part, path)
            return
        begun = msgspec.structs.replace(part, citations=()) if isinstance(part, Text) else part
        sealed = isinstance(part, Thinking) and (part.summary or part.redacted is not None)
        marked = part.signature is not None or bool(extra(part.extensions))
        if part.text or sealed or marked:
            self._write(answer, index, begun, path)
        if isinstance(part, Text):
            answer.parts[index].text.append(part.text)
            answer.parts[index].citations += part.citations

    def _write(self, answer: _Answer, index: int, part: Part, path: str) -> None:
        wire = encode_part(part, path, self._losses, answer=True)
        if wire is not None:
            answer.waiting.append(wire)
            answer.tail = (index, wire)

    def _grow(self, answer: _Answer, opened: _Open, delta: Any) -> None:
        """Write an increment, to the part before in the same chunk where it is the same one."""
        path = f"choices[{delta.choice}].parts[{delta.index}]"
        match delta:
            case TextDelta(text=text) | ThinkingDelta(text=text):
                opened.text.append(text)
                self._say(answer, opened, delta, self._apart(opened, delta) + text)
            case ArgumentsDelta(text=text):
                opened.arguments.append(text)
            case CitationDelta(citation=citation):
                opened.citations.append(citation)
            case AudioDelta():
                self._sound(answer, opened, delta, path)
            case SignatureDelta(signature=signature):
                if isinstance(opened.part, ToolCall):
                    opened.part = msgspec.structs.replace(opened.part, signature=signature)
                    return
                if isinstance(opened.part, Thinking):
                    opened.part = msgspec.structs.replace(opened.part, signature=signature)
                wire = self._say(answer, opened, delta, "")
                signed = encode_part(Text(text="", signature=signature), path, self._losses, answer=True) or {}
                wire.update({key: value for key, value in signed.items() if key != "text"})
            case PartEnd() if isinstance(opened.part, ToolCall):
                call = msgspec.structs.replace(opened.part, arguments=opened.part.arguments + "".join(opened.arguments))
                self._write(answer, delta.index, call, path)
                self._carry(answer)

    @staticmethod
    def _carry(answer: _Answer) -> None:
        """Put the thoughts of another family on the first call, for clients that send back nothing else of them."""
        wire, answer.tail = answer.waiting[-1], None
        thoughts = [opened.thought() for _, opened in sorted(answer.parts.items()) if isinstance(opened.part, Thinking)]
        theirs = [thought for thought in thoughts if carried.foreign(thought)]
        if theirs and not answer.called and signing.KEY not in wire:
            wire[signing.KEY] = carried.write(theirs)
        answer.called = True

    @staticmethod
    def _apart(opened: _Open, delta: TextDelta | ThinkingDelta) -> str:
        """Return what stands between two paragraphs of a summary."""
        before = opened.summary
        opened.summary = delta.summary if isinstance(delta, ThinkingDelta) else None
        return "\n\n" if before is not None and opened.summary not in (None, before) else ""

    def _say(self, answer: _Answer, opened: _Open, delta: Any, text: str) -> dict[str, Any]:
        if answer.tail is not None and answer.tail[0] == delta.index and "text" in answer.tail[1]:
            answer.tail[1]["text"] += text
            return answer.tail[1]
        wire: dict[str, Any] = {"text": text}
        if isinstance(opened.part, Thinking):
            wire["thought"] = True
        answer.waiting.append(wire)
        answer.tail = (delta.index, wire)
        if isinstance(opened.part, _GROWING) and not (opened.quick or delta.choice or opened.part.extensions):
            opened.quick = b'{"candidates":[{"content":{"parts":[{%b"text":' % (b'"thought":true,' if len(wire) > 1 else b"")
        return wire

    def _sound(self, answer: _Answer, opened: _Open, delta: AudioDelta, path: str) -> None:
        if delta.data:
            form = opened.part.format if isinstance(opened.part, Audio) else None
            if form is None:
                self._once(Loss(f"{path}.source.media_type", "invented", "a media type is wanted; sound is streamed as PCM"))
            self._write(answer, delta.index, Audio(source=Source(data=delta.data), format=form or "pcm16"), path)
            answer.tail = None
        if delta.transcript:
            self._once(Loss(f"{path}.transcript", "dropped", UNSAID))

    def _once(self, loss: Loss) -> None:
        if loss not in self._losses:
            self._losses.append(loss)

    # ------------------------------------------------------------------------------------------ writing chunks

    def _flush(self) -> list[Event]:
        """Return the chunk for what is waiting, if anything is."""
        candidates = [
            {"content": {"parts": answer.waiting, "role": "model"}, "index": index, **self._logprobs(answer)}
            for index, answer in sorted(self._answers.items())
            if answer.waiting
        ]
        for answer in self._answers.values():
            answer.sent = answer.sent or bool(answer.waiting)
            answer.waiting, answer.tail = [], None
        return [self._event({"candidates": candidates, **self._first_counts()})] if candidates else []

    def _first_counts(self) -> dict[str, Any]:
        """Return what the first chunk says of cost: the tokens if they are counted by then, and the service tier.

        A count that is not known yet is left out, for clients would show a 0; so is all of it where only the usual tier is known.
        """
        told, self._told = self._told, True
        if told:
            return {}
        if self._usage is not None and self._usage.tokens:
            return {"usageMetadata": encode_counts(self._usage, self._tier, [])}
        tier = TIERS.get(self._tier or "", USUAL_TIER)
        return {"usageMetadata": {TIER: tier}} if tier != USUAL_TIER else {}

    @staticmethod
    def _logprobs(answer: _Answer) -> dict[str, Any]:
        if not answer.logprobs:
            return {}
        content = tuple(token for piece in answer.logprobs for token in (*(piece.content or ()), *(piece.refusal or ())))
        extensions = answer.logprobs[0].extensions if len(answer.logprobs) == 1 else {}
        answer.logprobs = []
        return {"logprobsResult": encode_logprobs(Logprobs(content=content, extensions=extensions))}

    def _event(self, wire: dict[str, Any]) -> Event:
        if not self._head:
            self._begin(Begin())
        return self._build(to_json({**wire, **self._head, **self._repeated()}))

    def _last(self) -> Event:
        """Return the last chunk: what is waiting, why the answers ended, what they cost."""
        wire: dict[str, Any] = {}
        answers = sorted(self._answers.items()) or [(0, _Answer())]
        blocked = BLOCKED in self._rest and not any(answer.parts for _, answer in answers)
        if not blocked:
            wire["candidates"] = [self._ended(index, answer) for index, answer in answers]
        if self._usage is not None and self._usage.source != "absent":
            wire["usageMetadata"] = encode_counts(self._usage, self._tier, self._losses)
        event = self._event(wire)
        return event if not blocked else self._build(to_json(overlay(event.json, self._rest)))

    def _ended(self, index: int, answer: _Answer) -> dict[str, Any]:
        finish = answer.finish or Finish(choice=index, reason="stop")
        rest = dict(extra(finish.extensions))
        parts = tuple(self._cited(opened) for _, opened in sorted(answer.parts.items()))
        choice = Choice(
            message=Message(role="assistant", parts=parts), index=index, finish=finish.reason, stop_sequence=finish.stop_sequence
        )
        note_finish(choice, rest, self._losses)
        form = rest.pop("=content", None)
        words = answer.waiting or ([] if answer.sent or isinstance(form, str | dict) else [{"text": ""}])
        content = {"parts": words, "role": "model"} if words or not answer.parts else {"parts": [{"text": ""}], "role": "model"}
        candidate: dict[str, Any] = {"content": content}
        candidate["finishReason"] = word_for(finish.reason, rest, calls=any(isinstance(part, ToolCall) for part in parts))
        rest.pop("=index", None)
        candidate["index"] = index
        candidate.update(self._logprobs(answer))
        write_all(candidate, parts, rest)
        return overlay(candidate, rest)

    @staticmethod
    def _cited(opened: _Open) -> Part:
        if isinstance(opened.part, Text):
            return Text(text="".join(opened.text), citations=tuple(opened.citations))
        return opened.part

    def _opaque(self, delta: OpaqueDelta) -> list[Event]:
        if delta.dialect != NAME:
            lost(self._losses, "stream", f"an event {delta.name or 'without a name'} that {delta.dialect} alone understands")
            return []
        return [self._build(delta.value.encode())]
