"""The scheduler that picks each candidate as often as its weight says, spread as evenly as can be."""

from __future__ import annotations

from typing import Final

from jackfield.api import Call, Candidate, Pool, hook
from jackfield_weighted.turns import FEW, Turns, turns_for

MOST_CANDIDATES: Final = 50_000
"""Candidates whose turns are remembered, of all pools together; callers can make up names of models, so the number must be bounded."""


class Plugin:
    """Keeps the turns of each pool. They outlast its changes: who cannot be picked for a while neither loses nor gains by it."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str, str, bool], Turns] = {}

    @hook(needs=())
    def pick_credential(self, call: Call, pool: Pool) -> Candidate | None:
        """Return the eligible candidate whose turn it is."""
        here = pool.eligible
        if not here:
            return None
        everybody = pool.all
        # One name may be resolved within one provider, too.
        name = (pool.model, everybody[0].provider, everybody[-1].provider, len(everybody) <= FEW)
        return (self._turns.get(name) or self._begin(name, pool)).pick(here)

    def _begin(self, name: tuple[str, str, str, bool], pool: Pool) -> Turns:
        turns = turns_for(pool.all)
        while self._turns and sum(held.size for held in self._turns.values()) + turns.size > MOST_CANDIDATES:
            del self._turns[next(iter(self._turns))]
        self._turns[name] = turns
        return turns
