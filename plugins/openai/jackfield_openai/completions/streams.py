"""Streams: chunks to canonical deltas, and canonical deltas to chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from jackfield.api import Event, Loss, Request
from jackfield.api.canonical import (
    Begin,
    Delta,
    Done,
    Finish,
    LogprobsDelta,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Refusal,
    StreamError,
    Text,
    TextDelta,
    Usage,
    UsageDelta,
)
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_openai.chat.streams import error_of, is_done
from jackfield_openai.chat.usage import decode_usage, encode_usage
from jackfield_openai.completions.extras import NAME, extra, kept, lost
from jackfield_openai.completions.responses import choice_wire, encode_logprobs, header, take_choice, take_head, words_of
from jackfield_openai.errors import encode_error

DONE: Final = b"[DONE]"
"""The data of the event that ends a stream."""

Build = Callable[[bytes], Event]
"""Makes an event that carries the bytes given."""


class CompletionsStreamDecoder:
    """Turns the chunks of one stream into deltas."""

    def __init__(self) -> None:
        self._begun = self._over = False
        self._open: dict[int, bool] = {}
        """Choices; whether their text is open."""
        self._finished: set[int] = set()

    def feed(self, event: Event) -> Sequence[Delta]:
        """Return what an event says."""
        if self._over:
            return ()
        if is_done(event.data):
            self._over = True
            return [*self._begin({}), *self._ends(finish=True), Done()]
        chunk = event.json
        error = error_of(chunk, event.name)
        if error is not None:
            self._over = True
            return [*self._begin({}), *self._ends(finish=False), error]
        return self._read(chunk) if isinstance(chunk, dict) else ()

    def close(self) -> Sequence[Delta]:
        """Return what is still to be said: the end, if every choice had come to its own."""
        if self._over:
            return ()
        self._over = True
        if self._open and self._finished >= self._open.keys():
            return (Done(),)
        return self._ends(finish=False)

    def _begin(self, chunk: dict[str, Any]) -> list[Delta]:
        if self._begun:
            return []
        self._begun = True
        head = take_head(chunk)
        return [Begin(id=head["id"], model=head["model"], created=head["created"], extensions=kept(head["rest"]))]

    def _ends(self, *, finish: bool) -> list[Delta]:
        deltas: list[Delta] = []
        for index, is_open in self._open.items():
            deltas += [PartEnd(choice=index, index=0)] if is_open else []
            self._open[index] = False
            if finish and index not in self._finished:
                deltas.append(Finish(choice=index, reason="stop"))
        return deltas

    def _read(self, chunk: dict[str, Any]) -> list[Delta]:
        deltas = self._begin(chunk)
        choices = chunk.get("choices")
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                deltas += self._choice(take_choice(choice, at))
        usage = chunk.get("usage")
        return [*deltas, *([UsageDelta(usage=decode_usage(usage))] if isinstance(usage, dict) else [])]

    def _choice(self, said: dict[str, Any]) -> list[Delta]:
        index = said["index"]
        if index in self._finished:
            return []
        deltas: list[Delta] = []
        if said["text"]:
            if not self._open.get(index):
                deltas.append(PartStart(choice=index, index=0, part=Text(text="")))
            self._open[index] = True
            deltas.append(TextDelta(choice=index, index=0, text=said["text"]))
        self._open.setdefault(index, False)
        if said["logprobs"] is not None:
            deltas.append(LogprobsDelta(choice=index, logprobs=said["logprobs"]))
        if said["finish"] is not None:
            deltas += [PartEnd(choice=index, index=0)] if self._open[index] else []
            self._open[index] = False
            self._finished.add(index)
            deltas.append(Finish(choice=index, reason=said["finish"], extensions=kept(said["rest"])))
        return deltas


class CompletionsStreamEncoder:
    """Turns the deltas of one stream into chunks. Counts are written only if `request.stream_usage` asks for them."""

    def __init__(self, request: Request, losses: list[Loss], build: Build) -> None:
        self._asked, self._model = bool(request.stream_usage), request.model
        self._losses, self._build = losses, build
        self._header: dict[str, Any] = {}
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._usage: Usage | None = None
        self._over = False

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        """Return the events for deltas that came together."""
        events: list[Event] = []
        for at, delta in enumerate(deltas):
            if not self._over:
                after = deltas[at + 1] if at + 1 < len(deltas) else None
                events += self._one(delta, after if isinstance(after, LogprobsDelta) else None)
        return events

    def _one(self, delta: Delta, chances: LogprobsDelta | None) -> list[Event]:
        match delta:
            case Begin():
                self._header = overlay(header(delta.id, delta.model, delta.created), extra(delta.extensions))
                self._usage = delta.usage or self._usage
            case TextDelta(text=text):
                return [self._words(delta.choice, text, chances)]
            case PartStart(part=part):
                text = words_of(part, f"choices[{delta.choice}].parts[{delta.index}]", self._losses)
                return [self._words(delta.choice, text, None)] if text and isinstance(part, Text | Refusal) else []
            case Finish():
                self._finished.add(delta.choice)
                return [self._chunk([choice_wire(delta.choice, "", delta.reason, extra(delta.extensions), self._losses)])]
            case UsageDelta(usage=usage):
                self._usage = usage
            case StreamError(error=error):
                self._over = True
                return [self._build(encode_error(error)), self._build(DONE)]
            case Done():
                self._over = True
                return [*self._counts(), self._build(DONE)]
            case OpaqueDelta() if delta.dialect != NAME:
                lost(self._losses, "stream", f"an event {delta.name or 'without a name'} that {delta.dialect} alone understands")
        return []

    def _words(self, index: int, text: str, chances: LogprobsDelta | None) -> Event:
        self._begun.add(index)
        logprobs = encode_logprobs(chances.logprobs) if chances is not None else None
        return self._chunk([{"text": text, "index": index, "logprobs": logprobs, "finish_reason": None}])

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> Event:
        if not self._header:
            self._header = header("", self._model, None)
        return self._build(to_json({**self._header, "choices": choices, **more}))

    def _counts(self) -> list[Event]:
        if self._usage is None or not self._asked or self._usage.source == "absent":
            return []
        return [self._chunk([], usage=encode_usage(self._usage))]
