"""How bytes flow: at once, no faster than they are read, kept alive in silence, and without growing in memory."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jackfield.api.testing import Received, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import MakeHouse
from tests.e2e.server.conftest import Process, Serve
from tests.e2e.server.raw import ANSWER, CHAT, QUESTION, RawClient, chunk, connect, exchange, head, request
from tests.e2e.server.streams import DONE, EVENTS, FINISH, OPENING, SPOKEN, STREAM, chunk_of, event, said_in

STREAMED = request({**QUESTION, "stream": True})
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
KEEPALIVE = b": keep-alive\n\n"
MIB = 1 << 20


class Puppet:
    """A script that sends what the test says, when the test says it."""

    def __init__(self) -> None:
        self._orders: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.wire: asyncio.Future[Wire] = asyncio.get_running_loop().create_future()

    def send(self, data: bytes) -> None:
        self._orders.put_nowait(chunk(data))

    def end(self) -> None:
        self._orders.put_nowait(None)

    async def __call__(self, received: Received, wire: Wire) -> None:
        self.wire.set_result(wire)
        await wire.send(_HEAD)
        while (order := await self._orders.get()) is not None:
            await wire.send(order)
        await wire.send(chunk(b""))


async def test_each_event_arrives_before_the_next_is_sent(house: MakeHouse) -> None:
    puppet = Puppet()
    async with house(puppet) as h, connect(h.host.url) as client:
        await client.send(STREAMED)
        for number, one in enumerate(EVENTS):
            puppet.send(one)
            if not number:
                assert (await client.head())[0] == 200
            assert await client.chunk() == one
        assert await client.chunk() == b""  # the end needs no word of the upstream's after its last event
        puppet.end()


async def test_nothing_is_sent_before_the_first_event(house: MakeHouse) -> None:
    puppet = Puppet()
    async with house(puppet, config={"server": {"keepalive": "50ms"}}) as h, connect(h.host.url) as client:
        await client.send(STREAMED)
        await puppet.wire
        puppet.send(b": hello\n\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.3)  # longer than several keep-alives: nothing may come
        puppet.send(STREAM)
        puppet.end()
        assert said_in((await client.answer()).body)[-1] == "[DONE]"


async def test_a_silent_stream_is_kept_alive_by_comments(house: MakeHouse) -> None:
    puppet = Puppet()
    async with house(puppet, config={"server": {"keepalive": "50ms"}}) as h, connect(h.host.url) as client:
        await client.send(STREAMED)
        puppet.send(OPENING + SPOKEN[0] + SPOKEN[1][:30])
        await client.head()
        assert await client.chunk() == OPENING + SPOKEN[0]
        for _ in range(3):
            assert await client.chunk() == KEEPALIVE  # between whole events, though the upstream is within one
        puppet.send(SPOKEN[1][30:] + b"".join(SPOKEN[2:]) + FINISH + DONE)
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert rest.replace(KEEPALIVE, b"") == b"".join([*SPOKEN[1:], FINISH, DONE])
        puppet.end()


async def test_a_stream_that_flows_needs_no_comments(house: MakeHouse) -> None:
    async with house(sse_answer(EVENTS), config={"server": {"keepalive": "1s"}}) as h:
        assert (await exchange(h.host.url, STREAMED)).body == STREAM


async def test_keeping_alive_can_be_switched_off(house: MakeHouse) -> None:
    puppet = Puppet()
    async with house(puppet, config={"server": {"keepalive": 0}}) as h, connect(h.host.url) as client:
        await client.send(STREAMED)
        puppet.send(OPENING)
        await client.head()
        assert await client.chunk() == OPENING
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.3)
        puppet.send(FINISH + DONE)
        assert await client.chunk() == FINISH + DONE
        puppet.end()


async def test_a_client_that_leaves_a_stream_ends_it_upstream(house: MakeHouse) -> None:
    puppet = Puppet()
    async with house(puppet) as h:
        async with connect(h.host.url) as client:
            await client.send(STREAMED)
            puppet.send(OPENING)
            await client.head()
            await client.chunk()
        wire = await puppet.wire
        await asyncio.wait_for(wire.gone.wait(), 10)
        puppet.end()
        assert (await h.outcome()).status == "canceled"


async def test_a_client_that_leaves_a_silent_stream_is_noticed_too(house: MakeHouse) -> None:
    puppet = Puppet()
    async with house(puppet) as h:
        async with connect(h.host.url) as client:
            await client.send(STREAMED)
            wire = await puppet.wire
        await asyncio.wait_for(wire.gone.wait(), 10)
        puppet.end()
        assert (await h.outcome()).status == "canceled"


# ------------------------------------------------------------------------------------------------ backpressure


class Fountain:
    """A script that sends as many large events as the other side takes."""

    def __init__(self, events: int, size: int) -> None:
        self.events, self.size, self.sent = events, size, 0

    async def __call__(self, received: Received, wire: Wire) -> None:
        await wire.send(_HEAD)
        for number in range(self.events):
            await wire.send(chunk(event(chunk_of({"content": f"{number:06}" + "x" * self.size}))))
            self.sent += 1
        await wire.send(chunk(FINISH + DONE) + chunk(b""))


def _memory(process: Process, what: str = "VmRSS") -> float:
    """Return a figure of a process's memory in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


