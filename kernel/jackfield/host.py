"""The host: built from configuration and plugins, started, asked, stopped."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from typing import Any, Final, Self

from jackfield import config, plugins
from jackfield.addresses import is_loopback
from jackfield.agreed import Agreed
from jackfield.api import CallError, Event, ModelInfo, Nested, Reply, Request, Response, canonical, failure
from jackfield.calls import PluginHost
from jackfield.config import ConfigError, Loaded
from jackfield.credentials import Account, Source
from jackfield.discovery import Discovery
from jackfield.dispatch import Watchdog, as_plugin, of_a_plugin
from jackfield.generation import Generation, Lasting, choose_store
from jackfield.plugins import Plugin, PluginLoadError
from jackfield.refreshing import Refreshing
from jackfield.server import Doors, Server
from jackfield.shared import Shared
from jackfield.trace import log

Callback = Callable[["Jackfield"], Any]
Kept = tuple[Loaded, dict[str, bytes]]
"""A configuration that can be gone back to, and what its plugins said that are single files."""

_MOST_KEPT: Final = 5
"""Configurations that can be gone back to, with the present one."""
_LOOK_EVERY: Final = 0.25
"""Seconds between two looks for whether a former generation still has calls."""
_PLUGIN_LIMIT: Final = 30.0
"""Seconds that a plugin may take to start or to close: it may have to reach a service, not to wait for a person."""


class RefusedToStart(Exception):
    """The host does not start as configured; the message says why and what to do."""


class NotReloaded(Exception):
    """A configuration cannot be used, and the host goes on with the one that it had; the message has a line for each problem."""


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
        self.origin, self._read = given, partial(config.load, extra=overrides, defaults=defaults)
        """What the configuration is read from, and how."""
        self.loaded = self.latest = self._read(given)
        """The configuration that is used, and the one that was read last, used or not."""
        self.config = self.loaded.config
        self.port = 0
        """The port that the host listens on, once it has started."""
        self.plugins: list[Plugin] = []
        self._given, self._listen, self._before, self._after = plugins, listen, before_start, after_start
        self.kept: dict[int, Kept] = {}
        """By the numbers of their generations, the present one last."""
        self.generations, self._numbers = list[Generation](), count(1)
        """Those that calls hold, and last the one that new calls will."""
        self.doors: Doors | None = None
        """Opens what there is to listen at, where that was made already: by whoever started the process, or was here before it."""
        self.before_open: list[Callback] = []
        """Called when everything is loaded and nothing is served yet."""
        self._turn, self._address = asyncio.Lock(), ""
        self._discovery: Discovery | None = None
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
    def lasting(self) -> Lasting:
        """What generations share. Raises `CallError` before the host is loaded."""
        return self._running()[0].lasting

    @property
    def agreed(self) -> Agreed:
        """What the host agrees on with others that share its state store. Raises `CallError` before the host is loaded."""
        return self._running()[0].agreed

    @property
    def refreshing(self) -> Refreshing:
        """What keeps accounts fresh whose keys expire. Raises `CallError` before the host is loaded."""
        return self._running()[0].refreshing

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong but did not keep the host from starting, one line each."""
        return [problem for plugin in self.plugins for problem in plugin.problems] + self.generation.problems

    # ----------------------------------------------------------------------------------------- starting

    async def load(self, start: bool = False) -> Generation:
        """Find, build and (if asked) start the plugins, and make a generation of them. Raises `PluginLoadError`."""
        shared = self._shared = Shared(self.config)
        shared.refresh = self.refresh
        self._parts.push_async_callback(shared.close)
        # After the plugins: they may still keep what they know when they close.
        self._parts.push_async_callback(lambda: asyncio.gather(*(self._run_part(s, "close") for s in shared.lasting.stores.values())))
        self._own = PluginHost(shared, "", granted=True)
        self._parts.push_async_callback(self._own.close)
        self._parts.push_async_callback(lambda: self._close([p for generation in self.generations for p in generation.plugins], ()))
        self.plugins = plugins.find(self.loaded, self._given)
        self._use(made := await self._make(self.loaded, self.plugins, start))
        return made

    async def _make(self, loaded: Loaded, found: list[Plugin], start: bool = True) -> Generation:
        """Return a generation of the plugins that were found: those that run unchanged go on, the others are built and started.

        Raises `PluginLoadError` for plugins that the host should not go on without: at first those that are required; where
        there is a generation to stay with, those that it has or the configuration names, unless they failed before.
        """
        lasting, serving = self.lasting, {plugin.id: plugin for plugin in (self.plugins if self.generations else ())}
        now = [old if (old := serving.get(p.id)) and old.state == "active" and old.configured == p.configured else p for p in found]
        new = [plugin for plugin in now if plugin in found]
        failed = {plugin.id for plugin in serving.values() if plugin.state == "failed"}
        needed = {p.id for p in new if self.generations and (p.named or p.id in serving)} - failed
        heirs = {plugin.id: old for plugin in new if (old := serving.get(plugin.id)) and plugins.may_take_over(plugin, old)}
        try:
            for plugin in (p for p in new if p.id in heirs):
                await plugins.take_over(plugin, heirs[plugin.id])
            await plugins.load([plugin for plugin in new if plugin.id not in heirs], loaded, self._host_for, needed)
            store, problems = stored = choose_store(loaded, now, lasting)
            if self.generations and store is None and problems:
                raise PluginLoadError("\n".join(problems))
            lasting.state = lasting.state or store  # plugins may ask it when they start
            for plugin in (p for p in new if start and p.state == "active"):
                await self._start_one(plugin, plugin.id in needed)
            made = Generation(loaded, now, lasting, stored)
            if self.generations:
                self._check(made)
            await made.fill()
        except BaseException:
            for old in heirs.values():
                await plugins.take_back(old)
            await self._close(new, self.generations)
            raise
        return made

    def _host_for(self, plugin: Plugin) -> PluginHost:
        plugin.parts.push_async_callback((host := PluginHost(self._running()[0], plugin.id, plugin.named is not None)).close)
        return host

    async def _start_one(self, plugin: Plugin, needed: bool) -> None:
        for twin in (p for generation in self.generations for p in generation.plugins if p.object is plugin.object and p.state == "active"):
            plugin.parts = twin.parts  # a module, or an object that was handed over: it runs already
            return
        plugin.parts.push_async_callback(self._run_part, plugin, "close")
        if (fault := await self._run_part(plugin, "start")) is not None:
            if needed or plugin.settings.required or "authenticate" in plugin.grants:  # without it the house would stand open
                raise PluginLoadError(fault)
            plugin.fail(fault)

    def _use(self, made: Generation, number: int | None = None) -> None:
        """Let new calls begin with a generation. The one before it ends with its last call."""
        old = self.generations[-1] if self.generations else None
        kept = made.loaded, {plugin.id: plugin.code for plugin in made.plugins if plugin.code is not None}
        same = old.number if old is not None and self.kept[old.number] == kept else None
        made.number = number or same or next(self._numbers)
        self.kept = dict([*((n, said) for n, said in self.kept.items() if n < made.number), (made.number, kept)][-_MOST_KEPT:])
        self.generations.append(made)
        self._follow(made)
        if old is not None:
            self._own.spawn(self._end(old), "end")

    def _follow(self, generation: Generation) -> None:
        """Go by a generation, and by the credentials that it has now."""
        self._running()[0].generation = generation
        self.loaded, self.config, self.plugins = generation.loaded, generation.config, list(generation.plugins)
        if self._discovery is not None:  # it has started
            self._discovery.follow(generation)
            self._running()[0].refreshing.follow()
            for source in generation.sources:
                source.watch(lambda source: self._own.spawn(self.refresh(source), "load"))

    async def refresh(self, source: Source) -> None:
        """Take the credentials that a source has now."""
        await source.load()
        if source in (generation := self.generation).sources:
            before, wrong = generation.accounts, generation.problems
            generation.take()
            self._follow(generation)
            _tell_of_changes(generation, before, wrong)

    async def _end(self, generation: Generation) -> None:
        while generation.calls:  # noqa: ASYNC110 (so that it costs a call next to nothing)
            await asyncio.sleep(_LOOK_EVERY)
        async with self._turn:
            self.generations.remove(generation)
            await self._close(generation.plugins, self.generations)

    @staticmethod
    async def _close(former: Sequence[Plugin], living: Sequence[Generation]) -> None:
        """Close plugins, but for those that a generation holds."""
        held = {id(plugin.parts) for generation in living for plugin in generation.plugins}
        parts = {id(plugin.parts): plugin.parts for plugin in reversed(former)}
        await asyncio.gather(*(part.aclose() for key, part in parts.items() if key not in held))

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
            generation = await self.load(start=True)
            await self._tell(self.before_open)
            await self._open(generation)
            await self._tell(self._after)
        except BaseException:
            await self.stop(grace=0)
            raise

    @property
    def listening(self) -> Sequence[Any]:
        """The sockets that the host listens on, once it has started."""
        return self._server.sockets if self._server is not None else ()

    async def _tell(self, callbacks: Sequence[Callback]) -> None:
        for callback in callbacks:
            if inspect.isawaitable(answer := callback(self)):
                await answer

    async def _open(self, generation: Generation) -> None:
        shared, server = self._running()[0], self.config.server
        self._address = server.host
        self._check(generation)
        self._parts.callback(Watchdog(lambda: self.config.hooks.blocked).stop)
        self._parts.push_async_callback(shared.completion.drain)  # before the plugins close: they are told of the last calls
        self._parts.push_async_callback(shared.refreshing.stop)  # likewise: what they get is kept
        self._discovery = Discovery(shared)
        self._follow(generation)
        shared.first_models = self._discovery.first_answers
        self._parts.push_async_callback(self._discovery.stop)
        if self._listen:
            from jackfield.cli.certificates import served_with  # noqa: PLC0415 (watching files is the process's business)

            tls = served_with(server.tls, self.loaded.folder, shared.sweeper)
            self._server = Server(shared)
            self._parts.push_async_callback(self._server.stop)
            try:
                self.port = await self._server.start(server.host, server.port, tls, self.doors)
            except OSError as fault:
                raise RefusedToStart(f"cannot listen on {server.host}:{server.port}: {fault.strerror or fault} (server.port)") from fault

    def _check(self, generation: Generation) -> None:
        """Refuse a generation that would open the house."""
        if self._listen and not is_loopback(self._address) and not generation.doorkeepers():
            raise RefusedToStart(
                f"server.host is {self._address!r}, which others can reach, but nothing asks who calls: "
                "set up keys (plugins.api_keys.keys), or JACKFIELD_GENERATE_KEY=1 to have one made"
            )

    # ----------------------------------------------------------------------------------------- changing

    async def reload(self, given: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Generation:
        """Read the configuration anew and let new calls use it; calls in flight finish with the one that they began with.

        `given` takes the place of what the host was made with, now and for later reloads; `overrides` and `plugins` hold as
        before. Plugins for which nothing has changed go on as they are; others are built and started before they are used.

        Raises `NotReloaded`, with every problem, when the configuration cannot be used; then nothing has changed.
        """
        self.origin = self.origin if given is None else given
        return await self._change(self._read_anew)

    def _read_anew(self) -> Kept:
        self.latest = self._read(self.origin)
        return self.latest, {}

    async def rollback(self, number: int | None = None) -> Generation:
        """Go back to the configuration before the present one, or to that of the generation of this number.

        The last five are kept, with the text of plugins that are single files; those after the one that is gone back to are
        forgotten. The next reload reads the configuration anew.

        Raises `NotReloaded` when there is none, or it cannot be used any more; then nothing has changed.
        """
        earlier = {n: kept for n, kept in self.kept.items() if n != self.generation.number}
        if (to := number or max(earlier, default=0)) not in earlier:
            wanted, kept = number or "before this one", ", ".join(map(str, earlier)) or "none"
            raise NotReloaded(f"there is no generation {wanted} to go back to; kept: {kept}")
        return await self._change(lambda: earlier[to], to)

    async def _change(self, read: Callable[[], Kept], number: int | None = None) -> Generation:
        async with self._turn:
            present = self.generation
            try:
                loaded, codes = await asyncio.to_thread(read)
                self._use(made := await self._make(loaded, plugins.find(loaded, self._given, codes)), number)
            except (ConfigError, PluginLoadError, RefusedToStart) as fault:
                present.invalid = str(fault)
                log.error("the configuration cannot be used, generation %d goes on: %s", present.number, present.invalid)
                raise NotReloaded(present.invalid) from fault
            return made

    # ----------------------------------------------------------------------------------------- stopping

    async def stop(self, grace: float | None = None, *, quiet: float = 0.0, handed_over: bool = False) -> None:
        """Take no more calls, let those in flight finish within `grace` seconds (default: `server.grace`), close everything.

        A connection that has been quiet for `quiet` seconds is closed; until then it may bring one more call. `handed_over`
        says that another process takes the calls that come, so that nobody finds a closed door.
        """
        seconds = self.config.server.grace if grace is None else grace
        if self._server is not None:
            from jackfield.cli.leaving import leave  # noqa: PLC0415 (how a port is left is the process's business)

            seconds = await leave(self._server, quiet, seconds, handed_over)
        if self._shared is not None:
            await self._shared.let_finish(seconds)
        async with self._turn:
            await self._parts.aclose()
            self._shared, self._server, self.generations = None, None, []

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


def _tell_of_changes(generation: Generation, before: Sequence[Account], wrong: Sequence[str]) -> None:
    """Write to the log which credentials came and went, and what is wrong now or no longer."""
    was, now = ({account.credential.id for account in accounts} for accounts in (before, generation.accounts))
    if was != now:
        log.info("credentials: %d came, %d went, %d are there", len(now - was), len(was - now), len(now))
    for problem in (problem for problem in generation.problems if problem not in wrong):
        log.warning("%s", problem)
    for problem in (problem for problem in wrong if problem not in generation.problems):
        log.info("no longer so: %s", problem)
