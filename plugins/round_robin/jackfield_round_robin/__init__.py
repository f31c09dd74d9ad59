"""The scheduler that takes the candidates in turn."""

from __future__ import annotations

from jackfield.api import Call, Candidate, Pool

MOST_MODELS = 10_000
"""Models whose turn is remembered; callers can make up names, so the number must be bounded."""

_turns: dict[str, int] = {}


def pick_credential(call: Call, pool: Pool) -> Candidate | None:
    """Return the candidate after the one that was picked last for this model."""
    eligible = pool.eligible
    if not eligible:
        return None
    if len(_turns) > MOST_MODELS:
        _turns.clear()
    turn = _turns[pool.model] = _turns.get(pool.model, -1) + 1
    return eligible[turn % len(eligible)]