async def _until_still(value: Callable[[], int]) -> int:
    """Wait until a figure has stood still for half a second and return it."""
    async with asyncio.timeout(20):
        while True:
            before = value()
            await asyncio.sleep(0.5)
            if value() == before > 0:
                return before


@asynccontextmanager
async def _slow_client(url: str) -> AsyncIterator[RawClient]:
    """Connect with a small buffer, so that what is not read stays with the host."""
    parts = urlsplit(url)
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    plug.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plug, (parts.hostname, parts.port))
    reader, writer = await asyncio.open_connection(sock=plug, limit=64 << 10)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


def _config(url: str, **more: Any) -> dict[str, Any]:
    return {"plugins": {"openai": {"providers": {"acme": {"base_url": f"{url}/v1", "models": ["m"], "auth": "none"}}}}, **more}


async def test_a_slow_reader_slows_the_upstream_down_and_loses_nothing(serve: Serve) -> None:
    fountain = Fountain(events=2000, size=50_000)  # 100 MB
    async with ScriptedUpstream(fountain) as upstream, serve(_config(upstream.url)) as process:
        idle = _memory(process)
        async with _slow_client(process.url) as client:
            await client.send(STREAMED)
            await client.head()
            sent = await _until_still(lambda: fountain.sent)
            assert sent < 600  # what the sockets between hold
            assert _memory(process) < idle + 12
            body = bytearray()
            while piece := await client.chunk():
                body += piece
            numbers = [int(said["choices"][0]["delta"]["content"][:6]) for said in said_in(bytes(body))[:-2]]
            assert numbers == list(range(2000))


@asynccontextmanager
async def _sink() -> AsyncIterator[tuple[str, list[float], list[int]]]:
    """An upstream that notes when a request's first byte comes and how large its body was."""
    first: list[float] = []
    sizes: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while byte := await reader.read(1):
                first.append(time.perf_counter())
                top = byte + await reader.readuntil(b"\r\n\r\n")
                size = int(top.lower().partition(b"content-length: ")[2].split()[0])
                await reader.readexactly(size)
                sizes.append(size)
                raw = b'{"choices": [], "id": "x", "object": "chat.completion", "created": 1, "model": "m"}'
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(raw), raw))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", first, sizes
    finally:
        server.close()


_LARGE = b'{"model": "m", "messages": [{"role": "user", "content": "' + b"x" * (32 * MIB) + b'"}]}'


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_body_of_32_mib_passes_quickly_and_is_not_kept_twice(serve: Serve, chunked: bool) -> None:
    async with _sink() as (url, first, sizes), serve(_config(url)) as process:
        idle, late = _memory(process), []
        pieces = [_LARGE[at : at + MIB] for at in range(0, len(_LARGE), MIB)]
        while len(late) < 8 and min(late, default=1) >= 0.1:  # the machine may be busy with something else
            async with connect(process.url) as client:
                await client.send(head(headers={"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(_LARGE))}))
                for piece in pieces[:-1]:
                    await client.send(chunk(piece) if chunked else piece)
                await client.send(chunk(pieces[-1]) + chunk(b"") if chunked else pieces[-1])
                last = time.perf_counter()
                assert (await client.answer()).status == 200
                late.append(first[-1] - last)
        assert sizes == [len(_LARGE)] * len(late)
        assert min(late) < 0.1
        assert _memory(process, "VmHWM") < idle + 2 * 32
        assert _memory(process) < idle + 10


async def test_a_large_body_reaches_the_upstream_unchanged(house: MakeHouse) -> None:
    body = b'{"model":"m","messages":[' + b'{"role":"user","content":"1.10"},' * 200_000 + b'{"role":"user","content":""}]}'
    async with house(_echo_size, config={"limits": {"json": "2 MiB"}}) as h:
        assert (await exchange(h.host.url, request(body))).json["id"] == str(len(body))
        assert h.upstream.requests[0].body == body
        assert h.upstream.requests[0].headers["content-length"] == str(len(body))


async def _echo_size(received: Received, wire: Wire) -> None:
    await json_answer({**ANSWER, "id": str(len(received.body))})(received, wire)


async def test_a_large_body_is_renamed_like_a_small_one(house: MakeHouse) -> None:
    body = b'{"messages": [{"role": "user", "content": "' + b"x" * (3 * MIB) + b'"}], "model": "alias" }'
    async with house(_echo_size, config={"limits": {"json": "2 MiB"}, "models": {"aliases": {"alias": "m"}}}) as h:
        assert (await exchange(h.host.url, request(body, target=CHAT))).status == 200
        assert h.upstream.requests[0].body == body.replace(b'"alias"', b'"m"')


async def test_a_large_answer_passes_unchanged(house: MakeHouse) -> None:
    said = {**ANSWER, "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * (20 * MIB)}, "finish_reason": "stop"}]}
    async with house(json_answer(said)) as h:
        assert (await exchange(h.host.url, request())).json == said
