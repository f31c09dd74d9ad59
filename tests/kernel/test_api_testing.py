"""The test kit does what its documentation says, so that other tests can lean on it."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from jackfield.api.testing import Harness, Received, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Wire
from tests.kernel.conftest import Toy, ToyProvider, http_toy, talk
from tests.kernel.toy import stream_of


async def test_an_upstream_plays_its_scripts_in_turn_and_keeps_what_came_in() -> None:
    scripts = json_answer({"n": 1}), json_answer(b"raw", status=418, headers={"X-A": "b"})
    async with ScriptedUpstream(*scripts) as upstream, aiohttp.ClientSession() as client:
        async with client.post(f"{upstream.url}/path?q=1", json={"a": 1}, headers={"X-B": "c"}) as first:
            assert (first.status, await first.json()) == (200, {"n": 1})
        for _ in range(2):  # the last script serves all further requests
            async with client.post(upstream.url, data=b"x") as more:
                assert (more.status, await more.read(), more.headers["X-A"]) == (418, b"raw", "b")
    one = upstream.requests[0]
    assert (one.method, one.target, one.json, one.headers["x-b"], one.connection) == ("POST", "/path?q=1", {"a": 1}, "c", 1)
    assert len(upstream.requests) == 3
    assert upstream.connections == 1


async def test_an_upstream_reads_bodies_that_come_in_chunks() -> None:
    async def pieces():  # type: ignore[no-untyped-def]
        yield b'{"a":'
        yield b" 1}"

    async with ScriptedUpstream(json_answer({})) as upstream, aiohttp.ClientSession() as client:
        async with client.post(upstream.url, data=pieces()) as answer:
            assert answer.status == 200
        assert upstream.requests[0].body == b'{"a": 1}'


async def test_a_streamed_answer_ends_or_breaks_as_told() -> None:
    scripts = sse_answer([b"data: 1\n\n"]), sse_answer([b"data: 2\n\n"], end=False)
    async with ScriptedUpstream(*scripts) as upstream, aiohttp.ClientSession() as client:
        async with client.get(upstream.url) as whole:
            assert await whole.read() == b"data: 1\n\n"
            assert whole.content_type == "text/event-stream"
        with pytest.raises(aiohttp.ClientError):
            async with client.get(upstream.url) as broken:
                await broken.read()


async def test_an_upstream_notices_a_client_that_leaves() -> None:
    left = asyncio.Event()

    async def stays(received: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
        await wire.gone.wait()
        left.set()

    async with ScriptedUpstream(stays) as upstream, aiohttp.ClientSession() as client:
        response = await client.get(upstream.url)
        await upstream.until(lambda: upstream.open == 1)
        response.close()
        async with asyncio.timeout(5):
            await left.wait()
            await upstream.until(lambda: upstream.open == 0)


async def test_a_bare_host_has_the_given_plugins_alone_and_another_the_installed_ones_too() -> None:
    async with Harness([Toy()], bare=True) as host:
        assert [plugin.id for plugin in host.host.plugins if plugin.state == "active"] == ["toy"]
        assert (await host.get("/healthz")).status == 200
    async with Harness([Toy()]) as host:
        assert {"toy", "simulator"} <= {plugin.id for plugin in host.host.plugins if plugin.state == "active"}


async def test_a_call_goes_from_client_to_upstream_and_back() -> None:
    async with ScriptedUpstream(
        json_answer({"id": "t", "model": "m", "blocks": [], "stop": "stop"}), sse_answer([stream_of(["Hi"])])
    ) as upstream:
        async with Harness([Toy(http_toy(upstream.url))], bare=True) as host:
            whole = await host.post("/toy/v1/talk", talk(words="there"), headers={"Toy-Feature": "x"})
            assert (whole.status, whole.json["id"]) == (200, "t")
            async with host.open("POST", "/toy/v1/talk", talk(stream=True)) as streamed:
                assert await streamed.read() == stream_of(["Hi"])
        assert upstream.requests[0].json["say"][0]["words"] == "there"
        assert upstream.requests[0].headers["toy-feature"] == "x"


async def test_bytes_are_sent_as_they_are() -> None:
    provider = ToyProvider()
    async with Harness([Toy(provider)], bare=True) as host:
        raw = b' {"model" : "m","say":[] , "n": 1.10}'
        assert (await host.post("/toy/v1/talk", raw)).status == 200
        assert provider.attempts[0].body.raw == raw
        assert json.loads((await host.get("/toy/v1/models")).body)["models"] == ["m", "n"]
