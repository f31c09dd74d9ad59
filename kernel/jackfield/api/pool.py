"""The candidates for a model, and what a scheduler may answer."""

import random
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, count, islice
from operator import attrgetter
from typing import Any, Final

import msgspec

from jackfield.api.canonical import ThinkingConfig
from jackfield.api.canonical.hints import QuotaWindow

_REVISIONS: Final = count(1)


class Candidate:
    """One credential together with one upstream model that it may serve. Read-only to plugins.

    - `id`: stable: the credential's id and the upstream model, `acme:3f2a/some-model`.
    - `model`: the upstream's name of the model.
    - `provider`: the provider's key.
    - `credential`: the credential's id; `label`: what the operator calls it.
    - `tier`: higher ones come first; a lower one is eligible only when no higher one is.
    - `weight`: its share among those of its tier, 1.0 unless set.
    - `health`: `ok`, or why it is passed over: `rate limit until 12:31:05`.
    - `thinking`: how much the model is to think, where the name that was resolved says so; None leaves it to the request.

    The other figures are those of the credential and live: they change between two looks.
    """

    __slots__ = ("__weakref__", "account", "credential", "id", "label", "model", "provider", "thinking", "tier", "weight")

    in_flight: int = property(attrgetter("account.in_flight"))  # type: ignore[assignment]
    """Attempts that the credential is serving now, in this worker."""
    latency: float | None = property(attrgetter("account.latency"))  # type: ignore[assignment]
    """Seconds to the first byte: a decaying mean over the latest attempts. None before the first."""
    last_used: float = property(attrgetter("account.last_used"))  # type: ignore[assignment]
    """Unix time of the last use; 0.0 before the first."""
    quota: Sequence[QuotaWindow] = property(attrgetter("account.quota"))  # type: ignore[assignment]
    """The account's quota windows."""

    def __init__(self, account: Any, model: str, thinking: ThinkingConfig | None = None) -> None:
        held = account.credential
        self.account, self.model, self.id, self.thinking = account, model, f"{held.id}/{model}", thinking
        self.credential, self.provider, self.label, self.tier, self.weight = held.id, held.provider, held.label, held.priority, held.weight

    @property
    def health(self) -> str:
        """`ok`, or why it is passed over."""
        return self.account.why(self.model) or "ok"

    def __repr__(self) -> str:
        return f"Candidate({self.id})"


class Pool:
    """The candidates for one resolved model. Persistent: two calls for a model see the same pool. Read-only to plugins.

    - `model`: the name that was resolved.
    - `all`: all candidates.
    - `eligible`: those that may be picked now: healthy, of the best tier, not yet tried in this round. May be empty. A new
      list stands here when something has changed; one that was handed out never changes.
    - `revision`: another number, of no other pool, whenever `all` or `eligible` has changed.
    - `tried`: the ids of those that this round has tried.
    - `direct`: a plugin's own provider runs the call, no scheduler is asked.
    """

    all: Sequence[Candidate]
    _health: Any
    _accounts: frozenset[int]

    def __init__(
        self,
        model: str,
        candidates: Sequence[Candidate],
        *,
        direct: bool = False,
        tried: frozenset[str] = frozenset(),
        of: "Pool | None" = None,
    ) -> None:
        """`of` is the pool of which this is a view without those that were `tried`."""
        self.model, self.direct, self.tried, self.probed, self._turn, self._of = model, direct, tried, 0.0, 0, of
        if of is not None:
            self.all, self._health, self._accounts, self.probed, self._turn = of.all, of._health, of._accounts, of.probed, of._turn
            self._sort()
        else:
            self.replace(candidates)

    def replace(self, candidates: Sequence[Candidate]) -> None:
        """Take other candidates. For the kernel."""
        self.all = candidates
        self.__dict__.pop("_by_id", None)
        self._health = candidates[0].account.health if candidates else None
        self._accounts = frozenset(id(candidate.account) for candidate in candidates)
        self._sort()

    def _sort(self) -> None:
        self._seen = self._health.revision if self._health is not None else 0
        off = self._health is not None and bool(self._health.off)
        fit = [c for c in self._of.eligible if c.id not in self.tried] if self._of is not None else []
        if not fit:
            fit = [c for c in self.all if not ((off or c.account.resting) and c.account.rests(c.model))]
            fit = [c for c in fit if c.id not in self.tried] if self.tried else fit
            best = max((candidate.tier for candidate in fit), default=0)
            fit = [candidate for candidate in fit if candidate.tier == best]
        self._eligible, self.revision = fit, next(_REVISIONS)

    @property
    def eligible(self) -> list[Candidate]:
        """Those that may be picked now."""
        if self._health is not None and self._seen != self._health.revision:
            if self._health.touched(self._accounts, self._seen):
                self._sort()
            self._seen = self._health.revision
        return self._eligible

    def why(self, candidate_id: str) -> str:
        """Return why a candidate is not eligible; `''` when it is."""
        here, known = self.eligible, self._by_id.get(candidate_id)
        if known is None:
            return "it is not a candidate for this model"
        if candidate_id in self.tried:
            return "it was tried in this round"
        if known.account.rests(known.model):
            return str(known.account.why(known.model))
        return "" if here and here[0].tier == known.tier else "its tier waits until no higher one is eligible"

    @cached_property
    def _by_id(self) -> dict[str, Candidate]:
        return self._of._by_id if self._of is not None else {candidate.id: candidate for candidate in self.all}

    def least_busy(self) -> Candidate | None:
        """Return the eligible candidate with the fewest attempts in flight; of several that are idle, each in turn."""
        here = self.eligible
        self._turn += 1
        start, fewest = self._turn % max(1, len(here)), None
        for candidate in chain(islice(here, start, None), islice(here, start)):
            if candidate.account.in_flight == 0:
                return candidate
            if fewest is None or candidate.account.in_flight < fewest.account.in_flight:
                fewest = candidate
        return fewest

    def sample(self, n: int) -> Sequence[Candidate]:
        """Return up to `n` eligible candidates drawn at random, without repetition."""
        here = self.eligible
        return random.sample(here, min(n, len(here)))

    def next_in_turn(self) -> Candidate:
        """Return the eligible candidates in turn: the kernel's own choice when no scheduler makes one. Needs at least one."""
        here = self.eligible
        self._turn += 1
        return here[self._turn % len(here)]

    def without(self, tried: frozenset[str]) -> "Pool":
        """Return the pool as it looks to a call that has tried some candidates."""
        return Pool(self.model, self.all, direct=self.direct, tried=tried, of=self)


class Delegate(msgspec.Struct, frozen=True):
    """A scheduler's answer: let another scheduler decide this one."""

    scheduler: str
    """The id of a plugin."""


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduler's answer: nothing may serve this call now."""

    reason: str
    retry_after: float | None = None
    """Seconds."""


Pick = Candidate | Delegate | Deny | None
"""What `pick_credential` answers; None leaves the choice to the kernel."""
