"""Which models can be called, by which names, and who serves them: the pools of candidates that schedulers see."""

import difflib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from jackfield.api import Candidate, ModelInfo, Principal, QuotaWindow, matches_any
from jackfield.credentials import Account

_MAX_PASSED_THROUGH: Final = 2048
"""Pools remembered for names that no list has: callers choose such names, so they must be bounded."""
_MAX_ALIAS_DEPTH: Final = 8
_SCHEME: Final = "://"


class Seat:
    """One credential and one upstream model that it may serve: the kernel's `Candidate`."""

    __slots__ = ("account", "credential", "id", "label", "model", "provider", "tier", "weight")

    def __init__(self, account: Account, model: str) -> None:
        credential = account.credential
        self.account = account
        self.id = f"{credential.id}/{model}"
        self.provider = credential.provider
        self.credential = credential.id
        self.label = credential.label
        self.model = model
        self.tier = credential.priority
        self.weight = credential.weight

    @property
    def in_flight(self) -> int:
        """Attempts that the credential is serving now, in this worker."""
        return self.account.in_flight

    @property
    def latency(self) -> float | None:
        """Mean seconds to the first byte."""
        return self.account.latency

    @property
    def last_used(self) -> float:
        """Unix time of the last use."""
        return self.account.last_used

    @property
    def health(self) -> str:
        """Whether it is fit to serve."""
        return "ok"

    @property
    def quota(self) -> Sequence[QuotaWindow]:
        """The account's quota windows."""
        return self.account.quota

    def __repr__(self) -> str:
        return f"Candidate({self.id})"


class SeatPool:
    """The kernel's `Pool`: candidates of the best tier are eligible."""

    __slots__ = ("_by_id", "_tried", "all", "direct", "eligible", "model", "revision", "turn")

    def __init__(self, model: str, seats: Sequence[Seat], tried: frozenset[str] = frozenset(), direct: bool = False) -> None:
        self.model = model
        self.all: Sequence[Seat] = seats
        self._tried = tried
        left = [seat for seat in seats if seat.id not in tried] if tried else list(seats)
        best = max((seat.tier for seat in left), default=0)
        self.eligible: Sequence[Seat] = [seat for seat in left if seat.tier == best]
        self._by_id = {seat.id: seat for seat in seats}
        self.revision = 1
        self.direct = direct
        """A plugin's own provider runs the call: no scheduler is asked."""
        self.turn = 0

    def without(self, tried: frozenset[str]) -> "SeatPool":
        """Return the pool as it looks to a call that has tried some candidates."""
        return SeatPool(self.model, self.all, tried)

    def why(self, candidate_id: str) -> str:
        """Return why a candidate is not eligible; `''` when it is."""
        seat = self._by_id.get(candidate_id)
        if seat is None:
            return "it is not a candidate for this model"
        if candidate_id in self._tried:
            return "it was tried in this round"
        return "" if seat in self.eligible else f"its tier {seat.tier} waits until no higher one is eligible"

    def least_busy(self) -> Candidate | None:
        """Return the eligible candidate with the fewest attempts in flight."""
        return min(self.eligible, key=lambda seat: seat.account.in_flight, default=None)

    def sample(self, n: int) -> Sequence[Candidate]:
        """Return up to `n` eligible candidates drawn at random, without repetition."""
        return random.sample(self.eligible, min(n, len(self.eligible)))

    def next_in_turn(self) -> Seat:
        """Return the eligible candidates in turn: the kernel's own choice when no scheduler makes one."""
        self.turn += 1
        return self.eligible[self.turn % len(self.eligible)]


