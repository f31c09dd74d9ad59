"""The checks by name, and how one run of them goes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Dialect
from jackfield.api.program import Program
from jackfield.api.testing.conformance.peer import Peer, said_of
from jackfield.api.testing.conformance.report import NotAsked, Result, Wrong
from jackfield.api.testing.conformance.scripted import ScriptedHost
from jackfield.api.testing.conformance.subjects import Needs, Subject, subjects_of
from jackfield.rpc import wire
from jackfield.rpc.errors import RpcFault

DEADLINE: Final = 5.0
"""Seconds for an answer where a plugin declares nothing."""
GRACE: Final = 5.0
"""Seconds in which it must have ended what it is to end."""
LONGEST: Final = 60.0
"""Seconds for one check, whatever it waits for."""


class Run:
    """One plugin's program under check, through all its lives."""

    def __init__(self, plugin: str, program: Program, config: Any, dialects: Mapping[str, Dialect], times: tuple[float, float]) -> None:
        self.plugin, self.program, self.config = plugin, program, config
        self.deadline, self.grace = times
        """Seconds for an answer where it declares nothing, and for what it does to end."""
        self.subjects: Sequence[Subject] = subjects_of(dialects)
        self.host = ScriptedHost()
        self.peers = list[Peer]()
        """All its lives, the latest last."""
        self.spare = list[Peer]()
        """Those that have registered and are not needed any more."""
        self.raw: Any = None
        """What it answered to `plugin.register`."""
        self.said: wire.Registration | None = None
        """The same, once it was found to be as it should."""

    async def start(self, host: ScriptedHost | None = None) -> Peer:
        """Start it once more, without a handshake."""
        peer = Peer(self.program, host or self.host)
        self.peers.append(peer)
        await peer.start()
        return peer

    async def peer(self) -> Peer:
        """Return the connection to one that runs and has registered; start it where there is none."""
        if self.said is None:
            raise NotAsked("it has not said what it is")
        if (peer := next((one for one in reversed(self.peers) if one.code is None and one.said is self.said), None)) is not None:
            return peer
        peer = await self.start()
        try:
            await peer.register(self.plugin, self.config)
        except RpcFault as fault:
            raise Wrong(f"started once more it answers plugin.register with {said_of(fault)}") from None
        peer.said = self.said
        return peer

    async def ask(self, method: str, params: Any, about: str, within: float | None = None) -> msgspec.Raw:
        """Ask one that runs. Raises `Wrong` where no answer comes, `RpcFault` for an error."""
        return await (await self.peer()).ask(method, params, within or self.limit(method), f" with {about}")

    def declared(self, method: str) -> wire.HookDeclared | None:
        """Return what it says of a method, if it has that."""
        if self.said is None or method not in self.said.hooks:
            return None
        return self.said.hooks[method] or wire.HookDeclared()

    def has(self, *methods: str) -> list[str]:
        """Return those of some methods that it declares."""
        return [method for method in methods if self.declared(method) is not None]

    def needs(self, method: str) -> Needs:
        """Return what a method is to be sent."""
        declared = self.declared(method)
        return frozenset(declared.needs) if declared is not None else frozenset()

    def limit(self, method: str) -> float:
        """Return in how many seconds a method must be answered."""
        declared = self.declared(method)
        return (declared and declared.deadline) or self.deadline

    async def close(self) -> None:
        """End whatever still runs."""
        for peer in self.peers:
            await peer.close()


class Check(msgspec.Struct, frozen=True):
    """One check over the pipes."""

    name: str
    says: str
    """What is asked of a plugin, in a sentence."""
    run: Callable[..., Awaitable[None]]
    methods: Sequence[str] = ()
    """Those for each of which it is made, where it is made for each; only those that a plugin declares."""


FIRST: Final = ("start", "handshake", "registration", "hooks")
"""The checks that lead to all others."""
ORDER: Final = (
    *FIRST, "version", "config", "wrong-config", "config-schema",
    "unknown-method", "unknown-notification", "unknown-fields", "ids", "split", "glued",
    "answers", "bodies", "repeated", "concurrent", "stream-events", "stream", "credit",
    "cancel-early", "cancel-stream", "cancel-late", "leaks", "callbacks",
    "shutdown", "end-of-file", "sigterm", "children", "stdout", "envelope",
)  # fmt: skip
"""The names of all checks over the pipes, in the order in which they are made."""
CHECKS: Final[dict[str, Check]] = {}
"""The same checks, by name."""


def check(name: str, says: str, *methods: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Declare a check."""

    def _declare(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        CHECKS[name] = Check(name, says, function, methods)
        return function

    return _declare


async def result_of(name: str, carrier: Any, work: Awaitable[None]) -> Result:
    """Make one check and return what came of it; it takes no longer than `LONGEST`."""
    began = time.perf_counter()
    state, message = "ok", ""
    try:
        async with asyncio.timeout(LONGEST):
            await work
    except NotAsked as reason:
        state, message = "skipped", str(reason)
    except Wrong as fault:
        state, message = "failed", str(fault)
    except TimeoutError:
        state, message = "failed", f"the check was not over after {LONGEST:g} s: the plugin answers, but too slowly"
    except Exception as fault:  # noqa: BLE001 (one check that breaks must not take the others with it)
        state, message = "failed", f"the check itself broke: {type(fault).__name__}: {fault}"
    took = round((time.perf_counter() - began) * 1000, 1)
    return Result(check=name, carrier=carrier, state=state, message=" ".join(message.split()), milliseconds=took)  # type: ignore[arg-type]


async def over_pipes(run: Run, wanted: Callable[[str], bool]) -> list[Result]:
    """Make all checks that are wanted, and the first ones without which none can be made. Nothing is left running."""
    results = list[Result]()
    try:
        for one in map(CHECKS.__getitem__, ORDER):
            works: dict[str, tuple[Any, ...]] = {one.name: (run,)}
            if one.methods:
                works = {f"{one.name} {method}": (run, method) for method in run.has(*one.methods)}
            for name, arguments in works.items():
                asked_for = wanted(one.name) or wanted(name)
                if asked_for or name in FIRST:
                    result = await result_of(name, "rpc", one.run(*arguments))
                    results += [result] if asked_for or result.state == "failed" else []
                    if name == "handshake" and result.state == "skipped":  # it stays in process
                        return results
    finally:
        await run.close()
    return results
