"""The scheduler that takes the candidates in turn."""

from __future__ import annotations

from typing import Final

from jackfield.api import Call, Candidate, Pool

MOST_CANDIDATES: Final = 10_000
"""Candidates whose turn is remembered; callers can make up names of models, so the number must be bounded."""


class Plugin:
    """Picks who has waited longest, so that the turns stay even when candidates come, go or fail."""

    def __init__(self) -> None:
        self._turn = 0
        self._latest: dict[str, int] = {}

    def pick_credential(self, call: Call, pool: Pool) -> Candidate | None:
        """Return the eligible candidate whose latest turn lies furthest back."""
        picked = min(pool.eligible, key=self._latest_turn, default=None)
        if picked is not None:
            if len(self._latest) >= MOST_CANDIDATES:
                self._latest.clear()
            self._turn += 1
            self._latest[picked.id] = self._turn
        return picked

    def _latest_turn(self, candidate: Candidate) -> int:
        return self._latest.get(candidate.id, 0)
