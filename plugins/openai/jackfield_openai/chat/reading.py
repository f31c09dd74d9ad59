"""Looking at one event or one answer without knowing what came before, and without decoding all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Event, Glance, Path
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Delta,
    Done,
    Finish,
    PartEnd,
    PartStart,
    Refusal,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    Usage,
    UsageDelta,
)
from jackfield.api.canonical.codec import to_json
from jackfield_openai.chat.extras import kept
from jackfield_openai.chat.finish import decode_finish, word_kept
from jackfield_openai.chat.streams import ChatStreamDecoder, is_done
from jackfield_openai.chat.usage import decode_usage, include
from jackfield_openai.chat.wire import CallPiece, CompletionDetails, Counts, PromptDetails, SeenChoice, SeenDelta, glanced, seen_chunk
from jackfield_openai.errors import read_error, with_status


def read(event: Event) -> Sequence[Delta]:
    """Return what an event says. Parts are numbered as far as one event tells: words 0, calls by their own index."""
    data = event.data
    try:
        chunk = seen_chunk(data)
    except ValueError:
        return _read_slowly(event, data)
    choices = chunk.choices
    if chunk.error is not None or event.name == "error" or choices is None:
        return _read_slowly(event, data)
    if len(choices) == 1 and chunk.usage is None:
        choice = choices[0]
        delta = choice.delta
        if (
            delta is not None
            and delta.content
            and not (
                choice.finish_reason
                or delta.tool_calls
                or delta.reasoning
                or delta.reasoning_content
                or delta.refusal
                or delta.reasoning_details
            )
        ):
            return (TextDelta(choice=choice.index, index=0, text=delta.content),)
    if any(_only_details(choice.delta) for choice in choices):
        return _read_slowly(event, data)
    deltas = [said for choice in choices for said in _of_choice(choice)]
    if chunk.usage is not None:
        deltas.append(UsageDelta(usage=decode_usage(chunk.usage)))
    return deltas


def _only_details(delta: SeenDelta | None) -> bool:
    return delta is not None and bool(delta.reasoning_details) and not (delta.reasoning or delta.reasoning_content)


def _of_choice(choice: SeenChoice) -> list[Delta]:
    delta, index = choice.delta, choice.index
    said: list[Delta] = []
    if delta is not None:
        thoughts = delta.reasoning_content or delta.reasoning
        if thoughts:
            said.append(ThinkingDelta(choice=index, index=0, text=thoughts))
        if delta.content:
            said.append(TextDelta(choice=index, index=0, text=delta.content))
        if delta.refusal:
            said.append(TextDelta(choice=index, index=0, text=delta.refusal))
        for at, piece in enumerate(delta.tool_calls or ()):
            said += _of_call(piece, index, at)
    reason = decode_finish(choice.finish_reason)
    if reason is not None:
        said.append(Finish(choice=index, reason=reason, extensions=kept(word_kept(choice.finish_reason))))
    return said


def _of_call(piece: CallPiece, choice: int, at: int) -> list[Delta]:
    index = piece.index if piece.index is not None else at
    custom = piece.custom if piece.function is None else None
    name = custom.name if custom is not None else piece.function.name if piece.function is not None else None
    text = custom.input if custom is not None else piece.function.arguments if piece.function is not None else None
    said: list[Delta] = []
    if name or piece.id:
        call = ToolCall(id=piece.id or "", name=name or "", kind="custom" if custom is not None else "function")
        said.append(PartStart(choice=choice, index=index, part=call))
    if text:
        said.append(ArgumentsDelta(choice=choice, index=index, text=text))
    return said


def _read_slowly(event: Event, data: bytes) -> Sequence[Delta]:
    """Read an event of a less usual form by the whole decoder, without what it invents for want of a past."""
    if is_done(data):
        return (Done(),)
    found = ChatStreamDecoder().feed(event)
    return [delta for delta in found if not isinstance(delta, Begin | PartEnd) and not _is_empty_start(delta)]


def _is_empty_start(delta: Delta) -> bool:
    return isinstance(delta, PartStart) and isinstance(delta.part, Text | Refusal | Thinking)


# ------------------------------------------------------------------------------------------------ words


def text_paths(event: Event) -> list[Path]:
    """Return where the words stand that an event adds: of each choice, in its `content` or `refusal`."""
    chunk = event.json
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    found: list[Path] = []
    for at, choice in enumerate(choices if isinstance(choices, list) else ()):
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict):
            found += [("choices", at, "delta", *path) for path in _words_of(delta)]
    return found


def with_words(event: Event, text: str) -> Event | None:
    """Return an event with its words replaced, if they stand in one `content` and are spelled as usual; else None."""
    words = [delta.text for delta in event.deltas if isinstance(delta, TextDelta)]
    if len(words) != 1:
        return None
    data, old = event.data, b'"content":' + msgspec.json.encode(words[0])
    if data.count(old) != 1:
        return None
    return event.with_data(data.replace(old, b'"content":' + to_json(text)))


def _words_of(delta: dict[str, Any]) -> list[Path]:
    found: list[Path] = []
    content = delta.get("content")
    if isinstance(content, str) and content:
        found.append(("content",))
    for at, item in enumerate(content if isinstance(content, list) else ()):
        if isinstance(item, dict) and item.get("type") == "text" and item.get("text") and isinstance(item["text"], str):
            found.append(("content", at, "text"))
    if isinstance(delta.get("refusal"), str) and delta["refusal"]:
        found.append(("refusal",))
    return found


def is_empty(event: Event) -> bool:
    """Tell whether a chunk adds nothing to an answer: a role, blanks, checks of the prompt; no counts, no error, no reason to end."""
    chunk = event.json
    choices = chunk.get("choices") if isinstance(chunk, dict) else None
    if event.name == "error" or not isinstance(choices, list) or chunk.get("usage") or chunk.get("error"):
        return False
    return all(isinstance(choice, dict) and not choice.get("finish_reason") and _is_blank(choice) for choice in choices)


def _is_blank(choice: dict[str, Any]) -> bool:
    """Tell whether a choice says nothing. Some servers fill what they do not use with empty objects."""
    said: list[Any] = [choice.get("message"), choice.get("text"), choice.get("delta")]
    while said:
        value = said.pop()
        if isinstance(value, dict):
            said += (item for key, item in value.items() if key != "role")
        elif isinstance(value, list):
            said += value
        elif value:
            return False
    return True


# ------------------------------------------------------------------------------------------ whole answers


def glance(raw: bytes) -> Glance:
    """Look at a whole answer: its token counts, and whether it is an error. Raises `ValueError` when it is none."""
    try:
        seen = glanced(raw)
    except msgspec.ValidationError:
        return _glance_slowly(raw)
    if seen.choices is None and seen.data is None:
        return _glance_slowly(raw)
    return Glance(usage=_usage(seen.usage) if seen.usage is not None else None)


def usage_of(event: Event) -> Usage | None:
    """Return the token counts that a chunk reports."""
    try:
        seen = glanced(event.data)
    except ValueError:  # counts of an unusual form, or no JSON
        return next((said.usage for said in event.deltas if isinstance(said, UsageDelta)), None)
    return _usage(seen.usage) if seen.usage is not None else None


_NO_PROMPT: Final = PromptDetails()
_NO_COMPLETION: Final = CompletionDetails()


def _usage(said: Counts) -> Usage:
    prompt, completion = said.prompt_tokens_details or _NO_PROMPT, said.completion_tokens_details or _NO_COMPLETION
    cached = prompt.cached_tokens or said.prompt_cache_hit_tokens
    counts: dict[str, Any] = {
        "input": said.prompt_tokens,
        "output": said.completion_tokens,
        "thinking": completion.reasoning_tokens or 0,
        "cache_read": cached or said.cached_tokens or said.num_cached_tokens or 0,
        "cache_write": prompt.cache_write_tokens or 0,
        "audio_input": prompt.audio_tokens or 0,
        "audio_output": completion.audio_tokens or 0,
        "accepted_prediction": completion.accepted_prediction_tokens or 0,
        "rejected_prediction": completion.rejected_prediction_tokens or 0,
    }
    include(counts, said.total_tokens)
    return Usage(**counts)


def _glance_slowly(raw: bytes) -> Glance:
    """Look at an answer of an odd form: an error that came with status 200, or counts that are no integers."""
    value = msgspec.json.decode(raw)
    if not isinstance(value, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 (the contract of decoders)
    if isinstance(value.get("choices"), list) or "data" in value:
        usage = value.get("usage")
        return Glance(usage=decode_usage(usage) if isinstance(usage, dict) else None)
    error = read_error(value)
    if error is None:
        raise ValueError("the answer has neither choices nor data")
    return Glance(error=with_status(error, 500))
