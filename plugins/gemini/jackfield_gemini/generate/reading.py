"""Looking at single events and whole answers without knowing what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from jackfield.api import BadRequest, Event, Glance, Path
from jackfield.api.canonical import Delta, TextDelta, ThinkingDelta, Usage
from jackfield.api.canonical.codec import to_json
from jackfield_gemini.generate.errors import read_error
from jackfield_gemini.generate.finish import word_of
from jackfield_gemini.generate.responses import decode_response
from jackfield_gemini.generate.streams import NO_ANSWER, GenerateStreamDecoder, failure_of
from jackfield_gemini.generate.usage import decode_usage
from jackfield_gemini.generate.wire import SeenCandidate, SeenChunk, counted, plain_chunk, seen_chunk


def read(event: Event) -> Sequence[Delta]:
    """Return what an event says; nothing for what is no chunk."""
    try:
        chunk = plain_chunk(event.data)
    except ValueError:
        try:
            return GenerateStreamDecoder().glimpse(event)
        except (ValueError, BadRequest, RecursionError):
            return ()
    (candidate,) = chunk.candidates
    (part,) = candidate.content.parts
    if not part.text:
        return ()
    kind = ThinkingDelta if part.thought else TextDelta
    return (kind(choice=candidate.index, index=0, text=part.text),)


def usage_of(event: Event) -> Usage | None:
    """Return the token counts of a chunk without reading the rest of it."""
    try:
        said = counted(event.data).usageMetadata
    except ValueError:
        return None
    return decode_usage(said) if said is not None else None


def says_something(candidate: SeenCandidate) -> bool:
    """Tell whether a candidate has a part that is more than an empty text."""
    parts = (candidate.content.parts if candidate.content is not None else None) or ()
    return any(
        key not in ("text", "thought", "thoughtSignature", "thought_signature") or (key == "text" and value)
        for part in parts
        for key, value in part.items()
    )


def commits(event: Event) -> bool:
    """Tell whether an event is output: no error, no failed answer and no empty one."""
    try:
        chunk = seen_chunk(event.data)
    except ValueError:
        return event.error is None and isinstance(event.json, dict)
    if chunk.error is not None:
        return False
    candidates = chunk.candidates or ()
    return not candidates or _failure(event.json, candidates) is None


def failed(event: Event) -> bool:
    """Tell whether an event says that the answer failed, or ends it without a word."""
    return not commits(event)


def _failure(value: Any, candidates: Sequence[SeenCandidate]) -> Any:
    first = candidates[0]
    raw = value.get("candidates") if isinstance(value, dict) else None
    message = raw[0] if isinstance(raw, list) and raw and isinstance(raw[0], dict) else {}
    return failure_of(first.finishReason, said=any(map(says_something, candidates)), message=message)


def glance(raw: bytes) -> Glance:
    """Look at a whole answer: what it cost, and whether it is an error all the same. Raises `ValueError` when it is no answer."""
    try:
        chunk = seen_chunk(raw)
    except ValueError:
        return Glance(decode_response(raw).usage)
    usage = decode_usage(chunk.usageMetadata) if chunk.usageMetadata is not None else None
    if chunk.error is not None:
        return Glance(usage, read_error({"error": chunk.error}, 502))
    return Glance(usage, _glanced(raw, chunk))


def _glanced(raw: bytes, chunk: SeenChunk) -> Any:
    if chunk.candidates:
        if all(
            word_of(candidate.finishReason) in ("", "STOP", "MAX_TOKENS") and says_something(candidate) for candidate in chunk.candidates
        ):
            return None
        return _failure(msgspec.json.decode(raw), chunk.candidates)
    if chunk.promptFeedback is not None or any(x is not None for x in (chunk.embedding, chunk.embeddings, chunk.totalTokens)):
        return None
    decode_response(raw)
    return failure_of("STOP", said=False, message={"code": NO_ANSWER})


def text_paths(event: Event) -> list[Path]:
    """Return where the words stand that an event adds, those of its first candidate first."""
    try:
        chunk = seen_chunk(event.data)
    except ValueError:
        return []
    return [
        ("candidates", at, "content", "parts", place, "text")
        for at, candidate in enumerate(chunk.candidates or ())
        for place, part in enumerate((candidate.content.parts if candidate.content is not None else None) or ())
        if isinstance(part.get("text"), str) and part["text"] and not part.get("thought")
    ]


def with_words(event: Event, text: str) -> Event | None:
    """Return a plain chunk with other words; None where the chunk is not so plain."""
    try:
        (candidate,) = plain_chunk(event.data).candidates
    except ValueError:
        return None
    (part,) = candidate.content.parts
    before = to_json(part.text)
    if part.thought or event.data.count(before) != 1 or len(before) < 3:
        return None
    return event.with_data(event.data.replace(before, to_json(text)))
