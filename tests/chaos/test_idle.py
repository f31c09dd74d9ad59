"""A host that is left alone for an hour, or whose machine sleeps, serves the next call as if nothing had been."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import aiohttp
import pytest

from jackfield.api.testing import Answer, Harness, Received, ScriptedUpstream
from jackfield.api.testing.upstream import Wire as Line
from tests.chaos.run import MOST, Callers, Report, look_at_the_rest
from tests.chaos.wires import MODEL, REQUESTS, Chat
from tests.chaos.world import World, whole
from tests.virtual_time import Clock, in_virtual_time

HOUR = 3600.0


class Acme:
    """An upstream whose credentials are out of quota for half an hour, by their own word, when they are told to be."""

    def __init__(self) -> None:
        self.spent, self.lines = False, list[Line]()

    async def __call__(self, received: Received, line: Line) -> None:
        self.lines.append(line)
        if self.spent:
            await whole(line, 429, Chat().error(429), headers={"Retry-After": "1800"})
        else:
            await whole(line, 200, Chat().whole("Hello"))


async def ask(host: Harness, dialect: str = "openai.chat") -> Answer:
    path, body = REQUESTS[dialect]("call-1", False)
    return await host.post(path, body)


@pytest.mark.parametrize("asleep", [False, True], ids=["idle", "asleep"])
@pytest.mark.parametrize("broken", [False, True], ids=["connections stay", "connections break"])
@in_virtual_time
async def test_an_hour_without_a_call(clock: Clock, asleep: bool, broken: bool) -> None:
    acme = Acme()
    async with ScriptedUpstream(acme) as upstream:
        server = {"base_url": upstream.url, "models": [MODEL]}
        keys = [{"provider": "acme", "key": f"key of {label}", "id": label} for label in "abc"]
        given: dict[str, Any] = {"plugins": {"openai": {"providers": {"acme": server}}}, "credentials": keys, "attempts": {"wait": 0}}
        async with Harness(config=given) as host:
            for _ in range(3):
                assert (await ask(host)).status == 200
            acme.spent = True
            assert [(await ask(host)).status for _ in range(2)] == [429, 429]
            assert len(upstream.requests) == 6  # nobody is asked any more
            acme.spent = False
            if asleep:
                clock.set(HOUR)
                await asyncio.sleep(1.5)
            else:
                await asyncio.sleep(HOUR)
            if broken:
                for line in acme.lines:
                    line.abort()
            answers = [await ask(host, dialect) for dialect in REQUESTS]
            assert [answer.status for answer in answers] == [200] * 3
            assert len(upstream.requests) == 9
            asked = {request.headers.get("authorization") for request in upstream.requests[-3:]}
            assert len(asked) == 3  # all of them serve again
            reader, writer = await asyncio.open_connection("127.0.0.1", host.host.port)  # and a further connection is taken
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert b'"ok"' in await reader.read()
            writer.close()


@in_virtual_time
async def test_a_day_in_which_nobody_calls_for_an_hour_at_a_time(clock: Clock) -> None:
    report, numbers = Report(seed=24, scheduler="round_robin"), count(1)
    async with World(report.seed) as world:
        given = {**world.config(), "attempts": {"budget": MOST}}
        async with Harness(config=given) as host, aiohttp.ClientSession() as client:
            tasks, waits = asyncio.all_tasks(), set(host.host._shared.sweeper.waiting)  # type: ignore[union-attr]
            callers = Callers(world, client, host.url, report)
            for hour in range(24):
                await asyncio.gather(*(callers.call(next(numbers)) for _ in range(20)))
                await asyncio.sleep(HOUR - 30)
                if hour % 6 == 5:
                    clock.set(HOUR)
                await asyncio.sleep(30)
                look_at_the_rest(report, host, world, asyncio.all_tasks() - tasks, waits)
    assert not report.violations, report
    assert report.statuses[200] > 400, report
