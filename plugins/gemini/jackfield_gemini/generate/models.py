"""What requests to a model must look like, by the generation that its name tells.

Sources: Google's guides "Thought signatures" and "Thinking" (Gemini 3 wants signatures and takes levels), "Combine
built-in tools and function calling", "Structured outputs" beside tools, and "Function calling", section on multimodal
function responses (all from Gemini 3 on). A name that tells no generation is taken for a model of today that is strict
about nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

_GENERATION: Final = re.compile(r"(?:.*/)?gemini-(?:[a-z-]+-)?(\d+)(?:[.-]|$)")
_LATEST: Final = re.compile(r"(?:.*/)?gemini-[a-z-]*latest")


class Manners(msgspec.Struct, frozen=True, gc=False):
    """What a model wants and takes."""

    wants_signatures: bool = False
    """The first function call of a step must carry a thought signature."""
    takes_levels: bool = True
    """Thinking is set by level; else by budget alone."""
    takes_media_results: bool = True
    """Results of functions may hold pictures and documents."""
    combines_tools: bool = True
    """Functions may stand beside tools that Google runs."""
    forms_calls: bool = True
    """Functions may be given where the answer must be JSON."""
    must_allow_combining: bool = False
    """They may do so only if the request asks to be shown what Google ran."""


_OLD: Final = Manners(takes_levels=False, takes_media_results=False, combines_tools=False, forms_calls=False)
_NEW: Final = Manners(wants_signatures=True, must_allow_combining=True)
_UNKNOWN: Final = Manners()


@lru_cache(maxsize=1024)
def manners_of(model: str) -> Manners:
    """Return what a model wants and takes, by its name."""
    found = _GENERATION.match(model)
    if found is not None:
        return _OLD if int(found[1]) < 3 else _NEW
    if _LATEST.match(model) is not None:
        return _NEW
    return _OLD if "gemma-" in model else _UNKNOWN
