"""Reading a stream: chunks to canonical deltas.

Each chunk is a whole answer that holds what is new. The stream has no end marker: it is over when the connection is, and
complete if every candidate has a finish reason. Source: Gemini API reference, `models.streamGenerateContent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from jackfield.api import BadRequest, Error, Event
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    CitationDelta,
    Delta,
    Done,
    Finish,
    LogprobsDelta,
    Part,
    PartEnd,
    PartStart,
    SignatureDelta,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageDelta,
)
from jackfield_gemini.generate import carried
from jackfield_gemini.generate.errors import read_error
from jackfield_gemini.generate.extras import extra, kept
from jackfield_gemini.generate.finish import decode_finish, finish_kept, word_of
from jackfield_gemini.generate.grounding import citations_of
from jackfield_gemini.generate.ids import Pairing, made_id
from jackfield_gemini.generate.logprobs import decode_logprobs
from jackfield_gemini.generate.names import fields, spelled
from jackfield_gemini.generate.partial import Arguments
from jackfield_gemini.generate.parts import BARE, decode_part
from jackfield_gemini.generate.responses import BLOCKED, take_head, tier_of
from jackfield_gemini.generate.usage import decode_usage
from jackfield_gemini.generate.wire import plain_chunk

NO_ANSWER = "EMPTY_RESPONSE"
"""The code of the error for an answer that has an end but nothing else."""


class _Choice:
    """One candidate while its parts come in."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.seed = ""
        self.count = 0
        self.open: Part | None = None
        """The latest part, as it began, while more may come of it."""
        self.signed = False
        self.texts: list[list[str] | None] = []
        """The words of each part so far; None for a part that is no text."""
        self.calls = self.said = False
        """It has asked for a function; it has said anything besides thoughts."""
        self.word: Any = None
        self.rest: dict[str, Any] = {}
        self.partial: Arguments | None = None

    # ------------------------------------------------------------------------------------------------ parts

    def plain(self, text: str, thought: bool) -> list[Delta]:
        """Return the deltas of a part that is nothing but words or thoughts."""
        kind = Thinking if thought else Text
        deltas: list[Delta] = []
        if not text:
            return deltas
        if type(self.open) is not kind:
            deltas = self.start(Thinking() if thought else Text(text=""))
        return deltas + self._more(text)

    def _more(self, text: str) -> list[Delta]:
        words = self.texts[-1]
        if words is not None:
            words.append(text)
        self.said = self.said or (bool(text) and words is not None)
        at = self.count - 1
        if isinstance(self.open, Thinking):
            return [ThinkingDelta(choice=self.index, index=at, text=text)] if text else []
        return [TextDelta(choice=self.index, index=at, text=text)] if text else []

    def start(self, part: Part) -> list[Delta]:
        """Begin a part, the one before ended first."""
        deltas = self.end()
        self.open, self.signed = part, False
        self.texts.append([] if isinstance(part, Text) else None)
        self.count += 1
        return [*deltas, PartStart(choice=self.index, index=self.count - 1, part=part)]

    def end(self) -> list[Delta]:
        """End the part that is open."""
        if self.open is None:
            return []
        deltas: list[Delta] = []
        if self.partial is not None:
            deltas.append(ArgumentsDelta(choice=self.index, index=self.count - 1, text=self.partial.text()))
            self.partial = None
        self.open = None
        return [*deltas, PartEnd(choice=self.index, index=self.count - 1)]

    def add(self, value: dict[str, Any]) -> list[Delta]:
        """Return the deltas of a part."""
        said = spelled(value)
        call = said.get("functionCall")
        if isinstance(call, dict) and (self.partial is not None or "willContinue" in spelled(call) or "partialArgs" in spelled(call)):
            return self._piece(said, spelled(call))
        found = fields(value, f"{self.seed}:{self.index}:{self.count}")
        carried.take(found.rest)  # they were told in parts of their own before
        part = decode_part(found, Pairing())
        if isinstance(part, Text | Thinking):
            return self._words(part)
        if isinstance(part, ToolCall):
            self.calls = True
            return self._call(part)
        self.said = True
        return [*self.start(part), *self.end()]

    def _words(self, part: Text | Thinking) -> list[Delta]:
        """Return the deltas of words or thoughts: more of the open part where they can be."""
        rest = {key: item for key, item in extra(part.extensions).items() if key != BARE}
        redacted = isinstance(part, Thinking) and part.redacted is not None
        own = bool(rest) or redacted
        joins = type(self.open) is type(part) and not own and not (part.signature is not None and self.signed)
        deltas: list[Delta] = []
        if not (own or part.text or part.signature):
            return deltas  # what many streams end with
        if not joins:
            begun = msgspec.structs.replace(part, text="", signature=None, extensions=kept(rest))
            deltas = self.start(begun)
        deltas += self._more(part.text)
        if part.signature is not None:
            self.signed = True
            deltas.append(SignatureDelta(choice=self.index, index=self.count - 1, signature=part.signature))
        return deltas if not own else [*deltas, *self.end()]

    def _call(self, call: ToolCall) -> list[Delta]:
        at = self.count
        deltas = self.start(msgspec.structs.replace(call, arguments="", signature=None))
        if call.arguments:
            deltas.append(ArgumentsDelta(choice=self.index, index=at, text=call.arguments))
        if call.signature is not None:
            deltas.append(SignatureDelta(choice=self.index, index=at, signature=call.signature))
        return [*deltas, *self.end()]

    def _piece(self, said: dict[str, Any], call: dict[str, Any]) -> list[Delta]:
        """Return the deltas of a piece of a call: its arguments can be told when all of them are there."""
        deltas: list[Delta] = []
        name = call.get("name")
        if isinstance(name, str) and name:
            seed = f"{self.seed}:{self.index}:{self.count}"
            whole = decode_part(fields({**said, "functionCall": {"name": name, "id": call.get("id")}}, seed), Pairing())
            assert isinstance(whole, ToolCall)
            self.calls = True
            call_id = whole.id if call.get("id") else made_id(seed, name, "")
            deltas = self.start(msgspec.structs.replace(whole, id=call_id, signature=None))
            self.partial = Arguments()
            if whole.signature is not None:
                deltas.append(SignatureDelta(choice=self.index, index=self.count - 1, signature=whole.signature))
        if self.partial is None:
            return deltas
        if isinstance(call.get("args"), dict):
            self.partial.add_whole(call["args"])
        pieces = call.get("partialArgs")
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self.partial.add(spelled(piece))
        return deltas if call.get("willContinue") is True else [*deltas, *self.end()]

    # ------------------------------------------------------------------------------------------- the ending

    def ending(self) -> list[Delta]:
        """Return the citations of the open text, its end, and why the candidate ended."""
        reason = decode_finish(self.word, calls=self.calls)
        assert reason is not None
        texts = ["".join(words) if words is not None else None for words in self.texts]
        found = citations_of(texts, self.rest)
        cited = found.get(self.count - 1, []) if isinstance(self.open, Text) else []
        deltas: list[Delta] = [CitationDelta(choice=self.index, index=self.count - 1, citation=one) for one in cited]
        rest = {**self.rest, **finish_kept(self.word, reason)}
        return [*deltas, *self.end(), Finish(choice=self.index, reason=reason, extensions=kept(rest))]


