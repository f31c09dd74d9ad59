"""The candidates for a model, and what a scheduler may answer."""

import random
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from jackfield.api.canonical import ThinkingConfig
from jackfield.api.canonical.hints import QuotaWindow


class Candidate:
    """One credential together with one upstream model that it may serve. Read-only to plugins.

    - `id`: stable: the credential's id and the upstream model, `acme:3f2a/some-model`.
    - `model`: the upstream's name of the model.
    - `provider`: the provider's key.
    - `credential`: the credential's id; `label`: what the operator calls it.
    - `tier`: higher ones come first; a lower one is eligible only when no higher one is.
    - `weight`: its share among those of its tier, 1.0 unless set.
    - `health`: `ok`, or why it is passed over.
    - `thinking`: how much the model is to think, where the name that was resolved says so; None leaves it to the request.

    The other figures are those of the credential and live: they change between two looks.
    """

    health = "ok"
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

    def __repr__(self) -> str:
        return f"Candidate({self.id})"


class Pool:
    """The candidates for one resolved model. Persistent: two calls for a model see the same pool. Read-only to plugins.

    - `model`: the name that was resolved.
    - `all`: all candidates.
    - `eligible`: those that may be picked now: of the best tier, not yet tried in this round. May be empty.
    - `revision`: grows when `eligible` changes.
    - `direct`: a plugin's own provider runs the call, no scheduler is asked.
    """

    def __init__(
        self, model: str, candidates: Sequence[Candidate], tried: frozenset[str] = frozenset(), direct: bool = False, turn: int = 0
    ) -> None:
        self.model, self.all, self.revision, self.direct = model, candidates, 1, direct
        self._tried, self._turn = tried, turn
        best = max((candidate.tier for candidate in candidates if candidate.id not in tried), default=0)
        self.eligible = [candidate for candidate in candidates if candidate.id not in tried and candidate.tier == best]

    def why(self, candidate_id: str) -> str:
        """Return why a candidate is not eligible; `''` when it is."""
        if candidate_id in self._tried or candidate_id in (candidate.id for candidate in self.eligible):
            return "it was tried in this round" if candidate_id in self._tried else ""
        known = candidate_id in (candidate.id for candidate in self.all)
        return "its tier waits until no higher one is eligible" if known else "it is not a candidate for this model"

    def least_busy(self) -> Candidate | None:
        """Return the eligible candidate with the fewest attempts in flight."""
        return min(self.eligible, key=lambda candidate: candidate.in_flight, default=None)

    def sample(self, n: int) -> Sequence[Candidate]:
        """Return up to `n` eligible candidates drawn at random, without repetition."""
        return random.sample(self.eligible, min(n, len(self.eligible)))

    def next_in_turn(self) -> Candidate:
        """Return the eligible candidates in turn: the kernel's own choice when no scheduler makes one. Needs at least one."""
        self._turn += 1
        return self.eligible[self._turn % len(self.eligible)]

    def without(self, tried: frozenset[str]) -> "Pool":
        """Return the pool as it looks to a call that has tried some candidates."""
        return Pool(self.model, self.all, tried, turn=self._turn)


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
