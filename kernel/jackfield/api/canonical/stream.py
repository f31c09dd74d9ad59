"""A streamed answer as a sequence of deltas, in words that no vendor owns.

A decoder turns each wire event into deltas, an encoder turns them into wire events of its own
dialect. The order is always: one `Begin`; for each part `PartStart`, its increments, `PartEnd`;
one `Finish` a choice; `UsageDelta` where known; then `Done`, or `StreamError` instead of it.
Parts of one choice are numbered from 0 without gaps, in the order in which they start.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from jackfield.api.canonical.parts import (
    Audio,
    Citation,
    Extensions,
    Message,
    Part,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from jackfield.api.canonical.response import Choice, Error, FinishReason, Logprobs, Response, Usage


class Begin(msgspec.Struct, tag="begin", kw_only=True, frozen=True, omit_defaults=True):
    """The answer starts."""

    id: str = ""
    model: str = ""
    created: int | None = None
    service_tier: str | None = None
    usage: Usage | None = None
    """What the provider counted before it answered."""
    extensions: Extensions = {}


class PartStart(msgspec.Struct, tag="part_start", kw_only=True, frozen=True, omit_defaults=True):
    """A part starts: `part` holds what is known of it by now; increments follow. A part that comes whole has none."""

    choice: int = 0
    index: int
    part: Part
    extensions: Extensions = {}


class TextDelta(msgspec.Struct, tag="text", kw_only=True, frozen=True, omit_defaults=True):
    """More words of a `Text` or `Refusal` part."""

    choice: int = 0
    index: int
    text: str
    extensions: Extensions = {}


class ThinkingDelta(msgspec.Struct, tag="thinking", kw_only=True, frozen=True, omit_defaults=True):
    """More of a `Thinking` part: thoughts, or where `summary` is a number, that paragraph of the summary."""

    choice: int = 0
    index: int
    text: str
    summary: int | None = None
    extensions: Extensions = {}


class ArgumentsDelta(msgspec.Struct, tag="arguments", kw_only=True, frozen=True, omit_defaults=True):
    """More of a tool call's arguments."""

    choice: int = 0
    index: int
    text: str
    extensions: Extensions = {}


class SignatureDelta(msgspec.Struct, tag="signature", kw_only=True, frozen=True, omit_defaults=True):
    """The signature of a part."""

    choice: int = 0
    index: int
    signature: Signature
    extensions: Extensions = {}


class CitationDelta(msgspec.Struct, tag="citation", kw_only=True, frozen=True, omit_defaults=True):
    """One more citation of a text."""

    choice: int = 0
    index: int
    citation: Citation
    extensions: Extensions = {}


class AudioDelta(msgspec.Struct, tag="audio", kw_only=True, frozen=True, omit_defaults=True):
    """More sound: base64 data, words of the transcript, or both."""

    choice: int = 0
    index: int
    data: str = ""
    transcript: str = ""
    extensions: Extensions = {}


class LogprobsDelta(msgspec.Struct, tag="logprobs", kw_only=True, frozen=True, omit_defaults=True):
    """How likely the latest tokens were."""

    choice: int = 0
    logprobs: Logprobs
    extensions: Extensions = {}


class PartEnd(msgspec.Struct, tag="part_end", kw_only=True, frozen=True, omit_defaults=True):
    """A part is complete."""

    choice: int = 0
    index: int
    extensions: Extensions = {}


class Finish(msgspec.Struct, tag="finish", kw_only=True, frozen=True, omit_defaults=True):
    """A choice is complete."""

    choice: int = 0
    reason: FinishReason
    stop_sequence: str | None = None
    extensions: Extensions = {}


class UsageDelta(msgspec.Struct, tag="usage", kw_only=True, frozen=True, omit_defaults=True):
    """What the call cost so far; the last one counts."""

    usage: Usage
    extensions: Extensions = {}


class StreamError(msgspec.Struct, tag="error", kw_only=True, frozen=True, omit_defaults=True):
    """The answer broke off. Nothing follows."""

    error: Error
    extensions: Extensions = {}


