"""The checks that are made within a host that runs: in process, in a process of its own, or as a program, as it is configured."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import msgspec

from jackfield.api import HOOKS, CallError, Dialect, Endpoint, HttpProvider, Loss, Request
from jackfield.api.canonical import Message, Text, Tool
from jackfield.api.testing.conformance.report import Carrier, NotAsked, Result, Wrong
from jackfield.api.testing.conformance.suite import result_of
from jackfield.api.testing.conformance.target import Target
from jackfield.api.testing.conformance.world import ANSWERS, FAILS, WAITS, Ear, World
from jackfield.api.testing.harness import Harness
from jackfield.config import ConfigError
from jackfield.host import Jackfield, RefusedToStart
from jackfield.plugins import Plugin, PluginLoadError

_AT_ONCE: Final = 32
_PATIENCE: Final = 20.0
"""Seconds for a whole call, or several at once."""
_OBSERVERS: Final = ("request_complete", "handle_usage")
_WEATHER: Final = Tool(name="get_weather", parameters={"type": "object", "properties": {"place": {"type": "string"}}})
_RAISED: Final = re.compile(r"\w*(Error|Exception|Exit): ")
_CANNOT_START: Final = (ConfigError, PluginLoadError, RefusedToStart)


class Within:
    """One plugin within a host, and what it is called to do."""

    def __init__(
        self, target: Target, config: Mapping[str, Any], dialects: Mapping[str, Dialect], times: tuple[float, float], isolated: bool = False
    ) -> None:
        self.plugin, self.objects, self.dialects = target.id, target.objects, dialects
        self.section = {**target.section, **config, **({"isolate": True} if isolated else {})}
        self.deadline, self.grace = times
        self.ear, self.world, self.found = Ear(target.id), World(dialects), Plugin(id=target.id, origin="", state="failed")
        self.host: Harness | None = None
        self.made = 0
        """How many calls were made."""
        self._parts = AsyncExitStack()

    # ------------------------------------------------------------------------------------------------ hosts

    def config(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration in which the plugin stands: named, so that it may do what needs a grant, and before all others."""
        hooks = {"failures": 1_000_000_000, "deadline": self.deadline}
        plugins = {"credential_files": {"enabled": False}, self.plugin: {"enabled": True, "priority": 1_000_000, **section}}
        return {"plugins": plugins, "hooks": hooks, "attempts": {"wait": 0}}

    async def loaded(self, section: Mapping[str, Any]) -> Plugin:
        """Return what becomes of the plugin with some settings; nothing is started. Raises `Wrong`."""
        host = None
        try:
            host = Jackfield(self.config(section), plugins=self.objects, listen=False)
            await host.load()
            return next(plugin for plugin in host.plugins if plugin.id == self.plugin)
        except _CANNOT_START as fault:
            raise Wrong(f"a host does not start with it: {fault}") from None
        finally:
            if host is not None:
                await host.stop(grace=0)

    async def start(self) -> None:
        """Start a host with it. Raises `Wrong`."""
        logger = logging.getLogger("jackfield")
        logger.addHandler(self.ear)
        self._parts.callback(logger.removeHandler, self.ear)
        try:
            harness = Harness([self.world, *self.objects], self.config(self.section))
            self.host = await self._parts.enter_async_context(harness)
        except _CANNOT_START as fault:
            raise Wrong(f"a host does not start with it: {fault}") from None
        self.found = next(plugin for plugin in harness.host.plugins if plugin.id == self.plugin)
        if self.found.state != "active":
            raise Wrong(f"it does not start: {self.found.problems[-1] if self.found.problems else 'its configuration switches it off'}")

    async def close(self) -> None:
        """Stop the host."""
        await self._parts.aclose()

    def running(self) -> Harness:
        """Return the host. Raises `NotAsked` where there is none."""
        if self.host is None or self.found.state != "active":
            raise NotAsked("it does not run")
        return self.host

    # ------------------------------------------------------------------------------------------------ calls

    def calls(self) -> Iterator[tuple[str, Endpoint, bytes, str]]:
        """Yield calls of clients: what each is, its route, its body, and the model."""
        plain = Request(messages=(Message(role="user", parts=(Text(text="Hello"),)),), stream_usage=True)
        for name, dialect in self.dialects.items():
            native = str(self.world.natives[name].models[0])
            for stream in (False, True):
                generating = (endpoint for endpoint in dialect.endpoints if endpoint.operation == "generate")
                for endpoint in [one for one in generating if isinstance(one.stream, tuple) or one.stream is stream][:1]:
                    kind = f"a {'streamed ' if stream else ''}call in {name}"
                    for about, model, tools in (("", native, ()), (" with tools", ANSWERS, (_WEATHER,)), (" that fails", FAILS, ())):
                        request = msgspec.structs.replace(plain, model=model, stream=stream, tools=tools)
                        try:
                            body = dialect.encode_request(request, "generate", list[Loss]())
                        except (ValueError, NotImplementedError):  # what this dialect cannot say is not what is checked here
                            continue
                        yield f"{kind}{about}", endpoint, body, model

    async def make(self, about: str, endpoint: Endpoint, body: bytes, model: str) -> int:
        """Make a call as a client does; return the status of the answer, which was read to its end."""
        self.ear.now, self.made = about, self.made + 1
        answer = await self.running().request(endpoint.method, endpoint.path.replace("{model}", model), body)
        return answer.status

    def any_call(self, stream: bool, model: str) -> tuple[Endpoint, bytes]:
        """Return some call of a model. Raises `NotAsked` where no dialect has one."""
        for about, endpoint, body, given in self.calls():
            if ("streamed" in about) is stream and given == FAILS:
                return endpoint, body.replace(FAILS.encode(), model.encode())
        raise NotAsked("no dialect with calls is plugged in")

    def is_quiet(self, since: int, about: str) -> None:
        """See that nothing new was said of the plugin since then. Raises `Wrong`."""
        before = {said for _, said in self.ear.heard[:since]}
        for _, said in self.ear.heard[since:]:
            if said not in before:
                raise Wrong(f"{about}, and {said}")

    def fired(self) -> set[str]:
        """Return the hooks that calls have reached."""
        of_it = f"{self.plugin}."
        seen = {name for outcome in self.world.outcomes for name in outcome.explain().get("plugin_ms", {}) if name.startswith(of_it)}
        return {name.removeprefix(of_it) for name in seen} | (set(_OBSERVERS) if self.world.outcomes else set())


