"""What is special about values in memory: they take up no room when nobody needs them any more. The rest is in tests/conformance."""

from __future__ import annotations

import asyncio

import pytest

import jackfield_memory
from jackfield.api import Host
from jackfield.api.testing import Harness
from jackfield_memory import SWEEP_MOST, Config, MemoryStore
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(jackfield_memory, "SWEEP_EVERY", 0.0)
    return MemoryStore(Config(), clock)


async def until_it_holds(store: MemoryStore, count: int) -> None:
    async with asyncio.timeout(10):
        while len(store) != count:
            await asyncio.sleep(0)


async def test_what_has_expired_is_dropped_without_anybody_asking(store: MemoryStore, clock: Clock) -> None:
    for number in range(3 * SWEEP_MOST):
        await store.set(f"session-{number}", b"x", ttl=1)
    await store.add("counted", ttl=1)
    await store.set("kept", b"x")
    await store.set("still kept", b"x", ttl=10)
    clock.now += 2
    await until_it_holds(store, 2)
    assert (await store.get("kept"), await store.get("still kept")) == (b"x", b"x")
    clock.now += 10
    await until_it_holds(store, 1)


async def test_dropping_holds_nobody_up_and_begins_again_with_the_next_value(store: MemoryStore, clock: Clock) -> None:
    await store.set("first", b"x", ttl=1)
    clock.now += 2
    await until_it_holds(store, 0)
    for number in range(3 * SWEEP_MOST):
        await store.set(f"session-{number}", b"x", ttl=1)
    clock.now += 2
    held = {len(store)}
    async with asyncio.timeout(10):
        while len(store):
            await asyncio.sleep(0)
            held.add(len(store))
    assert sorted(held) == [number * SWEEP_MOST for number in range(4)]


async def test_a_value_that_was_set_anew_is_dropped_at_its_latest_time_alone(store: MemoryStore, clock: Clock) -> None:
    await store.set("short", b"x", ttl=1)
    await store.set("long", b"x", ttl=1)
    await store.set("long", b"x", ttl=5)
    await store.set("for good", b"x", ttl=1)
    await store.set("for good", b"x")
    clock.now += 2
    await until_it_holds(store, 2)
    clock.now += 4
    await until_it_holds(store, 1)
    assert await store.get("for good") == b"x"


async def test_the_same_few_names_set_again_and_again_take_up_no_more_room(store: MemoryStore) -> None:
    for number in range(20 * SWEEP_MOST):
        await store.set(f"session-{number % 10}", b"x", ttl=3600)
    assert len(store._expiring) <= 2 * SWEEP_MOST


async def test_a_store_that_was_closed_looks_no_more(store: MemoryStore, clock: Clock) -> None:
    await store.set("session", b"x", ttl=1)
    await store.close()
    clock.now += 2
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(store) == 1


async def test_values_are_gone_with_the_host(store: MemoryStore) -> None:
    hosts: list[Host] = []

    class One:
        id = "one"

        def __init__(self, host: Host) -> None:
            hosts.append(host)

    for _ in range(2):
        async with Harness([One]):
            assert await hosts[-1].state.add("starts") == 1
