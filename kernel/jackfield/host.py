"""The host: built from configuration and plugins, started, asked, stopped."""

import asyncio
import gc
import inspect
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from jackfield import config, plugins
from jackfield.addresses import is_loopback
from jackfield.api import Event, ModelInfo, Nested, Reply, Request, Response, failure
from jackfield.api.canonical import Delta
from jackfield.calls import EVERYTHING, Caller, PluginHost
from jackfield.discovery import Discovery
from jackfield.dispatch import Watchdog, as_plugin
from jackfield.generation import Generation, build, private_origins
from jackfield.plugins import Given, Plugin, PluginLoadError, identify
from jackfield.server import Server
from jackfield.shared import Shared

log = logging.getLogger("jackfield")

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
        self._given = [p if isinstance(p, Given) else Given(identify(p), p) for p in plugins]
        self._listen = listen
        self._before, self._after = before_start, after_start
        self._shared: Shared | None = None
        self._server: Server | None = None
        self._watchdog: Watchdog | None = None
        self._discovery: Discovery | None = None
        self._caller: Caller | None = None
        self._hosts: dict[str, PluginHost] = {}
        self._started: list[Plugin] = []

    async def __aenter__(self) -> "Jackfield":
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop(grace=0)

    @property
    def generation(self) -> Generation:
        """What new calls begin with. Raises `RuntimeError` before the host is loaded."""
        if self._shared is None or self._shared.generation is None:
            raise RuntimeError("the host has not been loaded")
        return self._shared.generation

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong but did not keep the host from starting, one line each."""
        found = [problem for plugin in self.plugins for problem in plugin.problems]
        return found + (self.generation.problems if self._shared is not None and self._shared.generation is not None else [])

    # ----------------------------------------------------------------------------------------- starting

    async def load(self, start: bool = False) -> Generation:
        """Find, build and (if asked) start the plugins, and make a generation of them. Raises `PluginLoadError`."""
        self._shared = Shared(self.config)
        self._caller = Caller(self._shared, None)
        self.plugins = plugins.find(self.loaded, self._given)
        plugins.load(self.plugins, self.loaded, self._host_for)
        for plugin in self.plugins if start else ():
            await self._start_plugin(plugin)
        generation = await build(1, self.loaded, self.plugins, self._shared.lasting)
        self._shared.transport.private = private_origins(generation)
        self._shared.generation = generation
        return generation

    def _host_for(self, plugin: Plugin) -> PluginHost:
        assert self._shared is not None
        self._hosts[plugin.id] = PluginHost(self._shared, plugin.id)
        return self._hosts[plugin.id]

    async def _start_plugin(self, plugin: Plugin) -> None:
        start = getattr(plugin.object, "start", None)
        if plugin.state != "active" or not inspect.iscoroutinefunction(start) or isinstance(plugin.object, ModuleType):
            return
        self._started.append(plugin)
        try:
            async with asyncio.timeout(_PLUGIN_LIMIT):
                await as_plugin(plugin.id, start())
        except Exception as fault:
            plugin.fail(f"plugin {plugin.id!r}: start: {type(fault).__name__}: {fault}")
            if plugin.settings.required:
                raise PluginLoadError(plugin.problems[-1]) from fault

    async def start(self) -> None:
        """Load and start everything, and listen.

        Raises `PluginLoadError` for a required plugin that fails, `RefusedToStart` for a configuration that
        would open the house or an address that cannot be had.
        """
        for callback in self._before:
            await _called(callback, self)
        try:
            generation = await self.load(start=True)
            await self._open(generation)
        except BaseException:
            await self.stop(grace=0)
            raise
        for callback in self._after:
            await _called(callback, self)

    async def _open(self, generation: Generation) -> None:
        shared, server = self._shared, self.config.server
        assert shared is not None
        if self._listen and not is_loopback(server.host) and not generation.has_access_rules():
            raise RefusedToStart(
                f"server.host is {server.host!r}, which others can reach, but nothing asks who calls: "
                "set up keys (plugins.api_keys.keys), or JACKFIELD_GENERATE_KEY=1 to have one made"
            )
        shared.sweeper.start()
        shared.completion.start()
        self._watchdog = Watchdog(self.config.hooks.blocked)
        self._discovery = Discovery(shared, generation)
        self._discovery.start()
        shared.first_models = self._discovery.first_answers
        if self._listen:
            self._server = Server(shared, self.config.limits)
            try:
                self.port = await self._server.start(server.host, server.port)
            except OSError as fault:
                raise RefusedToStart(f"cannot listen on {server.host}:{server.port}: {fault.strerror or fault} (server.port)") from fault
        gc.collect()
        gc.freeze()

    # ----------------------------------------------------------------------------------------- stopping

    async def stop(self, grace: float | None = None) -> None:
        """Take no more calls, let those in flight finish within `grace` seconds (default: `server.grace`), close everything."""
        shared = self._shared
        if shared is None:
            return
        if self._server is not None:
            self._server.stop_accepting()
        await self._let_finish(shared, self.config.server.grace if grace is None else grace)
        for part in (self._discovery, self._server):
            if part is not None:
                await part.stop()
        await shared.completion.drain()
        for plugin in reversed(self._started):
            await self._close_plugin(plugin)
        for host in self._hosts.values():
            await host.close()
        if self._caller is not None:
            await self._caller.close()
        if shared.generation is not None:
            shared.generation.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        shared.sweeper.stop()
        await shared.transport.close()
        self._started, self._hosts, self._shared = [], {}, None
        gc.unfreeze()

    @staticmethod
    async def _let_finish(shared: Shared, grace: float) -> None:
        """Wait for the calls in flight; end those that are left in their dialect's error form, then wait a moment for that."""
        for seconds in (grace, _LAST_WORDS):
            if not shared.calls:
                return
            idle = asyncio.Event()
            shared.on_idle = idle.set
            try:
                async with asyncio.timeout(seconds):
                    await idle.wait()
            except TimeoutError:
                shared.stop_calls(failure("overload", "the host is stopping", code="stopping"))

    async def _close_plugin(self, plugin: Plugin) -> None:
        close = getattr(plugin.object, "close", None)
        if not inspect.iscoroutinefunction(close):
            return
        try:
            async with asyncio.timeout(_PLUGIN_LIMIT):
                await as_plugin(plugin.id, close())
        except Exception as fault:  # noqa: BLE001 (a plugin may raise anything; the host stops all the same)
            log.warning("plugin %r: close: %s: %s", plugin.id, type(fault).__name__, fault)

    def run(self) -> None:
        """Start, serve until SIGINT or SIGTERM, and stop. Blocks."""
        from jackfield.cli.process import run_until_signal  # noqa: PLC0415 (signals and event loops are the process's business)

        run_until_signal(self)

    # ------------------------------------------------------------------------------------------- asking

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call through the whole path and return its answer: canonical to a canonical request, else in the dialect.

        Raises `CallError` with the failure's status, code and retry_after.
        """
        return await self._calls().execute(call)

    def stream(self, call: Request | Nested) -> AsyncIterator[Delta | Event]:
        """Make a call and iterate over its answer: canonical deltas to a canonical request, else events of the dialect."""
        return self._calls().stream(call)

    def _calls(self) -> Caller:
        if self._caller is None or self._shared is None:
            raise RuntimeError("the host has not been started")
        return self._caller

    async def first_models(self) -> None:
        """Wait, for a moment at most, until every provider that is asked for its models has answered."""
        if self._shared is not None:
            await self._shared.first_models()

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that can be called now."""
        return self.generation.models.listing(EVERYTHING)


_LAST_WORDS: Final = 2.0
"""Seconds in which calls that were stopped may still write their error."""


async def _called(callback: Callback, host: Jackfield) -> None:
    answer = callback(host)
    if inspect.isawaitable(answer):
        await answer