class Registry:
    """The models of one set of accounts. Rebuilt when discovery or a reload changes what can be called."""

    def __init__(self, accounts: Sequence[Account], aliases: Mapping[str, str | tuple[str, ...]]) -> None:
        self._accounts = accounts
        self._aliases = aliases
        self._discovered: dict[str, Sequence[ModelInfo]] = {}
        self._extra: dict[str, list[ModelInfo]] = {}
        self._listed: dict[str, list[Seat]] = {}
        self._infos: dict[str, ModelInfo] = {}
        self._pools: dict[tuple[str | None, str], SeatPool | None] = {}
        self.revision = 0
        self._rebuild()

    def add_models(self, models: Iterable[tuple[str, ModelInfo]]) -> None:
        """Take in models that plugins registered for providers."""
        for provider, info in models:
            self._extra.setdefault(provider, []).append(info)
        self._rebuild()

    def discovered(self, credential: str, models: Sequence[ModelInfo]) -> None:
        """Take in what a provider's list says for one credential."""
        self._discovered[credential] = models
        self._rebuild()

    def _rebuild(self) -> None:
        listed: dict[str, list[Seat]] = {}
        infos: dict[str, ModelInfo] = {}
        for account in self._accounts:
            for info in self._models_of(account):
                for name in _prefixed(info.id, account):
                    listed.setdefault(name, []).append(Seat(account, info.upstream or info.id))
                    infos.setdefault(name, msgspec.structs.replace(info, id=name, owner=info.owner or account.provider.key))
            for alias, target in account.credential.aliases.items():
                for model in (target,) if isinstance(target, str) else target:
                    for name in _prefixed(alias, account):
                        listed.setdefault(name, []).append(Seat(account, model))
                        infos.setdefault(name, ModelInfo(id=name, owner=account.provider.key))
        self._listed, self._infos = listed, infos
        self._pools = {}
        self.revision += 1

    def _models_of(self, account: Account) -> list[ModelInfo]:
        """Return the models that a credential may serve and a list names."""
        credential, provider = account.credential, account.provider
        named = provider.models if provider.models != "discover" else self._discovered.get(credential.id, ())
        infos = [m if isinstance(m, ModelInfo) else ModelInfo(id=m) for m in named]
        infos += self._extra.get(provider.key, [])
        known = {info.id for info in infos}
        infos += [ModelInfo(id=m) for m in credential.models or () if "*" not in m and m not in known]
        return [info for info in infos if _may_serve(account, info.id)]

    def resolve(self, name: str, provider: str | None = None) -> SeatPool | None:
        """Return the pool for the name that a caller or router used; None when nobody could serve it.

        In order: `provider://model`; an alias of the configuration; a listed name; `provider/model` or
        `prefix/model`; a pattern of a provider.
        """
        key = (provider, name)
        if key in self._pools:
            return self._pools[key]
        if len(self._pools) > _MAX_PASSED_THROUGH + len(self._listed):
            self._pools = {}
        seats = self._seats(name, provider, 0)
        pool = self._pools[key] = SeatPool(name, seats) if seats else None
        return pool

    def _seats(self, name: str, provider: str | None, depth: int) -> list[Seat]:
        if _SCHEME in name:
            scheme, _, rest = name.partition(_SCHEME)
            return self._known(rest, scheme) if rest and provider in (None, scheme) else []
        target = self._aliases.get(name)
        if target is not None and depth < _MAX_ALIAS_DEPTH:
            targets = (target,) if isinstance(target, str) else target
            # An alias may stand for the model of the same name, narrowed or widened by others.
            return _once(s for t in targets for s in (self._known(t, provider) if t == name else self._seats(t, provider, depth + 1)))
        return self._known(name, provider)

    def _known(self, name: str, provider: str | None) -> list[Seat]:
        listed = [s for s in self._listed.get(name, ()) if provider in (None, s.provider)]
        return _once(listed) or self._passed_through(name, provider)

    def _passed_through(self, name: str, provider: str | None) -> list[Seat]:
        """Return who takes a name that no list has: named with its provider or a prefix, or fitting a provider's pattern."""
        found = []
        for account in self._accounts:
            key, prefix = account.provider.key, account.credential.prefix
            head, _, rest = name.partition("/")
            if provider == key:
                model = name
            elif provider is None and rest and head in (key, prefix):
                model = rest
            elif provider is None and matches_any(name, account.provider.patterns):
                model = name
            else:
                continue
            if _may_serve(account, model):
                found.append(Seat(account, model))
        return found

    def listing(self, principal: Principal) -> list[ModelInfo]:
        """Return the models that a principal can call now, in the order in which they were found, by name."""
        names = [*self._infos, *(alias for alias in self._aliases if alias not in self._infos)]
        allow = principal.allow
        shown = []
        for name in names:
            if (allow is None or allow.model(name)) and self.resolve(name) is not None:
                shown.append(self._infos.get(name) or ModelInfo(id=name))
        return shown

    def info(self, name: str) -> ModelInfo | None:
        """Return what is known of one model; None when nobody could serve it."""
        if self.resolve(name) is None:
            return None
        return self._infos.get(name) or ModelInfo(id=name)

    def near(self, name: str, principal: Principal) -> list[str]:
        """Return names that a caller may have meant."""
        names = {info.id.lower(): info.id for info in self.listing(principal)}
        return [names[n] for n in difflib.get_close_matches(name.lower()[:200], names, 3)]


def _prefixed(name: str, account: Account) -> list[str]:
    prefix = account.credential.prefix
    return [name, f"{prefix}/{name}"] if prefix else [name]


def _may_serve(account: Account, model: str) -> bool:
    credential = account.credential
    if credential.models is not None and not matches_any(model, credential.models):
        return False
    return not matches_any(model, credential.excluded)


def _once(seats: Iterable[Seat]) -> list[Seat]:
    return list({seat.id: seat for seat in seats}.values())

