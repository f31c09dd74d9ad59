"""The scheduler: which credential serves is told by the keys that an upstream sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from jackfield.api.testing import Answer, Harness, ScriptedUpstream, sse_answer
from tests.examples.conftest import Example

Ready = Callable[[str], Example]
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
)
LAST = CHUNK.replace(b'{"content":"hi"},"finish_reason":null', b'{},"finish_reason":"stop"') + b"data: [DONE]\n\n"


def config(example: Example, url: str, weights: dict[str, float]) -> dict[str, Any]:
    keys = [{"provider": "acme", "key": key, "weight": weight} for key, weight in weights.items()]
    openai = {"openai": {"providers": {"acme": {"base_url": f"{url}/v1", "models": ["m"], "dialects": ["openai.chat"]}}}}
    return example.config({"scheduler": example.id, "credentials": keys, "plugins": openai})


async def ask(host: Harness) -> Answer:
    return await host.post("/v1/chat/completions", {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})


def served_by(upstream: ScriptedUpstream) -> list[str]:
    return [(request.headers["authorization"] or "").removeprefix("Bearer ") for request in upstream.requests]


async def test_calls_are_spread_by_weight_over_those_that_are_not_busy(example: Ready) -> None:
    free = asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        yield CHUNK
        await free.wait()
        yield LAST

    scripts = [sse_answer(held()) for _ in range(6)]
    async with (
        ScriptedUpstream(*scripts) as upstream,
        Harness(config=config(example("scheduler_node"), upstream.url, {"heavy": 2, "light": 1})) as host,
    ):
        calls = []
        for number in range(6):
            calls.append(asyncio.create_task(ask(host)))
            await upstream.until(lambda many=number + 1: len(upstream.requests) == many)
        free.set()
        answers = await asyncio.gather(*calls)
    assert [answer.status for answer in answers] == [200] * 6
    assert sorted(served_by(upstream)) == ["heavy"] * 4 + ["light"] * 2
    assert served_by(upstream)[0] == "heavy"


async def test_among_equals_the_one_that_has_rested_longest_is_next(example: Ready) -> None:
    scripts = [sse_answer([CHUNK, LAST])]
    async with (
        ScriptedUpstream(*scripts) as upstream,
        Harness(config=config(example("scheduler_node"), upstream.url, dict.fromkeys("abc", 1.0))) as host,
    ):
        for _ in range(6):
            assert (await ask(host)).status == 200
    assert served_by(upstream)[:3] == served_by(upstream)[3:]
    assert set(served_by(upstream)) == set("abc")


async def test_while_the_scheduler_is_away_the_host_chooses_and_then_it_is_told_all_anew(example: Ready) -> None:
    scheduler = example("scheduler_node")
    weights = {"best": 1e9, "worse": 1.0, "worst": 1.0}
    async with ScriptedUpstream(sse_answer([CHUNK, LAST])) as upstream, Harness(config=config(scheduler, upstream.url, weights)) as host:
        for _ in range(3):
            assert (await ask(host)).status == 200
        assert served_by(upstream) == ["best"] * 3
        scheduler.kill()
        while "worst" not in served_by(upstream):  # the host asks all in turn
            assert (await ask(host)).status == 200
        while served_by(upstream)[-4:] != ["best"] * 4:
            assert (await ask(host)).status == 200
