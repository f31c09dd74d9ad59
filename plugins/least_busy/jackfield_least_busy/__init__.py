"""The scheduler that picks whoever has the least to do."""

from __future__ import annotations

from jackfield.api import Call, Candidate, Pool, hook


@hook(needs=())
def pick_credential(call: Call, pool: Pool) -> Candidate | None:
    """Return the eligible candidate with the fewest attempts in flight in this process."""
    return pool.least_busy()
