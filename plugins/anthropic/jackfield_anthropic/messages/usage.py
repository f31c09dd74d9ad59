"""Token counts.

Source: Anthropic's API reference, the `usage` object, and its guide "Prompt caching": `input_tokens` counts neither what was
read from the cache nor what was written to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jackfield.api.canonical import Usage
from jackfield.api.canonical.codec import difference, overlay
from jackfield_anthropic.messages.extras import NAME, extra

_READ: Final = "cache_read_input_tokens"
_WRITTEN: Final = "cache_creation_input_tokens"
_LIFETIMES: Final = "cache_creation"
_DETAILS: Final = "output_tokens_details"
TIER: Final = "service_tier"
"""Stands in the counts, and is the answer's in canonical words."""
IN_STREAM: Final = frozenset({"input_tokens", _WRITTEN, _READ, "output_tokens", _DETAILS, "server_tool_use", "iterations"})
"""Members that stand in the counts at the end of a stream; the others come at its beginning alone."""


def count(value: Any) -> int:
    """Return a number of tokens; what is none counts as 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    return max(int(value), 0) if isinstance(value, float) and abs(value) < 1e15 else 0


def decode_usage(value: Mapping[str, Any]) -> Usage:
    """Read a `usage` object, whatever is missing or odd in it."""
    read, written = count(value.get(_READ)), count(value.get(_WRITTEN))
    details = value.get(_DETAILS)
    usage = Usage(
        input=count(value.get("input_tokens")) + read + written,
        output=count(value.get("output_tokens")),
        thinking=count(details.get("thinking_tokens")) if isinstance(details, Mapping) else 0,
        cache_read=read,
        cache_write=written,
    )
    rest = difference(_encode(usage), {key: item for key, item in value.items() if key != TIER})
    if not rest:
        return usage
    return Usage(
        input=usage.input,
        output=usage.output,
        thinking=usage.thinking,
        cache_read=read,
        cache_write=written,
        extensions={NAME: rest},
    )


def encode_usage(usage: Usage, tier: str | None = None) -> dict[str, Any]:
    """Write a `usage` object with both counts of the cache, or in the form in which it came."""
    wire = overlay(_encode(usage), extra(usage.extensions))
    # What is counted now stands above what was kept of the form: a count may have been changed since.
    for key, value in ((_READ, usage.cache_read), (_WRITTEN, usage.cache_write)):
        if value:
            wire[key] = value
    if tier is not None:
        wire[TIER] = tier
    return wire


def _encode(usage: Usage) -> dict[str, Any]:
    wire: dict[str, Any] = {
        "input_tokens": max(usage.input - usage.cache_read - usage.cache_write, 0),
        _WRITTEN: usage.cache_write,
        _READ: usage.cache_read,
        _LIFETIMES: {"ephemeral_5m_input_tokens": usage.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output,
    }
    if usage.thinking:
        wire[_DETAILS] = {"thinking_tokens": usage.thinking}
    return wire
