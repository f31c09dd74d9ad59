"""Models as lists name them, and names with `*` in them: how models, dialects and providers are named in lists."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec


class ThinkingSupport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model can be told to think. One without levels and budget does not think."""

    levels: tuple[str, ...] = ()
    """The levels that it takes by name."""
    min: int | None = None
    """Least tokens of thought; None where it takes no budget."""
    max: int | None = None
    off: bool = True
    """It can be told not to think."""
    dynamic: bool = True
    """It can be left to decide by itself."""


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a model. Everything but the id may be missing; unknown is never refused."""

    id: str
    """The name that callers use."""
    upstream: str | None = None
    """The name that the provider uses, where it differs."""
    display_name: str | None = None
    owner: str | None = None
    created: int | None = None
    """Unix time, in seconds."""
    dialects: tuple[str, ...] = ()
    """The dialects in which it can be called upstream, where they differ from the provider's."""
    operations: tuple[str, ...] = ()
    """`generate`, `embed` ...; empty for any."""
    context: int | None = None
    """Most tokens of input and output together."""
    max_output: int | None = None
    """Most tokens of output."""
    input_modalities: tuple[str, ...] = ()
    output_modalities: tuple[str, ...] = ()
    thinking: ThinkingSupport | None = None
    """None: not known."""
    tiers: tuple[str, ...] = ()
    """Service tiers."""
    prices: dict[str, float] = {}
    """US dollars for a million tokens, by kind: `input`, `output`, `cache_read`, `cache_write`."""
    extensions: dict[str, Any] = {}
    """What the provider says beside that, by dialect. Provisional."""


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def matches(name: str, pattern: str) -> bool:
    """Tell whether `name` fits `pattern`, in which `*` stands for any text, also none."""
    return name == pattern if "*" not in pattern else _compiled(pattern).fullmatch(name) is not None


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Tell whether `name` fits one of the patterns."""
    return any(matches(name, pattern) for pattern in patterns)
