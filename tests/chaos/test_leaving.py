"""A client that leaves, wherever its answer stands: no upstream connection, no task, nothing in flight is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from jackfield.api.testing import Harness, Received, Script, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Wire as Line
from tests.chaos.wires import MODEL, REQUESTS, Chat, Messages, Wire
from tests.chaos.world import head
from tests.virtual_time import Clock, in_virtual_time

WORDS = ["one ", "two ", "three ", "four "]
WIRES: dict[str, type[Wire]] = {"openai": Chat, "anthropic": Messages}
STEP = 0.1
"""Seconds between two events."""


@asynccontextmanager
async def serving(provider: str, script: Script, **config: Any) -> AsyncIterator[tuple[Harness, ScriptedUpstream]]:
    """Run a host with one credential at an upstream with this script."""
    async with ScriptedUpstream(script) as upstream:
        server = {"base_url": upstream.url, "models": [MODEL]}
        keys = [{"provider": "acme", "key": "key of a", "id": "a"}]
        async with Harness(config={"plugins": {provider: {"providers": {"acme": server}}}, "credentials": keys, **config}) as host:
            yield host, upstream


async def connect(host: Harness, dialect: str, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request over a connection of its own."""
    path, said = REQUESTS[dialect]("call-1", stream)
    body = msgspec.json.encode(said)
    reader, writer = await asyncio.open_connection("127.0.0.1", host.host.port)
    lines = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(lines.encode() + body)
    return reader, writer


async def leave(writer: asyncio.StreamWriter, rudely: bool) -> None:
    """Close a client's connection: in good order, or by a reset."""
    if rudely:
        writer.transport.abort()
    else:
        writer.close()
        await writer.wait_closed()
    await asyncio.sleep(2)  # a moment for the host


def left_behind(host: Harness, upstream: ScriptedUpstream, idle: tuple[set[Any], set[Any]]) -> dict[str, Any]:
    """Return what a call has left behind, by kind; nothing where all is well. `idle` is what there was before."""
    shared: Any = host.host._shared
    taken = [connection for session, _, _ in shared.transport._ways.values() for connection in session.connector._acquired]
    found = {
        "in flight": [account.in_flight for account in host.host.generation.accounts if account.in_flight],
        "calls": shared._calls, "connections in use": taken, "open upstream connections": upstream.open, "bytes": shared.bytes_in_flight,
        "waits": shared.sweeper.waiting - idle[1], "tasks": asyncio.all_tasks() - idle[0],
    }  # fmt: skip
    return {what: things for what, things in found.items() if things}


def at_rest(host: Harness) -> tuple[set[Any], set[Any]]:
    """Return the tasks and waits of a host that has nothing to do."""
    return asyncio.all_tasks(), set(host.host._shared.sweeper.waiting)  # type: ignore[union-attr]


def slowly(provider: str) -> Script:
    """Return an upstream that streams an answer, an event at a time."""

    async def script(received: Received, line: Line) -> None:
        wire = WIRES[provider]()
        await line.send(head(200, None, "text/event-stream"))
        for event in (*wire.opening(), *wire.spoken(WORDS), *wire.ending()):
            await asyncio.sleep(STEP)
            await line.send(b"%x\r\n%b\r\n" % (len(event), event))
        await line.send(b"0\r\n\r\n")

    return script


