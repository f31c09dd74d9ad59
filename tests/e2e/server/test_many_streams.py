"""A thousand paced streams at once through one process: each gets all of its own events, in order."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator

import pytest

from jackfield.api.testing import Received, ScriptedUpstream
from jackfield.api.testing.upstream import Wire
from tests.e2e.server.conftest import Serve
from tests.e2e.server.raw import chunk, connect, request
from tests.e2e.server.streams import DONE, FINISH, OPENING, chunk_of, event, said_in

STREAMS = 1000
EVENTS = 8
PACE = 0.25
"""Seconds between two events of a stream."""
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Let the test's own process have the sockets of all clients and of the upstream."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * STREAMS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this system allows {hard} open files, the test needs {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Pacer:
    """A script that streams events, each with the client's name, and knows how many streams it serves at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.all_there = asyncio.Event()

    async def __call__(self, received: Received, wire: Wire) -> None:
        name = received.json["messages"][0]["content"]
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == STREAMS:
            self.all_there.set()
        await wire.send(_HEAD + chunk(OPENING))
        await self.all_there.wait()
        for number in range(EVENTS):
            await asyncio.sleep(PACE)  # the pace is what is tested
            await wire.send(chunk(event(chunk_of({"content": f"{name}/{number}"}))))
        await wire.send(chunk(FINISH + DONE) + chunk(b""))
        self.now -= 1


async def _listen(url: str, name: str) -> list[str]:
    async with connect(url) as client:
        await client.send(request({"model": "m", "stream": True, "messages": [{"role": "user", "content": name}]}))
        assert (await client.head())[0] == 200
        body = b""
        async with asyncio.timeout(60):
            while piece := await client.chunk():
                body += piece
    *said, done = said_in(body)
    assert done == "[DONE]"
    return [s["choices"][0]["delta"]["content"] for s in said if s["choices"][0]["delta"].get("content")]


async def test_a_thousand_streams_at_once_lose_nothing(serve: Serve) -> None:
    pacer = Pacer()
    async with ScriptedUpstream(pacer) as upstream:
        config = {"plugins": {"openai": {"providers": {"acme": {"base_url": f"{upstream.url}/v1", "models": ["m"], "auth": "none"}}}}}
        async with serve(config, before="ulimit -S -n 1024") as process:
            heard = await asyncio.gather(*(_listen(process.url, f"c{number}") for number in range(STREAMS)))
            assert pacer.most == STREAMS
            for client, said in enumerate(heard):
                assert said == [f"c{client}/{number}" for number in range(EVENTS)]
            await asyncio.wait_for(upstream.until(lambda: pacer.now == 0), 10)