# --------------------------------------------------------------------------------------------------- the checks


async def _start(run: Within) -> None:
    await run.start()


async def _registration(run: Within) -> None:
    host = run.running().host
    beside = [problem.removeprefix(f"plugin {run.plugin!r}: ") for problem in host.generation.problems if f"{run.plugin!r}" in problem]
    for problem in [*run.found.problems, *beside]:
        raise Wrong(f"a host lists a problem with it: {problem}")


async def _wrong_config(run: Within) -> None:
    wrong = {**run.section, "no-such-setting": {"at": ["all"]}}
    try:
        found = await run.loaded(wrong)
    except Wrong as fault:
        if "no-such-setting" in str(fault):  # it is required, and says what is wrong
            return
        raise
    said = found.problems[-1].removeprefix(f"plugin {run.plugin!r}: ") if found.state == "failed" else ""
    if _RAISED.match(said):
        says = f"with a setting that it does not have, it fails with: {said}"
        raise Wrong(f"{says}; declare a Config struct, or name the setting in `problems`")


async def _answers(run: Within, hook: str) -> None:
    run.running()
    if said := run.ear.about(hook):
        about, what = said[0]
        raise Wrong(f"{about} was made, and {what}; answer None where there is nothing to do")
    if hook not in run.fired():
        raise NotAsked("no call of the check reaches it")


async def _concurrent(run: Within) -> None:
    endpoint, body = run.any_call(False, ANSWERS)
    since = len(run.ear.heard)
    async with asyncio.timeout(max(run.deadline * 4, _PATIENCE)):
        made = (run.make(f"{_AT_ONCE} calls at once", endpoint, body, ANSWERS) for _ in range(_AT_ONCE))
        statuses = await asyncio.gather(*made)
    run.is_quiet(since, f"{_AT_ONCE} calls were made at once")
    if len(set(statuses)) > 1:
        raise Wrong(f"{_AT_ONCE} equal calls were made at once, and were answered with {sorted(set(statuses))}")


async def _cancelled(run: Within, stream: bool) -> None:
    """Make a call of a model that never goes on, and leave."""
    host, waits, since = run.running(), run.world.foreign, len(run.ear.heard)
    endpoint, body = run.any_call(stream, WAITS)
    run.ear.now, run.made = "a call whose client left", run.made + 1
    path = endpoint.path.replace("{model}", WAITS)

    async def _client() -> None:
        async with host.open(endpoint.method, path, body) as response:
            await response.read()

    leaving = asyncio.ensure_future(_client())
    waiting = asyncio.ensure_future(waits.waiting.wait())
    try:
        await asyncio.wait((leaving, waiting), timeout=run.deadline, return_when=asyncio.FIRST_COMPLETED)
        if not waits.waiting.is_set():
            raise NotAsked("it does not let the call go to the model that is asked for")
    finally:
        for task in (leaving, waiting):
            task.cancel()
        await asyncio.gather(leaving, waiting, return_exceptions=True)
    try:
        async with asyncio.timeout(run.grace):
            await waits.dropped.wait()
            await run.world.heard(run.made)
    except TimeoutError:
        says = f"a client left, and the call was not over {run.grace:g} s later"
        raise Wrong(f"{says}; let cancellation through, and do not wait in `finally`") from None
    run.is_quiet(since, "a client left in the middle of a call")


