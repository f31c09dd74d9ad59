"""Why an answer ended.

Source: Anthropic's guide "Handling stop reasons".
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api.canonical import FinishReason

_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_length",
}
_WORDS: Final[dict[FinishReason, str]] = {**{reason: word for word, reason in _REASONS.items()}, "content_filter": "refusal"}

CHANGED: Final[frozenset[FinishReason]] = frozenset({"content_filter", "error", "other"})
"""Reasons for which there is no word of their own."""


def decode_finish(word: Any) -> FinishReason | None:
    """Read a stop reason; None for none."""
    return _REASONS.get(word, "other") if isinstance(word, str) and word else None


def encode_finish(reason: FinishReason | None, *, calls: bool, refused: bool) -> str:
    """Return the word for a finish reason; `calls` tells that the answer asks for tools, `refused` that it declines in words.

    Clients run tools by this word, and others' models often say that they are done although they ask for some.
    """
    if calls and reason in (None, "stop", "tool_calls"):
        return "tool_use"
    if reason in (None, "stop", "tool_calls"):
        return "refusal" if refused else "end_turn"
    return _WORDS.get(reason, "end_turn")


def word_kept(word: Any, *, calls: bool) -> dict[str, Any]:
    """Return what to keep of a stop reason that would not be written back by itself.

    An answer may end although it has calls: code that Anthropic runs can make them, and has their results by then.
    """
    reason = decode_finish(word)
    return {} if reason is None or encode_finish(reason, calls=calls, refused=False) == word else {"stop_reason": word}
