"""Reading a stream: chunks to canonical deltas.

Source: OpenAI's API reference, "The chat completion chunk object". What a chunk says beside its deltas is kept with the first
of them, under `extensions["openai.chat"]["=chunk"]`: members of the chunk, and of its choices and their deltas. That
entry also tells that all deltas of the event stood in one chunk. Chunks that say nothing canonical become
`OpaqueDelta`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Error, Event
from jackfield.api.canonical import (
    Audio,
    Begin,
    Delta,
    Done,
    Extensions,
    Finish,
    LogprobsDelta,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Refusal,
    StreamError,
    Text,
    Thinking,
    UsageDelta,
)
from jackfield.api.canonical.codec import to_json
from jackfield_openai.chat.choices import ChoiceDecoder
from jackfield_openai.chat.extras import NAME
from jackfield_openai.chat.logprobs import decode_logprobs
from jackfield_openai.chat.responses import CHUNK, take_created, take_text
from jackfield_openai.chat.tiers import note_tier
from jackfield_openai.chat.usage import decode_usage
from jackfield_openai.chat.usual import UsualChunk, learn
from jackfield_openai.chat.wire import plain_chunk
from jackfield_openai.errors import read_error, with_status

OBJECT: Final = "chat.completion.chunk"
"""What a chunk is called."""

HEADER: Final = (
    "id", "object", "created", "model", "service_tier", "system_fingerprint", "provider", "citations", "search_results",
)  # fmt: skip
"""Members that every chunk of a stream repeats."""

_REPEATED: Final = frozenset(HEADER)
_PLAIN_HEADER: Final = ("id", "created", "model", "system_fingerprint", "service_tier", "provider")

BEFORE: Final = "=before"
"""The key under which a `Begin` keeps chunks that came before the answer, such as Azure's `prompt_filter_results`."""

HIDDEN: Final = "=hidden"
"""The key under which token counts keep that they stood in a place that the chunk still says by itself."""

_ODD: Final = 8
"""Chunks in a row that were not plain, after which only each such many-th is looked at in the quick way."""

_MARK: Final = b"data: "
_NOTHING: Final[Extensions] = {}

_NO_WORDS: Final = "the provider's stream ended with an error that says nothing"

_ROLE_ALONE: Final = {"delta": {"role": "assistant", "content": ""}}


def is_done(data: bytes) -> bool:
    """Tell whether an event's data is the end marker, however it is spaced."""
    return data.strip() == b"[DONE]"


def error_of(chunk: Any, name: str) -> StreamError | None:
    """Return the error that an event's JSON reports: under `error`, as an event of that name, or instead of a chunk."""
    if not isinstance(chunk, dict):
        return StreamError(error=Error(message=_NO_WORDS)) if name == "error" else None
    if not chunk.get("error") and name != "error" and ("choices" in chunk or "usage" in chunk):
        return None
    error = read_error(chunk)
    if error is None and name == "error":
        error = read_error({"error": to_json(chunk).decode()})
    return StreamError(error=with_status(error, 500)) if error is not None else None


