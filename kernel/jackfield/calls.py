"""What one plugin sees of the host, and calls without HTTP: those of plugins within others, and of an embedding program."""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, Final

import msgspec

from jackfield import __version__, pipeline
from jackfield.api import (
    Body,
    Call,
    CallError,
    Credential,
    CredentialState,
    Dialect,
    Endpoint,
    Event,
    Headers,
    HostInfo,
    ModelInfo,
    Nested,
    Pairs,
    Principal,
    Reply,
    Request,
    Response,
    canonical,
    failure,
    splice,
)
from jackfield.api.canonical.crossing import response_codec
from jackfield.api.canonical.looking import events_of
from jackfield.credentials import Account, Source
from jackfield.dispatch import as_plugin
from jackfield.exchange import Exchange
from jackfield.generation import Generation
from jackfield.health import Health
from jackfield.routes import Match
from jackfield.shared import Shared
from jackfield.state import State
from jackfield.sweeper import end_all

MAX_DEPTH: Final = 4
"""Calls within calls. Deeper ones are loops."""
MAX_DETACHED: Final = 64
"""Calls of one plugin that may outlive those that they were made in."""
EVERYTHING: Final = Principal(name="host")
"""A principal that may call everything: for listings that no client asked for."""
_AHEAD: Final = 8
"""Writes that a stream may be ahead of its reader."""
_CANONICAL_ROUTE: Final = Endpoint(path="/", operation="generate", stream=("stream",))


class MemoryDownstream:
    """The client's side of a call without HTTP."""

    method, path, headers, query = "POST", "/", Headers({"content-type": "application/json"}), Pairs()

    def __init__(self, body: bytes) -> None:
        self.peer: str | None = None
        self.begun, self.status, self.shown = False, 0, Headers()
        self.body: bytes | None = None
        """The answer, when it is a whole one."""
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        """The answer's events, when it is a stream; None at its end."""
        self.write = self.pieces.put
        """Hands over whole events; waits while the reader is slow."""
        self._sent = body

    async def read(self) -> bytes:
        """Return the request's body."""
        return self._sent

    async def start(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Begin a streamed answer."""
        self.begun, self.status, self.shown = True, status, Headers(headers)

    async def send(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        """Keep a whole answer."""
        await self.start(status, headers)
        self.body = body

    def write_now(self, data: bytes) -> None:
        """Nothing: no connection needs to be kept alive."""

    async def finish(self) -> None:
        """End a streamed answer."""


class PluginHost:
    """The host as one plugin sees it (`jackfield.api.Host`); or, under no name, the embedding program."""

    def __init__(self, shared: Shared, plugin: str, granted: bool) -> None:
        self._shared, self._plugin = shared, plugin
        self._tasks, self._detached = set[asyncio.Task[Any]](), set[asyncio.Task[None]]()
        self.http, self.state = shared.transport, State(shared.lasting, plugin)
        self.credentials = _Credentials(shared, plugin, granted, self._tasks)
        self.log, self.info = logging.getLogger(f"jackfield.plugins.{plugin}"), HostInfo(version=__version__, plugin=plugin)

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call and return its answer: canonical to a canonical request, else in the dialect. Raises `CallError`."""
        nested, exchange, downstream = self._exchange(call, stream=False)
        task = asyncio.create_task(pipeline.run(self._shared, exchange))  # of its own: it has its own place among the calls
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if nested.detached:
                self._keep(task)
            else:
                await end_all(task)
            raise
        raw = downstream.body or b""
        if exchange.failure is not None:
            raise CallError(exchange.failure, body=raw, headers=downstream.shown)
        body: Body[Response] = Body(raw, codec=response_codec(exchange.dialect, exchange.call.operation))
        return (nested.request and body.canonical) or Reply(status=downstream.status, headers=downstream.shown, body=body)

    async def stream(self, call: Request | Nested) -> AsyncIterator[canonical.Delta | Event]:
        """Make a call and iterate over its answer: canonical deltas to a canonical request, else events. Raises `CallError`."""
        nested, exchange, downstream = self._exchange(call, stream=True)
        task = asyncio.create_task(pipeline.run(self._shared, exchange))
        # A task that is over has written all; its last word may have to wait for a place in the queue.
        task.add_done_callback(lambda _: ending.append(asyncio.ensure_future(downstream.pieces.put(None))))
        ending: list[asyncio.Future[None]] = []
        try:
            while (piece := await downstream.pieces.get()) is not None:
                for event in events_of(exchange.dialect, piece):
                    for said in event.deltas if nested.request is not None else (event,):
                        yield said
            if downstream.body is not None:
                fault = exchange.failure or failure("unknown", "the answer is no stream")
                raise CallError(fault, body=downstream.body, headers=downstream.shown)
        finally:
            await end_all(task)
            await end_all(*ending)

    def _keep(self, task: asyncio.Task[None]) -> None:
        if len(self._detached) >= MAX_DETACHED:
            self.log.warning("plugin %r: more than %d detached calls; one was ended", self._plugin, MAX_DETACHED)
            task.cancel()
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)

    def _exchange(self, said: Request | Nested, stream: bool) -> tuple[Nested, Exchange, MemoryDownstream]:
        """Return what is called, as a call below the one that it is made in or as a root call."""
        nested, around = Nested(request=said) if isinstance(said, Request) else said, self._shared.current.get()
        parent = None if nested.detached else around
        generation = parent.generation if parent is not None else self._shared.generation
        dialect, endpoint, body = _form(generation, nested, stream)
        downstream = MemoryDownstream(body)
        call = Call(self._shared.next_id(), dialect, endpoint, downstream.headers, downstream.query)
        params = {} if nested.model is None else {"model": nested.model}
        exchange = Exchange(generation, call, Match(dialect, endpoint, params), downstream)
        exchange.timeouts = nested.timeouts
        exchange.inside, exchange.skipped = True, (around.skipped if around is not None else frozenset()) | {self._plugin}
        call.principal = Principal(name=f"plugin:{self._plugin}" if self._plugin else "embedder")
        if parent is not None:
            call.parent, call.depth, call.principal = parent.call, parent.call.depth + 1, parent.call.principal
        if call.depth > MAX_DEPTH:
            raise CallError(failure("plugin", f"calls within calls are at most {MAX_DEPTH} deep", code="too_deep"))
        return nested, exchange, downstream

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that can be called now."""
        return self._shared.generation.models.listing(EVERYTHING)

    def spawn(self, work: Coroutine[Any, Any, object], name: str = "") -> None:
        """Run a task that belongs to the plugin. It serves no call: calls that it makes are root calls."""
        owned, apart = as_plugin(self._plugin, work), contextvars.Context()
        task = asyncio.get_running_loop().create_task(owned, name=f"{self._plugin}:{name}", context=apart)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("plugin %r: a task of its own failed", self._plugin, exc_info=task.exception())

    clock = staticmethod(time.monotonic)
    """Returns the time in seconds; it never goes back."""

    async def close(self) -> None:
        """Cancel the plugin's tasks and detached calls."""
        await end_all(*self._tasks, *self._detached)


