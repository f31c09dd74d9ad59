"""Why an answer ended: `finishReason`, as a word or as the number that some servers write instead.

Sources: Gemini API reference, `FinishReason`; numbers are those of Vertex AI's protocol buffers, whose servers write them
when asked to (`$alt=json;enum-encoding=int`).
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api.canonical import FinishReason

_REASONS: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "pause",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
    "PUP_LIMITED_DISABLED": "error",
}
_NUMBERS: Final = (
    "", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
    "MALFORMED_FUNCTION_CALL", "MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER",
    "UNEXPECTED_TOOL_CALL", "NO_IMAGE",
)  # fmt: skip
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "context_length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "pause": "STOP",
    "error": "OTHER",
    "other": "OTHER",
}

CHANGED: Final[frozenset[FinishReason]] = frozenset({"refusal", "pause", "error", "stop_sequence", "context_length"})
"""Reasons for which Google's words say less."""


def word_of(value: Any) -> str:
    """Return the word for a finish reason, also for a number; `''` where none is given."""
    if isinstance(value, str):
        return "" if value == "FINISH_REASON_UNSPECIFIED" else value.upper()
    if isinstance(value, int) and not isinstance(value, bool):
        return _NUMBERS[value] if 0 <= value < len(_NUMBERS) else "OTHER"
    return ""


def decode_finish(value: Any, *, calls: bool) -> FinishReason | None:
    """Read a finish reason; None for none.

    Google says STOP also where a function is to be called; and where the model called one that nobody declared, the call
    may stand there all the same, for the caller to answer.
    """
    word = word_of(value)
    if not word:
        return None
    reason = _REASONS.get(word, "other")
    return "tool_calls" if calls and word in ("STOP", "UNEXPECTED_TOOL_CALL") else reason


def encode_finish(reason: FinishReason) -> str:
    """Return Google's word for a finish reason."""
    return _WORDS[reason]


def finish_kept(value: Any, reason: FinishReason | None) -> dict[str, Any]:
    """Return what to keep of a finish reason that would not be written back by itself."""
    return {} if value is None or (reason is not None and encode_finish(reason) == value) else {"finishReason": value}


def word_for(reason: FinishReason, rest: dict[str, Any], *, calls: bool) -> Any:
    """Return what to write, and take what was kept out of `rest`: it stands if it still means the same."""
    said = rest.pop("finishReason", None)
    return said if said is not None and decode_finish(said, calls=calls) == reason else encode_finish(reason)
