"""Which models can be called, by which names, and who serves them: the pools of candidates that schedulers see."""

from collections.abc import Callable, Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from jackfield.api import CALLS, Candidate, Credential, ModelInfo, Pool, Principal, Provider, matches_any
from jackfield.api.canonical import parse_suffix
from jackfield.api.canonical.models import Knowledge
from jackfield.api.canonical.names import Index, Naming, alias_of, as_listed, has_alias, near_names, newest_first, replaced_by, shown_as
from jackfield.credentials import Account
from jackfield.settings import Models

AUTO: Final = "auto"
"""Stands for the newest model that can be called, unless something has that name."""
_MOST_POOLS: Final = 8192
"""Names whose pools are remembered: callers may choose names that no list has, so they must be bounded."""
_MAX_ALIAS_DEPTH: Final = 8
_names_of = attrgetter("label", "prefix", "priority", "weight", "models", "excluded", "aliases", "base_url")
"""What of a credential decides by which names it is called, and what candidates show of it."""
_shown_of = attrgetter("account", "model", "thinking", "label", "tier", "weight")
"""What tells two candidates apart."""

Lists = dict[tuple[str, str | None], tuple[ModelInfo, ...]]
"""What providers' lists say, by the credential's id and the provider's base URL. Outlives generations."""


class Registry:
    """The models of a set of accounts, and further ones that plugins registered, as pairs of a provider's key and a model.

    `update` and `discovered` change it in place. A pool is looked at again when it is next asked for: it stays the same
    object, and nothing happens to it unless its candidates are others now.
    """

    def __init__(self, said: Models | None = None, added: Sequence[tuple[str, ModelInfo]] = (), lists: Lists | None = None) -> None:
        self.said, self.lists = said or Models(), {} if lists is None else lists
        self.aliases = {name: alias_of(meant) for name, meant in self.said.aliases.items()}
        self.replaced, self.naming = replaced_by(self.aliases), Naming(self.said.excluded, self.said.force_prefix)
        self.knowledge = Knowledge(self.said.catalogue, added)
        self.facts, self.known = self.knowledge.facts, self.knowledge.known
        self.accounts, self._entered = dict[str, Account](), dict[str, tuple[Account, Provider, Credential]]()
        self.looked: Callable[[Container[str]], object] = lambda edited: None
        """Told when somebody looks for models, and which credentials came, went or were edited."""
        self._named = Index[Candidate]()
        """Candidates by the names that lists and credentials' own aliases give them, and by credential."""
        self._revision, self._places = 0, dict[str, int]()
        self._slots = lru_cache(_MOST_POOLS)(lambda name, provider: list[Any]((-1, None)))
        """The pool of a name, and the revision at which it was looked at."""
        self._newest = lru_cache(1)(self._by_age)

    # --------------------------------------------------------------------------------------- what there is

    def update(self, accounts: Iterable[Account]) -> None:
        """Take other accounts. Only names of those that came, went or are others now are touched."""
        before, self.accounts = self._entered, {account.credential.id: account for account in accounts}
        self._entered = now = {name: (account, account.provider, account.credential) for name, account in self.accounts.items()}
        others = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        known = [(name, before[name], now[name]) for name in others if name in before and name in now]
        edited = set(others).difference(n for n, was, is_ in known if was[:2] == is_[:2] and _names_of(was[2]) == _names_of(is_[2]))
        if edited or list(before) != list(now):
            self._revision, self._places = self._revision + 1, {name: place for place, name in enumerate(now)}
        for name in edited:
            self._enter(name)
        if edited:
            self.looked(edited)

    def discovered(self, credential: str, models: Sequence[ModelInfo]) -> None:
        """Take in what a provider's list says for one credential."""
        if (account := self.accounts.get(credential)) is not None:
            listed, place = self.knowledge.hear(account.provider.key, models), list_of(account)
            if self.lists.get(place) != listed:
                self.lists[place] = listed
                self._revision += 1
                self._enter(credential)

    def _enter(self, credential: str) -> None:
        """Bring the names of a credential up to date."""
        names: dict[str, tuple[Candidate, ...]] = {}
        if (account := self.accounts.get(credential)) is not None:
            told = self.knowledge.hear(account.provider.key, self.lists.get(list_of(account), ()))
            meant = self.naming.names(account.credential, self.knowledge.listed(account.provider, told))
            made = {pair: Candidate(account, *pair) for pair in chain.from_iterable(meant.values())}
            names = {name: tuple([made[pair] for pair in pairs]) for name, pairs in meant.items()}
        self._named.put(credential, names)

    # ------------------------------------------------------------------------------------------- resolved

    def resolve(self, name: str, provider: str | None = None) -> Pool | None:
        """Return the pool for the name that a caller or router used; None when nobody could serve it.

        In order: `provider://model`; an alias, a credential's own before those of all; `provider/model` where that provider
        lists the model; a listed name, with or without a prefix; `auto`; `provider/model` or `prefix/model` that nobody
        lists; a pattern of a provider. Two calls for a name see the same pool.
        """
        name = self._meant(name, provider) if name.startswith(AUTO) else name
        slot = self._slots(name, provider)
        if slot[0] != self._revision:
            pool, candidates = slot[1], self._candidates(name, provider, 0)
            if pool is None or not candidates:
                slot[1] = Pool(name, candidates) if candidates else None
            elif pool.all != candidates and [*map(_shown_of, pool.all)] != [*map(_shown_of, candidates)]:
                pool.replace(candidates)
            slot[0] = self._revision
        return slot[1]  # type: ignore[no-any-return]

    def _candidates(self, name: str, provider: str | None, depth: int) -> list[Candidate]:
        base, thinking = parse_suffix(name)
        if thinking is not None and name not in self._named.names and name not in self.aliases:
            return [Candidate(c.account, c.model, thinking) for c in self._candidates(base, provider, depth)]
        scheme, spelled, rest = name.partition("://")
        if spelled:
            return self._served(rest, scheme) if rest and provider in (None, scheme) else []
        alias = self.aliases.get(name)
        if alias is None or depth >= _MAX_ALIAS_DEPTH:
            return [] if depth == 0 and name in self.replaced else self._served(name, provider)
        own = [c for c in self._held(name, provider) if has_alias(c.account.credential, name)]
        theirs, meant = {c.credential for c in own}, (self._meant(model, provider) for model in alias.models)
        # An alias may stand for the model of the same name, narrowed or widened by others.
        ways = [self._served(m, provider) if m == name else self._candidates(m, provider, depth + 1) for m in meant]
        return list({c.id: c for c in chain(own, (c for way in ways for c in way if c.credential not in theirs))}.values())

    def _served(self, name: str, provider: str | None) -> list[Candidate]:
        """Return who serves a name: the provider that it names where that one lists the rest, else who lists it, else who takes it."""
        head, _, rest = name.partition("/")
        if found := (self._held(rest, head) if provider is None else []) or self._held(name, provider):
            return found
        fits = {p for p in {account.provider for account in self.accounts.values()} if matches_any(name, p.patterns)}
        unlisted = ((a, self.naming.unlisted(a.credential, name, provider, a.provider in fits)) for a in self.accounts.values())
        return [Candidate(account, model) for account, model in unlisted if model]

    def _held(self, name: str, provider: str | None) -> list[Candidate]:
        """Return who lists a name or has it as an alias of its own, in the order of their credentials."""
        found = self._named.of(name, self._places)
        return found if provider is None else [c for c in found if c.provider == provider]

    def _meant(self, name: str, provider: str | None) -> str:
        """Return the name of the newest model that can be called for `auto`; any other as it is."""
        base, _ = parse_suffix(name)
        if base != AUTO or AUTO in self._named.names or AUTO in self.aliases:
            return name
        self.looked(())
        held = ((n, c) for n in self._newest(self._revision) for c in self._named.of(n) if provider in (None, c.provider))
        return next((n for n, c in held if not c.account.off), base) + name[len(base) :]

    def _by_age(self, revision: int) -> list[str]:
        first = {name: self._named.of(name)[0] for name in self._named.names if name not in self.replaced}
        return newest_first({name: (c.provider, self.known(c.account.provider, c.model)) for name, c in first.items()})

    # ---------------------------------------------------------------------------------------------- shown

    def listing(self, principal: Principal, operations: AbstractSet[str] = CALLS) -> list[ModelInfo]:
        """Return the models that a principal can call now for some of these operations, in the order in which they were found."""
        allow, names = principal.allow, dict.fromkeys((*self._named.names, *self.aliases))
        infos = [info for name in names if (allow is None or allow.model(name)) and (info := self.info(name)) is not None]
        return as_listed(infos, operations, self.said.list_variants)

    def info(self, name: str) -> ModelInfo | None:
        """Return what is known of one model; None when nobody can serve it now."""
        serving = next((c for c in self._candidates(self._meant(name, None), None, 0) if not c.account.off), None)
        if serving is None:
            return None
        alias = self.aliases.get(name) or serving.account.credential.aliases.get(name)
        return shown_as(name, self.known(serving.account.provider, serving.model), serving.provider, alias)

    def near(self, name: str, principal: Principal) -> list[str]:
        """Return names that a caller may have meant."""
        self.looked(())  # it may be new
        return near_names(name, [info.id for info in self.listing(principal)])


def list_of(account: Account) -> tuple[str, str | None]:
    return account.credential.id, getattr(account.provider, "base_url", None)
