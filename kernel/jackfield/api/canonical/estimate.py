"""How many tokens a request may have, where nobody who knows can be asked."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from jackfield.api.canonical.memo import Memo, weight
from jackfield.api.canonical.parts import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Refusal,
    ServerToolCall,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from jackfield.api.canonical.request import Request, Tool

_BYTES: Final = 4
"""Of UTF-8 a token, in words and in code, as tokenizers of today go on the average."""
_EACH: Final = 4
"""What a message or a tool costs beside its words."""
_MEDIA: Final = 1000
"""What a picture, a page or a piece of sound of unknown size is taken for."""
_known: Final = Memo[tuple[Tool | Message, int]]()


def estimate_tokens(request: Request) -> int:
    """Return an estimate of a request's input tokens: a quarter of its bytes, and a flat figure for media."""
    return sum(map(_estimated, request.tools)) + sum(map(_estimated, request.messages)) + _of(request.output.schema or None)


def _estimated(said: Tool | Message) -> int:
    """Return an estimate for a tool or a message, or recall it when it came before."""
    known = _known.get(id(said))
    if known is not None:
        return known[1]
    tokens = _EACH + (
        _all(said.parts) if isinstance(said, Message) else _of(said.name, said.description, said.grammar, said.parameters or None)
    )
    size = weight(said)
    return tokens if size is None else _known.put(id(said), (said, tokens), size)[1]


def _of(*said: Any) -> int:
    texts = (text if isinstance(text, str) else msgspec.json.encode(text).decode() for text in said if text is not None)
    return sum(len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts) // _BYTES


def _part(part: Part) -> int:
    match part:
        case Text() | Refusal():
            return _of(part.text)
        case Thinking():
            return _of(part.text, *part.summary)
        case ToolCall() | ServerToolCall():
            return _EACH + _of(part.name, part.arguments)
        case ToolResult():
            return _EACH + _all(part.parts)
        case Document(text=str(text)):
            return _of(text)
        case Image() | Document() | Audio() | Video():
            return _MEDIA
    return _of(getattr(part, "content", None))


def _all(parts: Iterable[Part]) -> int:
    return sum(map(_part, parts))
