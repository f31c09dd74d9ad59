"""Token counts.

Source: OpenAI's API reference, the `usage` object. Others name cached tokens `prompt_cache_hit_tokens` (DeepSeek),
`cached_tokens` (Together) or `num_cached_tokens` (Mistral) beside or instead of its details. OpenAI counts cached tokens as
part of the prompt and thoughts as part of the completion; xAI counts them beside these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

_APART: Final = "=apart"
"""The key under which a usage keeps the counts that came without the tokens which canonically are part of them."""
_INCLUDED: Final = {"prompt_tokens": "cache_read", "completion_tokens": "thinking"}

_WHOLE: Final[dict[str, Any]] = {}
_DETAILS: Final = {"prompt_tokens_details": _INPUT, "completion_tokens_details": _OUTPUT}


def count(value: Any) -> int:
    """Return a number of tokens; what is none counts as 0."""
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    return max(int(value), 0) if isinstance(value, float) and abs(value) < 1e15 else 0


def decode_usage(value: Mapping[str, Any]) -> Usage:
    """Read a `usage` object, whatever is missing or odd in it."""
    said: dict[str, Any] = dict.fromkeys(("thinking", "cache_read"), 0)
    said.update({name: count(value.get(key)) for key, name in _COUNTS.items()})
    for place, names in _DETAILS.items():
        details = value.get(place)
        if isinstance(details, Mapping):
            said.update({name: count(details.get(key)) for key, name in names.items()})
    if not said.get("cache_read"):
        said["cache_read"] = next((count(value[key]) for key in _CACHED if count(value.get(key))), 0)
    total = value.get("total_tokens")
    apart = include(said, total if isinstance(total, int) else None)
    rest = _form(Usage(**said), value, apart)
    return Usage(**said, extensions={NAME: rest} if rest else {})


def include(said: dict[str, int], total: int | None) -> list[str]:
    """Add to the counts in `said` the parts of them that were counted beside, and their total where it differs.

    Return which counts of the wire came without. That they did shows in parts that are larger than the whole, and in the total.
    """
    before, output = said["input"] + said["output"], said["output"]
    apart = [key for key, part in _INCLUDED.items() if said[part] > said[_COUNTS[key]]]
    if said["thinking"] and said["thinking"] <= output and total == before + said["thinking"]:
        apart.append("completion_tokens")
    for key in apart:
        said[_COUNTS[key]] += said[_INCLUDED[key]]
    if apart and total == before:
        return [*apart, "total_tokens"]
    if total is not None and total != said["input"] + said["output"]:
        said["total"] = total
    return apart


def _form(usage: Usage, value: Mapping[str, Any], apart: list[str]) -> dict[str, Any]:
    """Return what tells a usage object from the one that would be written: measured against OpenAI's or the bare form."""
    told = {_APART: apart} if apart else {}
    usual = _encode(usage, apart, bare=False)
    if usual == value:
        return told
    rest = difference(usual, value)
    if not any(_lacks(rest.get(place, _WHOLE)) for place in _DETAILS):
        return {**told, **rest}
    return {_BARE: True, **told, **difference(_encode(usage, apart, bare=True), value)}


def _lacks(rest: Any) -> bool:
    return rest is None or (isinstance(rest, dict) and None in rest.values())


def encode_usage(usage: Usage) -> dict[str, Any]:
    """Write a `usage` object with all of OpenAI's details, or in the form in which it came."""
    rest = dict(extra(usage.extensions))
    wire = overlay(_encode(usage, rest.pop(_APART, ()), bare=rest.pop(_BARE, None) is True), rest)
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


def _encode(usage: Usage, apart: Sequence[str], *, bare: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {key: getattr(usage, name) for key, name in _COUNTS.items()}
    wire["total_tokens"] = usage.tokens
    for key in _INCLUDED.keys() & apart:
        wire[key] -= getattr(usage, _INCLUDED[key])
    if "total_tokens" in apart:
        wire["total_tokens"] = wire["prompt_tokens"] + wire["completion_tokens"]
    if bare:
        return wire
    for place, names in _DETAILS.items():
        wire[place] = {key: getattr(usage, name) for key, name in names.items()}
    if not usage.cache_write:
        # OpenAI's own newest member; where nothing was written most answers still lack it.
        del wire["prompt_tokens_details"]["cache_write_tokens"]
    return wire
