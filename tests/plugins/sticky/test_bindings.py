"""Which credential a session stays with, and when it moves."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jackfield.api import Call, Candidate, Delegate, Pool
from jackfield_sticky import Config, Plugin
from jackfield_sticky.bindings import BELIEVED, MOST_SESSIONS, PAUSE
from tests.clock import Clock
from tests.plugins.pools import Pooled, Store, call, candidate, host, pool

TTL = 3600.0


class Worker:
    """A host with `sticky` over a scheduler that goes by the test's word."""

    def __init__(self, store: Store, **config: Any) -> None:
        self.plugin, self.others = Plugin(Config(**config), host(store, store.clock)), list[str]()

    async def serve(self, pool: Pooled, made: Call | None = None, *, otherwise: str = "a") -> str:
        """Serve a call of the session `s`, and return who does; `otherwise` is whom the other scheduler would pick."""
        asked, seen = made or call(session="s"), pool
        picked: Any = self.plugin.pick_credential(asked, as_pool(seen))
        picked = await picked if asyncio.iscoroutine(picked) else picked
        if isinstance(picked, Delegate):
            assert picked.scheduler == "round_robin"
            self.others.append(otherwise)
            picked = next(one for one in pool.eligible if one.label == otherwise)
        await self.attempt(asked, picked)
        return str(picked.label)

    async def attempt(self, asked: Call, picked: Candidate) -> None:
        if (work := self.plugin.intercept_attempt(SimpleNamespace(call=asked, candidate=picked))) is not None:  # type: ignore[arg-type]
            await work


def as_pool(pool: Pooled) -> Pool:
    return pool  # type: ignore[return-value]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock)


@pytest.fixture
def worker(store: Store) -> Worker:
    return Worker(store)


@pytest.fixture(autouse=True)
def _sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the toy dialect's clients name their session."""
    monkeypatch.setattr("tests.kernel.toy.ToyDialect.session", msgspec.structs.replace(call()._dialect.session, headers=("session",)))


async def test_a_session_stays_where_it_was(worker: Worker) -> None:
    some = pool("a", "b", "c")
    assert [await worker.serve(some, otherwise=label) for label in "bca"] == ["b", "b", "b"]
    assert worker.others == ["b"]


async def test_sessions_and_principals_are_told_apart(worker: Worker) -> None:
    some = pool("a", "b", "c", "d")
    served = [
        await worker.serve(some, call(session="s"), otherwise="a"),
        await worker.serve(some, call(session="t"), otherwise="b"),
        await worker.serve(some, call(session="s", principal="bob"), otherwise="c"),
    ]
    assert served == ["a", "b", "c"]
    assert [await worker.serve(some, call(session=name), otherwise="d") for name in "st"] == ["a", "b"]


async def test_another_model_of_a_session_begins_with_the_same_account_and_moves_by_itself(worker: Worker) -> None:
    some, other = pool("a", "b", "c"), pool("a", "b", "c", model="n")
    assert await worker.serve(some, otherwise="b") == "b"
    assert await worker.serve(other, otherwise="c") == "b"
    assert await worker.serve(other.cool("b"), otherwise="c") == "c"
    assert await worker.serve(some, otherwise="a") == "b"
    assert await worker.serve(other.only(), otherwise="a") == "c"


async def test_another_model_of_a_session_goes_where_it_can_where_its_account_does_not_serve_it(worker: Worker) -> None:
    await worker.serve(pool("a", "b"), otherwise="a")
    assert await worker.serve(pool("b", "c", model="n"), otherwise="c") == "c"
    elsewhere = Pooled(candidate("a", model="o", provider="other"), candidate("x", model="o", provider="other"), model="o")
    assert await worker.serve(elsewhere, otherwise="x") == "x", "another provider's account is another account"


async def test_how_much_a_model_is_to_think_does_not_matter(worker: Worker) -> None:
    some = pool("a", "b")
    await worker.serve(Pooled(*some.all, model="m(high)"), otherwise="b")
    assert await worker.serve(some, otherwise="a") == "b"


async def test_names_in_the_store_begin_with_the_principal_and_show_no_session(worker: Worker, store: Store) -> None:
    await worker.serve(pool("a"), call(session="secret-session", principal="bob"))
    assert store.bound == ["a/m"]
    assert all(key.startswith("bob/") and "secret" not in key for key, _ in store.writes)


async def test_a_credential_that_cannot_serve_is_replaced_and_the_session_bound_anew(worker: Worker, store: Store) -> None:
    some = pool("a", "b", "c")
    await worker.serve(some, otherwise="a")
    some.cool("a")
    assert await worker.serve(some, otherwise="b") == "b"
    some.only()
    assert await worker.serve(some, otherwise="a") == "b", "it stays where it went"
    assert store.bound == ["a/m", "b/m"]


