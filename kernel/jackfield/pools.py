"""Pools: the candidates for one resolved model, as schedulers see them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from jackfield.api import Candidate, QuotaWindow
from jackfield.credentials import Account


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

    def without(self, tried: frozenset[str]) -> SeatPool:
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