class ChatStreamDecoder:
    """Turns the chunks of one stream into deltas."""

    def __init__(self) -> None:
        self._choices: dict[int, ChoiceDecoder] = {}
        self._header: dict[str, Any] = {}
        self._usual: tuple[Any, ...] = ()
        """What the header of a plain chunk must be."""
        self._form: UsualChunk | None = None
        """The form of the latest chunks."""
        self._before: list[dict[str, Any]] = []
        self._begun = False
        self._over = False
        self._odd = 0
        """How many chunks came in a row that were not plain."""

    def feed(self, event: Event) -> Sequence[Delta]:
        """Return what an event says."""
        if self._over:
            return ()
        if self._odd < _ODD or self._odd % _ODD == 0:
            frame = event.frame
            quick = self._form.read(frame) if self._form is not None else None
            if quick is None:
                quick = self._plain(frame)
            if quick is not None:
                self._odd = 0
                return (quick,)
            self._odd += 1
        data = event.data
        if is_done(data):
            return self._end()
        chunk = event.json
        if not isinstance(chunk, dict):
            error = error_of(chunk, event.name)
            return self._fail(error, []) if error is not None else ()
        try:
            deltas = self._read(chunk, event.name)
        except RecursionError:
            return ()
        return (OpaqueDelta(dialect=NAME, value=data.decode(errors="replace")),) if deltas is None else deltas

    def close(self) -> Sequence[Delta]:
        """Return what is still to be said: the end, if every choice had come to its own."""
        if self._over:
            return ()
        self._over = True
        if self._choices and all(choice.finished for choice in self._choices.values()):
            return (Done(),)
        return [delta for choice in self._choices.values() for delta in choice.close()]

    def _end(self) -> Sequence[Delta]:
        self._over = True
        deltas: list[Delta] = [] if self._begun else [self._begin({})]
        for choice in self._choices.values():
            deltas += choice.finish_unsaid()
        return (*deltas, Done())

    # ---------------------------------------------------------------------------------- the usual chunk

    def _plain(self, frame: bytes) -> Delta | None:
        """Read a chunk that goes on with the open part and says nothing else; None for all others."""
        if not frame.startswith(_MARK):
            return None
        try:
            # An event of more lines is no JSON behind the first one's mark.
            chunk = plain_chunk(frame[len(_MARK) :])
        except ValueError:
            return None
        header = (chunk.id, chunk.created, chunk.model, chunk.system_fingerprint, chunk.service_tier, chunk.provider, chunk.object)
        if header != self._usual or len(chunk.choices) != 1:
            return None
        said = chunk.choices[0]
        choice = self._choices.get(said.index)
        if choice is None:
            return None
        padding = "obfuscation" if chunk.obfuscation is not None else "p" if chunk.p is not None else None
        if padding == "obfuscation" and chunk.p is not None:
            return None
        quick = choice.quick(said.delta, _NOTHING if padding is None else {NAME: {CHUNK: {padding: getattr(chunk, padding)}}})
        if quick is not None and (self._form is None or self._form.stale):
            self._form = learn(frame, quick, choice, padding)
        return quick

    # ------------------------------------------------------------------------------------ all the others

    def _read(self, chunk: dict[str, Any], name: str) -> Sequence[Delta] | None:
        """Return what a chunk says; None where that is nothing canonical."""
        error = error_of(chunk, name)
        rest = {key: value for key, value in chunk.items() if value is not None}
        choices = rest.pop("choices", None)
        usage = rest.pop("usage", None)
        if error is not None and not choices:
            return self._fail(error, [])
        if not self._begun and not choices and not usage and not rest.get("id"):
            self._before.append(chunk)
            return ()
        deltas: list[Delta] = [] if self._begun else [self._begin(rest)]
        self._strip_header(rest)
        entries = []
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                said, entry = self._choice(choice, at)
                deltas += said
                entries.append(entry)
        deltas += self._usage(usage, rest)
        if error is not None:
            return self._fail(error, [delta for delta in deltas if not isinstance(delta, Finish)])
        return _with_chunk(deltas, rest, entries) if deltas else None

    def _fail(self, error: StreamError, deltas: list[Delta]) -> Sequence[Delta]:
        self._over = True
        ends = [delta for choice in self._choices.values() for delta in choice.close()]
        begin = [] if self._begun else [self._begin({})]
        return (*begin, *deltas, *ends, error)

    def _begin(self, rest: dict[str, Any]) -> Begin:
        self._begun = True
        header = self._header = {key: rest[key] for key in HEADER if key in rest}
        self._usual = (*map(header.get, _PLAIN_HEADER), header.get("object", ""))
        kept = {key: value for key, value in header.items() if (key, value) != ("object", OBJECT)}
        begin = Begin(
            id=take_text(kept, "id"),
            model=take_text(kept, "model"),
            created=take_created(kept),
            service_tier=note_tier(take_text(kept, "service_tier") or None, kept),
        )
        if self._before:
            kept[BEFORE] = self._before
        return msgspec.structs.replace(begin, extensions={NAME: kept}) if kept else begin

    def _strip_header(self, rest: dict[str, Any]) -> None:
        """Leave of the members that every chunk repeats only those that differ; null for one that is missing here."""
        header = self._header
        if header.items() <= rest.items() and rest.keys() & _REPEATED == header.keys():
            for key in header:
                del rest[key]
            return
        for key in HEADER:
            value, usual = rest.pop(key, None), header.get(key)
            if value != usual:
                rest[key] = value

    def _choice(self, choice: dict[str, Any], at: int) -> tuple[list[Delta], dict[str, Any]]:
        rest = {key: value for key, value in choice.items() if value is not None}
        index = rest.pop("index", at)
        if not isinstance(index, int) or isinstance(index, bool):
            index = at
        state = self._choices.get(index)
        if state is None:
            state = self._choices[index] = ChoiceDecoder(index, _text(self._header.get("id")))
        deltas: list[Delta] = []
        if not state.finished:
            delta = rest.pop("delta", None)
            left = {key: value for key, value in delta.items() if value is not None} if isinstance(delta, dict) else {}
            if left:
                deltas += state.feed(left)
            logprobs = decode_logprobs(rest.get("logprobs"))
            if logprobs is not None:
                del rest["logprobs"]
                deltas.append(LogprobsDelta(choice=index, logprobs=logprobs))
            deltas += state.finish(rest)
            if left:
                rest["delta"] = left
        return deltas, {**rest, "index": index} if index else rest

    def _usage(self, usage: Any, rest: dict[str, Any]) -> list[Delta]:
        if isinstance(usage, dict):
            return [UsageDelta(usage=decode_usage(usage))]
        groq = rest.get("x_groq")
        inner = groq.get("usage") if isinstance(groq, dict) else None
        if not isinstance(inner, dict):
            return []
        # Groq's own place for it, beside which the usual one may be missing; the hidden copy is not written twice.
        return [UsageDelta(usage=decode_usage(inner), extensions={NAME: {HIDDEN: True}})]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _speaks(delta: Delta) -> bool:
    """Tell whether a delta adds something to the wire; a part's start often leaves that to its increments."""
    if not isinstance(delta, PartStart):
        return not isinstance(delta, PartEnd)
    match delta.part:
        case Text() | Refusal():
            return False
        case Thinking(redacted=redacted):
            return redacted is not None
        case Audio(id=audio_id, expires_at=expires):
            return audio_id is not None or expires is not None
    return True