@pytest.mark.parametrize("rudely", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize("provider", WIRES)
@in_virtual_time
async def test_after_any_event_of_a_stream(clock: Clock, provider: str, dialect: str, rudely: bool) -> None:
    async with serving(provider, slowly(provider)) as (host, upstream):
        idle, seen, over = at_rest(host), 0, False
        while not over:
            reader, writer = await connect(host, dialect, stream=True)
            over = await read_events(reader, seen)
            await leave(writer, rudely)
            found = left_behind(host, upstream, idle)
            if over:  # the connection is in the pool, and not in use
                found.pop("open upstream connections", None)
                found.pop("tasks", None)
            assert not found, f"after {seen} events"
            seen += 1
        assert seen > len(WORDS) + 2
        assert len(upstream.requests) == seen


async def read_events(reader: asyncio.StreamReader, many: int) -> bool:
    """Read so many events of a stream; tell whether the last one was among them."""
    read = b""
    if not many:
        await asyncio.sleep(STEP * 1.5)
    while read.count(b"\n\n") < many and (piece := await reader.read(65536)):
        read += piece
    return any(last in read for last in (b"[DONE]", b"event: message_stop", b"event: response.completed"))


# ------------------------------------------------------------------------------------------------- whole answers


async def _silent(received: Received, line: Line) -> None:
    await line.gone.wait()


async def _half_a_head(received: Received, line: Line) -> None:
    await line.send(b"HTTP/1.1 200 OK\r\nContent-Type: app")
    await line.gone.wait()


async def _head_alone(received: Received, line: Line) -> None:
    await line.send(head(200, b"x" * 500))
    await line.gone.wait()


async def _half_a_body(received: Received, line: Line) -> None:
    body = Chat().whole("".join(WORDS))
    await line.send(head(200, body) + body[: len(body) // 2])
    await line.gone.wait()


async def _only_an_opening(received: Received, line: Line) -> None:
    opening = b"".join(Chat().opening())
    await line.send(head(200, None, "text/event-stream") + b"%x\r\n%b\r\n" % (len(opening), opening))
    await line.gone.wait()


_error = json_answer(msgspec.json.decode(Chat().error(429)), status=429, headers={"Retry-After": "1"})

PHASES: dict[str, tuple[Callable[[Received, Line], Coroutine[Any, Any, None]], bool]] = {
    "before the head": (_silent, False),
    "before the head of a stream": (_silent, True),
    "in the head": (_half_a_head, False),
    "after the head": (_head_alone, False),
    "after the head of a stream": (_head_alone, True),
    "in the body": (_half_a_body, False),
    "while a stream's opening is held back": (_only_an_opening, True),
    "while the call waits for somebody who rests": (_error, False),
}


@pytest.mark.parametrize("rudely", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("phase", PHASES)
@in_virtual_time
async def test_in_every_phase(clock: Clock, phase: str, rudely: bool) -> None:
    script, stream = PHASES[phase]
    async with serving("openai", script, attempts={"hold": "60s", "wait": "60s"}) as (host, upstream):
        idle = at_rest(host)
        _, writer = await connect(host, "openai.chat", stream)
        await asyncio.sleep(0.5)
        assert len(upstream.requests) == 1
        assert host.host._shared._calls  # type: ignore[union-attr]
        await leave(writer, rudely)
        found = left_behind(host, upstream, idle)
        if script is _error:  # its connection is in the pool, and not in use
            found.pop("open upstream connections")
            found.pop("tasks", None)
        assert not found


@in_virtual_time
async def test_before_the_request_is_whole(clock: Clock) -> None:
    async with serving("openai", _silent) as (host, upstream):
        idle = at_rest(host)
        _, writer = await asyncio.open_connection("127.0.0.1", host.host.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n" + b'{"model": "m"')
        await asyncio.sleep(0.5)
        await leave(writer, rudely=False)
        assert not left_behind(host, upstream, idle)
        assert not upstream.requests


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("first", ["the client", "the upstream"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@in_virtual_time
async def test_in_the_moment_in_which_an_attempt_fails(clock: Clock, stream: bool, first: str, turns: int) -> None:
    leaving: list[asyncio.StreamWriter] = []

    async def fails(received: Received, line: Line) -> None:
        if stream:
            opening = b"".join(Chat().opening())
            await line.send(head(200, None, "text/event-stream") + b"%x\r\n%b\r\n" % (len(opening), opening))
        await asyncio.sleep(0.5)
        ends = [leaving[0].transport.abort, line.abort]
        for end in ends if first == "the client" else reversed(ends):
            end()
            for _ in range(turns):
                await asyncio.sleep(0)

    keys = [{"provider": "acme", "key": f"key of {label}", "id": label} for label in "abc"]
    async with serving("openai", fails, credentials=keys, attempts={"hold": "60s"}) as (host, upstream):
        idle = at_rest(host)
        _, writer = await connect(host, "openai.chat", stream)
        leaving.append(writer)
        await asyncio.sleep(30)
        assert not left_behind(host, upstream, idle)
        # Another one may have been asked in that very moment, and no further one after it.
        assert len(upstream.requests) <= 2