class OpaqueDelta(msgspec.Struct, tag="opaque", kw_only=True, frozen=True, omit_defaults=True):
    """An event that only one dialect understands: passed on there, a loss elsewhere."""

    dialect: str
    name: str = ""
    value: str
    """JSON text of the event."""


class Done(msgspec.Struct, tag="done", kw_only=True, frozen=True, omit_defaults=True):
    """The answer is complete. Nothing follows."""

    extensions: Extensions = {}


Delta = (
    Begin | PartStart | TextDelta | ThinkingDelta | ArgumentsDelta | SignatureDelta | CitationDelta | AudioDelta
    | LogprobsDelta | PartEnd | Finish | UsageDelta | StreamError | OpaqueDelta | Done
)  # fmt: skip
"""One step of a streamed answer."""


class _OpenPart:
    """A part while its increments come in."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.text: list[str] = []
        self.data: list[str] = []
        self.transcript: list[str] = []
        self.summary: dict[int, list[str]] = {}
        self.citations: list[Citation] = []
        self.signature: Signature | None = None

    def add(self, delta: Delta) -> None:
        """Take an increment."""
        match delta:
            case ThinkingDelta(text=text, summary=int(paragraph)):
                self.summary.setdefault(paragraph, []).append(text)
            case TextDelta(text=text) | ThinkingDelta(text=text) | ArgumentsDelta(text=text):
                self.text.append(text)
            case SignatureDelta(signature=signature):
                self.signature = signature
            case CitationDelta(citation=citation):
                self.citations.append(citation)
            case AudioDelta(data=data, transcript=transcript):
                self.data.append(data)
                self.transcript.append(transcript)

    def whole(self) -> Part:
        """Return the part with all of its increments."""
        part, more = self.part, "".join(self.text)
        match part:
            case Text():
                part = msgspec.structs.replace(part, text=part.text + more, citations=(*part.citations, *self.citations))
            case Refusal():
                part = msgspec.structs.replace(part, text=part.text + more)
            case Thinking():
                summary = (*part.summary, *("".join(words) for _, words in sorted(self.summary.items())))
                part = msgspec.structs.replace(part, text=part.text + more, summary=summary)
            case ToolCall():
                part = msgspec.structs.replace(part, arguments=part.arguments + more)
            case Audio():
                part = self._whole_audio(part)
        if self.signature is not None and isinstance(part, Text | Thinking | ToolCall):
            part = msgspec.structs.replace(part, signature=self.signature)
        return part

    def _whole_audio(self, part: Audio) -> Audio:
        data = (part.source.data or "" if part.source else "") + "".join(self.data)
        return msgspec.structs.replace(
            part,
            source=Source(data=data) if data else part.source,
            transcript=((part.transcript or "") + "".join(self.transcript)) or part.transcript,
        )


class _OpenChoice:
    """A choice while its parts come in."""

    def __init__(self) -> None:
        self.parts: dict[int, _OpenPart] = {}
        self.finish: Finish | None = None
        self.logprobs: list[Logprobs] = []

    def whole(self, index: int) -> Choice:
        """Return the choice with all of its parts."""
        parts = tuple(part.whole() for _, part in sorted(self.parts.items()))
        return Choice(
            message=Message(role="assistant", parts=parts),
            index=index,
            finish=self.finish.reason if self.finish else None,
            stop_sequence=self.finish.stop_sequence if self.finish else None,
            logprobs=_join_logprobs(self.logprobs),
            extensions=self.finish.extensions if self.finish else {},
        )


class Assembler:
    """Builds the whole answer out of its deltas."""

    def __init__(self) -> None:
        self._begin = Begin()
        self._choices: dict[int, _OpenChoice] = {}
        self._usage: Usage | None = None
        self.error: Error | None = None
        """The error that broke the answer off, if one did."""
        self.done = False
        """The answer came to its end."""

    def feed(self, deltas: Iterable[Delta]) -> None:
        """Take the next deltas. Increments of parts that never started are refused with `ValueError`."""
        for delta in deltas:
            self._feed_one(delta)

    def _feed_one(self, delta: Delta) -> None:
        match delta:
            case Begin():
                self._begin = delta
                self._usage = delta.usage or self._usage
            case UsageDelta(usage=usage):
                self._usage = usage
            case StreamError(error=error):
                self.error = error
            case Done():
                self.done = True
            case OpaqueDelta():
                pass
            case _:
                self._feed_choice(delta, self._choices.setdefault(delta.choice, _OpenChoice()))

    @staticmethod
    def _feed_choice(delta: Delta, choice: _OpenChoice) -> None:
        match delta:
            case PartStart(index=index, part=part):
                choice.parts[index] = _OpenPart(part)
            case Finish():
                choice.finish = delta
            case LogprobsDelta(logprobs=logprobs):
                choice.logprobs.append(logprobs)
            case PartEnd():
                pass
            case TextDelta() | ThinkingDelta() | ArgumentsDelta() | SignatureDelta() | CitationDelta() | AudioDelta():
                if delta.index not in choice.parts:
                    raise ValueError(f"an increment of part {delta.index}, which never started")
                choice.parts[delta.index].add(delta)

    def response(self) -> Response:
        """Return what the deltas so far amount to."""
        begin = self._begin
        return Response(
            id=begin.id,
            model=begin.model,
            created=begin.created,
            choices=tuple(choice.whole(index) for index, choice in sorted(self._choices.items())),
            usage=self._usage,
            service_tier=begin.service_tier,
            extensions=begin.extensions,
        )


def assemble(deltas: Iterable[Delta]) -> Response:
    """Return the whole answer that a complete sequence of deltas amounts to."""
    assembler = Assembler()
    assembler.feed(deltas)
    return assembler.response()


def play(response: Response) -> Iterator[Delta]:
    """Turn a whole answer into deltas, as if it had been streamed."""
    yield Begin(
        id=response.id,
        model=response.model,
        created=response.created,
        service_tier=response.service_tier,
        extensions=response.extensions,
    )
    for choice in response.choices:
        for index, part in enumerate(choice.message.parts):
            yield from _play_part(choice.index, index, part)
        if choice.logprobs is not None:
            yield LogprobsDelta(choice=choice.index, logprobs=choice.logprobs)
        yield Finish(
            choice=choice.index,
            reason=choice.finish or "stop",
            stop_sequence=choice.stop_sequence,
            extensions=choice.extensions,
        )
    if response.usage is not None:
        yield UsageDelta(usage=response.usage)
    yield Done()


def _play_part(choice: int, index: int, part: Part) -> Iterator[Delta]:
    where: dict[str, Any] = {"choice": choice, "index": index}
    match part:
        case Text(text=text) if text or part.citations:
            yield PartStart(**where, part=msgspec.structs.replace(part, text="", citations=(), signature=None))
            if text:
                yield TextDelta(**where, text=text)
            for citation in part.citations:
                yield CitationDelta(**where, citation=citation)
        case Refusal(text=text):
            yield PartStart(**where, part=msgspec.structs.replace(part, text=""))
            yield TextDelta(**where, text=text)
        case Thinking(text=text, summary=summary):
            yield PartStart(**where, part=msgspec.structs.replace(part, text="", summary=(), signature=None))
            if text:
                yield ThinkingDelta(**where, text=text)
            for paragraph, words in enumerate(summary):
                yield ThinkingDelta(**where, text=words, summary=paragraph)
        case ToolCall(arguments=arguments):
            yield PartStart(**where, part=msgspec.structs.replace(part, arguments="", signature=None))
            if arguments:
                yield ArgumentsDelta(**where, text=arguments)
        case _:
            yield PartStart(**where, part=part)
    if isinstance(part, Text | Thinking | ToolCall) and part.signature is not None:
        yield SignatureDelta(**where, signature=part.signature)
    yield PartEnd(**where)


def _join_logprobs(pieces: list[Logprobs]) -> Logprobs | None:
    if not pieces:
        return None
    content = [token for piece in pieces for token in piece.content or ()]
    refusal = [token for piece in pieces for token in piece.refusal or ()]
    return Logprobs(
        content=tuple(content) if any(piece.content is not None for piece in pieces) else None,
        refusal=tuple(refusal) if any(piece.refusal is not None for piece in pieces) else None,
    )
