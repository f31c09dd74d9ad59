"""Looking at one event or one answer without knowing what came before, and without decoding all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Event, Glance, Path, Usage
from jackfield.api.canonical import ArgumentsDelta, Begin, Delta, Finish, PartEnd, PartStart, TextDelta, ThinkingDelta, UsageDelta
from jackfield.api.canonical.codec import to_json
from jackfield_anthropic.errors import read_error
from jackfield_anthropic.messages.extras import extra
from jackfield_anthropic.messages.streams import UNSAID, MessagesStreamDecoder
from jackfield_anthropic.messages.usage import count, decode_usage
from jackfield_anthropic.messages.wire import DELTA, Counts, glanced, plain_event

_WORDS: Final = ("delta", "text")


def type_of(event: Event) -> str:
    """Return an event's type: its name, else what its data says."""
    if event.name:
        return event.name
    value = event.json
    said = value.get("type") if isinstance(value, dict) else None
    return said if isinstance(said, str) else ""


def is_empty(event: Event) -> bool:
    """Tell whether an event adds nothing to an answer: a ping, or the beginning of a message without blocks and without an end."""
    kind = type_of(event)
    if kind != "message_start":
        return kind == "ping"
    message = event.json.get("message") if isinstance(event.json, dict) else None
    return isinstance(message, dict) and not message.get("content") and not message.get("stop_reason")


def read(event: Event) -> Sequence[Delta]:
    """Return what an event says. Parts have the numbers of their blocks."""
    if event.frame.startswith(DELTA):
        try:
            said = plain_event(event.frame[len(DELTA) :])
        except ValueError:
            return _read_slowly(event)
        delta, index = said.delta, said.index
        if delta.text is not None:
            return (TextDelta(index=index, text=delta.text),)
        if delta.thinking is not None:
            return (ThinkingDelta(index=index, text=delta.thinking),)
        if delta.partial_json is not None:
            return (ArgumentsDelta(index=index, text=delta.partial_json),)
    return _read_slowly(event)


def _read_slowly(event: Event) -> Sequence[Delta]:
    """Read an event by a whole decoder, without what that invents for want of a past."""
    value = event.json
    if not isinstance(value, dict):
        return MessagesStreamDecoder().feed(event) if type_of(event) == "error" else ()
    kind, number = type_of(event), value.get("index")
    found = MessagesStreamDecoder().feed(event)
    if kind == "message_start":
        return found
    kept = [
        delta for delta in found if not isinstance(delta, Begin) and not (isinstance(delta, Finish) and extra(delta.extensions).get(UNSAID))
    ]
    if kind == "content_block_delta":
        kept = [delta for delta in kept if not isinstance(delta, PartStart | PartEnd)]
    if not isinstance(number, int) or number == 0:
        return kept
    return [msgspec.structs.replace(delta, index=number) if hasattr(delta, "index") else delta for delta in kept]


# ------------------------------------------------------------------------------------------------ words


def text_path(event: Event) -> Path | None:
    """Return where the words stand that an event adds; None when it adds none."""
    if type_of(event) != "content_block_delta":
        return None
    value = event.json
    delta = value.get("delta") if isinstance(value, dict) else None
    said = isinstance(delta, dict) and delta.get("type") == "text_delta" and isinstance(delta.get("text"), str)
    return _WORDS if said else None


def with_words(event: Event, text: str) -> Event | None:
    """Return an event with its words replaced, if it says nothing else; None for others."""
    if not event.frame.startswith(DELTA):
        return None
    try:
        said = plain_event(event.frame[len(DELTA) :])
    except ValueError:
        return None
    if said.delta.text is None:
        return None
    data = b'{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}' % (said.index, to_json(text))
    return type(event)(DELTA + data, event.name, b"\n\n")


# ------------------------------------------------------------------------------------------ whole answers


def glance(raw: bytes) -> Glance:
    """Look at a whole answer: its token counts, and whether it is an error. Raises `ValueError` when it is none."""
    try:
        seen = glanced(raw)
    except msgspec.ValidationError:
        return _glance_slowly(raw)
    if seen.type != "message":
        return _glance_slowly(raw)
    return Glance(usage=_usage(seen.usage) if seen.usage is not None else None)


def _glance_slowly(raw: bytes) -> Glance:
    """Look at an answer of an odd form: an error that came with status 200, a count, or counts that are no integers."""
    try:
        value: Any = msgspec.json.decode(raw)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 (the contract of decoders)
    if isinstance(value.get("content"), list):
        usage = value.get("usage")
        return Glance(usage=decode_usage(usage) if isinstance(usage, dict) else None)
    if "input_tokens" in value:
        return Glance(usage=Usage(input=count(value["input_tokens"])))
    error = read_error(value, None)
    if error is None:
        raise ValueError("the answer has no content")
    return Glance(error=error)


def usage_of(event: Event) -> Usage | None:
    """Return the token counts that an event reports."""
    if event.name == "content_block_delta":
        return None
    try:
        seen = glanced(event.data)
    except ValueError:
        return next((said.usage for said in reversed(event.deltas) if isinstance(said, UsageDelta | Begin)), None)
    counts = seen.usage if seen.usage is not None else seen.message.usage if seen.message is not None else None
    return _usage(counts) if counts is not None else None


def _usage(said: Counts) -> Usage:
    read, written = count(said.cache_read_input_tokens), count(said.cache_creation_input_tokens)
    details = said.output_tokens_details
    return Usage(
        input=count(said.input_tokens) + read + written,
        output=count(said.output_tokens),
        thinking=count(details.thinking_tokens) if details is not None else 0,
        cache_read=read,
        cache_write=written,
    )
