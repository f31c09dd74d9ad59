"""White space in place of a whole answer that takes long (`server.nonstream_keepalive`): only where it is asked for, and at its price."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from jackfield.api import Attempt, Change, Headers, ModelInfo, Nested, Provider, Reply, Request, Response
from jackfield.api.canonical import Choice, Message, Text
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer, sse_answer
from jackfield.api.testing.upstream import Received, Wire
from tests.kernel.conftest import WHOLE, ToyProvider, http_toy, talk
from tests.kernel.pipeline_kit import PATIENCE, Made, Observer, toy_host
from tests.kernel.toy import check_stream, stream_of

EVERY = 0.2
ON = {"server": {"nonstream_keepalive": "200ms"}}


class Held(ToyProvider):
    """Answers when it is told to, what it is told."""

    def __init__(self, answer: Reply | None = None) -> None:
        super().__init__()
        self.reply = answer or Reply(body=msgspec.json.encode(WHOLE), headers=Headers([("Toy-Request-Id", "r-1")]))
        self.go, self.asked = asyncio.Event(), asyncio.Event()

    async def execute(self, attempt: Attempt) -> Reply:
        self.asked.set()
        await self.go.wait()
        return self.reply


class Client:
    """A connection on which every byte is seen as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, body: object, path: str = "/toy/v1/talk", headers: Mapping[str, str] | None = None) -> None:
        """Send a request."""
        raw = json.dumps(body).encode()
        lines = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(raw)), **(headers or {})}
        await self.send("\r\n".join([f"POST {path} HTTP/1.1", *(f"{k}: {v}" for k, v in lines.items()), "", ""]).encode() + raw)

    async def send(self, raw: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(raw)
        await self._writer.drain()

    async def head(self) -> tuple[int, Headers]:
        """Read the answer's head."""
        raw = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)
        first, *lines = raw.decode().rstrip().split("\r\n")
        return int(first.split()[1]), Headers(tuple(line.split(": ", 1)) for line in lines)  # type: ignore[misc]

    async def piece(self) -> bytes:
        """Read one chunk; b"" is the last."""
        size = int(await asyncio.wait_for(self._reader.readuntil(b"\r\n"), PATIENCE), 16)
        return (await asyncio.wait_for(self._reader.readexactly(size + 2), PATIENCE))[:-2]

    async def rest(self) -> bytes:
        """Read all chunks that are left, as one."""
        return b"".join([piece async for piece in self._pieces()])

    async def _pieces(self) -> AsyncIterator[bytes]:
        while piece := await self.piece():
            yield piece

    def leave(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def closed(self) -> bool:
        """Wait until the other side has closed the connection."""
        try:
            return await asyncio.wait_for(self._reader.read(1), PATIENCE) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def connected(host: Harness) -> AsyncIterator[Client]:
    """Connect to a host."""
    client = Client(*await asyncio.open_connection("127.0.0.1", host.host.port))
    try:
        yield client
    finally:
        client.leave()


async def test_white_space_comes_before_the_answer_and_again_each_interval() -> None:
    provider, observer = Held(), Observer()
    async with toy_host(observer, provider=provider, config=ON) as host, connected(host) as client:
        began = asyncio.get_running_loop().time()
        await client.ask(talk())
        status, headers = await client.head()
        assert (status, headers["content-type"], headers["transfer-encoding"]) == (200, "application/json", "chunked")
        assert [await client.piece() for _ in range(3)] == [b" "] * 3
        assert asyncio.get_running_loop().time() - began >= 3 * EVERY
        provider.go.set()
        raw = await client.rest()
        assert raw.strip() == msgspec.json.encode(WHOLE)
        assert json.loads(raw) == WHOLE
        [outcome] = await observer.completed()
        assert (outcome.status, outcome.http_status) == ("succeeded", 200)
        assert "toy-request-id" not in headers
        assert "200 had been sent: the status 200 and the headers came too late (server.nonstream_keepalive)" in await observer.explained()
        await client.ask(talk())  # the connection serves on
        status, headers = await client.head()
        assert (status, headers["toy-request-id"], headers.get("transfer-encoding")) == (200, "r-1", None)


async def test_an_answer_in_time_has_its_own_status_and_headers() -> None:
    provider = Held()
    provider.go.set()
    async with toy_host(provider=provider, config=ON) as host:
        answer = await host.post("/toy/v1/talk", talk())
        assert (answer.status, answer.headers["toy-request-id"], answer.body) == (200, "r-1", msgspec.json.encode(WHOLE))


async def test_it_is_off_unless_it_is_asked_for() -> None:
    provider = Held(Reply(status=500, body=b"{}"))
    async with toy_host(provider=provider, config={"timeouts": {"client_body": "100ms"}}) as host:
        asking = asyncio.create_task(host.post("/toy/v1/talk", talk()))
        await asyncio.wait_for(provider.asked.wait(), PATIENCE)
        await asyncio.sleep(0.5)  # twenty looks of the host go by: nothing can be waited for where nothing is to happen
        provider.go.set()
        assert (await asking).status == 502


async def test_an_error_after_it_is_the_dialects_with_the_status_200_and_the_record_says_so() -> None:
    provider, observer = Held(Reply(status=500, body=b"{}")), Observer()
    async with toy_host(observer, provider=provider, config=ON) as host, connected(host) as client:
        await client.ask(talk())
        assert (await client.head())[0] == 200
        provider.go.set()
        said = json.loads(await client.rest())
        assert (said["status"], "500" in said["oops"]) == (502, True)
        [outcome] = await observer.completed()
        assert (outcome.status, outcome.http_status, outcome.cause) == ("failed", 200, "upstream")
        assert "the status 502 and the headers came too late" in await observer.explained()


async def test_hooks_see_the_answer_as_they_always_do() -> None:
    seen: list[Any] = []

    def see(call: Any, reply: Reply) -> Change:
        seen.append((reply.status, reply.headers.get("toy-request-id")))
        return Change(set={("seen",): True})

    provider = Held()
    async with toy_host(Made("seeing", intercept_response=see), provider=provider, config=ON) as host, connected(host) as client:
        await client.ask(talk())
        await client.head()
        provider.go.set()
        assert json.loads(await client.rest()) == {**WHOLE, "seen": True}
    assert seen == [(200, "r-1")]


async def test_a_stream_is_left_alone() -> None:
    """White space before it would be no event. The body that says it is one may take longer to come than the interval."""
    go = asyncio.Event()

    async def late(received: Received, wire: Wire) -> None:
        await go.wait()
        await sse_answer([stream_of(["Hello"])], headers={"Toy-Request-Id": "r-1"})(received, wire)

    async with (
        ScriptedUpstream(late) as upstream,
        toy_host(provider=[http_toy(upstream.url)], config=ON) as host,
        connected(host) as client,
    ):
        raw = json.dumps(talk(stream=True)).encode()
        head = "POST /toy/v1/talk HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        await client.send(head.format(len(raw)).encode())
        await asyncio.sleep(2 * EVERY)  # this is the client's pace, not a wait for something
        await client.send(raw)
        await asyncio.wait_for(upstream.until(lambda: len(upstream.requests) == 1), PATIENCE)
        await asyncio.sleep(2 * EVERY)  # this is the upstream's pace
        go.set()
        status, headers = await client.head()
        assert (status, headers["toy-request-id"]) == (200, "r-1")
        assert check_stream(await client.rest()) == "Hello"


async def test_a_client_that_leaves_meanwhile_is_noticed() -> None:
    provider, observer = Held(), Observer()
    async with toy_host(observer, provider=provider, config=ON) as host, connected(host) as client:
        await client.ask(talk())
        await client.head()
        client.leave()
        [outcome] = await observer.completed()
        assert (outcome.status, outcome.http_status) == ("canceled", 200)
        assert {account.in_flight for account in host.host.generation.accounts} == {0}


async def test_a_host_that_stops_still_says_why() -> None:
    provider = Held()
    host = toy_host(provider=provider, config=ON)
    async with host, connected(host) as client:
        await client.ask(talk())
        await client.head()
        stopping = asyncio.create_task(host.host.stop(grace=0.1))
        assert json.loads(await client.rest())["code"] == "stopping"
        await stopping


async def test_what_breaks_inside_does_not_look_like_a_whole_answer() -> None:
    """A client must not take white space alone for an answer."""
    provider = Held()
    async with toy_host(provider=provider, config=ON) as host, connected(host) as client:
        await client.ask(talk())
        await client.head()
        for exchange in list(host.host._shared._calls):  # type: ignore[union-attr]  # as when the loop ends
            exchange.task.cancel()  # type: ignore[union-attr]
        while not (await client.closed()):
            pass


async def test_a_plugins_call_needs_none() -> None:
    provider = Held()
    said = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))
    async with toy_host(provider=provider, config=ON) as host:
        asking = asyncio.create_task(host.host.execute(Nested(request=said)))
        await asyncio.wait_for(provider.asked.wait(), PATIENCE)
        await asyncio.sleep(2 * EVERY)  # some looks of the host go by
        provider.go.set()
        assert isinstance(await asking, Response)


