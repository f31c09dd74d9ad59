"""What is known of models, in words that no vendor owns."""

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Protocol, overload

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


class _CatalogueFile(msgspec.Struct, forbid_unknown_fields=True):
    as_of: str
    sources: tuple[str, ...]
    note: str
    models: list[dict[str, Any]]


class Catalogue(Sequence[ModelInfo]):
    """What a provider's plugin knows of models, from a JSON file in its package; the file is read at the first question.

    The file has `as_of` (a day), `sources`, `note` and `models`: objects with the fields of `ModelInfo` but `ids`, a list, in
    place of `id`. Those of special names stand first.
    """

    def __init__(self, beside: str, *, owner: str, file: str = "catalogue.json") -> None:
        """`beside` is a module's `__file__`, in whose folder the file lies."""
        self._path, self._owner = Path(beside).with_name(file), owner

    @cached_property
    def _file(self) -> _CatalogueFile:
        return msgspec.json.decode(self._path.read_bytes(), type=_CatalogueFile)

    @cached_property
    def _models(self) -> tuple[ModelInfo, ...]:
        said = ({"owner": self._owner, **facts} for facts in self._file.models)
        return tuple(msgspec.convert({**facts, "id": name}, ModelInfo) for facts in said for name in facts.pop("ids"))

    @property
    def as_of(self) -> str:
        """The day of the facts, as `2026-11-29`."""
        return self._file.as_of

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the facts are from."""
        return self._file.sources

    def __len__(self) -> int:
        return len(self._models)

    @overload
    def __getitem__(self, index: int) -> ModelInfo: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ModelInfo]: ...
    def __getitem__(self, index: int | slice) -> ModelInfo | Sequence[ModelInfo]:
        return self._models[index]


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


_SOURCES: Final = ("models.catalogue in the configuration", "the models of {}", "the list of {}", "the catalogue of {}")
"""Who tells of models; what stands first counts."""
_MOST_REMEMBERED: Final = 8192


class Described(Protocol):
    """A provider, as far as it tells of models."""

    key: str
    models: Sequence[ModelInfo | str] | Literal["discover"]
    catalogue: Sequence[ModelInfo]

    def dialects_of(self, model: str) -> Sequence[str]:
        """Return the dialects in which a model can be called, best first."""


class Knowledge:
    """What is known of models, from all who tell of them.

    `configured` is what the operator says, `added` are pairs of a provider's key and a model that plugins add.
    """

    def __init__(self, configured: Sequence[ModelInfo] = (), added: Sequence[tuple[str, ModelInfo]] = ()) -> None:
        self._configured, self._added, self._told = configured, added, dict[tuple[str, str], ModelInfo]()
        self.known = lru_cache(_MOST_REMEMBERED)(self._known)
        """Returns what is known of a provider's model, given the provider and the provider's name of the model."""

    def hear(self, provider: str, models: Iterable[ModelInfo]) -> tuple[ModelInfo, ...]:
        """Take in a provider's list, and return it; equal entries of several lists are the same objects."""
        told = ((self._told.get((provider, info.id)), info) for info in models)
        listed = tuple(info if before != info or before is None else before for before, info in told)
        for info in listed:
            if self._told.get((provider, info.id)) is not info:
                self._told[provider, info.id] = info
                self.known.cache_clear()
        return listed

    def listed(self, provider: Described, told: Sequence[ModelInfo]) -> list[ModelInfo]:
        """Return all models of a provider that somebody lists: its plugin, else its own list, and those that plugins add."""
        named = told if provider.models == "discover" else provider.models
        infos = [model if isinstance(model, ModelInfo) else ModelInfo(id=model) for model in named]
        return [*infos, *(info for key, info in self._added if key == provider.key)]

    def facts(self, provider: Described, model: str) -> Facts:
        """Return who knows what of a provider's model."""
        added = [info for key, info in self._added if key == provider.key]
        given = [m for m in (*provider.models, *added) if isinstance(m, ModelInfo) and model in (m.id, m.upstream)]
        listed = [info] if (info := self._told.get((provider.key, model))) is not None else []
        return facts_of(model, zip(_SOURCES, (self._configured, given, listed, provider.catalogue), strict=True), provider.key)

    def _known(self, provider: Described, model: str) -> ModelInfo:
        return merged(model, [info for _, info in self.facts(provider, model)])

    def dialects_of(self, provider: Described, model: str) -> Sequence[str]:
        """Return the dialects in which a provider's model can be called: as somebody says of it, else as the provider does."""
        told: ModelInfo = self.known(provider, model)  # type: ignore[arg-type]  # a provider can be hashed
        return told.dialects or provider.dialects_of(model)
