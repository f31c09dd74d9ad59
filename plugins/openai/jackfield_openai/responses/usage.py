"""Token counts.

Source: OpenAI's API reference, the `usage` object of a response. `input_tokens` includes cached tokens, `output_tokens` reasoning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jackfield.api.canonical import Usage
from jackfield.api.canonical.codec import difference, overlay
from jackfield_openai.responses.extras import NAME, extra

_COUNTS: Final = {"input_tokens": "input", "output_tokens": "output"}
_DETAILS: Final = {
    "input_tokens_details": {"cached_tokens": "cache_read", "cache_write_tokens": "cache_write"},
    "output_tokens_details": {"reasoning_tokens": "thinking"},
}
_OLDER: Final = "=older"
"""The key under which counts keep that they came without `cache_write_tokens`."""


def count(value: Any) -> int:
    """Return a number of tokens; what is none counts as 0."""
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0


def decode_usage(value: Mapping[str, Any]) -> Usage:
    """Read a `usage` object, whatever is missing or odd in it."""
    said: dict[str, Any] = {name: count(value.get(key)) for key, name in _COUNTS.items()}
    for place, names in _DETAILS.items():
        details = value.get(place)
        if isinstance(details, Mapping):
            said.update({name: count(details.get(key)) for key, name in names.items()})
    total = value.get("total_tokens")
    if isinstance(total, int) and not isinstance(total, bool) and total != said["input"] + said["output"]:
        said["total"] = total
    older = _lacks_writes(value)
    rest = difference(_encode(Usage(**said), older=older), value)
    if older:
        rest[_OLDER] = True
    return Usage(**said, extensions={NAME: rest} if rest else {})


def _lacks_writes(value: Mapping[str, Any]) -> bool:
    details = value.get("input_tokens_details")
    return not isinstance(details, Mapping) or "cache_write_tokens" not in details


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Write a `usage` object with all that OpenAI's clients require, or in the form in which it came."""
    rest = dict(extra(usage.extensions))
    older = rest.pop(_OLDER, False) is True
    return overlay(_encode(usage, older=older), rest)


def _encode(usage: Usage, *, older: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {key: getattr(usage, name) for key, name in _COUNTS.items()}
    for place, names in _DETAILS.items():
        wire[place] = {key: getattr(usage, name) for key, name in names.items()}
    wire["total_tokens"] = usage.tokens
    if older and not usage.cache_write:
        del wire["input_tokens_details"]["cache_write_tokens"]
    return wire
