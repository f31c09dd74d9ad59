"""What a pick costs when there are many candidates."""

from __future__ import annotations

import time
from typing import Any

import pytest

import jackfield_fastest
import jackfield_fill_first
import jackfield_least_busy
import jackfield_round_robin
import jackfield_weighted
from jackfield.api import Candidate, Credential, Pool, Provider
from jackfield.credentials import Account
from tests.plugins.pools import call


def real_pool(many: int) -> Pool:
    provider = Provider()
    held = [Credential(provider="toy", id=f"c{at}", label=f"c{at}", weight=1 + at % 5) for at in range(many)]
    return Pool("m", [Candidate(Account(one, provider), "m") for one in held])


def seconds_a_pick(plugin: Any, pool: Pool, among: int) -> float:
    """Return what a pick costs at its best, of several runs: other processes are at work beside."""
    one, best = call(), float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(among):
            plugin.pick_credential(one, pool)
        best = min(best, (time.perf_counter() - started) / among)
    return best


@pytest.mark.parametrize(
    "make",
    [
        jackfield_round_robin.Plugin,
        jackfield_weighted.Plugin,
        lambda: jackfield_fill_first,
        lambda: jackfield_least_busy,
        jackfield_fastest.Plugin,
    ],
    ids=["round_robin", "weighted", "fill_first", "least_busy", "fastest"],
)
def test_a_pick_among_thousands_costs_little_more_than_one_among_some(make: Any) -> None:
    few, many, plugin = real_pool(50), real_pool(5000), make()
    for pool in (few, many):
        seconds_a_pick(plugin, pool, 1)  # what is done once, when the pool has changed, is not meant
    for _ in range(3):
        ratio = seconds_a_pick(plugin, many, 500) / seconds_a_pick(plugin, few, 500)
        if ratio < 8:
            break
    assert ratio < 8, "a pick looks at all candidates"