class Slow(Provider):
    """Speaks no wire form, and takes its time."""

    key = "slow"
    models = (ModelInfo(id="slow-model"),)

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def execute(self, attempt: Attempt) -> Reply:
        await self.go.wait()
        message = Message(role="assistant", parts=(Text(text="Hello"),))
        return Reply(response=Response(id="r-1", model="slow-model", choices=(Choice(message=message, finish="stop"),)))


class Bringing:
    """The plugin with it."""

    id = "bringing"

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def register_providers(self) -> list[Provider]:
        return [self._provider]


async def test_every_dialect_whose_whole_answers_are_json_has_it() -> None:
    provider = Slow()
    async with Harness([Bringing(provider)], ON) as host:
        said = Request(model="slow-model", messages=(Message(role="user", parts=(Text(text="hi"),)),))
        asked = []
        for dialect in host.host.generation.dialects.values():
            for endpoint in (e for e in dialect.endpoints if e.operation == "generate" and e.stream is not True and e.when_query is None):
                provider.go.clear()
                body = json.loads(dialect.encode_request(said, "generate", []))
                async with connected(host) as client:
                    await client.ask(body, endpoint.path.replace("{model}", "slow-model"))
                    status, headers = await client.head()
                    assert (status, headers["content-type"], await client.piece()) == (200, "application/json", b" ")
                    provider.go.set()
                    answer = dialect.decode_response(await client.rest())
                    assert answer.choices[0].message.text == "Hello"
                asked.append(dialect.name)
        assert len(set(asked)) >= 4


async def test_an_ordinary_answer_costs_nothing_more() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, toy_host(provider=[http_toy(upstream.url)], config=ON) as host:
        for _ in range(5):
            assert (await host.post("/toy/v1/talk", talk())).headers["content-length"] == str(len(msgspec.json.encode(WHOLE)))
