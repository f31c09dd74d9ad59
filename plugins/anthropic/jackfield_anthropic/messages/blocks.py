"""The blocks of a message's `content`, of requests and of answers.

Source: Anthropic's API reference, "Create a Message". A block of a type that nobody here knows is kept as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest
from jackfield.api.canonical import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from jackfield.api.canonical.codec import Fields, overlay, to_json, wrong_type
from jackfield_anthropic.messages import calls, media, thoughts
from jackfield_anthropic.messages.cache import take_cache, write_cache
from jackfield_anthropic.messages.citations import decode_citation, encode_citation
from jackfield_anthropic.messages.extras import NAME, extra, kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped

Placed = Sequence[tuple[Part, str]]
"""Parts with their paths, for what is noted of them."""

_RESULTS: Final = (Text, Image, Document, Opaque)
"""What a tool's result may hold."""


# ---------------------------------------------------------------------------------------------- reading


def decode_block(value: Any, path: str) -> Part:
    """Read one block. Raises `BadRequest`."""
    if type(value) is dict and len(value) == 2 and value.get("type") == "text" and type(value.get("text")) is str:
        return Text(text=value["text"])
    fields = Fields(value, path)
    kind = fields.needed_text("type")
    decoder = _DECODERS.get(kind)
    part: Part | None = None
    if decoder is not None:
        part = decoder(fields)
    elif kind in ("server_tool_use", "mcp_tool_use"):
        part = calls.decode_server_call(fields, kind)
    elif kind.endswith(calls.RESULT):
        part = calls.decode_server_result(fields, kind)
    return part if part is not None else opaque(value, kind)


def opaque(value: Any, kind: Any) -> Opaque:
    """Keep a block as it is."""
    return Opaque(dialect=NAME, kind=kind if isinstance(kind, str) else "unknown", value=to_json(value).decode())


def _text(fields: Fields) -> Text:
    words, path = fields.needed_text("text"), fields.at("citations")
    citations = fields.items("citations") or ()
    for at, value in enumerate(citations):
        if not isinstance(value, dict):
            raise wrong_type(f"{path}[{at}]", "an object", value)
    return Text(text=words, citations=tuple(map(decode_citation, citations)), cache=take_cache(fields), extensions=kept(fields.rest))


