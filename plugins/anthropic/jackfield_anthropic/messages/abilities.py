"""What models take, by their names: limits that requests must keep so as not to be refused.

Sources: Anthropic's guides "Migrating to Claude 4.5" (one of temperature and top_p), "What's new in Claude Opus 4.7" (no
sampling settings, no budgets of thought), "Mid-conversation system messages" (from Claude Opus 4.8 on), "Models overview"
(most tokens of output). A name that fits none is taken to be of a model that takes everything.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import msgspec

DEFAULT_LIMIT: Final = 32000
"""Tokens of output that are asked for where the caller names no limit: all but the oldest models take as many."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one model takes."""

    sampling: Literal["all", "one", "none"] = "all"
    """Of temperature and top_p: both; either; neither, and no top_k."""
    thinking: Literal["any", "budget", "adaptive", "none"] = "any"
    """How it is told to think: by budget or by effort; by budget; by effort; not at all."""
    system_inside: bool = False
    """System messages may stand among the others, after a user's."""
    prefill: bool = True
    """It goes on with an answer that has begun."""
    limit: int = DEFAULT_LIMIT
    """Tokens of output to ask for where the caller names no limit."""


_KNOWN: Final = (
    (re.compile(r"claude-3-(?:opus|sonnet|haiku)"), Abilities(limit=4096, thinking="none")),
    (re.compile(r"claude-3-5-"), Abilities(limit=8192, thinking="none")),
    (re.compile(r"claude-(?:[12](?:[.-]|$)|instant)"), Abilities(limit=4096, thinking="none")),
    (re.compile(r"claude-3-7-|claude-(?:opus|sonnet)-4(?:-0|-20\d{6}|$)"), Abilities(thinking="budget")),
    (re.compile(r"claude-(?:opus|sonnet|haiku)-4-[1-5](?!\d)"), Abilities(sampling="one", thinking="budget")),
    (re.compile(r"claude-(?:opus|sonnet|haiku)-4-6"), Abilities(sampling="one", prefill=False)),
    (re.compile(r"claude-opus-4-7|claude-sonnet-5(?!-\d(?!\d))"), Abilities(sampling="none", thinking="adaptive", prefill=False)),
    (re.compile(r"claude-"), Abilities(sampling="none", thinking="adaptive", prefill=False, system_inside=True)),
)
"""The first that is found in a name decides; prefixes of resellers may stand before it."""


@lru_cache(maxsize=1024)
def abilities_of(model: str) -> Abilities:
    """Return what a model takes."""
    return next((known for pattern, known in _KNOWN if pattern.search(model)), Abilities())
