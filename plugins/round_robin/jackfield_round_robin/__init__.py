"""The scheduler that takes the candidates in turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from typing import Final

import msgspec

from jackfield.api import Call, Candidate, Pool, hook

MOST_POOLS: Final = 1024
"""Pools whose turn is remembered; callers can make up names of models, so the number must be bounded."""


class Turn(msgspec.Struct):
    """Who was picked last of a pool."""

    candidate: str
    at: int
    """Its place among those that were eligible then; it often stands there still."""


class Plugin:
    """Picks who stands after the one that was picked last. One that cannot be picked for a while keeps its place meanwhile."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str, str], Turn] = {}

    @hook(needs=())
    def pick_credential(self, call: Call, pool: Pool) -> Candidate | None:
        """Return the eligible candidate whose turn it is."""
        here = pool.eligible
        if not here:
            return None
        name = (pool.model, pool.all[0].provider, pool.all[-1].provider)  # one name may be resolved within one provider, too
        turn = self._turns.get(name)
        at = 0 if turn is None else _after(turn, pool.all, here)
        picked = here[at if at < len(here) else (at := 0)]
        if turn is None and len(self._turns) >= MOST_POOLS:
            self._turns.clear()
        self._turns[name] = Turn(picked.id, at)
        return picked


def _after(turn: Turn, everybody: Sequence[Candidate], here: Sequence[Candidate]) -> int:
    """Return the place of who comes after the one that was picked last, or one past the end."""
    if turn.at < len(here) and here[turn.at].id == turn.candidate:
        return turn.at + 1
    last = next((at for at, candidate in enumerate(everybody) if candidate.id == turn.candidate), None)
    if last is None:
        return turn.at
    eligible = {candidate.id: at for at, candidate in enumerate(here)}
    around = chain(islice(everybody, last + 1, None), islice(everybody, last + 1))
    return next((eligible[candidate.id] for candidate in around if candidate.id in eligible), 0)