def _result(fields: Fields) -> ToolResult:
    call_id, failed, content = fields.needed_text("tool_use_id"), fields.flag("is_error"), fields.take("content")
    if failed is False:
        fields.rest["is_error"] = False
    parts = take_content(content, fields)
    for at, part in enumerate(parts):
        if not isinstance(part, _RESULTS):
            where = f"{fields.at('content')}[{at}].type"
            raise BadRequest(f"{where!r} must be text, image, document or search_result in the result of a tool", where, "invalid_value")
    return ToolResult(
        call_id=call_id,
        parts=parts,  # type: ignore[arg-type]  # checked above
        is_error=bool(failed),
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


def take_content(content: Any, fields: Fields) -> tuple[Part, ...]:
    """Read a `content` that is a text or a list of blocks; which of them it was, where that is not plain, remains in `fields`."""
    path = fields.at("content")
    if isinstance(content, str):
        if content:
            return (Text(text=content),)
        fields.rest["content"] = ""
        return ()
    if content is None:
        return ()
    if not isinstance(content, list):
        raise wrong_type(path, "a text or a list of blocks", content)
    parts = tuple([decode_block(item, f"{path}[{at}]") for at, item in enumerate(content)])
    if not parts or (len(parts) == 1 and is_bare(parts[0])):
        fields.rest["content"] = []
    return parts


def is_bare(part: Part) -> bool:
    """Tell whether a part is a text that says no more than its words."""
    return type(part) is Text and not part.citations and part.cache is None and not part.extensions


_DECODERS: Final[dict[str, Callable[[Fields], Part | None]]] = {
    "text": _text,
    "image": media.decode_image,
    "document": media.decode_document,
    "search_result": media.decode_search_result,
    "thinking": thoughts.decode_thinking,
    "redacted_thinking": thoughts.decode_redacted,
    "tool_use": calls.decode_call,
    "tool_result": _result,
}


# ---------------------------------------------------------------------------------------------- writing


def encode_asked(part: Part, path: str, losses: Losses, *, speaker: str) -> dict[str, Any] | msgspec.Raw | None:
    """Write one part of a request, or None for one that has no form there; why is added to `losses`."""
    if type(part) is Text:
        if part.text.strip():
            return encode_text(part, path, losses, answer=False)
        if part.text or part.cache is not None:
            dropped(losses, path, "texts of blanks alone are refused")
        return None
    if isinstance(part, Thinking):
        if speaker != "assistant":
            dropped(losses, path, f"a {speaker} has no thoughts")
            return None
        return thoughts.encode_asked(part, path, losses)
    if isinstance(part, ToolCall):
        if part.signature is not None:
            dropped(losses, f"{path}.signature", f"a call signed for {part.signature.family} loses its signature")
        return calls.encode_call(part, path, losses)
    if isinstance(part, ToolResult):
        return _encode_result(part, path, losses)
    return _encode_other(part, path, losses)


def _encode_other(part: Part, path: str, losses: Losses) -> dict[str, Any] | msgspec.Raw | None:
    """Write a part that requests and answers write alike."""
    match part:
        case Image():
            return media.encode_image(part, path, losses)
        case Document():
            return media.encode_document(part, path, losses)
        case ServerToolCall():
            return calls.encode_server_call(part, path, losses)
        case ServerToolResult():
            return calls.encode_server_result(part, path, losses)
        case Refusal(text=words) if words.strip():
            changed(losses, path, "a refusal becomes a text")
            return {"type": "text", "text": words}
        case Audio(transcript=words) if words and words.strip():
            changed(losses, path, "sound is not taken: its transcript stands for it")
            return {"type": "text", "text": words}
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return msgspec.Raw(value.encode())
        case Opaque(dialect=dialect, kind=kind):
            dropped(losses, path, f"{kind} is understood by {dialect} alone")
        case _:
            dropped(losses, path, f"messages take no {type(part).__name__}")
    return None


def encode_text(part: Text, path: str, losses: Losses, *, answer: bool) -> dict[str, Any]:
    """Write a text."""
    wire: dict[str, Any] = {"type": "text", "text": part.text}
    if part.signature is not None:
        dropped(losses, f"{path}.signature", "texts have no signatures")
    if part.citations:
        found = [encode_citation(citation, answer=answer) for citation in part.citations]
        if None in found:
            dropped(losses, f"{path}.citations", "citations of others cannot be said")
        if said := [one for one in found if one is not None]:
            wire["citations"] = said
    if part.cache is None and not part.extensions:
        return wire
    rest = dict(extra(part.extensions))
    write_cache(wire, rest, part.cache)
    return overlay(wire, rest)


def _encode_result(result: ToolResult, path: str, losses: Losses) -> dict[str, Any]:
    rest = dict(extra(result.extensions))
    wire: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.call_id}
    placed = [(part, f"{path}.parts[{at}]") for at, part in enumerate(result.parts)]
    content = encode_content(placed, rest.pop("content", None), losses, speaker="tool")
    if content is not None:
        wire["content"] = content
    if result.is_error:
        wire["is_error"] = True
        rest.pop("is_error", None)
    write_cache(wire, rest, result.cache)
    return overlay(wire, rest)


def encode_content(parts: Placed, form: Any, losses: Losses, *, speaker: str) -> Any:
    """Write `content`: a text where the parts are one bare text and `form` says nothing else, else a list; None for nothing."""
    if len(parts) == 1 and form != [] and is_bare(parts[0][0]) and isinstance(parts[0][0], Text) and parts[0][0].text.strip():
        if parts[0][0].signature is not None:
            dropped(losses, f"{parts[0][1]}.signature", "texts have no signatures")
        return parts[0][0].text
    wire = [said for said in [encode_asked(part, path, losses, speaker=speaker) for part, path in parts] if said is not None]
    return wire or form


def encode_answered(part: Part, path: str, losses: Losses) -> list[Any]:
    """Write one part of an answer: a block, two where a call has a signature, none where it has no form."""
    match part:
        case Text():
            return [encode_text(part, path, losses, answer=True)] if part.text or part.extensions else []
        case Thinking():
            wire = thoughts.encode_answered(part)
            return [wire] if wire is not None else []
        case ToolCall():
            call = calls.encode_call(part, path, losses)
            return [thoughts.carrier(part.signature, before=True), call] if part.signature is not None else [call]
        case Image() | Document():
            dropped(losses, path, f"answers hold no {type(part).__name__}")
            return []
        case ServerToolCall() | ServerToolResult() if (search := calls.shown_search(part)) is not None:
            return [search]
    other = _encode_other(part, path, losses)
    return [other] if other is not None else []
