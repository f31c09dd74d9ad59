"""Whose turn it is, by weight: exactly for few candidates, quickly for many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Final, Protocol

from jackfield.api import Candidate

FEW: Final = 24
"""Candidates of a pool up to which all of them are looked at for each pick."""


class Turns(Protocol):
    """The turns of one pool."""

    size: int
    """How many candidates are remembered."""

    def pick(self, here: Sequence[Candidate]) -> Candidate:
        """Return whose turn it is, of those that are eligible: a list that stays the same one until it changes."""


def turns_for(everybody: Sequence[Candidate]) -> Turns:
    """Return the turns of a pool that has these candidates."""
    return Few() if len(everybody) <= FEW else Many(everybody)


class Few:
    """Smooth weighted round robin, as nginx has it (src/http/ngx_http_upstream_round_robin.c, since 1.3.1).

    At each pick everybody gains their weight; who then has most is picked and pays what all have gained. Weights of 5, 1
    and 1 give a a b a c a a. Who is not here keeps what they have.
    """

    size = FEW

    def __init__(self) -> None:
        self._held: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._here: Sequence[Candidate] = ()

    def pick(self, here: Sequence[Candidate]) -> Candidate:
        """Return whose turn it is, of those that are eligible."""
        if here is not self._here:
            self._look(here)
        held, total, best, most = self._held, 0.0, here[0], -math.inf
        for candidate in here:
            weight, name = candidate.weight, candidate.id
            total += weight
            held[name] = has = held[name] + weight
            if has > most:
                best, most = candidate, has
        held[best.id] -= total
        return best

    def _look(self, here: Sequence[Candidate]) -> None:
        """Take in that others are eligible. Where somebody's weight is another now, what all have means nothing any more."""
        weights = {candidate.id: candidate.weight for candidate in here}
        if len(self._held) > 4 * FEW or any(self._weights.get(name, weight) != weight for name, weight in weights.items()):
            self._held, self._weights = {}, {}
        self._weights.update(weights)
        self._held = dict.fromkeys(weights, 0.0) | self._held
        self._here = here


class Many:
    """Each candidate is due every `1 / weight`; who is due first is picked. The work for a pick grows with the logarithm of their number.

    In the long run everybody is picked as often as in smooth weighted round robin, and they start at different times, so
    that those of one weight do not come all in a row.
    """

    def __init__(self, everybody: Sequence[Candidate]) -> None:
        self.size = len(everybody)
        self._due: list[tuple[float, int, Candidate]] = []
        """A heap of those that were eligible when they were last looked at; the number settles ties."""
        self._waiting: dict[Candidate, float] = {}
        """Those that were not, and when they were due."""
        self._known: set[Candidate] = set()
        self._eligible: frozenset[Candidate] = frozenset()
        self._here: Sequence[Candidate] = ()
        self._now, self._order = 0.0, count()

    def pick(self, here: Sequence[Candidate]) -> Candidate:
        """Return who is due, of those that are eligible."""
        if here is not self._here:
            self._look(here)
        heap = self._due
        while heap[0][2] not in self._eligible:
            due, _, candidate = heappop(heap)
            self._waiting[candidate] = due
        self._now, _, candidate = heap[0]
        heapreplace(heap, (self._now + 1 / candidate.weight, next(self._order), candidate))
        return candidate

    def _look(self, here: Sequence[Candidate]) -> None:
        """Take in that others are eligible: who comes back is due when they would have been, had they been picked meanwhile."""
        self._here, self._eligible = here, frozenset(here)
        if len(self._known) > 2 * max(self.size, len(here)):  # most of them have left for good
            self._due, self._waiting, self._known = [], {}, set()
        new = [candidate for candidate in here if candidate not in self._known] if self._eligible - self._known else []
        self._known.update(new)
        for at, candidate in enumerate(new):
            self._push(candidate, self._now + (at + 0.5) / (len(new) * candidate.weight))
        for candidate in [candidate for candidate in self._waiting if candidate in self._eligible]:
            due = self._waiting.pop(candidate)
            missed = max(0, math.ceil((self._now - due) * candidate.weight))
            self._push(candidate, due + missed / candidate.weight)

    def _push(self, candidate: Candidate, due: float) -> None:
        heappush(self._due, (due, next(self._order), candidate))
