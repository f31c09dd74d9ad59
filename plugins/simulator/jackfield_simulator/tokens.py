"""How the simulator counts: a token is a word together with the white space before it.

White space at the end of a text belongs to its last word. Real tokenizers count otherwise; what matters here is that
anybody can foretell the figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from jackfield.api import Request, Usage
from jackfield.api.canonical import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult, Video

MEDIUM: Final = 256
"""Tokens of one image, document, audio or video, whatever its size."""

_PIECE: Final = re.compile(r"\s*\S+(?:\s+\Z)?|\s+")


def pieces(text: str) -> list[str]:
    """Cut a text into its tokens; joined they are the text again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Return the number of tokens of a text: as many as `pieces` gives, without making them."""
    return len(text.split()) or int(bool(text))


def words_of(part: Part) -> str:
    """Return what a part of an answer says: the words of a text, thought or refusal, the arguments of a tool call."""
    match part:
        case Text(text=text) | Thinking(text=text) | Refusal(text=text):
            return text
        case ToolCall(arguments=arguments):
            return arguments
    return ""


def prompt_usage(request: Request) -> Usage:
    """Count a request's tokens.

    Where an assistant has spoken already, everything before its latest message was sent once before, so those tokens
    count as read from the cache. That is a rule, not a memory: equal requests always cost the same.
    """
    tools = sum(1 + count(tool.description or "") for tool in request.tools)
    costs = [_message(message) for message in request.messages]
    turns = [index for index, message in enumerate(request.messages) if message.role == "assistant"]
    cached = tools + sum(costs[: turns[-1]]) if turns else 0
    return Usage(input=tools + sum(costs), cache_read=cached)


def _message(message: Message) -> int:
    return _parts(message.parts)


def _parts(parts: Iterable[Part]) -> int:
    return sum(_part(part) for part in parts)


def _part(part: Part) -> int:
    match part:
        case ToolResult(parts=parts):
            return _parts(parts)
        case Document(text=str(text)):
            return count(text)
        case Image() | Document() | Audio() | Video():
            return MEDIUM
    return count(words_of(part))
