"""The scheduler that picks the faster of two candidates that were drawn at random.

With more than two the fastest of all would be picked by everybody at once, until it is the slowest. Of two that are drawn
each time, the better one gets the call (M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 1996).
"""

from __future__ import annotations

import time
from math import exp2
from typing import Final

import msgspec

from jackfield.api import Call, Candidate, Pool, hook

HALF_LIFE: Final = 60.0
"""Seconds without use after which a candidate counts as twice as fast as it was: so that nobody is left aside for ever."""
FORGOTTEN: Final = 30.0
"""Seconds after which half of the failures are forgotten."""
FAILURE: Final = 4.0
"""Attempts in flight that one failure counts as much as."""
MOST_CANDIDATES: Final = 10_000
"""Candidates whose failures are remembered."""


class Failures(msgspec.Struct):
    """How often a candidate has failed of late."""

    many: float = 0.0
    since: float = 0.0
    """Unix time at which there were so many."""

    def now(self, now: float) -> float:
        """Return how many there are left of them."""
        return self.many * exp2(-max(0.0, now - self.since) / FORGOTTEN)


class Plugin:
    """Weighs the time to the first byte by what is in flight and by what failed of late."""

    def __init__(self) -> None:
        self._failures: dict[str, Failures] = {}

    @hook(needs=())
    def pick_credential(self, call: Call, pool: Pool) -> Candidate | None:
        """Return the better of two eligible candidates; one that nobody has tried yet is the better one."""
        if (failed := call.state.get("picked")) is not None:  # the call needs another one: who was picked before has failed
            self._note(failed)
        drawn = pool.sample(2)
        known = [candidate.latency for candidate in drawn if candidate.latency is not None]
        picked = min(drawn, key=lambda candidate: self._cost(candidate, max(known, default=1.0)), default=None)
        if picked is not None:
            call.state["picked"] = picked.id
        return picked

    def _cost(self, candidate: Candidate, unknown: float) -> float:
        """Return the seconds that a candidate is expected to take; `unknown` stands for its latency while that is not known."""
        now, failures = time.time(), self._failures.get(candidate.id)
        load = candidate.in_flight + (FAILURE * failures.now(now) if failures is not None else 0.0)
        if candidate.latency is None:
            return unknown * load  # nothing, for one that is idle: it is tried
        return candidate.latency * exp2(-max(0.0, now - candidate.last_used) / HALF_LIFE) * (1 + load)

    def _note(self, candidate: str) -> None:
        if len(self._failures) >= MOST_CANDIDATES:
            self._failures.clear()
        now, failures = time.time(), self._failures.setdefault(candidate, Failures())
        failures.many, failures.since = failures.now(now) + 1, now
