"""Looking at single events and whole answers without knowing what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jackfield.api import BadRequest, Error, Event, Glance, Path
from jackfield.api.canonical import Delta, TextDelta, ThinkingDelta, Usage
from jackfield.api.canonical.codec import to_json
from jackfield_gemini.generate.errors import read_error
from jackfield_gemini.generate.finish import word_of
from jackfield_gemini.generate.names import spelled
from jackfield_gemini.generate.responses import decode_response
from jackfield_gemini.generate.streams import GenerateStreamDecoder, emptiness, failure_of
from jackfield_gemini.generate.usage import decode_usage
from jackfield_gemini.generate.wire import SeenCandidate, counted, plain_chunk, seen_chunk


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


def _says(candidate: SeenCandidate, *, thoughts: bool) -> bool:
    """Tell whether a candidate has a part that is more than an empty text; thoughts count if told so."""
    parts = (candidate.content.parts if candidate.content is not None else None) or ()
    shown = (part for part in parts if thoughts or not part.get("thought"))
    return any(value for part in shown for key, value in part.items() if key not in _BESIDE)


_BESIDE: Final = ("thought", "thoughtSignature", "thought_signature")
"""What may stand beside a part's words."""


def commits(event: Event) -> bool:
    """Tell whether an event is output: no error, no failed answer and no empty one."""
    try:
        chunk = seen_chunk(event.data)
    except ValueError:
        return event.error is None and isinstance(event.json, dict)
    return chunk.error is None and (not chunk.candidates or _failure(event.data, chunk.candidates) is None)


def is_empty(event: Event) -> bool:
    """Tell whether a chunk adds nothing to an answer and does not end it: no error, no refused prompt, no reason to end, empty parts."""
    try:
        chunk = seen_chunk(event.data)
    except ValueError:
        return False
    if chunk.error is not None or chunk.promptFeedback or not isinstance(event.json, dict):
        return False
    return not any(word_of(candidate.finishReason) or _says(candidate, thoughts=True) for candidate in chunk.candidates or ())


def _failure(data: bytes, candidates: Sequence[SeenCandidate]) -> Error | None:
    """Return the error that an answer is; None for most."""
    word = candidates[0].finishReason
    if not word_of(word) or any(_says(candidate, thoughts=False) for candidate in candidates):
        return None
    if word_of(word) == "STOP":
        return None if any(_says(candidate, thoughts=True) for candidate in candidates) else emptiness()
    return failure_of(word, spelled(msgspec.json.decode(data)["candidates"][0]))


def glance(raw: bytes) -> Glance:
    """Look at a whole answer: what it cost, and whether it is an error all the same. Raises `ValueError` when it is no answer."""
    try:
        chunk = seen_chunk(raw)
    except ValueError:
        return Glance(decode_response(raw).usage)
    usage = decode_usage(chunk.usageMetadata) if chunk.usageMetadata is not None else None
    if chunk.error is not None:
        return Glance(usage, read_error({"error": chunk.error}, 502))
    if chunk.candidates:
        return Glance(usage, _failure(raw, chunk.candidates))
    if chunk.promptFeedback is None and all(x is None for x in (chunk.embedding, chunk.embeddings, chunk.totalTokens)):
        decode_response(raw)  # raises for what is no answer
        return Glance(usage, emptiness())
    return Glance(usage)


def failure(raw: bytes) -> Error | None:
    """Return the error that an answer or a chunk is although it is no error answer; None for all others."""
    try:
        chunk = seen_chunk(raw)
        answers = chunk.error is None and (chunk.candidates is not None or chunk.usageMetadata is not None)
        return glance(raw).error if answers else None
    except ValueError:
        return None


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
