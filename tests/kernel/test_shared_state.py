"""Several hosts that share a state store: what one finds out the others know, limits hold among all, one of them probes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from jackfield import Jackfield
from jackfield.api import Attempt, CallError, Reply, Request
from jackfield.api.canonical import Message, Text
from jackfield.cli.remembering import Remembering
from jackfield_memory import Config as MemoryConfig
from jackfield_memory import MemoryStore
from tests.kernel.conftest import Toy, ToyProvider
from tests.kernel.pipeline_kit import Made
from tests.virtual_time import Clock, in_virtual_time

ASKED = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))
ALONE = {"provider": "toy", "label": "a", "key": "key of a"}


class Common(MemoryStore):
    """A store that several hosts share."""

    persists = True

    def __init__(self) -> None:
        super().__init__(MemoryConfig())
        self.away = False

    async def get(self, key: str) -> bytes | None:
        self._check()
        return await super().get(key)

    async def set(self, key: str, value: bytes, **options: Any) -> bool:
        self._check()
        return await super().set(key, value, **options)

    async def add(self, key: str, n: int = 1, **options: Any) -> int | None:
        self._check()
        return await super().add(key, n, **options)

    async def close(self) -> None:
        """Others still use it."""

    def _check(self) -> None:
        if self.away:
            raise OSError("away")


class Member:
    """One host, and what it was answered."""

    def __init__(self, host: Jackfield, provider: ToyProvider) -> None:
        self.host, self.provider = host, provider

    async def ask(self) -> str:
        try:
            await self.host.execute(ASKED)
        except CallError as fault:
            return str(fault.failure.code or fault.failure.cause)
        return "answered"

    @property
    def asked(self) -> int:
        """How many attempts reached the provider."""
        return len(self.provider.attempts)


class Orders(ToyProvider):
    """Answers as all members' providers are told."""

    def __init__(self, orders: dict[str, Any]) -> None:
        super().__init__()
        self._orders = orders

    async def execute(self, attempt: Attempt) -> Reply:
        status, headers = self._orders.get("now", (200, {}))
        reply = await super().execute(attempt)
        from jackfield.api import Headers

        return reply if status == 200 else Reply(status=status, headers=Headers(headers), body=b'{"oops": "no"}')


@asynccontextmanager
async def members(
    count: int, store: Common, credentials: Sequence[dict[str, Any]] = (ALONE,), **config: Any
) -> AsyncIterator[tuple[list[Member], dict[str, Any]]]:
    orders: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            provider = Orders(orders)
            from jackfield.api import Bearer

            provider.auth = Bearer()
            stores = Made("common", register_state_stores=lambda: [("common", lambda settings: store)])
            said = {"state": "common", "plugins": {"autoload": False}, "credentials": list(credentials), "attempts": {"wait": 0}, **config}
            host = Jackfield(said, plugins=[Toy(provider), stores], listen=False, defaults=False)
            remembering = Remembering(host)
            host.before_open.append(lambda _, one=remembering: one.recall())
            await stack.enter_async_context(host)
            task = asyncio.create_task(remembering.run())
            stack.push_async_callback(asyncio.gather, task, return_exceptions=True)
            stack.callback(task.cancel)
            made.append(Member(host, provider))
        yield made, orders


@in_virtual_time
async def test_what_one_finds_out_the_others_know_within_a_second(clock: Clock) -> None:
    async with members(3, Common()) as ((one, two, three), orders):
        orders["now"] = 429, {"Retry-After": "100"}
        assert await one.ask() != "answered"
        orders.clear()
        await asyncio.sleep(1)
        assert [await two.ask(), await three.ask()] == ["all_resting"] * 2
        assert (two.asked, three.asked) == (0, 0)
        await asyncio.sleep(101)
        assert await two.ask() == "answered"


