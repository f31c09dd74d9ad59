"""Every kind of state store keeps the same four operations: the same answers, one after the other and all at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from jackfield.api import Secret, StateStore
from jackfield_memory import Config as MemoryConfig
from jackfield_memory import MemoryStore
from jackfield_redis import Config as RedisConfig
from jackfield_redis import RedisStore
from jackfield_sqlite import Config as SqliteConfig
from jackfield_sqlite import SqliteStore
from tests.clock import Clock
from tests.redis_server import ABSENT, SERVER, RedisServer


class Closing(StateStore, Protocol):
    async def close(self) -> None: ...


KINDS = {
    "memory": lambda folder, clock: MemoryStore(MemoryConfig(), clock),
    "sqlite": lambda folder, clock: SqliteStore(SqliteConfig(path=str(folder / "state.db")), clock),
}


class RedisClock(Clock):
    """The time of a server, which goes by its own clock: what it keeps is made older."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "now":
            self._server.pass_time(value - self.now)
        super().__setattr__(name, value)


@pytest.fixture(scope="module", autouse=True)
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer | None]:
    if SERVER is None:
        yield None
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=[*KINDS, pytest.param("redis", marks=pytest.mark.skipif(SERVER is None, reason=ABSENT))])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock(kind: str, request: pytest.FixtureRequest) -> Clock:
    return RedisClock(request.getfixturevalue("redis_server")) if kind == "redis" else Clock()


@pytest.fixture
async def store(kind: str, request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Closing]:
    if kind == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        server.empty()
        made: Closing = RedisStore(RedisConfig(url=Secret(server.url)))
    else:
        made = KINDS[kind](tmp_path, clock)
    yield made
    await made.close()


# ------------------------------------------------------------------------------------------- get, set, delete


async def test_a_value_is_kept_replaced_and_forgotten(store: StateStore) -> None:
    assert await store.get("a") is None
    assert await store.set("a", b"1")
    assert await store.set("a", b"\x00\xff")
    assert await store.get("a") == b"\x00\xff"
    assert await store.get("A") is None
    await store.delete("a")
    await store.delete("a")
    assert await store.get("a") is None


async def test_an_empty_value_is_a_value(store: StateStore) -> None:
    await store.set("a", b"")
    assert await store.get("a") == b""
    assert not await store.set("a", b"2", if_absent=True)


async def test_large_values_are_kept_whole(store: StateStore) -> None:
    large = bytes(range(256)) * 8192
    await store.set("a", large)
    assert await store.get("a") == large


@pytest.mark.parametrize("key", ["", "käse/鍵/🔑", "a\x00b", "half \ud83d of a pair", "x" * 5000, "' OR 1=1 --"])
async def test_any_text_is_a_key(store: StateStore, key: str) -> None:
    await store.set(key, b"1")
    await store.set(f"{key}!", b"2")
    assert await store.get(key) == b"1"
    await store.delete(key)
    assert (await store.get(key), await store.get(f"{key}!")) == (None, b"2")


@pytest.mark.parametrize("value", ["text", 3, None])
async def test_what_is_not_bytes_is_no_value(store: StateStore, value: Any) -> None:
    with pytest.raises(TypeError, match=f"bytes, not {type(value).__name__}"):
        await store.set("a", value)
    assert await store.get("a") is None


# ------------------------------------------------------------------------------------------------------- ttl


async def test_a_value_is_gone_when_its_time_is_over(store: StateStore, clock: Clock) -> None:
    await store.set("a", b"1", ttl=5)
    clock.now += 4.5
    assert await store.get("a") == b"1"
    clock.now += 0.5
    assert await store.get("a") is None


@pytest.mark.parametrize("ttl", [0, -1, 0.0])
async def test_a_time_that_is_over_already_keeps_nothing(store: StateStore, ttl: float) -> None:
    await store.set("a", b"1", ttl=ttl)
    assert await store.add("n", ttl=ttl) == 1
    assert (await store.get("a"), await store.get("n")) == (None, None)


async def test_setting_anew_sets_the_time_anew(store: StateStore, clock: Clock) -> None:
    await store.set("a", b"1", ttl=5)
    await store.set("a", b"2")
    clock.now += 100
    assert await store.get("a") == b"2"
    await store.set("a", b"3", ttl=5)
    clock.now += 5
    assert await store.get("a") is None


# ------------------------------------------------------------------------------------------------- if_absent


async def test_only_the_first_sets_where_nothing_is(store: StateStore, clock: Clock) -> None:
    won = await asyncio.gather(*(store.set("lease", str(n).encode(), ttl=5, if_absent=True) for n in range(3)))
    assert sum(won) == 1
    assert await store.get("lease") == str(won.index(True)).encode()
    clock.now += 5
    assert await store.set("lease", b"9", ttl=5, if_absent=True)
    assert await store.get("lease") == b"9"


