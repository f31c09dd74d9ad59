"""What one plugin sees of the host."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from jackfield import __version__
from jackfield.api import Event, HostInfo, HttpRequest, HttpResponse, ModelInfo, Nested, Principal, Reply, Request, Response
from jackfield.api.canonical import Delta
from jackfield.dispatch import as_plugin
from jackfield.memory import Caller
from jackfield.memory_store import MemoryStore
from jackfield.shared import Shared

EVERYTHING = Principal(name="host")
"""A principal that may call everything: for listings that no client asked for."""


class PluginHost:
    """The host as one plugin sees it: `jackfield.api.Host`."""

    def __init__(self, shared: Shared, store: MemoryStore, plugin: str) -> None:
        self._shared = shared
        self._plugin = plugin
        self._calls = Caller(shared, plugin)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.http = _Http(shared)
        self.credentials = _Credentials(shared)
        self.state = store.scoped(plugin)
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
