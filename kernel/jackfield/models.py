"""Which models can be called, by which names, and who serves them: the pools of candidates that schedulers see."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from jackfield.api import Candidate, ModelInfo, Pool, Principal, Provider, ThinkingSupport, matches_any
from jackfield.api.canonical import parse_suffix
from jackfield.api.canonical.models import Facts, facts_of, merged
from jackfield.credentials import Account

_MAX_PASSED_THROUGH: Final = 2048
"""Pools remembered for names that no list has: callers choose such names, so they must be bounded."""
_MAX_ALIAS_DEPTH: Final = 8
_SOURCES: Final = ("models.catalogue in the configuration", "the models of {}", "the list of {}", "the catalogue of {}")
"""Who tells of models; what stands first counts."""


class Registry:
    """The models of one set of accounts, and further ones that plugins registered, as pairs of a provider's key and a model."""

    def __init__(
        self,
        accounts: Sequence[Account],
        aliases: Mapping[str, str | tuple[str, ...]],
        extra: Sequence[tuple[str, ModelInfo]] = (),
        catalogue: Sequence[ModelInfo] = (),
        discovered: dict[str, Sequence[ModelInfo]] | None = None,
    ) -> None:
        self._accounts, self._aliases, self._extra, self._catalogue = accounts, aliases, extra, catalogue
        self._discovered = {} if discovered is None else discovered
        self._rebuild()

    def discovered(self, credential: str, models: Sequence[ModelInfo]) -> None:
        """Take in what a provider's list says for one credential."""
        self._discovered[credential] = models
        self._rebuild()

    def _rebuild(self) -> None:
        self._listed, self._infos = dict[str, list[Candidate]](), dict[str, ModelInfo]()
        for account in self._accounts:
            for info in self._models_of(account):
                self._list(account, info, info.upstream or info.id)
            for alias, target in account.credential.aliases.items():
                for model in (target,) if isinstance(target, str) else target:
                    self._list(account, ModelInfo(id=alias), model)
        self.resolve = lru_cache(_MAX_PASSED_THROUGH + len(self._listed))(self._pool)
        """Two calls for a name see the same pool."""
        self.thinking_of = lru_cache(_MAX_PASSED_THROUGH)(self._thinking_of)

    def _list(self, account: Account, info: ModelInfo, model: str) -> None:
        prefix = account.credential.prefix
        for name in (info.id, f"{prefix}/{info.id}") if prefix else (info.id,):
            self._listed.setdefault(name, []).append(Candidate(account, model))
            self._infos.setdefault(name, msgspec.structs.replace(info, id=name, owner=info.owner or account.provider.key))

    def _models_of(self, account: Account) -> list[ModelInfo]:
        """Return the models that a credential may serve and a list names."""
        credential, provider = account.credential, account.provider
        named = provider.models if provider.models != "discover" else self._discovered.get(credential.id, ())
        infos = [m if isinstance(m, ModelInfo) else ModelInfo(id=m) for m in named]
        infos += [info for key, info in self._extra if key == provider.key]
        infos += [ModelInfo(id=m) for m in credential.models or () if "*" not in m and m not in {info.id for info in infos}]
        return [info for info in infos if _may_serve(account, info.id)]

    def _pool(self, name: str, provider: str | None) -> Pool | None:
        """Return the pool for the name that a caller or router used; None when nobody could serve it.

        In order: `provider://model`; an alias of the configuration; a listed name; `provider/model` or
        `prefix/model`; a pattern of a provider.
        """
        candidates = self._candidates(name, provider, 0)
        return Pool(name, candidates) if candidates else None

    def _candidates(self, name: str, provider: str | None, depth: int) -> list[Candidate]:
        base, thinking = parse_suffix(name)
        if thinking is not None and name not in self._listed and name not in self._aliases:
            return [Candidate(c.account, c.model, thinking) for c in self._candidates(base, provider, depth)]
        scheme, spelled, rest = name.partition("://")
        if spelled:
            return self._known(rest, scheme) if rest and provider in (None, scheme) else []
        target = self._aliases.get(name)
        if target is None or depth >= _MAX_ALIAS_DEPTH:
            return self._known(name, provider)
        targets = (target,) if isinstance(target, str) else target
        # An alias may stand for the model of the same name, narrowed or widened by others.
        return _once(s for t in targets for s in (self._known(t, provider) if t == name else self._candidates(t, provider, depth + 1)))

    def _known(self, name: str, provider: str | None) -> list[Candidate]:
        """Return who lists a name; else who takes it although no list has it: named with its provider or a prefix, or by pattern."""
        if listed := _once(candidate for candidate in self._listed.get(name, ()) if provider in (None, candidate.provider)):
            return listed
        head, _, rest = name.partition("/")
        found = []
        for account in self._accounts:
            key, fits = account.provider.key, provider is None and matches_any(name, account.provider.patterns)
            named = provider is None and rest and head in (key, account.credential.prefix)
            model = rest if named else name if provider == key or fits else ""
            if model and _may_serve(account, model):
                found.append(Candidate(account, model))
        return found

    def listing(self, principal: Principal) -> list[ModelInfo]:
        """Return the models that a principal can call now, in the order in which they were found."""
        allow = principal.allow
        return [
            info
            for name in dict.fromkeys((*self._infos, *self._aliases))
            if (allow is None or allow.model(name)) and (info := self.info(name)) is not None
        ]

    def info(self, name: str) -> ModelInfo | None:
        """Return what is known of one model; None when nobody could serve it."""
        pool = self.resolve(name, None)
        if pool is None:
            return None
        known, serving = self._infos.get(name) or ModelInfo(id=name), pool.all[0]
        return merged(name, [*(info for _, info in self.facts(serving.account.provider, serving.model)), known])

    def facts(self, provider: Provider, model: str) -> Facts:
        """Return who knows what of an upstream's model."""
        given = (m for m in provider.models if isinstance(m, ModelInfo) and model in (m.id, m.upstream))
        listed = (info for found in self._discovered.values() for info in found if model == info.id)
        configured, catalogue = self._catalogue, provider.catalogue
        return facts_of(model, zip(_SOURCES, (configured, given, listed, catalogue), strict=True), provider.key)

    def _thinking_of(self, provider: Provider, model: str) -> ThinkingSupport | None:
        """Return how an upstream's model can be told to think; None when nobody knows."""
        return next((facts.thinking for _, facts in self.facts(provider, model) if facts.thinking is not None), None)

    def near(self, name: str, principal: Principal) -> list[str]:
        """Return names that a caller may have meant."""
        names = {info.id.lower(): info.id for info in self.listing(principal)}
        return [names[n] for n in difflib.get_close_matches(name.lower()[:200], names, 3)]


def _may_serve(account: Account, model: str) -> bool:
    served, excluded = account.credential.models, account.credential.excluded
    return (served is None or matches_any(model, served)) and not matches_any(model, excluded)


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    return list({candidate.id: candidate for candidate in candidates}.values())
