"""A provider for tests: a server on a free port of this machine that speaks one dialect as its owner does, and as strictly.

    from tests.upstreams.scenario import Scenario, ToolCall
    from tests.upstreams.server import upstream

    async def test_something():
        script = [Scenario(tool_calls=[ToolCall(name="get", arguments={"id": 1})]), Scenario(text="Done")]
        async with upstream("anthropic.messages", *script) as provider:
            ...  # point a client, or a host, at provider.url
            assert provider.refusals == []
            assert [r.name for r in provider.requests] == ["generate", "generate"]
            assert provider.generated[0].body["max_tokens"] == 1024

The dialects are `openai.chat`, `openai.responses`, `anthropic.messages` and `gemini.generate`. It knows nothing of the host
that is tested, and shares no code with it.

**What it answers** is told by scenarios, see `tests.upstreams.scenario`: each request for an answer takes the next one, the
last one repeats. `models={"a": [..], "b": [..]}` gives models their own. A scenario may also be a function of the request
(`Received`) that returns one. Whether an answer is streamed is what the request says. Without a scenario the answer is
`Hello!`. Lists of models, token counts and embeddings need no scenario.

**What it refuses**: a request that breaks a rule of the provider gets 400 in the provider's own shape, takes no scenario, and
is listed in `refusals` as `path: reason`, so that a test can say `assert provider.refusals == []`. The rules stand in `chat`,
`responses`, `messages` and `gemini`, each with its source. A signature of a thought is taken only from who made it: two
upstreams refuse each other's, unless one is given the other's (`mint=other.mint`).

**What it notes**: `requests` has everything that came, with path, query, headers and body, refused or not; `generated` only
the requests for answers; `aborted` counts the answers whose caller went away before their end, `await provider.until(lambda:
provider.aborted == 1)` waits for that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.upstreams.chat import Chat
from tests.upstreams.gemini import Gemini
from tests.upstreams.messages import Messages
from tests.upstreams.mint import Mint
from tests.upstreams.provider import Asked, Provider
from tests.upstreams.refusal import Refused
from tests.upstreams.responses import Responses
from tests.upstreams.scenario import Failure, Scenario

PROVIDERS: dict[str, type[Provider]] = {
    "openai.chat": Chat,
    "openai.responses": Responses,
    "anthropic.messages": Messages,
    "gemini.generate": Gemini,
}

WAIT = 60.0
"""Seconds after which something that a test waits for is missing."""


@dataclass
class Received:
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    name: str = ""
    """What was asked for: `generate`, `count`, `models`, `embed` ...; empty for a path that the provider does not have."""
    body: Any = None
    model: str = ""
    stream: bool = False
    refused: str = ""
    """Why it was refused."""
    variables: dict[str, str] = field(default_factory=dict)


Script = Scenario | Callable[[Received], Scenario]


class Upstream:
    """One running provider."""

    def __init__(self, provider: Provider, scripts: Sequence[Script], models: Mapping[str, Sequence[Script]]) -> None:
        self.provider = provider
        self.url = ""
        self.requests: list[Received] = []
        self.aborted = 0
        """Answers whose caller went away before their end."""
        self.stalled = 0
        """Answers that have come to where they stall."""
        self.done = 0
        """Answers that were sent to their end."""
        self.faults: list[Exception] = []
        """What went wrong within this upstream; raised where it is left."""
        self._scripts: list[Script] = list(scripts) or [Scenario(text="Hello!")]
        self._models = {name: list(own) for name, own in models.items()}
        self._changed = asyncio.Condition()
        self._stopping = False

    @property
    def mint(self) -> Mint:
        """What made the signatures of this provider."""
        return self.provider.mint

    @property
    def generated(self) -> list[Received]:
        """The requests for answers, refused ones too."""
        return [r for r in self.requests if r.name == "generate"]

    @property
    def refusals(self) -> list[str]:
        """Why requests were refused, one line each."""
        return [r.refused for r in self.requests if r.refused]

    def script(self, *scripts: Script) -> None:
        """Say anew what is answered from now on."""
        self._scripts = list(scripts)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something about this upstream is so."""
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(true)

    # ------------------------------------------------------------------------------------------- one request

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        received = Received(request.method, request.path, dict(request.query), dict(request.headers.items()), await request.read())
        self.requests.append(received)
        await self._note()
        if request.method == "HEAD":
            return web.Response(status=404)
        if "upgrade" in request.headers:
            return web.Response(status=426)
        try:
            return await self._answer(received, request)
        except Refused as refused:
            received.refused = str(refused)
            await self._note()
            return self._refusal(refused)
        except Exception as fault:
            if not isinstance(fault, ConnectionError):
                self.faults.append(fault)
            raise

    async def _answer(self, received: Received, request: web.Request) -> web.StreamResponse:
        match = self.provider.match(received.method, received.path)
        if match is None:
            raise Refused((), f"no such path: {received.method} {received.path}", status=404)
        received.name, received.variables = match
        self.provider.authenticate({k.lower(): v for k, v in received.headers.items()}, received.query)
        if received.method == "POST":
            received.body = _decoded(received.raw)
        asked = Asked(received.name, received.body, received.variables, received.query, {k.lower(): v for k, v in received.headers.items()})
        self.provider.read(asked)
        received.model, received.stream = asked.model, asked.stream
        if received.name != "generate":
            return web.json_response(self.provider.side(asked))
        self.provider.check(asked)
        return await self._play(self._next(received), asked, request)

    def _next(self, received: Received) -> Scenario:
        queue = self._models.get(received.model, self._scripts)
        script = queue.pop(0) if len(queue) > 1 else queue[0]
        return script if isinstance(script, Scenario) else script(received)

    def _refusal(self, refused: Refused) -> web.Response:
        return web.json_response(self.provider.refusal(refused), status=refused.status)

    def _failure(self, failure: Failure) -> web.Response:
        if failure.body is not None:
            return web.Response(status=failure.status, body=failure.body, headers={"Content-Type": "text/html", **failure.headers})
        return web.json_response(self.provider.failure(failure), status=failure.status, headers=failure.headers)

    async def _play(self, scenario: Scenario, asked: Asked, request: web.Request) -> web.StreamResponse:
        failure = scenario.error or (None if asked.stream else scenario.error_in_stream)
        if failure is not None:
            return self._failure(failure)
        if asked.stream:
            return await self._stream(scenario, asked, request)
        if scenario.cut_after is not None and request.transport is not None:
            request.transport.abort()
        if scenario.stall_after is not None:
            await self._stall()
        return web.json_response(self.provider.plain(scenario, asked), headers=scenario.headers)

    # --------------------------------------------------------------------------------------------- streams

    async def _stream(self, scenario: Scenario, asked: Asked, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": self.provider.media(asked), "Cache-Control": "no-cache", **scenario.headers})
        try:
            await response.prepare(request)
            for number, event in enumerate(self.provider.events(scenario, asked)):
                if number == scenario.stall_after:
                    await self._stall()
                if number == scenario.cut_after:
                    assert request.transport is not None
                    request.transport.close()
                    return response
                await response.write(event)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            if not self._stopping:
                self.aborted += 1
                await self._note()
            raise
        self.done += 1
        await self._note()
        return response

    async def _stall(self) -> None:
        self.stalled += 1
        await self._note()
        await asyncio.get_running_loop().create_future()

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Count no further caller as gone: it is the server that goes."""
        self._stopping = True


def _decoded(raw: bytes) -> Any:
    try:
        body = json.loads(raw)
    except ValueError as fault:
        raise Refused((), f"the body is no JSON: {fault}") from None
    if not isinstance(body, dict):
        raise Refused((), "the body is no JSON object")
    return body


@asynccontextmanager
async def upstream(
    dialect: str, *scripts: Script, models: Mapping[str, Sequence[Script]] | None = None, mint: Mint | None = None, **options: Any
) -> AsyncIterator[Upstream]:
    """Run a provider of a dialect; see the head of this module. `options` are those of the dialect's class."""
    running = Upstream(PROVIDERS[dialect](mint or Mint(dialect), **options), scripts, models or {})
    application = web.Application(client_max_size=64 * 2**20)
    application.router.add_route("*", "/{path:.*}", running.handle)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield running
    finally:
        running.stop()
        await runner.cleanup()
        for fault in running.faults:
            raise fault
