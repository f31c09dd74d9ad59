"""Service tiers: how soon a request is served, and at which price.

Source: OpenAI's API reference, `service_tier`. Those who speak its protocol have words of their own (Mistral's `standard`),
at which OpenAI's typed clients stumble.
"""

from __future__ import annotations

from typing import Any, Final

from jackfield_openai.chat.content import Losses, lost

TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""OpenAI's words, all that its clients' types take."""

_PLACE: Final = "service_tier"


def note_tier(tier: str | None, rest: dict[str, Any]) -> str | None:
    """Return a tier as it was read; that a word which is none of OpenAI's came from this dialect is kept in `rest`."""
    if tier is not None and tier not in TIERS:
        rest[_PLACE] = ""
    return tier


def write_tier(wire: dict[str, Any], tier: str | None, rest: dict[str, Any], losses: Losses) -> None:
    """Write a tier that is one of OpenAI's words, or came from this dialect; the note of that is taken out of `rest`."""
    if tier is None:
        return
    own = rest.get(_PLACE) == ""
    if own:
        del rest[_PLACE]
    if own or tier in TIERS:
        wire[_PLACE] = tier
    else:
        lost(losses, _PLACE, f"chat completions have no service tier {tier!r}")
