"""What one plugin sees of the host, and calls without HTTP: those of plugins within others, and of an embedding program."""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final

import msgspec

from jackfield import __version__, pipeline
from jackfield.api import (
    Call,
    CallError,
    Dialect,
    Endpoint,
    Event,
    Headers,
    HostInfo,
    HttpRequest,
    HttpResponse,
    ModelInfo,
    Nested,
    Pairs,
    Principal,
    Reply,
    Request,
    Response,
    StateStore,
    failure,
)
from jackfield.api.body import Body
from jackfield.api.canonical import Delta
from jackfield.bodies import response_codec
from jackfield.dispatch import as_plugin
from jackfield.exchange import Exchange
from jackfield.generation import Generation
from jackfield.routes import Match
from jackfield.shared import Shared, current
from jackfield.source import events_of

MAX_DEPTH: Final = 4
"""Calls within calls. Deeper ones are loops."""
MAX_DETACHED: Final = 64
"""Calls of one plugin that may outlive those that they were made in."""
_AHEAD: Final = 8
"""Writes that a stream may be ahead of its reader."""
_CANONICAL_ROUTE: Final = Endpoint(path="/", operation="generate", stream=("stream",))


class MemoryDownstream:
    """The client's side of a call without HTTP."""

    def __init__(self, body: bytes, headers: Headers) -> None:
        self.method, self.path = "POST", "/"
        self.peer: str | None = None
        self.headers = headers
        self.query = Pairs()
        self.begun = False
        self.status = 0
        self.answer_headers = Headers()
        self.body: bytes | None = None
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self.answered = asyncio.Event()
        """A whole answer is there, or a stream has begun."""
        self._sent = body

    async def read(self) -> bytes:
        """Return the request's body."""
        return self._sent

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Keep a whole answer."""
        self.begun = True
        self.status, self.answer_headers, self.body = status, Headers(headers), body
        self.answered.set()

    async def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Begin a streamed answer."""
        self.begun = True
        self.status, self.answer_headers = status, Headers(headers)
        self.answered.set()

    async def write(self, data: bytes) -> None:
        """Hand over whole events; waits while the reader is slow."""
        await self.pieces.put(data)

    def write_now(self, data: bytes) -> None:
        """Nothing: no connection needs to be kept alive."""

    async def finish(self) -> None:
        """End a streamed answer."""
        await self.pieces.put(None)