async def test_one_that_fails_in_a_call_is_replaced_in_the_same_call(worker: Worker) -> None:
    some, made = pool("a", "b", "c"), call(session="s")
    assert await worker.serve(some, made, otherwise="a") == "a"
    assert await worker.serve(some.without("a"), made, otherwise="c") == "c"
    assert await worker.serve(some, otherwise="b") == "c"


async def test_a_session_does_not_starve_with_a_credential_that_is_gone(worker: Worker) -> None:
    some = pool("a", "b")
    await worker.serve(some, otherwise="a")
    some.replace(*pool("b", "c").all)
    assert [await worker.serve(some, otherwise=label) for label in "cb"] == ["c", "c"]


async def test_bindings_are_written_only_when_they_change_and_renewed_now_and_then(worker: Worker, store: Store, clock: Clock) -> None:
    some = pool("a", "b")
    for _ in range(30):
        clock.now += 20
        await worker.serve(some)
    assert store.bound == ["a/m"]
    for _ in range(30):
        clock.now += 100
        await worker.serve(some, otherwise="b")
    assert 2 <= len(store.bound) <= 5
    assert worker.others == ["a"]


async def test_a_session_that_goes_on_stays_and_one_that_rests_too_long_is_bound_anew(worker: Worker, store: Store, clock: Clock) -> None:
    some = pool("a", "b")
    await worker.serve(some, otherwise="a")
    for _ in range(4):
        clock.now += 0.7 * TTL
        assert await worker.serve(some, otherwise="b") == "a"
    clock.now += TTL + 1
    assert await worker.serve(some, otherwise="b") == "b"
    assert store.bound[-1] == "b/m"


async def test_how_long_a_session_stays_can_be_set(store: Store, clock: Clock) -> None:
    worker, some = Worker(store, ttl=60), pool("a", "b")
    await worker.serve(some, otherwise="a")
    clock.now += 61
    assert await worker.serve(some, otherwise="b") == "b"


# ------------------------------------------------------------------------------------------- several at once


async def test_two_workers_keep_a_session_together(store: Store, clock: Clock) -> None:
    one, two, some = Worker(store), Worker(store), pool("a", "b")
    await one.serve(some, otherwise="a")
    assert await two.serve(some, otherwise="b") == "a"


async def test_a_worker_follows_when_another_one_moved_the_session(store: Store, clock: Clock) -> None:
    one, two, some = Worker(store), Worker(store), pool("a", "b", "c")
    await one.serve(some, otherwise="a")
    await two.serve(some, otherwise="a")
    await two.serve(some.without("a"), otherwise="b")
    clock.now += BELIEVED + 1
    assert await one.serve(some, otherwise="c") == "b"
    some.cool("b")
    await two.serve(some, otherwise="c")
    assert await one.serve(some, otherwise="a") == "c", "it asks at once where the one that it knows cannot serve"


async def test_first_calls_of_a_session_at_once_end_on_one_credential(worker: Worker, store: Store) -> None:
    some, gate = pool("a", "b", "c"), asyncio.Event()
    asked = store.get

    async def slowly(key: str) -> bytes | None:
        value = await asked(key)
        await gate.wait()
        return value

    store.get = slowly  # type: ignore[method-assign]
    calls = [asyncio.create_task(worker.serve(some, otherwise=label)) for label in "abc"]
    await asyncio.sleep(0)
    gate.set()
    assert len({await one for one in calls}) == 1
    assert len(worker.others) == 1


async def test_first_calls_in_two_workers_at_once_end_on_one_credential(store: Store, clock: Clock) -> None:
    one, two, some, late = Worker(store), Worker(store), pool("a", "b"), call(session="s")
    picked = two.plugin.pick_credential(late, as_pool(some))
    assert asyncio.iscoroutine(picked)
    assert isinstance(await picked, Delegate)  # nobody is bound yet
    await one.serve(some, otherwise="a")
    await two.attempt(late, some.all[1])
    assert [await one.serve(some, otherwise="b"), await two.serve(some, otherwise="b")] == ["a", "a"]
    assert store.bound == ["a/m"]


# --------------------------------------------------------------------------------------- the store is away


