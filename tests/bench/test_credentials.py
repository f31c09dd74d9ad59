"""Thousands of credentials stay cheap: the bars of `tests.bench.credentials`, with room for a busy machine."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

import pytest

from jackfield.api.testing import Harness
from tests.bench.credentials import BARS, MANY, configuration, picks
from tests.virtual_time import virtual_time

ROOM = 10
"""Times as much as the bar."""


@pytest.mark.parametrize("scheduler", ["round_robin", "weighted", "least_busy"])
async def test_a_pick_among_thousands_is_quick(scheduler: str) -> None:
    plain, failed = await picks(scheduler, MANY)
    assert plain < BARS["pick"] * ROOM
    assert failed < 2_000 * ROOM


async def test_thousands_are_loaded_quickly() -> None:
    began = time.process_time()
    async with Harness(config=configuration("http://127.0.0.1:9", MANY)) as host:
        assert len(host.host.generation.accounts) >= MANY
        assert time.process_time() - began < BARS["load"] * ROOM


async def test_each_takes_little_memory() -> None:
    taken = [await _memory(many) for many in (1, 1, 1001)]  # what is made once for all is there by then
    assert (taken[2] - taken[1]) / 1000 / 1024 < BARS["memory"]


async def _memory(many: int) -> int:
    tracemalloc.start()
    try:
        async with Harness(config=configuration("http://127.0.0.1:9", many)) as host:
            assert host.host.generation.models.resolve("m", None) is not None
            return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_at_rest_they_cost_next_to_nothing() -> None:
    with virtual_time() as (_, runner):
        spent, seconds = runner.run(_rest())
    assert spent / seconds < BARS["rest"] / 100


async def _rest(seconds: float = 600.0) -> tuple[float, float]:
    """Return the CPU seconds that a host with thousands of credentials takes for so many of virtual time."""
    async with Harness(config=configuration("http://127.0.0.1:9", MANY)):
        began = time.process_time()
        await asyncio.sleep(seconds)
        return time.process_time() - began, seconds