class Caller:
    """Makes calls for one plugin, or for the embedding program."""

    def __init__(self, shared: Shared, plugin: str | None) -> None:
        self._shared = shared
        self._plugin = plugin
        self._detached: set[asyncio.Task[None]] = set()

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call and return its answer: canonical to a canonical request, else in the dialect. Raises `CallError`."""
        exchange, downstream = self._exchange(call, stream=False)
        await self._run(exchange, isinstance(call, Nested) and call.detached)
        assert downstream.body is not None
        if exchange.failure is not None:
            raise CallError(exchange.failure, body=downstream.body, headers=downstream.answer_headers)
        body: Body[Response] = Body(downstream.body, codec=response_codec(exchange.dialect))
        if isinstance(call, Request) or call.request is not None:
            answer = body.canonical
            assert answer is not None
            return answer
        return Reply(status=downstream.status, headers=downstream.answer_headers, body=body)

    async def stream(self, call: Request | Nested) -> AsyncIterator[Delta | Event]:
        """Make a call and iterate over its answer: canonical deltas to a canonical request, else events. Raises `CallError`."""
        exchange, downstream = self._exchange(call, stream=True)
        canonical = isinstance(call, Request) or call.request is not None
        task = asyncio.get_running_loop().create_task(self._run(exchange))
        task.add_done_callback(lambda _: downstream.answered.set())
        try:
            await downstream.answered.wait()
            if downstream.body is not None or not downstream.begun:
                await task
                raise CallError(exchange.failure or failure("unknown", "no stream"), body=downstream.body or b"")
            while (piece := await _next_piece(downstream, task)) is not None:
                for event in events_of(exchange.dialect, piece):
                    if not canonical:
                        yield event
                    for delta in event.deltas if canonical else ():
                        yield delta
        finally:
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self, exchange: Exchange, detached: bool = False) -> None:
        """Run the call in a task of its own, so that it has its own place among the calls. It ends with this one unless detached."""
        if len(self._detached) >= MAX_DETACHED:
            raise CallError(failure("plugin", f"at most {MAX_DETACHED} detached calls at once", code="too_many_detached"))
        task = asyncio.get_running_loop().create_task(pipeline.run(self._shared, exchange))
        if detached:
            self._detached.add(task)
            task.add_done_callback(self._detached.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not detached:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            raise

    async def close(self) -> None:
        """End the detached calls."""
        for task in list(self._detached):
            task.cancel()
        await asyncio.gather(*self._detached, return_exceptions=True)

    def _exchange(self, said: Request | Nested, stream: bool) -> tuple[Exchange, MemoryDownstream]:
        parent = None if isinstance(said, Nested) and said.detached else current.get()
        generation = parent.generation if parent is not None else self._shared.generation
        if generation is None:
            raise CallError(failure("plugin", "the host has not started", code="not_started"))
        nested = Nested(request=said) if isinstance(said, Request) else said
        dialect, endpoint, body = _form(generation, nested, stream)
        downstream = MemoryDownstream(body, _JSON_HEADERS)
        call = Call(self._shared.next_id(), dialect, endpoint, downstream.headers, downstream.query)
        exchange = Exchange(generation, call, Match(dialect, endpoint), downstream)
        self._place(exchange, parent)
        return exchange, downstream

    def _place(self, exchange: Exchange, parent: Exchange | None) -> None:
        """Put a call below the one that it is made in, or make it a root call."""
        call = exchange.call
        exchange.parent = parent
        if parent is None:
            call.principal = Principal(name=f"plugin:{self._plugin}" if self._plugin else "embedder")
            exchange.inside = True
            return
        if parent.call.depth >= MAX_DEPTH:
            raise CallError(failure("plugin", f"calls within calls are at most {MAX_DEPTH} deep", code="too_deep"))
        call.parent, call.depth, call.principal = parent.call, parent.call.depth + 1, parent.call.principal
        exchange.inside = True
        exchange.skipped = parent.skipped | ({self._plugin} if self._plugin else set())


_JSON_HEADERS: Final = Headers((("content-type", "application/json"),))


def _form(generation: Generation, nested: Nested, stream: bool) -> tuple[Dialect, Endpoint, bytes]:
    """Return the dialect, the route in it, and the body of a call."""
    if nested.request is not None:
        said = msgspec.structs.replace(nested.request, stream=stream)
        dialect = generation.dialects["canonical"]
        return dialect, _CANONICAL_ROUTE, dialect.encode_request(said, "generate", [])
    found = generation.dialects.get(nested.dialect)
    if found is None:
        known = ", ".join(sorted(generation.dialects))
        raise CallError(failure("plugin", f"there is no dialect {nested.dialect!r}; known: {known}", code="unknown_dialect"))
    endpoint = next((e for e in found.endpoints if e.operation == nested.operation and e.stream in (stream, ("stream",))), None)
    endpoint = endpoint or next((e for e in found.endpoints if e.operation == nested.operation), _CANONICAL_ROUTE)
    body = nested.body if isinstance(nested.body, bytes) else msgspec.json.encode(nested.body or {})
    return found, endpoint, body


async def _next_piece(downstream: MemoryDownstream, task: asyncio.Task[Any]) -> bytes | None:
    """Return the next piece of a stream; None when it has ended, also without an end."""
    getting = asyncio.ensure_future(downstream.pieces.get())
    try:
        await asyncio.wait((getting, task), return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        return downstream.pieces.get_nowait() if not downstream.pieces.empty() else None
    finally:
        getting.cancel()



EVERYTHING: Final = Principal(name="host")
"""A principal that may call everything: for listings that no client asked for."""


class PluginHost:
    """The host as one plugin sees it: `jackfield.api.Host`."""

    def __init__(self, shared: Shared, plugin: str) -> None:
        self._shared = shared
        self._plugin = plugin
        self._calls = Caller(shared, plugin)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.http = _Http(shared)
        self.credentials = _Credentials(shared)
        self.state = _State(shared, plugin)
        self.log = logging.getLogger(f"jackfield.plugins.{plugin}")
        self.info = HostInfo(version=__version__, plugin=plugin)

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call and return its answer."""
        return await self._calls.execute(call)

    def stream(self, call: Request | Nested) -> AsyncIterator[Delta | Event]:
        """Make a call and iterate over its answer."""
        return self._calls.stream(call)

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that can be called now."""
        generation = self._shared.generation
        return generation.models.listing(EVERYTHING) if generation is not None else ()

    def spawn(self, work: Coroutine[Any, Any, object], name: str = "") -> None:
        """Run a task that belongs to the plugin. It serves no call: calls that it makes are root calls."""
        task = asyncio.get_running_loop().create_task(
            as_plugin(self._plugin, work), name=f"{self._plugin}:{name}", context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("plugin %r: a task of its own failed", self._plugin, exc_info=task.exception())

    def clock(self) -> float:
        """Return the time in seconds; it never goes back."""
        return time.monotonic()

    async def close(self) -> None:
        """Cancel the plugin's tasks and detached calls."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._calls.close()


class _Http:
    """Requests through the host's pools, without credentials."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def request(self, request: HttpRequest) -> HttpResponse:
        return await self._shared.transport.send(request)

    async def stream(self, request: HttpRequest) -> AsyncIterator[bytes]:
        response = await self._shared.transport.send(request)
        try:
            async for piece in response:
                yield piece
        finally:
            await response.aclose()


class _Credentials:
    """What a plugin may know of credentials."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def list(self) -> Sequence[str]:
        generation = self._shared.generation
        return [account.credential.id for account in generation.accounts] if generation is not None else ()


class _State:
    """The store under one plugin's own names."""

    def __init__(self, shared: Shared, plugin: str) -> None:
        self._shared, self._plugin = shared, plugin

    def _store(self) -> StateStore:
        if self._shared.generation is None or self._shared.generation.state is None:
            raise OSError("no plugin keeps state: plug in one with a state store, such as memory")
        return self._shared.generation.state

    async def get(self, key: str) -> bytes | None:
        return await self._store().get(f"{self._plugin}/{key}")

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        return await self._store().set(f"{self._plugin}/{key}", value, ttl=ttl, if_absent=if_absent)

    async def add(self, key: str, n: int = 1, *, maximum: int | None = None, ttl: float | None = None) -> int | None:
        return await self._store().add(f"{self._plugin}/{key}", n, maximum=maximum, ttl=ttl)

    async def delete(self, key: str) -> None:
        await self._store().delete(f"{self._plugin}/{key}")
