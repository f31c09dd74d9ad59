"""Why an answer ended: the words of this dialect and of those who speak it.

Source: OpenAI's API reference, `finish_reason`; the others' words from their own references (Mistral, DeepSeek, Z.AI,
Together, OpenRouter).
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api import Loss
from jackfield.api.canonical import FinishReason
from jackfield_openai.chat.content import Losses

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "model_length": "length",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "context_length": "length",
}


def decode_finish(word: Any) -> FinishReason | None:
    """Read a finish reason. None for none: null, and the empty text that some send instead."""
    if not isinstance(word, str) or not word:
        return None
    return _REASONS.get(word, "other")


def encode_finish(reason: FinishReason, *, refused: bool = False) -> str:
    """Return OpenAI's word for a finish reason: of those that clients accept the nearest.

    `refused` tells that the answer says in words that the model declines. OpenAI ends such answers with `stop`; its
    client's helpers raise at `content_filter`.
    """
    return "stop" if refused and reason == "refusal" else _WORDS.get(reason, "stop")


def word_kept(word: Any) -> dict[str, Any]:
    """Return what to keep of a finish reason that would not be written back by itself."""
    reason = decode_finish(word)
    return {} if word is None or (reason is not None and encode_finish(reason) == word) else {"finish_reason": word}


def word_for(reason: FinishReason, rest: dict[str, Any], path: str, losses: Losses, *, refused: bool) -> str:
    """Return the word to write, and take the one that was kept out of `rest`: it stands if it still means the same.

    Where no word means what the reason says, that is noted of the choice at `path`.
    """
    kept = rest.pop("finish_reason", None)
    if isinstance(kept, str) and decode_finish(kept) == reason:
        return kept
    word = encode_finish(reason, refused=refused)
    if decode_finish(word) != reason:
        losses.append(Loss(f"{path}.finish", "changed", f"chat completions have no word for an end by {reason!r}: {word!r} instead"))
    return word