@in_virtual_time
async def test_what_is_switched_off_or_healed_by_one_is_so_for_all(clock: Clock) -> None:
    async with members(2, Common()) as ((one, two), orders):
        orders["now"] = 401, {}
        await one.ask()
        orders.clear()
        await asyncio.sleep(1)
        assert two.host.lasting.health.resting["toy:" + _fingerprint(two)]
        one.host.lasting.health.reset()
        await asyncio.sleep(1)
        assert not two.host.lasting.health.resting["toy:" + _fingerprint(two)]
        one.host.lasting.health.switch("toy", on=False)
        await asyncio.sleep(1)
        assert await two.ask() == "all_resting"
        two.host.lasting.health.switch("toy", on=True)
        await asyncio.sleep(1)
        assert await one.ask() == "answered"


def _fingerprint(member: Member) -> str:
    return member.host.generation.accounts[0].credential.id.partition(":")[2]


@in_virtual_time
async def test_who_comes_later_knows_it_too(clock: Clock) -> None:
    store = Common()
    async with members(1, store) as ((one,), orders):
        orders["now"] = 429, {"Retry-After": "100"}
        await one.ask()
        await asyncio.sleep(1)
    async with members(1, store) as ((later,), _):
        assert await later.ask() == "all_resting"


@in_virtual_time
async def test_limits_hold_among_all(clock: Clock) -> None:
    limited = ALONE | {"limits": {"rpm": 10}}
    async with members(4, Common(), [limited]) as (those, _):
        answers = await asyncio.gather(*(member.ask() for _ in range(10) for member in those))
        assert answers.count("answered") == 10
        assert sum(member.asked for member in those) == 10
        await asyncio.sleep(61)
        assert await those[0].ask() == "answered"


@in_virtual_time
async def test_tokens_are_counted_among_all(clock: Clock) -> None:
    limited = ALONE | {"limits": {"tpm": 40}}  # a call costs eight
    async with members(2, Common(), [limited]) as ((one, two), _):
        for _ in range(3):
            assert [await one.ask(), await two.ask()] == ["answered"] * 2
        await asyncio.sleep(1)
        assert [await one.ask(), await two.ask()] == ["all_resting"] * 2


@in_virtual_time
async def test_one_of_them_probes(clock: Clock) -> None:
    async with members(4, Common(), probe={"after": "10s", "interval": "60s"}) as (those, orders):
        orders["now"] = 429, {"Retry-After": "3600"}
        await those[0].ask()
        await asyncio.sleep(12)
        for _ in range(5):
            await asyncio.gather(*(member.ask() for member in those))
            await asyncio.sleep(2)
        assert sum(member.asked for member in those) == 2


@in_virtual_time
async def test_while_the_store_is_away_each_goes_by_what_it_knows(clock: Clock) -> None:
    store = Common()
    limited = ALONE | {"limits": {"rpm": 10}}
    async with members(2, store, [limited]) as ((one, two), orders):
        store.away = True
        assert [await one.ask(), await two.ask()] == ["answered"] * 2
        orders["now"] = 429, {"Retry-After": "100"}
        await one.ask()
        orders.clear()
        await asyncio.sleep(2)
        assert [await one.ask(), await two.ask()] == ["all_resting", "answered"]
        store.away = False
        await asyncio.sleep(2)
        assert await two.ask() == "all_resting"


@in_virtual_time
async def test_a_change_whose_place_in_the_journal_is_still_being_written_is_not_missed(clock: Clock) -> None:
    class Halting(Common):
        async def set(self, key: str, value: bytes, **options: Any) -> bool:
            if "health.journal/" in key:
                await asyncio.sleep(0.7)  # the others look twice meanwhile
            return await super().set(key, value, **options)

    async with members(2, Halting()) as ((first, second), _):
        await asyncio.sleep(1)
        first.host.lasting.health.switch(first.host.generation.accounts[0].credential.id, on=False)
        await asyncio.sleep(3)
        assert await second.ask() == "all_resting"
        first.host.lasting.health.switch(first.host.generation.accounts[0].credential.id, on=True)
        await asyncio.sleep(3)
        assert await second.ask() == "answered"
