"""Calls without HTTP: those that plugins make within others, and those of an embedding program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from jackfield import pipeline
from jackfield.api import (
    Call,
    CallError,
    Dialect,
    Endpoint,
    Event,
    Headers,
    Nested,
    Pairs,
    Principal,
    Reply,
    Request,
    Response,
    failure,
)
from jackfield.api.body import Body
from jackfield.api.canonical import Delta
from jackfield.bodies import ResponseCodec
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
        body: Body[Response] = Body(downstream.body, codec=ResponseCodec(exchange.dialect))
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
