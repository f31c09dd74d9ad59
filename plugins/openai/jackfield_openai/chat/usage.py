"""Token counts.

Source: OpenAI's API reference, the `usage` object. Others name cached tokens `prompt_cache_hit_tokens` (DeepSeek),
`cached_tokens` (Together) or `num_cached_tokens` (Mistral) beside or instead of its details.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jackfield.api.canonical import Usage
from jackfield.api.canonical.codec import difference, overlay
from jackfield_openai.chat.extras import NAME, extra

_CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
_INPUT: Final = {"cached_tokens": "cache_read", "audio_tokens": "audio_input", "cache_write_tokens": "cache_write"}
_OUTPUT: Final = {
    "reasoning_tokens": "thinking",
    "audio_tokens": "audio_output",
    "accepted_prediction_tokens": "accepted_prediction",
    "rejected_prediction_tokens": "rejected_prediction",
}
_COUNTS: Final = {"prompt_tokens": "input", "completion_tokens": "output"}
_BARE: Final = "=bare"
"""The key under which a usage keeps that it came without OpenAI's details, or with some of them alone."""

_WHOLE: Final[dict[str, Any]] = {}
_DETAILS: Final = {"prompt_tokens_details": _INPUT, "completion_tokens_details": _OUTPUT}


def count(value: Any) -> int:
    """Return a number of tokens; what is none counts as 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    return max(int(value), 0) if isinstance(value, float) and abs(value) < 1e15 else 0


def decode_usage(value: Mapping[str, Any]) -> Usage:
    """Read a `usage` object, whatever is missing or odd in it."""
    said: dict[str, Any] = {name: count(value.get(key)) for key, name in _COUNTS.items()}
    for place, names in _DETAILS.items():
        details = value.get(place)
        if isinstance(details, Mapping):
            said.update({name: count(details.get(key)) for key, name in names.items()})
    if not said.get("cache_read"):
        said["cache_read"] = next((count(value[key]) for key in _CACHED if count(value.get(key))), 0)
    total = value.get("total_tokens")
    if isinstance(total, int) and total != said["input"] + said["output"]:
        said["total"] = total
    rest = _form(Usage(**said), value)
    return Usage(**said, extensions={NAME: rest} if rest else {})


def _form(usage: Usage, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a usage object from the one that would be written: measured against OpenAI's or the bare form."""
    rest = difference(_encode(usage, bare=False), value)
    if not any(_lacks(rest.get(place, _WHOLE)) for place in _DETAILS):
        return rest
    return {_BARE: True, **difference(_encode(usage, bare=True), value)}


def _lacks(rest: Any) -> bool:
    return rest is None or (isinstance(rest, dict) and None in rest.values())


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Write a `usage` object with all of OpenAI's details, or in the form in which it came."""
    rest = dict(extra(usage.extensions))
    wire = overlay(_encode(usage, bare=rest.pop(_BARE, None) is True), rest)
    elsewhere = [key for key in _CACHED if key in rest]
    wire.update(dict.fromkeys(elsewhere, usage.cache_read))
    for place, names in _DETAILS.items():
        # What is counted now stands above what was kept of the form: a count may have been changed since.
        counted = {key: getattr(usage, name) for key, name in names.items() if getattr(usage, name)}
        details = wire.get(place)
        if not isinstance(details, dict):
            details = {}
            if elsewhere:
                counted.pop("cached_tokens", None)
        if counted:
            wire[place] = {**details, **counted}
    return wire


def _encode(usage: Usage, *, bare: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {key: getattr(usage, name) for key, name in _COUNTS.items()}
    wire["total_tokens"] = usage.tokens
    if bare:
        return wire
    for place, names in _DETAILS.items():
        wire[place] = {key: getattr(usage, name) for key, name in names.items()}
    if not usage.cache_write:
        # OpenAI's own newest member; where nothing was written most answers still lack it.
        del wire["prompt_tokens_details"]["cache_write_tokens"]
    return wire
