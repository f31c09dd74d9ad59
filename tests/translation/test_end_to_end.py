"""All pairs of dialects through a running host: a client over HTTP, an upstream that says what a script has in its own dialect."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from jackfield.api import Attempt, Dialect, Headers, Provider, Reply
from jackfield.api.canonical import Assembler, Done, StreamError
from jackfield.api.testing import Harness
from jackfield.cli.translate import events_of
from tests.translation import meanings as m
from tests.translation import official
from tests.translation.dialects import MESSAGES, SHORT, pairs, spoken
from tests.translation.feature import Failed, Said
from tests.translation.players import PLAYERS
from tests.translation.said import FAILED, SAID
from tests.translation.turns import asking, first, following

WAYS = [pytest.param(client, upstream, id=f"{SHORT[client]}-{SHORT[upstream]}") for client, upstream in pairs()]
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
ANSWERS: Final[dict[str, Said]] = {feature.title: feature for feature in SAID}
BEFORE: Final = next(feature for feature in FAILED if feature.status == 429)
INSIDE: Final = next(feature for feature in FAILED if feature.streams)


class Upstream(Provider):
    """A provider that answers in one dialect, as the test says."""

    key = "up"
    models = ("some-model",)

    def __init__(self, dialect: str) -> None:
        self.dialects = (dialect,)
        self.asked: list[bytes] = []
        self.next: Any = None
        """A native answer, an error, or the bytes of a stream."""

    async def execute(self, attempt: Attempt) -> Reply:
        self.asked.append(attempt.body.raw)
        if isinstance(self.next, Failed):
            body = json.dumps(self.next.wires[self.dialects[0]]).encode()
            return Reply(status=self.next.status, headers=Headers({"Content-Type": "application/json"}), body=body)
        if isinstance(self.next, bytes):
            return Reply(stream=pieces(self.next))
        if attempt.stream:
            return Reply(stream=pieces(PLAYERS[self.dialects[0]](self.next)))
        return Reply(body=json.dumps(self.next).encode(), headers=Headers({"Content-Type": "application/json"}))


async def pieces(raw: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), 97):
        yield raw[at : at + 97]


class Plugin:
    """The plugin with that provider."""

    id = "scripted"

    def __init__(self, provider: Upstream) -> None:
        self.provider = provider

    def register_providers(self) -> list[Upstream]:
        return [self.provider]


class Client:
    """A client of one dialect, and the upstream behind the host that it asks."""

    def __init__(self, host: Harness, dialect: str, upstream: Upstream, stream: bool) -> None:
        self.host, self.dialect, self.upstream, self.stream = host, dialect, upstream, stream

    async def ask(self, body: Any, answer: Any, status: int = 200) -> bytes:
        """Send one request, and return the answer's bytes; the upstream is asked exactly once."""
        self.upstream.next = answer
        before = len(self.upstream.asked)
        path, said = asking(self.dialect, body, self.stream)
        headers = {"anthropic-version": "2023-06-01"} if self.dialect == MESSAGES else {}
        got = await self.host.post(path, said, headers)
        assert got.status == status, got.body
        assert len(self.upstream.asked) == before + 1
        assert b"jackfield" not in got.body.lower()
        return got.body

    async def read(self, body: Any, answer: Any) -> Any:
        """Send one request, and return what the client understood."""
        raw = await self.ask(body, answer)
        codec = spoken()[self.dialect]
        if not self.stream:
            wrong, _ = official.answer(self.dialect, raw)
            assert not wrong
            return codec.decode_response(raw)
        return self.assembled(codec, raw)

    def assembled(self, codec: Dialect, raw: bytes) -> Any:
        decoder, assembler = codec.decode_stream(), Assembler()
        for event in events_of(codec, raw):
            wrong, _ = official.event(self.dialect, event)
            assert not wrong
            assembler.feed(decoder.feed(event))
        assembler.feed(decoder.close())
        assert assembler.done
        return assembler.response()

    def request(self) -> Any:
        """Return what the upstream understood of the latest request."""
        return spoken()[self.upstream.dialects[0]].decode_request(self.upstream.asked[-1], "generate")


@STREAMED
@pytest.mark.parametrize(("client", "upstream"), WAYS)
async def test_texts_thoughts_tools_and_errors_cross_a_running_host(client: str, upstream: str, stream: bool) -> None:
    provider = Upstream(upstream)
    config = {"plugins": {"simulator": {"enabled": False}}, "attempts": {"wait": 0}}
    async with Harness([Plugin(provider)], config) as host:
        asker = Client(host, client, provider, stream)
        await says_text(asker)
        await runs_a_tool(asker)
        await shows_thoughts(asker)
        await fails_before_the_answer(asker)
        if stream:
            await fails_inside_the_answer(asker)


async def says_text(asker: Client) -> None:
    feature = ANSWERS["Text"]
    said = await asker.read(first(asker.dialect), feature.wires[asker.upstream.dialects[0]])
    assert feature.meaning(said) == feature.expected
    assert said.model == "some-model"
    assert [tool.name for tool in asker.request().tools] == ["weather"]
    assert asker.request().messages[-1].text == "What is in Paris?"


async def runs_a_tool(asker: Client) -> None:
    feature = ANSWERS["Words and parallel calls"]
    said = await asker.read(first(asker.dialect), feature.wires[asker.upstream.dialects[0]])
    assert feature.meaning(said) == feature.expected
    answer = json.loads(spoken()[asker.dialect].encode_response(said, []))
    text = ANSWERS["Text"]
    said = await asker.read(following(asker.dialect, answer), text.wires[asker.upstream.dialects[0]])
    assert text.meaning(said) == text.expected
    assert [(name, call) for _, _, name, call, _ in m.calls(asker.request())] == [("weather", "call_1"), ("time", "call_2")]
    assert m.results(asker.request()) == [("call_1", ["sunny"]), ("call_2", ["sunny"])]


async def shows_thoughts(asker: Client) -> None:
    feature = ANSWERS["Thoughts"]
    said = await asker.read(first(asker.dialect), feature.wires[asker.upstream.dialects[0]])
    assert feature.meaning(said) == feature.expected


async def fails_before_the_answer(asker: Client) -> None:
    raw = await asker.ask(first(asker.dialect), BEFORE, status=429)
    codec = spoken()[asker.dialect]
    error = codec.decode_error(429, Headers(), raw)
    native = codec.decode_error(429, Headers(), json.dumps(BEFORE.wires[asker.dialect]).encode())
    assert error.type == native.type


async def fails_inside_the_answer(asker: Client) -> None:
    raw = await asker.ask(first(asker.dialect), INSIDE.streams[asker.upstream.dialects[0]])
    codec = spoken()[asker.dialect]
    decoder = codec.decode_stream()
    deltas = [delta for event in events_of(codec, raw) for delta in decoder.feed(event)]
    assert isinstance(deltas[-1], StreamError)
    assert not any(isinstance(delta, Done) for delta in deltas)
    assert deltas[-1].error.message.startswith("the provider's stream ended with an error (")
