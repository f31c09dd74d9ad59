"""Who has the least to do."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

import jackfield_least_busy as plugin
from jackfield.api import Reply
from jackfield.api.testing import Harness
from tests.kernel.conftest import WHOLE, Toy, ToyProvider, talk
from tests.plugins.pools import picks, pool


def test_who_has_the_least_to_do_is_picked() -> None:
    some = pool("a", "b", "c")
    for one, busy in zip(some.all, (3, 1, 2), strict=True):
        one.account.in_flight = busy
    assert picks(plugin, 1, some) == "b"
    assert picks(plugin, 1, some.cool("b")) == "c"


def test_nobody_is_picked_where_nobody_is_eligible() -> None:
    assert picks(plugin, 1, pool()) == "-"


async def test_the_host_leaves_the_busy_alone() -> None:
    arrived, free, served = asyncio.Event(), asyncio.Event(), list[str]()

    class Slow(ToyProvider):
        async def execute(self, attempt: Any) -> Reply:
            served.append(attempt.candidate.label)
            if len(served) == 1:
                arrived.set()
                await free.wait()
            return Reply(body=msgspec.json.encode(WHOLE))

    keys = [{"provider": "toy", "label": label, "key": f"key-{label}-0123"} for label in ("one", "two", "three")]
    async with Harness([Toy(Slow())], {"credentials": keys, "scheduler": "least_busy"}) as host:
        held = asyncio.create_task(host.post("/toy/v1/talk", talk()))
        await arrived.wait()
        for _ in range(4):
            assert (await host.post("/toy/v1/talk", talk())).status == 200
        free.set()
        assert (await held).status == 200
    assert served[0] not in served[1:]
