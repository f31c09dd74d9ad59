"""Token counts: `usageMetadata`.

Source: Gemini API reference, `UsageMetadata`. The prompt's count holds what was read from a cache; thoughts and what
tools of Google's put into the prompt are counted apart from both prompt and answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jackfield.api.canonical import Usage
from jackfield.api.canonical.codec import difference, overlay
from jackfield_gemini.generate.extras import NAME, extra
from jackfield_gemini.generate.names import spelled

TIER: Final = "serviceTier"
_TOOLS: Final = "toolUsePromptTokenCount"
_DETAILS: Final = {"promptTokensDetails": "promptTokenCount", "candidatesTokensDetails": "candidatesTokenCount"}
_TEXT: Final = "TEXT"
_AUDIO: Final = ("AUDIO", 4)
"""How sound is named among modalities, in words and as a number."""


def count(value: Any) -> int:
    """Return a number of tokens; what is none counts as 0."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0


def decode_usage(value: Mapping[str, Any]) -> Usage:
    """Read token counts, whatever is missing or odd in them."""
    said = {key: item for key, item in spelled(value).items() if key != TIER}
    thoughts, tools = count(said.get("thoughtsTokenCount")), count(said.get(_TOOLS))
    shown: dict[str, Any] = {
        "input": count(said.get("promptTokenCount")) + tools,
        "output": count(said.get("candidatesTokenCount")) + thoughts,
        "thinking": thoughts,
        "cache_read": count(said.get("cachedContentTokenCount")),
        "audio_input": _audio(said.get("promptTokensDetails")),
        "audio_output": _audio(said.get("candidatesTokensDetails")),
    }
    total = said.get("totalTokenCount")
    if isinstance(total, int) and total != shown["input"] + shown["output"]:
        shown["total"] = total
    form = {_TOOLS: said[_TOOLS]} if _TOOLS in said else {}
    rest = {**form, **difference(_encode(Usage(**shown), form), said)}
    for place, counted in _DETAILS.items():
        if rest.get(place) == [{"modality": _TEXT, "tokenCount": said.get(counted)}]:
            rest[place] = _TEXT
    return Usage(**shown, extensions={NAME: rest} if rest else {})


def _audio(details: Any) -> int:
    entries = details if isinstance(details, list) else ()
    return sum(count(e.get("tokenCount")) for e in entries if isinstance(e, dict) and e.get("modality") in _AUDIO)


def encode_usage(usage: Usage, tier: str | None = None) -> dict[str, Any]:
    """Write token counts, with the service tier that Google puts among them."""
    rest = dict(extra(usage.extensions))
    wire = overlay(_encode(usage, rest), {key: item for key, item in rest.items() if item != _TEXT})
    for place, counted in _DETAILS.items():
        if rest.get(place) == _TEXT:
            wire[place] = [{"modality": _TEXT, "tokenCount": wire.get(counted, 0)}]
    if tier is not None:
        wire[TIER] = tier
    return wire


def _encode(usage: Usage, form: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        "promptTokenCount": max(usage.input - count(form.get(_TOOLS)), 0),
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": max(usage.output - usage.thinking, 0),
        "thoughtsTokenCount": usage.thinking,
    }
    wire: dict[str, Any] = {key: number for key, number in said.items() if number or key == "promptTokenCount"}
    wire["totalTokenCount"] = usage.tokens
    for place, counted, audio in (
        ("promptTokensDetails", "promptTokenCount", usage.audio_input),
        ("candidatesTokensDetails", "candidatesTokenCount", usage.audio_output),
    ):
        if audio:
            others = max(wire.get(counted, 0) - audio, 0)
            wire[place] = [{"modality": "AUDIO", "tokenCount": audio}]
            if others:
                wire[place].insert(0, {"modality": _TEXT, "tokenCount": others})
    return wire