class GenerateStreamDecoder:
    """Turns the chunks of one stream into deltas. The endings come when the stream is over: a candidate may go on after one."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._begun = self._over = False
        self._id = ""
        self._blocked: dict[str, Any] | None = None
        self._usage: dict[str, Any] | None = None
        self._raw_usage: msgspec.Raw | None = None

    def feed(self, event: Event) -> Sequence[Delta]:
        """Return what a chunk says. Raises `ValueError` for what is no chunk."""
        if self._over:
            return ()
        if self._begun:
            quick = self._quick(event.data)
            if quick is not None:
                return quick
        try:
            return self._chunk(event.json)
        except BadRequest as fault:  # it is no caller's
            raise ValueError(f"an event of the stream cannot be read: {fault}") from None

    def _quick(self, data: bytes) -> list[Delta] | None:
        try:
            chunk = plain_chunk(data)
        except ValueError:
            return None
        (candidate,) = chunk.candidates
        choice = self._choices.get(candidate.index)
        if choice is None:
            return None
        if chunk.usageMetadata:
            self._raw_usage = chunk.usageMetadata.copy()
        (part,) = candidate.content.parts
        return choice.plain(part.text, part.thought)

    def _chunk(self, value: Any) -> list[Delta]:
        error = read_error(value)
        if error is not None:
            self._over = True
            return [StreamError(error=error)]
        if not isinstance(value, dict):
            raise ValueError("an event of the stream is not a JSON object")  # noqa: TRY004 (the contract of decoders)
        rest = spelled(value)
        deltas: list[Delta] = []
        usage = rest.pop("usageMetadata", None)
        if isinstance(usage, dict):
            self._usage, self._raw_usage = usage, None
        if not self._begun:
            deltas.append(self._begin(rest, usage))
        if isinstance(rest.get(BLOCKED), dict):
            self._blocked = rest[BLOCKED]
        values = rest.get("candidates")
        for at, candidate in enumerate(values if isinstance(values, list) else ()):
            if isinstance(candidate, dict):
                deltas += self._candidate(candidate, at)
        return deltas

    def _begin(self, rest: dict[str, Any], usage: Any) -> Begin:
        self._begun = True
        said = {key: item for key, item in rest.items() if key != "candidates"}
        head = take_head(said)
        self._id = head["id"]
        counts = decode_usage(usage) if isinstance(usage, dict) else None
        return Begin(**head, service_tier=tier_of(usage), usage=counts, extensions=kept(said))

    def _candidate(self, value: dict[str, Any], at: int) -> list[Delta]:
        rest = spelled(value)
        index = rest.pop("index", at)
        choice = self._choices.setdefault(index if type(index) is int else at, _Choice(index if type(index) is int else at))
        choice.seed = self._id
        content = rest.pop("content", None)
        parts = content.get("parts") if isinstance(content, dict) else None
        deltas = [delta for part in parts or () if isinstance(part, dict) for delta in choice.add(part)]
        word = rest.pop("finishReason", None)
        choice.word = word if word_of(word) else choice.word
        logprobs = decode_logprobs(rest.get("logprobsResult"))
        if logprobs is not None:
            del rest["logprobsResult"]
            deltas.append(LogprobsDelta(choice=choice.index, logprobs=logprobs))
        choice.rest.update(rest)
        return deltas

    def close(self) -> Sequence[Delta]:
        """Return the endings: why each candidate ended, what it cost. Of an answer that broke off nothing but the ends of its parts."""
        if self._over or not self._begun:
            return ()
        self._over = True
        if not self._choices and self._blocked is not None:
            return [Finish(reason="content_filter"), *self._counts(), Done()]
        choices = [choice for _, choice in sorted(self._choices.items())]
        if not choices or any(not word_of(choice.word) for choice in choices):
            return [delta for choice in choices for delta in choice.end()]
        failed = None
        if not any(choice.said or choice.calls for choice in choices):
            failed = failure_of(choices[0].word, choices[0].rest)
        if failed is not None:
            return [*(delta for choice in choices for delta in choice.end()), StreamError(error=failed)]
        return [*(delta for choice in choices for delta in choice.ending()), *self._counts(), Done()]

    def _counts(self) -> list[Delta]:
        if self._raw_usage is not None:
            self._usage = msgspec.json.decode(self._raw_usage)
        return [UsageDelta(usage=decode_usage(self._usage))] if isinstance(self._usage, dict) else []

    # ---------------------------------------------------------------------------------- one event by itself

    def glimpse(self, event: Event) -> list[Delta]:
        """Return what one event says by itself, its ending with it, as far as it can be told."""
        deltas = list(self.feed(event))
        if self._over:
            return deltas
        for _, choice in sorted(self._choices.items()):
            if word_of(choice.word):
                deltas += choice.ending()
        if self._blocked is not None and not self._choices:
            deltas.append(Finish(reason="content_filter"))
        return [*deltas, *self._counts()]


def failure_of(word: Any, candidate: dict[str, Any]) -> Error | None:
    """Return the error that an answer is which failed without a word or a call; None where its finish reason tells of no failure."""
    if decode_finish(word, calls=False) != "error":
        return None
    name, told = word_of(word), candidate.get("finishMessage")
    return Error(status=502, message=told if isinstance(told, str) and told else f"the model's answer failed: {name}", code=name)


def emptiness() -> Error:
    """Return the error that an answer is which came to its end and says nothing at all."""
    return Error(status=502, message="the model gave an empty answer", code=NO_ANSWER)
