"""What plugins out of process cost: `python -m tests.rpc.speed`. A Node executor's streams, a hook's calls.

The figures hold for the machine that they were taken on while nothing else ran there.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Body, Call, Headers, Nested, Pairs
from jackfield.api.testing import Harness

FIREHOSE = str(Path(__file__).parent / "peers" / "firehose.mjs")


class Figures(msgspec.Struct):
    """What was measured."""

    into: float = 0.0
    """Items a second from the executor into the host's pipeline."""
    into_alone: float = 0.0
    """The same of an executor that sends each item in a message of its own."""
    through: float = 0.0
    """Items a second through to a client, each in a message of its own."""
    alone: float = 0.0
    """Seconds from the executor to the client, the 99th percentile of a paced stream: the median round."""
    beside: float = 0.0
    """The same beside a stream whose client does not read."""
    hook: float = 0.0
    """Microseconds of the host's CPU for a call of a hook without a body."""
    hook_body: float = 0.0
    """Further microseconds for each KB of a body."""


def firehose() -> Harness:
    """Return a host with the plugin."""
    return Harness(config={"plugins": {"firehose": {"command": ["node", FIREHOSE]}}})


def asked(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}


async def into_the_pipeline(host: Harness, items: int, batch: int) -> float:
    """Return items a second into the host's pipeline: all stages, and no network."""
    call, began, seen = Nested(dialect="openai.chat", body=asked(f"many:{items}:{batch}")), time.perf_counter(), 0
    async for _ in host.host.stream(call):
        seen += 1
    assert seen >= items
    return items / (time.perf_counter() - began)


async def through_to_a_client(host: Harness, items: int, batch: int) -> float:
    """Return items a second to a client over HTTP that does nothing with them."""
    began, seen = time.perf_counter(), 0
    async with host.open("POST", "/v1/chat/completions", asked(f"many:{items}:{batch}")) as response:
        while piece := await response.content.readany():
            seen += piece.count(b'"word "')
    assert seen == items, seen
    return items / (time.perf_counter() - began)


async def delays(host: Harness, items: int, pause: int) -> Sequence[float]:
    """Return how long each item of a paced stream was on its way from the plugin to the client."""
    found = list[float]()
    async with host.open("POST", "/v1/chat/completions", asked(f"paced:{items}:{pause}")) as response:
        async for line in response.content:
            assert not line.startswith(b'data: {"error"'), line
            if line.startswith(b"data: {") and (sent := msgspec.json.decode(line[6:])["choices"][0]["delta"]["content"]):
                found.append((time.monotonic_ns() - int(sent)) / 1e9)
    return found


async def beside_a_slow_one(host: Harness, items: int, pause: int, rounds: int) -> tuple[float, float]:
    """Return the 99th percentile of the delays of a stream alone, and beside one whose client does not read: the median round."""
    alone, beside = list[float](), list[float]()
    for _ in range(rounds):  # in turns, so that both meet the same weather
        alone.append(_p99(await delays(host, items, pause)))
        async with host.open("POST", "/v1/chat/completions", asked("bulky:1000000:16")) as slow:
            await slow.content.readany()
            await asyncio.sleep(1)  # until all buffers on the way are full
            beside.append(_p99(await delays(host, items, pause)))
    return statistics.median(alone), statistics.median(beside)


def _p99(found: Sequence[float]) -> float:
    return statistics.quantiles(found, n=100)[98]


async def of_a_hook(host: Harness, calls: int, kilobytes: int) -> tuple[float, float]:
    """Return microseconds of the host's CPU for a call of a hook without a body, and more for each KB of one."""
    chains, dialect = host.host.generation.chains, host.host.generation.dialects["openai.chat"]
    call = Call("speed-1", dialect, next(e for e in dialect.endpoints if e.operation == "generate"), Headers(), Pairs())
    text = "word " * 30
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": text}] * (kilobytes * 1024 // 190)})
    call.model, call.body = "m", Body(body)
    spent = []
    for hook, many in ((chains["route_model"][0], calls), (chains["intercept_request"][0], calls // 4)):
        batches = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(many // 5):
                await hook.function(call)
            batches.append((time.process_time() - began) / (many // 5) * 1e6)
        spent.append(min(batches))  # the one that met the least of other work: collections of garbage, other processes in the cache
    return spent[0], (spent[1] - spent[0]) / (len(body) / 1024)


async def measure(scale: float = 1.0, rounds: int = 15) -> Figures:
    """Take all figures; a smaller scale is quicker and less exact."""
    figures = Figures()
    async with firehose() as host:
        await into_the_pipeline(host, 2000, 16)  # all is warm
        figures.into = await into_the_pipeline(host, int(100_000 * scale), 16)
        figures.into_alone = await into_the_pipeline(host, int(100_000 * scale), 1)
        figures.through = await through_to_a_client(host, int(100_000 * scale), 1)
        figures.alone, figures.beside = await beside_a_slow_one(host, int(500 * scale), 2, rounds)
        figures.hook, figures.hook_body = await of_a_hook(host, int(10_000 * scale), 64)
    return figures


def main() -> None:
    """Measure and print."""
    logging.basicConfig(level="WARNING")
    found = asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
    print(f"items a second into the pipeline, 16 a message   {found.into:12,.0f}   at least 25,000")
    print(f"the same, each in a message of its own           {found.into_alone:12,.0f}   at least 25,000")
    print(f"items a second through to a client               {found.through:12,.0f}   at least 10,000")
    print(f"p99 of an item's way, alone                      {found.alone * 1e3:9.2f} ms")
    more = found.beside / found.alone - 1
    print(f"p99 of an item's way, beside a slow stream       {found.beside * 1e3:9.2f} ms   {more:+.0%}, at most +20 %")
    print(f"CPU of a hook's call without a body              {found.hook:9.1f} us   at most 60")
    print(f"CPU for each KB of a body                        {found.hook_body:9.2f} us   at most 2")


if __name__ == "__main__":
    main()