def _with_chunk(deltas: list[Delta], rest: dict[str, Any], entries: list[dict[str, Any]]) -> Sequence[Delta]:
    """Keep with the first delta what the chunk said besides, unless an encoder would write the same chunk without it."""
    speaking = [delta for delta in deltas if _speaks(delta)]
    if len(speaking) == 1 and not rest:
        only = speaking[0]
        if isinstance(only, Begin):
            usual = entries == [_ROLE_ALONE]
        elif isinstance(only, UsageDelta):
            usual = not entries and not only.extensions
        else:
            usual = len(entries) == 1 and entries[0].keys() <= {"index"}
        if usual:
            return deltas
    more = any(entry.keys() - {"index"} for entry in entries)
    said = {**rest, "choices": entries} if more or _silent(deltas, entries) else rest
    first = deltas[0]
    kept = {**first.extensions.get(NAME, {}), CHUNK: said}  # type: ignore[union-attr]  # no OpaqueDelta comes here
    return (msgspec.structs.replace(first, extensions={NAME: kept}), *deltas[1:])


def _silent(deltas: Sequence[Delta], entries: list[dict[str, Any]]) -> bool:
    """Tell whether the chunk had choices of which no delta speaks."""
    spoken = {delta.choice for delta in deltas if _speaks(delta) and hasattr(delta, "choice")}
    return len(spoken) != len(entries)