async def test_a_refused_value_changes_neither_value_nor_time(store: StateStore, clock: Clock) -> None:
    await store.set("a", b"1", ttl=5)
    await store.set("a", b"2", ttl=50, if_absent=True)
    assert await store.get("a") == b"1"
    clock.now += 5
    assert await store.get("a") is None


async def test_what_was_deleted_is_absent(store: StateStore) -> None:
    await store.set("a", b"1")
    await store.delete("a")
    assert await store.set("a", b"2", if_absent=True)


# ------------------------------------------------------------------------------------------------------- add


async def test_a_counter_starts_at_nothing(store: StateStore) -> None:
    assert [await store.add("n"), await store.add("n", 5), await store.add("n", -2)] == [1, 6, 4]
    assert await store.get("n") == b"4"


async def test_a_counter_never_passes_its_maximum(store: StateStore) -> None:
    assert [await store.add("n", 2, maximum=5) for _ in range(4)] == [2, 4, None, None]
    assert await store.add("n", 1, maximum=5) == 5
    assert await store.get("n") == b"5"
    assert await store.add("n", -1, maximum=5) == 4


async def test_what_is_too_much_at_once_leaves_no_counter(store: StateStore) -> None:
    assert await store.add("n", 6, maximum=5) is None
    assert await store.get("n") is None


async def test_a_counter_that_fell_to_nothing_is_still_there(store: StateStore) -> None:
    await store.add("n", 1)
    assert await store.add("n", -1) == 0
    assert await store.get("n") == b"0"
    assert not await store.set("n", b"9", if_absent=True)


async def test_the_time_of_a_counter_runs_from_its_first_addition(store: StateStore, clock: Clock) -> None:
    await store.add("n", ttl=10)
    clock.now += 6
    assert await store.add("n", ttl=10) == 2
    clock.now += 4
    assert await store.get("n") is None
    assert await store.add("n", ttl=10) == 1
    clock.now += 9
    assert await store.add("n") == 2
    clock.now += 1
    assert await store.get("n") is None


async def test_a_refused_addition_does_not_lengthen_the_time(store: StateStore, clock: Clock) -> None:
    await store.add("n", 5, maximum=5, ttl=10)
    clock.now += 9
    assert await store.add("n", maximum=5, ttl=10) is None
    clock.now += 1
    assert await store.add("n", maximum=5, ttl=10) == 1


async def test_a_counter_without_a_time_gets_none_later(store: StateStore, clock: Clock) -> None:
    await store.add("n")
    await store.add("n", ttl=10)
    clock.now += 11
    assert await store.get("n") == b"2"


async def test_a_counter_may_begin_with_a_number_that_was_set(store: StateStore) -> None:
    await store.set("n", b"40")
    assert await store.add("n", 2) == 42


async def test_a_counter_may_be_larger_than_a_machine_word(store: StateStore) -> None:
    await store.add("n", 2**63)
    assert await store.add("n", 2**63) == 2**64
    assert await store.get("n") == str(2**64).encode()


@pytest.mark.parametrize("value", [b"forty", b""])
async def test_adding_to_what_is_no_number_is_an_error(store: StateStore, value: bytes) -> None:
    await store.set("n", value)
    with pytest.raises(ValueError, match="invalid literal"):
        await store.add("n")
    assert await store.get("n") == value


# --------------------------------------------------------------------------------------------- all at once


async def test_of_many_that_add_at_once_as_many_succeed_as_there_is_room(store: StateStore) -> None:
    granted = await asyncio.gather(*(store.add("n", maximum=50) for _ in range(200)))
    assert sorted(n for n in granted if n is not None) == list(range(1, 51))
    assert await store.get("n") == b"50"


async def test_of_many_that_set_where_nothing_is_one_succeeds(store: StateStore) -> None:
    won = await asyncio.gather(*(store.set("lease", b"%d" % n, if_absent=True) for n in range(200)))
    assert sum(won) == 1
    assert await store.get("lease") == b"%d" % won.index(True)


async def test_what_one_does_wrong_does_not_fail_the_others(store: StateStore) -> None:
    await store.set("word", b"forty")
    wrong, *right = await asyncio.gather(store.add("word"), *(store.add("n") for _ in range(50)), return_exceptions=True)
    assert isinstance(wrong, ValueError)
    assert sorted(right) == list(range(1, 51))  # type: ignore[type-var]


async def test_many_at_once_each_find_their_own(store: StateStore) -> None:
    async def in_turn(name: str) -> list[bytes | None]:
        found = []
        for number in range(20):
            await store.set(name, b"%s %d" % (name.encode(), number))
            found.append(await store.get(name))
        return found

    names = [f"task {number}" for number in range(20)]
    for name, found in zip(names, await asyncio.gather(*map(in_turn, names)), strict=True):
        assert found == [b"%s %d" % (name.encode(), number) for number in range(20)]
