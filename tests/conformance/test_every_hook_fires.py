"""Every hook fires for every dialect that is plugged in, for whole answers and streams, for calls of clients, of plugins and of
an embedding program: exactly once, in the order of the call's life, on the answer's side in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from jackfield import Jackfield
from jackfield.api import Attempt, Call, Dialect, Endpoint, Event, Nested, Principal, Provider, Reply, Request, canonical, reply_text
from jackfield.api.canonical import Message, Text, Usage
from jackfield.api.hooks import HOOKS
from jackfield.api.testing import Harness
from tests.kernel.toy import ToyDialect

WORDS = "Hello there"


async def _plugged_in() -> dict[str, Dialect]:
    async with Jackfield({}, listen=False) as host:
        return {name: dialect for name, dialect in host.generation.dialects.items() if dialect.endpoints}


DIALECTS = {**asyncio.run(_plugged_in()), ToyDialect.name: ToyDialect()}


class Native(Provider):
    """Answers in one dialect, whichever that is."""

    key, models = "native", ("m",)

    def __init__(self, dialect: Dialect) -> None:
        self.dialects = (dialect.name,)
        self._dialect = dialect

    async def execute(self, attempt: Attempt) -> Reply:
        said = canonical.Response(id="1", model="m", choices=reply_text(WORDS).choices, usage=Usage(input=1, output=2))
        if not attempt.stream:
            return Reply(body=self._dialect.encode_response(said, []))
        return Reply(stream=_each(self._dialect.encode_stream(attempt.request, []).feed(list(canonical.play(said)))))


class Foreign(Provider):
    """Answers in the canonical model, so that everything has to be translated."""

    key, models = "foreign", ("m",)

    async def execute(self, attempt: Attempt) -> Reply:
        said = canonical.Response(id="1", model="m", choices=reply_text(WORDS).choices, usage=Usage(input=1, output=2))
        return Reply(stream=_each(canonical.play(said))) if attempt.stream else Reply(response=said)


async def _each(things: Any) -> AsyncIterator[Any]:
    for thing in things:
        yield thing


class World:
    """The plugin with the dialect under test, where nobody else has it, and the provider."""

    id = "world"

    def __init__(self, dialect: Dialect, provider: Provider) -> None:
        self._dialects = [dialect] if isinstance(dialect, ToyDialect) else []
        self._provider = provider

    def register_dialects(self) -> list[Dialect]:
        return list(self._dialects)

    def register_providers(self) -> list[Provider]:
        return [self._provider]


class Witness:
    """A plugin that has every hook and changes nothing."""

    def __init__(self, id: str, priority: int, seen: Seen, admits: bool = False) -> None:
        self.id, self.priority, self._seen, self._admits = id, priority, seen, admits

    def authenticate(self, call: Call) -> Principal | None:
        self._seen.note(call, self.id, "authenticate")
        return Principal(name="somebody") if self._admits else None

    def route_model(self, call: Call) -> None:
        self._seen.note(call, self.id, "route_model")

    async def intercept_request(self, call: Call) -> None:
        self._seen.note(call, self.id, "intercept_request")

    def pick_credential(self, call: Call, pool: Any) -> None:
        self._seen.note(call, self.id, "pick_credential")

    async def intercept_attempt(self, attempt: Attempt) -> None:
        self._seen.note(attempt.call, self.id, "intercept_attempt")

    def normalize_request(self, attempt: Attempt) -> None:
        self._seen.note(attempt.call, self.id, "normalize_request")

    def normalize_response(self, attempt: Attempt, reply: Reply) -> None:
        self._seen.note(attempt.call, self.id, "normalize_response")

    async def intercept_response(self, call: Call, reply: Reply) -> None:
        self._seen.note(call, self.id, "intercept_response")

    def intercept_stream(self, call: Call, head: Any) -> Any:
        self._seen.note(call, self.id, "intercept_stream")

        def handler(event: Event) -> None:
            self._seen.words[call.id, self.id] = self._seen.words.get((call.id, self.id), "") + event.text

        return handler

    def handle_usage(self, attempt: Attempt, usage: Usage) -> None:
        self._seen.note(attempt.call, self.id, "handle_usage")

    def request_complete(self, call: Call, outcome: Any) -> None:
        self._seen.note(call, self.id, "request_complete")


class Seen:
    """What the witnesses saw, by call."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[tuple[str, str]]] = {}
        self.words: dict[tuple[str, str], str] = {}
        self.calls: dict[str, Call] = {}

    def note(self, call: Call, who: str, hook: str) -> None:
        self.calls[call.id] = call
        self.hooks.setdefault(call.id, []).append((hook, who))


def expected(stream: bool, from_client: bool) -> list[tuple[str, str]]:
    """Return the order of a call's life: `first` stands before `second`, and is the selected scheduler."""
    both, reverse = ("first", "second"), ("second", "first")
    stages: list[tuple[str, tuple[str, ...]]] = [
        *([("authenticate", both)] if from_client else []),
        ("route_model", both),
        ("intercept_request", both),
        ("pick_credential", ("first",)),
        ("intercept_attempt", both),
        ("normalize_request", both),
        ("normalize_response", both),
        ("intercept_stream" if stream else "intercept_response", reverse),
        ("handle_usage", both),
        ("request_complete", both),
    ]
    return [(hook, who) for hook, order in stages for who in order]


