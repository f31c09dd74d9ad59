"""How a host stops: what runs may finish within the grace period, then it is told; nothing hangs and nothing stays behind."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from jackfield.api.testing import Received, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Wire
from tests.e2e.conftest import MakeHouse
from tests.e2e.server.conftest import Process, Serve
from tests.e2e.server.raw import ANSWER, QUESTION, chunk, connect, exchange, get, request
from tests.e2e.server.streams import DONE, EVENTS, FINISH, OPENING, SPOKEN, said_in, words_in

STREAMED = request({**QUESTION, "stream": True})
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Gate:
    """A script that begins a stream and goes on when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, received: Received, wire: Wire) -> None:
        await wire.send(_HEAD + chunk(OPENING + SPOKEN[0]))
        waiting = [asyncio.ensure_future(self.open.wait()), asyncio.ensure_future(wire.gone.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self.open.is_set():
                await wire.send(chunk(b"".join(SPOKEN[1:]) + FINISH + DONE) + chunk(b""))
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _config(upstream: ScriptedUpstream, grace: str) -> dict[str, Any]:
    acme = {"base_url": f"{upstream.url}/v1", "models": ["m"], "auth": "none"}
    return {"server": {"grace": grace}, "plugins": {"openai": {"providers": {"acme": acme}}}}


async def _listens_no_more(process: Process) -> None:
    parts = urlsplit(process.url)
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            except ConnectionError:
                return
            writer.transport.abort()


def _bind_again(process: Process) -> None:
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", urlsplit(process.url).port or 0))
        again.listen()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stream_may_finish_within_the_grace_period(serve: Serve, number: signal.Signals) -> None:
    gate = Gate()
    async with ScriptedUpstream(gate) as upstream, serve(_config(upstream, "20s")) as process, connect(process.url) as client:
        await client.send(STREAMED)
        assert (await client.head())[0] == 200
        body = await client.chunk()
        process.signal(number)
        await _listens_no_more(process)
        gate.open.set()
        while piece := await client.chunk():
            body += piece
        assert body == b"".join(EVENTS)
        assert await client.closed()
        assert await process.ended() == 0
        _bind_again(process)
        assert "Traceback" not in "".join(process.out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stream_beyond_the_grace_period_ends_with_an_error(serve: Serve, number: signal.Signals) -> None:
    async with ScriptedUpstream(Gate()) as upstream, serve(_config(upstream, "300ms")) as process, connect(process.url) as client:
        await client.send(STREAMED)
        status, _ = await client.head()
        body = await client.chunk()
        process.signal(number)
        while piece := await client.chunk():
            body += piece
        said = said_in(body)
        assert (status, words_in(b"".join(EVENTS[:2]))) == (200, words_in(body))
        assert (said[-2]["error"]["code"], said[-2]["error"]["message"]) == ("stopping", "the host is stopping")
        assert said[-1] == "[DONE]"
        assert await process.ended() == 0
        assert "Traceback" not in "".join(process.out)


async def _silence(received: Received, wire: Wire) -> None:
    await wire.gone.wait()


async def test_a_call_without_an_answer_is_answered_503_after_the_grace_period(serve: Serve) -> None:
    async with ScriptedUpstream(_silence) as upstream, serve(_config(upstream, "300ms")) as process, connect(process.url) as client:
        await client.send(request())
        await asyncio.wait_for(upstream.until(lambda: len(upstream.requests) == 1), 10)
        process.signal(signal.SIGTERM)
        told = await client.answer()
        assert (told.status, told.error["code"]) == (503, "stopping")
        assert await process.ended() == 0


async def test_an_upload_that_stands_still_does_not_hold_the_end_up(serve: Serve) -> None:
    async with ScriptedUpstream(_silence) as upstream, serve(_config(upstream, "300ms")) as process, connect(process.url) as client:
        await client.send(request().replace(b"Content-Length: ", b"Content-Length: 9"))
        assert (await exchange(process.url, get("/readyz"))).status == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_idle_connections_do_not_hold_the_end_up(serve: Serve) -> None:
    async with AsyncExitStack() as parts:
        upstream = await parts.enter_async_context(ScriptedUpstream(json_answer(ANSWER)))
        process = await parts.enter_async_context(serve(_config(upstream, "20s")))
        used, fresh = [await parts.enter_async_context(connect(process.url)) for _ in range(2)]
        assert (await used.exchange(request())).status == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
        assert await used.closed()
        assert await fresh.closed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_at_once(serve: Serve, number: signal.Signals) -> None:
    async with ScriptedUpstream(_silence) as upstream, serve(_config(upstream, "300s")) as process, connect(process.url) as client:
        await client.send(request())
        await asyncio.wait_for(upstream.until(lambda: len(upstream.requests) == 1), 10)
        process.signal(signal.SIGTERM)
        await process.until("stopping")
        process.signal(number)
        assert await process.ended() == -number
        assert await client.closed()
        assert "Traceback" not in "".join(process.out)


async def test_the_log_says_that_and_how_long_is_waited(serve: Serve) -> None:
    async with serve({"server": {"grace": "3s"}}) as process:
        process.signal(signal.SIGTERM)
        assert "3 s" in await process.until("stopping")
        assert await process.ended() == 0


async def test_a_taken_port_is_named(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with serve({}, "--port", str(port), ready=False) as process:
            assert await process.ended() == 1
            said = "".join(process.out)
            assert f"cannot listen on 127.0.0.1:{port}" in said
            assert "server.port" in said
            assert "Traceback" not in said


async def test_an_embedded_host_stops_the_same_way(house: MakeHouse) -> None:
    async with house(Gate()) as h, connect(h.host.url) as client:
        await client.send(STREAMED)
        await client.head()
        body = await client.chunk()
        stopping = asyncio.create_task(h.host.host.stop(grace=0.1))
        while piece := await client.chunk():
            body += piece
        await stopping
        assert said_in(body)[-2]["error"]["code"] == "stopping"
        assert (await h.outcome()).status == "failed"
        assert await client.closed()
