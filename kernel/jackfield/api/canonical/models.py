"""What is known of models, in words that no vendor owns."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from jackfield.api.models import matches


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


Facts = Sequence[tuple[str, ModelInfo]]
"""Who knows what of one model: the sources' names, and what they say. What stands first counts."""


def facts_of(model: str, sources: Iterable[tuple[str, Iterable[ModelInfo]]], provider: str = "") -> Facts:
    """Return what each source says of a model: its first entry whose id, in which `*` stands for any text, or upstream name fits.

    A `{}` in a source's name stands for the provider's key.
    """
    told = ((name, next((info for info in known if model == info.upstream or matches(model, info.id)), None)) for name, known in sources)
    return [(name.format(provider), info) for name, info in told if info is not None]


def merged(name: str, known: Iterable[ModelInfo]) -> ModelInfo:
    """Return one model's facts out of several: of each the first that says something."""
    told: dict[str, Any] = {}
    for info in known:
        for field, value in msgspec.structs.asdict(info).items():
            if value not in (None, (), {}):
                told.setdefault(field, value)
    return ModelInfo(**(told | {"id": name}))
