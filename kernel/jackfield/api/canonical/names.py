"""Names of models: what callers may call them, with aliases, prefixes and levels of thought."""

import difflib
from collections.abc import Iterable, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Generic, Protocol, TypeVar

import msgspec

from jackfield.api.canonical.models import ModelInfo
from jackfield.api.canonical.request import ThinkingConfig
from jackfield.api.canonical.thinking import parse_suffix
from jackfield.api.models import matches_any


class Alias(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a further name leads to, said in full."""

    model: str | tuple[str, ...]
    """The model, or several that make one pool."""
    fork: bool = True
    """The models keep names of their own; else the alias replaces these, and they are neither listed nor found."""
    display_name: str | None = None
    """What lists call it, where that is not what the model is called."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it leads to."""
        return (self.model,) if isinstance(self.model, str) else self.model


def alias_of(said: str | tuple[str, ...] | Alias) -> Alias:
    """Return an alias said in full, whichever way it was written."""
    return said if isinstance(said, Alias) else Alias(said)


def replaced_by(aliases: Mapping[str, Alias]) -> set[str]:
    """Return the names that aliases replace."""
    return {model for alias in aliases.values() if not alias.fork for model in alias.models} - aliases.keys()


class Holder(Protocol):
    """A credential, as far as names are concerned."""

    @property
    def provider(self) -> str:
        """The provider's key."""

    @property
    def prefix(self) -> str | None:
        """What may stand before its models' names."""

    @property
    def models(self) -> tuple[str, ...] | None:
        """Patterns of the models that it may serve."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Patterns of those that it may not."""

    @property
    def aliases(self) -> Mapping[str, str | tuple[str, ...] | Alias]:
        """Further names, and what they lead to."""


Named = tuple[str, ThinkingConfig | None]
"""An upstream's model, and how much it is to think where the name that leads to it says so."""


class Naming:
    """By which names the models of credentials are called, under the rules that hold for all of them."""

    def __init__(self, excluded: Sequence[str] = (), force_prefix: bool = False) -> None:
        self._excluded, self._force = excluded, force_prefix

    def serves(self, held: Holder, model: str) -> bool:
        """Tell whether a credential may serve a model."""
        if self._excluded and (matches_any(model, self._excluded) or matches_any(f"{held.provider}/{model}", self._excluded)):
            return False
        return (held.models is None or matches_any(model, held.models)) and not matches_any(model, held.excluded)

    def names(self, held: Holder, infos: Sequence[ModelInfo]) -> dict[str, list[Named]]:
        """Return by which names a credential's models are called, and what each means.

        These are the names of the list and those that the credential spells out, then its own aliases; all of
        them with its prefix too, or with it alone.
        """
        listed: dict[str, list[str]] = {}
        there = {info.id for info in infos}
        spelled = [ModelInfo(id=name) for name in held.models or () if "*" not in name and name not in there]
        for info in (*infos, *spelled):
            if self.serves(held, info.id):
                listed.setdefault(info.id, []).append(info.upstream or info.id)
        own = {name: alias_of(said) for name, said in held.aliases.items()}
        gone = replaced_by(own)
        names: dict[str, list[Named]] = {name: [(model, None) for model in models] for name, models in listed.items() if name not in gone}
        for name, alias in own.items():
            meant = [(said, None) if said in listed else parse_suffix(said) for said in alias.models]
            names[name] = [(model, thinking) for said, thinking in meant for model in listed.get(said, (said,))]
        plain = {name: list({pair[0]: pair for pair in pairs}.values()) for name, pairs in names.items() if pairs}
        if not held.prefix:
            return plain
        return ({} if self._force else plain) | {f"{held.prefix}/{name}": pairs for name, pairs in plain.items()}

    def unlisted(self, held: Holder, name: str, within: str | None, fits: bool) -> str:
        """Return what a credential's provider calls a name that no list has; `''` where that does not lead to it.

        `within` is the provider that is meant, where that is known; `fits` tells that the name fits one of the
        provider's patterns.
        """
        head, _, rest = name.partition("/")
        named = held.provider == (within or (rest and head))
        model, prefix = rest if named and within is None else name, f"{held.prefix}/"
        if within not in (None, held.provider):
            return ""
        if held.prefix and model.startswith(prefix):
            model = model.removeprefix(prefix)
        elif not (named or (fits and within is None)) or (held.prefix and self._force):
            return ""
        return model if self.serves(held, model) else ""


T = TypeVar("T")


class Index(Generic[T]):
    """What stands under each name, by who put it there."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, tuple[T, ...]]] = {}
        self._of: dict[str, tuple[str, ...]] = {}

    @property
    def names(self) -> KeysView[str]:
        """The names under which something stands."""
        return self._held.keys()

    def of(self, name: str, places: Mapping[str, int] | None = None) -> list[T]:
        """Return everything that stands under a name, in the order of its holders' places if these are given."""
        held = self._held.get(name, {})
        if places is None or len(held) < 2:
            return list(chain.from_iterable(held.values()))
        return [thing for holder in sorted(held, key=places.__getitem__) for thing in held[holder]]

    def put(self, holder: str, things: Mapping[str, tuple[T, ...]]) -> None:
        """Replace all that a holder has put under names."""
        for name in self._of.pop(holder, ()):
            if name not in things:
                del self._held[name][holder]
                if not self._held[name]:
                    del self._held[name]
        for name, held in things.items():
            self._held.setdefault(name, {})[holder] = held
        if things:
            self._of[holder] = tuple(things)


def has_alias(held: Holder, name: str) -> bool:
    """Tell whether a credential has an alias of its own of that name, with or without its prefix."""
    return bool(held.aliases) and (name in held.aliases or name.removeprefix(f"{held.prefix}/") in held.aliases)


def shown_as(name: str, known: ModelInfo, owner: str, alias: str | tuple[str, ...] | Alias | None) -> ModelInfo:
    """Return what is known of a model as a list shows it under one of its names."""
    title = alias.display_name if isinstance(alias, Alias) else None
    return msgspec.structs.replace(known, id=name, owner=known.owner or owner, display_name=title or known.display_name)


def serves(info: ModelInfo, operation: str) -> bool:
    """Tell whether a model may be fit for an operation. What generates is counted and made compact too."""
    return not info.operations or ("embed" if operation == "embed" else "generate") in info.operations


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return which of some names are near to one that is none of them, whatever the case."""
    lower = {known.lower(): known for known in names}
    return [lower[near] for near in difflib.get_close_matches(name.lower()[:200], lower, 3)]


class Place(Protocol):
    """A route, as far as it is told to a caller."""

    @property
    def method(self) -> str:
        """The HTTP method."""

    @property
    def path(self) -> str:
        """The path."""

    @property
    def operation(self) -> str:
        """What it is for."""


class Spoken(Protocol):
    """A dialect, as far as its routes are told to a caller."""

    @property
    def endpoints(self) -> Sequence[Place]:
        """Its routes."""


def for_others(name: str, operation: str, info: ModelInfo, dialects: Iterable[Spoken]) -> str:
    """Return what to tell a caller whose operation a model is not fit for: which it serves, and where these are asked for."""
    places = (place for dialect in dialects for place in dialect.endpoints)
    place = next((f"call it at {p.method} {p.path}" for p in places if p.operation in info.operations), "nothing here serves that")
    return f"the model {name!r} is for {' and '.join(info.operations)}, not for {operation}: {place}"


def newest_first(known: Mapping[str, tuple[str, ModelInfo]]) -> list[str]:
    """Return the names of models that write text, those that were `created` last first; given each one's provider and facts.

    A model of which that is not known is among them where nothing of that kind is known of any model of its provider.
    """
    telling = {provider for provider, info in known.values() if info.output_modalities}
    fit = {
        name: info.created or 0
        for name, (provider, info) in known.items()
        if serves(info, "generate") and ("text" in info.output_modalities if info.output_modalities else provider not in telling)
    }
    return sorted(fit, key=fit.__getitem__, reverse=True)


def as_listed(infos: Iterable[ModelInfo], operations: AbstractSet[str], levels: Sequence[str]) -> list[ModelInfo]:
    """Return the models that may be fit for one of some operations, then once more for each level at which they are known to think."""
    fit = [info for info in infos if not info.operations or not operations.isdisjoint(info.operations)]
    return fit + [
        msgspec.structs.replace(info, id=f"{info.id}({level})", display_name=info.display_name and f"{info.display_name} ({level})")
        for info in fit
        for level in levels
        if (can := info.thinking) is not None
        and ((can.off and bool(can.levels or can.max)) if level == "none" else level in can.levels if can.levels else can.max is not None)
    ]
