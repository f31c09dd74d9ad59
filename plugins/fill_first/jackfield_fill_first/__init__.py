"""The scheduler that stays with the first candidate until it cannot be picked any more."""

from __future__ import annotations

from jackfield.api import Call, Candidate, Pool, hook


@hook(needs=())
def pick_credential(call: Call, pool: Pool) -> Candidate | None:
    """Return the eligible candidate that comes first, in the order in which credentials are listed."""
    return next(iter(pool.eligible), None)