async def _cancel_early(run: Within) -> None:
    await _cancelled(run, stream=False)


async def _cancel_stream(run: Within) -> None:
    await _cancelled(run, stream=True)


async def _cancel_late(run: Within) -> None:
    endpoint, body = run.any_call(False, ANSWERS)
    since = len(run.ear.heard)
    await run.make("a call after others whose clients left", endpoint, body, ANSWERS)
    async with asyncio.timeout(run.grace):
        await run.world.heard(run.made)
    run.is_quiet(since, "a call was made after others whose clients left")


async def _models(run: Within) -> None:
    generation = run.running().host.generation
    mine = {key: provider for key, provider in generation.providers.items() if generation.owner[key].id == run.plugin}
    own = {key: provider for key, provider in mine.items() if not isinstance(provider, HttpProvider) and provider.auth is None}
    if not own:
        raise NotAsked("it has no provider that can be called without a key or a server")
    for key, provider in own.items():
        names = [m if isinstance(m, str) else m.id for m in provider.models] if provider.models != "discover" else []
        for stream in (False, True):
            request = Request(model=f"{key}://{(names or ['model'])[0]}", messages=(Message(role="user", parts=(Text(text="Hello"),)),))
            await _own_call(run, request, stream)


async def _own_call(run: Within, request: Request, stream: bool) -> None:
    host, about = run.running().host, f"{request.model} was asked{' for a stream' if stream else ''}"
    since, run.made = len(run.ear.heard), run.made + 1
    try:
        async with asyncio.timeout(_PATIENCE):
            if stream:
                async for _ in host.stream(request):
                    pass
            else:
                await host.execute(request)
    except CallError as fault:
        if fault.failure.cause in ("plugin", "unknown"):
            raise Wrong(f"{about}, and it failed: {fault.failure.message} {fault.failure.detail}") from None
    except TimeoutError:
        raise Wrong(f"{about}, and nothing came within {_PATIENCE:g} s") from None
    run.is_quiet(since, about)


async def _shutdown(run: Within) -> None:
    run.running()
    since = len(run.ear.heard)
    try:
        async with asyncio.timeout(run.grace):
            await run.close()
    except TimeoutError:
        raise Wrong(f"the host was stopped, and it had not closed {run.grace:g} s later; end what `start` began in `close`") from None
    run.is_quiet(since, "the host was stopped")


CHECKS: Final[dict[str, tuple[str, Callable[..., Awaitable[None]]]]] = {
    "start": ("A host loads it and starts with it.", _start),
    "registration": ("A host lists no problem with it.", _registration),
    "wrong-config": ("A setting that it does not have is named, or ignored; it is no reason to raise anything.", _wrong_config),
    "answers": ("Each hook answers calls in every dialect, plain and streamed, without an error and in time.", _answers),
    "concurrent": ("Calls at once are all answered alike.", _concurrent),
    "cancel-early": ("A call whose client leaves before its answer is over at once.", _cancel_early),
    "cancel-stream": ("So is one whose client leaves in the middle of a stream.", _cancel_stream),
    "cancel-late": ("It works on after that.", _cancel_late),
    "models": ("Its own models answer, where that needs no key and no server.", _models),
    "shutdown": ("It closes without an error, and in time.", _shutdown),
}
"""All checks within a host, in their order: what each asks of a plugin, and how it is made."""


async def within_host(run: Within, carrier: Carrier, wanted: Callable[[str], bool]) -> list[Result]:
    """Make all checks that are wanted, within a host that is stopped in the end."""
    results = list[Result]()
    try:
        for name, (_, function) in CHECKS.items():
            works: dict[str, tuple[Any, ...]] = {name: (run,)}
            if name == "answers" and run.found.state == "active":
                await _make_calls(run)
                called = [hook for hook in HOOKS if hook in run.found.implementations and HOOKS[hook].shape != "objects"]
                works = {f"answers {hook}": (run, hook) for hook in called}
            elif name == "answers":
                works = {}
            for full, arguments in works.items():
                asked_for = wanted(name) or wanted(full)
                if asked_for or name in ("start", "shutdown"):
                    result = await result_of(full, carrier, function(*arguments))
                    results += [result] if asked_for or result.state == "failed" else []
    finally:
        await run.close()
    return results


async def _make_calls(run: Within) -> None:
    """Make every kind of call, so that every hook is reached."""
    for about, endpoint, body, model in run.calls():
        try:
            async with asyncio.timeout(max(run.deadline * 4, _PATIENCE)):
                await run.make(about, endpoint, body, model)
        except (TimeoutError, aiohttp.ClientError) as fault:
            run.ear.heard.append((about, f"call was not answered: {type(fault).__name__}"))
    try:
        async with asyncio.timeout(run.grace):
            await run.world.heard(run.made)
    except TimeoutError:
        run.ear.heard.append(("every call", "request_complete was not over in time"))
