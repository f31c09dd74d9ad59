"""Connections that died while nobody looked cost no call: closed by the upstream, or lost while the machine slept or nothing happened."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp.connector
import msgspec
import pytest

from jackfield import transport
from jackfield.api.testing import ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Received, Wire
from jackfield.transport import LARGE
from tests.kernel.conftest import WHOLE, http_toy
from tests.kernel.pipeline_kit import PATIENCE, ask, toy_host
from tests.kernel.toy import check_stream, stream_of

ANSWER = msgspec.json.encode(WHOLE)
HOUR = 3600.0


class Forgetful:
    """An upstream that answers one request on each connection, once all of `together` have come, and forgets the connection then.

    What comes next on a connection from before `forget` was set is not answered: it is broken off, with what has come unread.
    `silent`: nothing comes back at all, as from behind a router that has forgotten.
    """

    def __init__(self, stream: bool, *, together: int = 1, silent: bool = False) -> None:
        self._stream, self._silent, self._all = stream, silent, asyncio.Barrier(together)
        self.answered = self.connections = self.broken = 0
        self.forget = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        old = not self.forget.is_set()
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if old and self.forget.is_set():
                    self.broken += 1
                    if self._silent:
                        await reader.read(-1)
                    raise ConnectionResetError
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                if old:
                    await self._all.wait()
                kind = b"text/event-stream" if self._stream else b"application/json"
                body = stream_of(["Hello"]) if self._stream else ANSWER
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body))
                self.answered += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            # With what is unread thrown away at once, whoever sends learns of it by a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self._tasks.discard(task)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen, and yield the URL."""
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("size", [10, LARGE + (1 << 20)], ids=["small", "large"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("pooled", [1, 5])
async def test_connections_that_the_upstream_has_reset_cost_no_call(pooled: int, stream: bool, size: int) -> None:
    """However many of them lie in the pool, and whatever is being sent when it shows."""
    upstream = Forgetful(stream, together=pooled)
    async with upstream.listening() as url, toy_host(provider=[http_toy(url)]) as host:
        first = await asyncio.wait_for(asyncio.gather(*(ask(host, stream=stream) for _ in range(pooled))), PATIENCE)
        assert ({said.status for said in first}, upstream.connections) == ({200}, pooled)
        upstream.forget.set()
        answer = await asyncio.wait_for(ask(host, stream=stream, words="x" * size), PATIENCE)
        assert answer.status == 200
        assert check_stream(answer.body) == "Hello" if stream else answer.json == WHOLE
        assert (upstream.broken, upstream.answered, upstream.connections) == (1, pooled + 1, pooled + 1)


async def test_a_reset_of_a_new_connection_is_told() -> None:
    async def reset(received: Received, wire: Wire) -> None:
        wire.abort()

    async with ScriptedUpstream(reset) as upstream, toy_host(provider=[http_toy(upstream.url)]) as host:
        answer = await ask(host)
        assert (answer.status, answer.json["code"]) == (502, "no_answer")


Pass = Callable[[float], None]


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets time pass for the host: on the wall, and for all that counts up."""
    gone, count = [0.0], time.monotonic
    monkeypatch.setattr(transport, "time", SimpleNamespace(time=lambda: time.time() + gone[0], monotonic=lambda: count() + gone[0]))
    monkeypatch.setattr(time, "monotonic", lambda: count() + gone[0])
    monkeypatch.setattr(aiohttp.connector, "monotonic", time.monotonic)
    return lambda seconds: gone.__setitem__(0, gone[0] + seconds)


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets the machine sleep: time passes on the wall alone."""
    gone = [0.0]
    monkeypatch.setattr(transport, "time", SimpleNamespace(time=lambda: time.time() + gone[0], monotonic=time.monotonic))
    return lambda seconds: gone.__setitem__(0, gone[0] + seconds)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["passing", "sleeping"])
async def test_an_hour_later_the_host_accepts_and_uses_no_connection_from_before(
    request: pytest.FixtureRequest, how: str, stream: bool
) -> None:
    """Where nothing tells that a connection is dead, a call over it would wait until its time is up."""
    later: Pass = request.getfixturevalue(how)
    upstream = Forgetful(stream, together=3, silent=True)
    async with upstream.listening() as url, toy_host(provider=[http_toy(url)]) as host:
        await asyncio.wait_for(asyncio.gather(*(ask(host, stream=stream) for _ in range(3))), PATIENCE)
        later(HOUR)
        upstream.forget.set()
        for _ in range(2):
            assert (await asyncio.wait_for(ask(host, stream=stream), PATIENCE)).status == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", host.host.port)  # a new client is taken in, too
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), PATIENCE)).startswith(b"HTTP/1.1 200")
        writer.close()
        assert (upstream.broken, upstream.connections) == (0, 4)


async def test_a_clock_that_is_set_does_no_harm(sleeping: Pass) -> None:
    """A stream that is being read goes on, whatever the clock on the wall says."""
    go_on = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        raw = stream_of(["one", "two"])
        yield raw[:60]
        await go_on.wait()
        yield raw[60:]

    scripts: list[Callable[[Received, Wire], Awaitable[None]]] = [sse_answer(pieces()), json_answer(WHOLE)]
    async with ScriptedUpstream(*scripts) as upstream, toy_host(provider=[http_toy(upstream.url)]) as host:
        reading = asyncio.create_task(ask(host, stream=True))
        await asyncio.wait_for(upstream.until(lambda: len(upstream.requests) == 1), PATIENCE)
        for seconds in (HOUR, -2 * HOUR):
            sleeping(seconds)
            assert (await ask(host)).status == 200
        go_on.set()
        assert check_stream((await asyncio.wait_for(reading, PATIENCE)).body) == "onetwo"
