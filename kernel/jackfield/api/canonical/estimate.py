"""How many tokens a request may have, where nobody who knows can be asked."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from jackfield.api.canonical.memo import Memo, Runs, measured
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
_runs: Final = Runs[int]()
_listed: Final = Memo[tuple[tuple[Tool, ...], int]]()


def estimate_tokens(request: Request) -> int:
    """Return an estimate of a request's input tokens: a quarter of its bytes, and a flat figure for media."""
    messages = (_messages(run) if known is None else known for run, known in _runs.of(request.messages))
    return _tools(request.tools) + sum(messages) + _of(request.output.schema or None)


def _messages(run: tuple[Message, ...]) -> int:
    return _runs.keep(run, sum(_EACH + _all(message.parts) for message in run))


def _tools(tools: tuple[Tool, ...]) -> int:
    known = _listed.get(id(tools))
    if known is not None:
        return known[1]
    tokens = sum(_EACH + _of(tool.name, tool.description, tool.grammar, tool.parameters or None) for tool in tools)
    size = measured(tools)
    return tokens if size is None else _listed.put(id(tools), (tools, tokens), size)[1]


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