def test_the_matrix_knows_every_hook_of_a_call() -> None:
    of_calls = {name for name, info in HOOKS.items() if info.shape != "objects"}
    assert of_calls == {hook for stream in (False, True) for hook, _ in expected(stream, from_client=True)}


def caller(nested: Nested, stream: bool, said: list[str]) -> type[Any]:
    """Return a plugin that, while it sees a client's call, makes another one."""

    class Caller:
        id, priority = "caller", 5

        def __init__(self, host: Any) -> None:
            self._host = host

        async def intercept_request(self, call: Call) -> None:
            said.append(await _said(self._host, nested, stream))

    return Caller


async def _said(host: Any, nested: Nested, stream: bool) -> str:
    """Make a call without HTTP and return the words of its answer."""
    if stream:
        return "".join([getattr(said, "text", "") async for said in host.stream(nested)])
    reply = await host.execute(nested)
    return str((reply if isinstance(reply, canonical.Response) else reply.canonical).text)


SAID = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))


def _request(dialect: Dialect, stream: bool) -> tuple[Endpoint, bytes]:
    """Return the route for a call of the model `m`, and its body."""
    fitting = [e for e in dialect.endpoints if e.operation == "generate" and (isinstance(e.stream, tuple) or e.stream is stream)]
    return fitting[0], dialect.encode_request(msgspec.structs.replace(SAID, stream=stream), "generate", [])


@pytest.mark.parametrize("way", ["client", "nested", "embedded"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("kind", [Native, Foreign], ids=["same_dialect", "translated"])
@pytest.mark.parametrize("name", sorted(DIALECTS))
async def test_every_hook_fires_once_and_in_order(name: str, kind: Any, stream: bool, way: str) -> None:
    dialect = DIALECTS[name]
    endpoint, body = _request(dialect, stream)
    provider = Native(dialect) if kind is Native else Foreign()
    nested = Nested(dialect=name, body=body, model=None if endpoint.model else "m")
    await _check(World(dialect, provider), endpoint, body, nested, stream, way)


@pytest.mark.parametrize("way", ["nested", "embedded"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", ["canonical", *sorted(DIALECTS)])
async def test_every_hook_fires_for_canonical_requests_that_no_client_makes(name: str, stream: bool, way: str) -> None:
    """They reach providers of the canonical model and of every dialect."""
    client = DIALECTS.get(name, ToyDialect())
    endpoint, body = _request(client, stream)
    world = World(client, Foreign() if name == "canonical" else Native(client))
    await _check(world, endpoint, body, Nested(request=SAID), stream, way)


async def _check(world: World, endpoint: Endpoint, body: bytes, nested: Nested, stream: bool, way: str) -> None:
    """Make a call in one way, and see that every hook saw it as it should."""
    seen, said = Seen(), list[str]()
    plugins = [world, Witness("first", 10, seen), Witness("second", 0, seen, admits=True)]
    config = {"plugins": {"simulator": {"enabled": False}}, "scheduler": "first"}
    async with Harness([*plugins, *([caller(nested, stream, said)] if way == "nested" else [])], config) as host:
        if way == "embedded":
            assert await _said(host.host, nested, stream) == WORDS
        else:
            answer = await host.request(endpoint.method, endpoint.path.replace("{model}", "m"), body)
            assert answer.status == 200, answer.body
            assert said == ([WORDS] if way == "nested" else [])
    [watched] = [call for call in seen.calls.values() if call.depth == (1 if way == "nested" else 0)]
    assert seen.hooks[watched.id] == expected(stream, from_client=way == "client")
    assert [seen.words.get((watched.id, who)) for who in ("first", "second")] == ([WORDS, WORDS] if stream else [None, None])
    assert watched.operation == "generate"
    assert watched.stream is stream


@pytest.mark.parametrize("name", sorted(DIALECTS))
async def test_queries_pass_authentication_and_completion_alone(name: str) -> None:
    dialect, seen = DIALECTS[name], Seen()
    listings = [endpoint for endpoint in dialect.endpoints if endpoint.operation == "models"]
    plugins = [World(dialect, Native(dialect)), Witness("first", 10, seen), Witness("second", 0, seen, admits=True)]
    async with Harness(plugins, {"plugins": {"simulator": {"enabled": False}}}) as host:
        for endpoint in listings:
            assert (await host.request(endpoint.method, endpoint.path)).status == 200
    life = [("authenticate", "first"), ("authenticate", "second"), ("request_complete", "first"), ("request_complete", "second")]
    assert list(seen.hooks.values()) == [life for _ in listings]


@pytest.mark.parametrize("name", sorted(DIALECTS))
async def test_a_handler_that_was_closed_sees_no_event_any_more(name: str) -> None:
    dialect, seen = DIALECTS[name], list[str]()

    class Handler:
        def __call__(self, event: Event) -> None:
            seen.append("event")

        def close(self, outcome: Any) -> None:
            seen.append("close")

    class Closing:
        id = "closing"

        def intercept_stream(self, call: Call, head: Any) -> Handler:
            return Handler()

    endpoint, body = _request(dialect, stream=True)
    async with Harness([World(dialect, Native(dialect)), Closing()], {"plugins": {"simulator": {"enabled": False}}}) as host:
        answer = await host.request(endpoint.method, endpoint.path.replace("{model}", "m"), body)
    assert answer.status == 200
    assert seen.index("close") == len(seen) - 1 > 0
