"""Values in memory, and the names under which plugins keep them."""

from __future__ import annotations

import asyncio

import pytest

from jackfield.api import Host
from jackfield.api.testing import Harness
from jackfield_memory import SWEEP_AFTER, MemoryStore, register_state_stores


class Clock:
    """The time, as the test has it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("jackfield_memory.time.monotonic", made)
    return made


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore()


async def test_a_value_is_kept_replaced_and_forgotten(store: MemoryStore) -> None:
    assert await store.get("a") is None
    assert await store.set("a", b"1")
    assert await store.set("a", b"\x00\xff")
    assert await store.get("a") == b"\x00\xff"
    assert await store.get("A") is None
    await store.delete("a")
    await store.delete("a")
    assert await store.get("a") is None


async def test_an_empty_value_is_a_value(store: MemoryStore) -> None:
    await store.set("a", b"")
    assert await store.get("a") == b""
    assert not await store.set("a", b"2", if_absent=True)


async def test_a_value_is_gone_when_its_time_is_over(store: MemoryStore, clock: Clock) -> None:
    await store.set("a", b"1", ttl=5)
    clock.now += 4.9
    assert await store.get("a") == b"1"
    clock.now += 0.1
    assert await store.get("a") is None


@pytest.mark.parametrize("ttl", [0, -1, 0.0])
async def test_a_time_that_is_over_already_keeps_nothing(store: MemoryStore, ttl: float) -> None:
    await store.set("a", b"1", ttl=ttl)
    assert await store.get("a") is None


async def test_setting_anew_sets_the_time_anew(store: MemoryStore, clock: Clock) -> None:
    await store.set("a", b"1", ttl=5)
    await store.set("a", b"2")
    clock.now += 100
    assert await store.get("a") == b"2"


async def test_only_the_first_sets_where_nothing_is(store: MemoryStore, clock: Clock) -> None:
    assert await asyncio.gather(*(store.set("lease", str(n).encode(), ttl=5, if_absent=True) for n in range(3))) == [True, False, False]
    assert await store.get("lease") == b"0"
    clock.now += 5
    assert await store.set("lease", b"9", ttl=5, if_absent=True)
    assert await store.get("lease") == b"9"


async def test_a_refused_value_changes_neither_value_nor_time(store: MemoryStore, clock: Clock) -> None:
    await store.set("a", b"1", ttl=5)
    await store.set("a", b"2", ttl=50, if_absent=True)
    clock.now += 5
    assert await store.get("a") is None


async def test_a_counter_starts_at_nothing(store: MemoryStore) -> None:
    assert [await store.add("n"), await store.add("n", 5), await store.add("n", -2)] == [1, 6, 4]
    assert await store.get("n") == b"4"


async def test_a_counter_never_passes_its_maximum(store: MemoryStore) -> None:
    assert [await store.add("n", 2, maximum=5) for _ in range(4)] == [2, 4, None, None]
    assert await store.add("n", 1, maximum=5) == 5
    assert await store.get("n") == b"5"
    assert await store.add("n", -1, maximum=5) == 4


async def test_what_is_too_much_at_once_leaves_no_counter(store: MemoryStore) -> None:
    assert await store.add("n", 6, maximum=5) is None
    assert await store.get("n") is None


async def test_a_counter_that_fell_to_nothing_is_still_there(store: MemoryStore) -> None:
    await store.add("n", 1)
    assert await store.add("n", -1) == 0
    assert await store.get("n") == b"0"
    assert not await store.set("n", b"9", if_absent=True)


async def test_the_time_of_a_counter_runs_from_its_first_addition(store: MemoryStore, clock: Clock) -> None:
    await store.add("n", ttl=10)
    clock.now += 6
    assert await store.add("n", ttl=10) == 2
    clock.now += 4
    assert await store.get("n") is None
    assert await store.add("n", ttl=10) == 1
    clock.now += 9
    assert await store.add("n") == 2


async def test_adding_at_once_loses_nothing(store: MemoryStore) -> None:
    granted = await asyncio.gather(*(store.add("n", maximum=50) for _ in range(200)))
    assert sorted(n for n in granted if n is not None) == list(range(1, 51))


async def test_a_counter_may_begin_with_a_number_that_was_set(store: MemoryStore) -> None:
    await store.set("n", b"40")
    assert await store.add("n", 2) == 42


async def test_adding_to_what_is_no_number_is_an_error(store: MemoryStore) -> None:
    await store.set("n", b"forty")
    with pytest.raises(ValueError, match="forty"):
        await store.add("n")
    assert await store.get("n") == b"forty"


async def test_what_nobody_asks_for_again_does_not_pile_up(store: MemoryStore, clock: Clock) -> None:
    for number in range(SWEEP_AFTER - 1):
        await store.set(f"session-{number}", b"x", ttl=1)
    await store.set("kept", b"x")
    clock.now += 2
    for number in range(SWEEP_AFTER):
        await store.set("other", str(number).encode())
    assert set(store._values) == {"kept", "other"}


def test_each_host_has_a_store_of_its_own() -> None:
    ((kind, make),) = register_state_stores()
    assert kind == "memory"
    assert make({}) is not make({})


async def test_each_plugin_has_names_of_its_own() -> None:
    hosts: dict[str, Host] = {}

    class One:
        def __init__(self, host: Host) -> None:
            hosts[self.id] = host

        id = "one"

    class Two(One):
        id = "two"

    async with Harness([One, Two]):
        await hosts["one"].state.set("name", b"of one")
        await hosts["two"].state.add("name", 7)
        assert await hosts["one"].state.get("name") == b"of one"
        assert await hosts["two"].state.get("name") == b"7"
        await hosts["two"].state.delete("name")
        assert await hosts["one"].state.get("name") == b"of one"


async def test_without_a_store_a_plugin_is_told_so() -> None:
    hosts: list[Host] = []

    class One:
        id = "one"

        def __init__(self, host: Host) -> None:
            hosts.append(host)

    async with Harness([One], {"plugins": {"memory": {"enabled": False}}}):
        with pytest.raises(OSError, match="memory"):
            await hosts[0].state.get("name")