async def test_sessions_stay_within_a_worker_while_the_store_is_away(
    worker: Worker, store: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    some, store.away = pool("a", "b", "c"), True
    with caplog.at_level(logging.WARNING, "jackfield.plugins.sticky"):
        for label in "bca":
            clock.now += BELIEVED + 1
            assert await worker.serve(some, otherwise=label) == "b"
        await worker.serve(some, call(session="t"), otherwise="c")
    assert len(caplog.records) == 1
    assert "the state store is away (nobody answers)" in caplog.text


async def test_a_store_that_is_away_is_left_alone_and_has_all_when_it_is_back(worker: Worker, store: Store, clock: Clock) -> None:
    some, store.away = pool("a", "b"), True
    for _ in range(20):
        await worker.serve(some)
    assert store.asked == 1
    store.away = False
    clock.now += PAUSE + 1
    assert await worker.serve(some, otherwise="b") == "a"
    assert store.bound == ["a/m"]


async def test_a_binding_that_the_store_lost_is_written_again(worker: Worker, store: Store, clock: Clock) -> None:
    some = pool("a", "b")
    await worker.serve(some)
    store.values.clear()
    clock.now += BELIEVED + 1
    assert await worker.serve(some, otherwise="b") == "a"
    assert sorted(value for value, _ in store.values.values()) == [b"a", b"a/m"]


async def test_memory_holds_so_many_sessions_and_no_more(worker: Worker) -> None:
    some = pool("a")
    for number in range(MOST_SESSIONS + 5):
        await worker.serve(some, call(session=f"s{number}"))
    assert len(worker.plugin._bindings._held) == MOST_SESSIONS


# ------------------------------------------------------------------------------------- clients that say nothing


def said(*turns: tuple[str, str]) -> bytes:
    return msgspec.json.encode({"model": "m", "say": [{"who": who, "words": words} for who, words in turns]})


async def test_a_conversation_is_known_by_how_it_begins(worker: Worker) -> None:
    some = pool("a", "b", "c")
    opening = (("system", "Be kind."), ("user", "Hello"))
    assert await worker.serve(some, call(said(*opening)), otherwise="b") == "b"
    further = (("assistant", "Hi"), ("system", "It is noon."), ("user", "And?"))
    assert await worker.serve(some, call(said(*opening, *further)), otherwise="a") == "b"
    assert await worker.serve(some, call(said(("system", "Be kind."), ("user", "Good day"))), otherwise="c") == "c"
    assert await worker.serve(some, call(said(*opening), principal="bob"), otherwise="a") == "a"


async def test_what_stands_far_down_in_the_instructions_does_not_tell_conversations_apart(worker: Worker) -> None:
    some = pool("a", "b")
    await worker.serve(some, call(said(("system", "x" * 600 + "10:00"), ("user", "Hello"))), otherwise="b")
    assert await worker.serve(some, call(said(("system", "x" * 600 + "10:01"), ("user", "Hello"))), otherwise="a") == "b"


async def test_only_a_conversation_that_goes_on_is_written_to_the_store(worker: Worker, store: Store) -> None:
    some = pool("a", "b")
    await worker.serve(some, call(said(("user", "Hello"))), otherwise="b")
    assert not store.writes
    assert await worker.serve(some, call(said(("user", "Hello"), ("assistant", "Hi"), ("user", "So"))), otherwise="a") == "b"
    assert [value for _, value in store.writes] == [b"b/m"]


@pytest.mark.parametrize("body", [b'{"say":7}', b'{"model":"m","say":[]}', said(("assistant", "Hi")), said(("user", ""))])
async def test_nothing_is_made_up_where_nothing_can_be_told(worker: Worker, store: Store, body: bytes) -> None:
    some = pool("a", "b")
    assert [await worker.serve(some, call(body), otherwise=label) for label in "ab"] == ["a", "b"]
    assert not store.writes


async def test_a_body_over_the_limit_is_not_read(worker: Worker) -> None:
    made, some = call(), pool("a", "b")
    made.body = type(made.body)(said(("user", "Hello")), codec=made.body.codec, limit=5)
    assert await worker.serve(some, made, otherwise="b") == "b"
    assert made.state["derived"] is None


async def test_nothing_is_derived_where_that_is_switched_off_or_the_client_names_its_session(store: Store) -> None:
    def unread(raw: bytes) -> Any:
        raise AssertionError("the body was read")

    for worker, made in ((Worker(store, derive=False), call()), (Worker(store), call(session="s"))):
        made.body = type(made.body)(said(("user", "Hello")), codec=(unread, made.body.codec[1]))  # type: ignore[index]
        await worker.serve(pool("a"), made)


# ------------------------------------------------------------------------------------------------ settings


def test_it_does_not_stand_over_itself(store: Store) -> None:
    with pytest.raises(ValueError, match="over: 'sticky' is this scheduler itself; name another one"):
        Worker(store, over="sticky")


def test_a_time_to_live_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="ttl: expected a time above 0"):
        Config(ttl=0)  # type: ignore[arg-type]