def _form(generation: Generation, nested: Nested, stream: bool) -> tuple[Dialect, Endpoint, bytes]:
    """Return the dialect, the route in it, and the body of a call."""
    if (dialect := generation.dialects.get(nested.dialect)) is None:
        known = ", ".join(sorted(generation.dialects))
        raise CallError(failure("plugin", f"there is no dialect {nested.dialect!r}; known: {known}", code="unknown_dialect"))
    if nested.request is not None:
        dialect = generation.dialects["canonical"]
        return dialect, _CANONICAL_ROUTE, dialect.encode_request(msgspec.structs.replace(nested.request, stream=stream), "generate", [])
    fitting = [e for e in dialect.endpoints if e.operation == nested.operation] or [_CANONICAL_ROUTE]
    endpoint = next((e for e in fitting if e.stream in (stream, ("stream",))), fitting[0])
    raw = nested.body if isinstance(nested.body, bytes) else msgspec.json.encode(nested.body or {})
    if isinstance(endpoint.stream, tuple):
        with contextlib.suppress(ValueError, KeyError, RecursionError):  # what is no body is judged later, as a client's would be
            raw = splice(raw, {endpoint.stream: True}) if stream else splice(raw, remove=[endpoint.stream])
    return dialect, endpoint, raw


class _Credentials:
    """What a plugin may know of credentials. With a grant that is all of it, and it may keep some. `tasks` are the plugin's own."""

    def __init__(self, shared: Shared, plugin: str, granted: bool, tasks: set[asyncio.Task[Any]]) -> None:
        self._shared, self._plugin, self._granted, self._tasks = shared, plugin, granted, tasks

    def list(self) -> Sequence[str]:
        return [account.credential.id for account in self._shared.generation.accounts]

    async def get(self, id: str) -> Credential:
        held = self._account(id).credential
        return held if self._granted else held.without_secrets()

    async def runtime(self, id: str) -> CredentialState:
        return Health.state(self._account(id))

    def _account(self, id: str) -> Account:
        if (account := self._shared.lasting.accounts.get(id)) is None:
            raise CallError(failure("plugin", f"there is no credential {id!r}", code="unknown_credential"))
        return account

    async def save(self, credentials: Sequence[Credential], source: str | None = None) -> None:
        if not self._granted:
            says = f"to keep credentials needs a grant: name the plugin in the configuration (plugins.{self._plugin}: {{}})"
            raise CallError(failure("plugin", says, code="not_granted"))
        able = [s for s in self._shared.generation.sources if hasattr(s.object, "save") and source in (None, s.object.name)]
        if not able:
            says = "there is no source of credentials" + (f" {source!r}" if source is not None else "") + " that can keep any"
            raise CallError(failure("plugin", says, code="no_source"))
        # Apart from the call: half of it would be done if that ended.
        kept = self._keep(min(able, key=lambda s: s.plugin != self._plugin), credentials)
        task = asyncio.get_running_loop().create_task(kept, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _keep(self, source: Source, credentials: Sequence[Credential]) -> None:
        try:
            await source.object.save(credentials)  # type: ignore[attr-defined]  # it was looked for
        except Exception as fault:
            says = f"plugin {source.plugin!r}: {source.object.name} could not keep it: {type(fault).__name__}: {fault}"
            raise CallError(failure("plugin", says, code="not_saved")) from fault
        await self._shared.refresh(source)
