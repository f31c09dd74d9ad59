"""The host: built from configuration and plugins, started, asked, stopped."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, Self

from jackfield import config, plugins
from jackfield.addresses import is_loopback
from jackfield.api import CallError, Event, ModelInfo, Nested, Reply, Request, Response, canonical, failure
from jackfield.calls import PluginHost
from jackfield.discovery import Discovery
from jackfield.dispatch import Watchdog, as_plugin, of_a_plugin
from jackfield.generation import Generation, build, choose_store
from jackfield.plugins import Plugin, PluginLoadError
from jackfield.server import Server
from jackfield.shared import Shared
from jackfield.trace import log

Callback = Callable[["Jackfield"], Any]

_PLUGIN_LIMIT: Final = 30.0
"""Seconds that a plugin may take to start or to close: it may have to reach a service, not to wait for a person."""


class RefusedToStart(Exception):
    """The host does not start as configured; the message says why and what to do."""


class Jackfield:
    """A host, for programs that embed one.

        async with Jackfield({"server": {"port": 0}}, plugins=[my_plugin]) as host:
            answer = await host.execute(Request(model="sim/echo", messages=...))

    `given` is the configuration: a file's path, a mapping, or None for `jackfield.yaml` in the working folder
    and the defaults; `overrides` is merged over it, and all of it over the distribution's defaults, which name the
    first-party plugins, unless `defaults` is false. `plugins` are objects, modules or classes that need
    no entry point. `listen=False` serves no HTTP. The functions of `before_start` and `after_start` are
    called with the host; they may be `async`.

    Raises `ConfigError`, with every problem of the configuration, when it is made.
    """

    def __init__(
        self,
        given: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        plugins: Sequence[object] = (),
        listen: bool = True,
        before_start: Sequence[Callback] = (),
        after_start: Sequence[Callback] = (),
        overrides: Mapping[str, Any] | None = None,
        defaults: bool = True,
    ) -> None:
        self.loaded = config.load(given, overrides, defaults=defaults)
        self.config = self.loaded.config
        self.port = 0
        """The port that the host listens on, once it has started."""
        self.plugins: list[Plugin] = []
        self._given, self._listen, self._before, self._after = plugins, listen, before_start, after_start
        self._shared: Shared | None = None
        self._server: Server | None = None
        self._parts = AsyncExitStack()
        """What has been started, to be stopped in the reverse order."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop(grace=0)

    @property
    def generation(self) -> Generation:
        """What new calls begin with. Raises `CallError` before the host is loaded."""
        return self._running()[0].generation

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong but did not keep the host from starting, one line each."""
        return [problem for plugin in self.plugins for problem in plugin.problems] + self.generation.problems

    # ----------------------------------------------------------------------------------------- starting

    async def load(self, start: bool = False) -> Generation:
        """Find, build and (if asked) start the plugins, and make a generation of them. Raises `PluginLoadError`."""
        shared = self._shared = Shared(self.config)
        self._parts.push_async_callback(shared.close)
        # After the plugins: they may still keep what they know when they close.
        self._parts.push_async_callback(lambda: asyncio.gather(*(self._run_part(s, "close") for s in shared.lasting.stores.values())))
        self._own = self._host_for(Plugin(id="", origin="the embedding program"), shared)
        self.plugins = plugins.find(self.loaded, self._given)
        plugins.load(self.plugins, self.loaded, partial(self._host_for, shared=shared))
        shared.lasting.state, problems = choose_store(self.loaded, self.plugins, shared.lasting)  # plugins may ask it when they start
        for plugin in (p for p in self.plugins if start and p.state == "active"):
            self._parts.push_async_callback(self._run_part, plugin, "close")
            if (fault := await self._run_part(plugin, "start")) is not None:
                if plugin.settings.required or "authenticate" in plugin.grants:  # without it the house would stand open
                    raise PluginLoadError(fault)
                plugin.fail(fault)
        shared.generation = await build(self.loaded, self.plugins, shared.lasting, problems)
        self._parts.callback(shared.generation.close)
        return shared.generation

    def _host_for(self, plugin: Plugin, shared: Shared) -> PluginHost:
        host = PluginHost(shared, plugin.id)
        self._parts.push_async_callback(host.close)
        return host

    @staticmethod
    async def _run_part(plugin: Plugin, name: str) -> str | None:
        """Run a plugin's own `start` or `close`; return what went wrong."""
        part = getattr(plugin.object, name, None)
        try:
            async with asyncio.timeout(_PLUGIN_LIMIT) as timer:
                if callable(part) and inspect.iscoroutine(work := part()):
                    await as_plugin(plugin.id, work)
        except BaseException as fault:
            if not of_a_plugin(fault):
                raise
            what = f"took longer than {_PLUGIN_LIMIT:g} s" if timer.expired() else f"{type(fault).__name__}: {fault}"
            log.warning("plugin %r: %s: %s", plugin.id, name, what)
            return f"plugin {plugin.id!r}: {name}: {what}"
        return None

    async def start(self) -> None:
        """Load and start everything, and listen.

        Raises `PluginLoadError` for a required plugin that fails, `RefusedToStart` for a configuration that
        would open the house or an address that cannot be had.
        """
        if self._shared is not None:
            raise RuntimeError("the host has been started already")
        try:
            await self._tell(self._before)
            await self._open(await self.load(start=True))
            await self._tell(self._after)
        except BaseException:
            await self.stop(grace=0)
            raise

    async def _tell(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            if inspect.isawaitable(answer := callback(self)):
                await answer

    async def _open(self, generation: Generation) -> None:
        shared, server = self._running()[0], self.config.server
        if self._listen and not is_loopback(server.host) and not generation.doorkeepers():
            raise RefusedToStart(
                f"server.host is {server.host!r}, which others can reach, but nothing asks who calls: "
                "set up keys (plugins.api_keys.keys), or JACKFIELD_GENERATE_KEY=1 to have one made"
            )
        self._parts.callback(Watchdog(self.config.hooks.blocked).stop)
        self._parts.push_async_callback(shared.completion.drain)  # before the plugins close: they are told of the last calls
        discovery = Discovery(shared, generation)
        shared.first_models = discovery.first_answers
        self._parts.push_async_callback(discovery.stop)
        if self._listen:
            self._server = Server(shared, self.config.limits)
            self._parts.push_async_callback(self._server.stop)
            try:
                self.port = await self._server.start(server.host, server.port)
            except OSError as fault:
                raise RefusedToStart(f"cannot listen on {server.host}:{server.port}: {fault.strerror or fault} (server.port)") from fault

    # ----------------------------------------------------------------------------------------- stopping

    async def stop(self, grace: float | None = None) -> None:
        """Take no more calls, let those in flight finish within `grace` seconds (default: `server.grace`), close everything."""
        if self._server is not None:
            self._server.stop_accepting()
        if self._shared is not None:
            await self._shared.let_finish(self.config.server.grace if grace is None else grace)
        await self._parts.aclose()
        self._shared = self._server = None

    def run(self) -> None:
        """Start, serve until SIGINT or SIGTERM, and stop. Blocks."""
        from jackfield.cli.process import run_until_signal  # noqa: PLC0415 (signals and event loops are the process's business)

        run_until_signal(self)

    # ------------------------------------------------------------------------------------------- asking

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call through the whole path and return its answer: canonical to a canonical request, else in the dialect.

        Raises `CallError` with the failure's status, code and retry_after.
        """
        return await self._running()[1].execute(call)

    def stream(self, call: Request | Nested) -> AsyncIterator[canonical.Delta | Event]:
        """Make a call and iterate over its answer: canonical deltas to a canonical request, else events of the dialect."""
        return self._running()[1].stream(call)

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models that can be called now; waits a moment for providers that are being asked for theirs."""
        shared, own = self._running()
        await shared.first_models()
        return own.models()

    def _running(self) -> tuple[Shared, PluginHost]:
        if self._shared is None:
            raise CallError(failure("plugin", "the host has not started", code="not_started"))
        return self._shared, self._own
