"""A run of chaos: clients call a host whose providers behave as the script says, and everything that must hold is checked."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from itertools import count
from typing import Any, Final
from unittest.mock import patch

import aiohttp
import msgspec

from jackfield.api.testing import Harness
from tests.chaos.wires import REQUESTS, hear, message_of, words_of
from tests.chaos.world import Asked, World, answer_to
from tests.virtual_time import Clock, virtual_time

SCHEDULERS: Final = ("round_robin", "weighted", "fill_first", "least_busy", "fastest", "sticky")
CALLERS: Final = 24
"""Clients that call at once."""
MOST: Final = 32
"""Attempts of one call, as the host has it by default (`attempts.most`)."""
PATIENCE: Final = 240.0
"""Seconds after which a client gives up: no call may take so long."""
WAITED: Final = 5.0 + 5.0 + 2.0
"""The longest that one attempt may take: its first byte, quiet within it, and what the host's clock is coarser than that."""
_LEAVE: Final = 0.03
_PAUSE: Final = 0.002
_MISTAKE: Final = 0.02


class Call(msgspec.Struct):
    """One call, and what its client got."""

    name: str
    dialect: str
    stream: bool
    mistake: bool
    leaves: float | None
    """Seconds after which the client leaves."""
    began: float = 0.0
    ended: float = 0.0
    first_byte: float | None = None
    """When a stream began."""
    status: int = 0
    """0: the connection broke, or the client left."""
    body: bytes = b""
    fault: str = ""
    left: bool = False


class Report(msgspec.Struct):
    """What came of a run."""

    seed: int
    scheduler: str
    calls: int = 0
    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    broken_streams: int = 0
    """Streams that were ended with an error."""
    left: int = 0
    """Calls whose clients left."""
    attempts: int = 0
    most_attempts: int = 0
    longest: float = 0.0
    seconds: float = 0.0
    """Of the world's time."""
    met: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[str] = []

    def __str__(self) -> str:
        met = ", ".join(f"{n} {what}" for what, n in self.met.most_common())
        statuses = ", ".join(f"{n} x {status or 'broken'}" for status, n in sorted(self.statuses.items()))
        lines = [
            f"seed {self.seed}, scheduler {self.scheduler}: {self.calls} calls in {self.seconds:,.0f} s of the world's time",
            f"answered: {statuses}; {self.broken_streams} streams ended with an error; {self.left} clients left",
            f"attempts: {self.attempts}, {self.attempts / max(1, self.calls):.2f} a call, {self.most_attempts} at most;"
            f" longest call {self.longest:.1f} s",
            f"met: {met}",
            f"violations: {len(self.violations)}",
            *self.violations[:20],
        ]
        return "\n".join(lines)


class Callers:
    """Clients of a host in a world. The seed decides what each call is; every call is judged when it is over."""

    def __init__(self, world: World, client: aiohttp.ClientSession, url: str, report: Report) -> None:
        self.world, self.report, self._client, self._url = world, report, client, url

    def lots(self, number: int) -> random.Random:
        """Return the lots that are drawn for a call."""
        return random.Random(f"{self.report.seed} {number}")

    async def call(self, number: int) -> None:
        """Make one call."""
        rng = self.lots(number)
        call = Call(
            f"call-{number}",
            rng.choice(list(REQUESTS)),
            stream=rng.random() < 0.6,
            mistake=rng.random() < _MISTAKE,
            leaves=0.05 * rng.randint(0, 40) if rng.random() < _LEAVE else None,
        )
        await self._make(call)
        self._judge(call)

    async def _make(self, call: Call) -> None:
        call.began = self.world.time()
        try:
            async with asyncio.timeout(PATIENCE if call.leaves is None else call.leaves) as timer:
                await self._exchange(call)
        except TimeoutError:
            call.left = timer.expired() and call.leaves is not None
            call.fault = "" if call.left else f"no end after {PATIENCE:g} s"
        except (aiohttp.ClientError, OSError) as fault:
            call.fault = f"{type(fault).__name__}: {fault}"
        call.ended = self.world.time()

    async def _exchange(self, call: Call) -> None:
        path, body = REQUESTS[call.dialect](call.name + " mistake" * call.mistake, call.stream)
        limit = aiohttp.ClientTimeout(total=None)
        async with self._client.post(self._url + path, json=body, timeout=limit) as response:
            call.status = response.status
            async for piece in response.content.iter_any():
                call.first_byte = self.world.time() if call.first_byte is None else call.first_byte
                call.body += piece

    # -------------------------------------------------------------------------------------------- judgement

    def _judge(self, call: Call) -> None:
        report, asked = self.report, self.world.asked.pop(call.name, [])
        report.statuses[call.status] += not call.left
        report.left += call.left
        if call.left:
            self.world.left[call.name] = call.ended
        report.attempts += len(asked)
        report.most_attempts = max(report.most_attempts, len(asked))
        report.longest = max(report.longest, call.ended - call.began)
        found = [*self._bounded(call, asked), *(() if call.left else self._answered(call, asked))]
        story = f"{call.name} {call.dialect}{' stream' * call.stream} {call.began:.2f}-{call.ended:.2f}: status {call.status}; asked: "
        report.violations += [f"{what}: {story}{', '.join(map(str, asked)) or 'nobody'}" for what in found]

    def _bounded(self, call: Call, asked: list[Asked]) -> list[str]:
        found = []
        # A pooled connection that breaks without an answer may have lain idle too long: that attempt is made once more.
        again = sum(one.behaviour in ("reset", "no_http") for one in asked)
        if len(asked) > MOST + again:
            found.append("too many attempts")
        if any(n > 2 * (1 + (again > 0)) for n in Counter(one.credential for one in asked).values()):
            found.append("a credential was asked too often")
        if call.ended - call.began > 2 + WAITED * (1 + len(asked)):
            found.append("it took too long")
        if sum(one.good for one in asked) > 1:
            found.append("it was answered twice")
        return found

    def _answered(self, call: Call, asked: list[Asked]) -> list[str]:
        if call.status == 0 or call.fault:
            return [f"the connection broke ({call.fault})"]
        try:
            return self._served(call, asked) if call.status == 200 else self._failed(call, asked)
        except (ValueError, KeyError, IndexError, TypeError) as fault:
            return [f"the answer cannot be read ({type(fault).__name__}: {fault}): {call.body[-300:]!r}"]

    def _failed(self, call: Call, asked: list[Asked]) -> list[str]:
        said = message_of(call.body)
        if call.mistake and call.status == 400:
            return [] if said == "scripted 400" and asked[-1].behaviour == "good" else ["a mistake was told wrongly"]
        well = [name for name in self.world.credentials if self.world.was_well(name, call.began, call.ended)]
        found = ["it failed after a good answer"] if any(one.good for one in asked) else []
        return [*found, *([f"it failed although {', '.join(well)} would have answered ({said})"] if well else [])]

    def _served(self, call: Call, asked: list[Asked]) -> list[str]:
        words = "".join(answer_to(call.name))
        if not call.stream:
            text = words_of(call.dialect, call.body)
            return [] if text == words and asked[-1].good else [f"another answer: {text!r}"]
        heard = hear(call.dialect, call.body)
        found = [f"{heard.after} events after the end"] if heard.after else []
        if not heard.ends or heard.ends not in (["done"], ["error"], ["error", "done"], ["error", "error"]):
            return [*found, f"no proper end ({heard.ends}, {call.body[-200:]!r})"]
        self.report.broken_streams += heard.ends[0] == "error"
        if not (heard.text == words if heard.ends == ["done"] else words.startswith(heard.text)):
            found.append(f"another answer: {heard.text!r}")
        if call.first_byte is not None and asked[-1].at > call.first_byte:
            found.append("another credential was asked after the first byte")
        return found


def look_at_the_rest(report: Report, host: Harness, world: World, tasks: set[asyncio.Task[Any]], waits: set[Any]) -> None:
    """Note what is left when all calls are over. `waits` are those of a host that has nothing to do."""
    shared: Any = host.host._shared
    taken = [connection for session, _, _ in shared.transport._ways.values() for connection in session.connector._acquired]
    left = {
        "attempts in flight": {a.credential.id: a.in_flight for a in host.host.generation.accounts if a.in_flight},
        "calls": shared._calls,
        "connections in use": taken,
        "waits": shared.sweeper.waiting - waits,
        "bytes held": shared.bytes_in_flight,
        "requests at the upstreams": world.serving,
        "requests for calls that were over": {
            name: asked
            for name, asked in world.asked.items()
            if any((one.over if one.good else one.at) > world.left.get(name, 0.0) for one in asked)
        },
        "tasks": {task for task in tasks if "ScriptedUpstream" not in repr(task) and "RequestHandler" not in repr(task)},
    }
    report.violations += [f"left behind: {what}: {things}" for what, things in left.items() if things]


class Run:
    """One run in virtual time. `budget` is that of attempts; with `MOST` each call may try everybody. None: the host's own."""

    def __init__(self, clock: Clock, seed: int, calls: int, budget: float | None = None) -> None:
        self._attempts = {} if budget is None else {"budget": budget}
        self._clock, self._calls, self._numbers = clock, calls, count(1)
        self.report = Report(seed=seed, scheduler=SCHEDULERS[seed % len(SCHEDULERS)], calls=calls)

    async def __call__(self) -> Report:
        """Make all calls, and look at what is left when they are over."""
        async with World(self.report.seed) as world:
            config = {**world.config(), "scheduler": self.report.scheduler, "attempts": self._attempts}
            async with Harness(config=config) as host, aiohttp.ClientSession() as client:
                tasks, waits = asyncio.all_tasks(), set(host.host._shared.sweeper.waiting)  # type: ignore[union-attr]
                callers = Callers(world, client, host.url, self.report)
                await asyncio.gather(*(self._caller(callers) for _ in range(CALLERS)))
                await asyncio.sleep(20)  # what was abandoned is noticed, what rests in a pool does so
                look_at_the_rest(self.report, host, world, asyncio.all_tasks() - tasks, waits)
        self.report.seconds, self.report.met = world.time(), world.met
        return self.report

    async def _caller(self, callers: Callers) -> None:
        while (number := next(self._numbers)) <= self._calls:
            rng = callers.lots(-number)
            await asyncio.sleep(0.05 * rng.randint(0, 40))
            if rng.random() < _PAUSE:
                self._clock.set(rng.choice([30, 600, 3600]))  # the machine was asleep
            await callers.call(number)


def run(seed: int, calls: int, budget: float | None = None) -> Report:
    """Make a run in virtual time."""
    random.seed(seed)  # the host draws lots, too
    # A line for each call that failed would say nothing new.
    with patch.object(logging.getLogger("jackfield.calls"), "disabled", new=True), virtual_time() as (clock, runner):
        return runner.run(_run(clock, seed, calls, budget))


async def _run(clock: Clock, seed: int, calls: int, budget: float | None) -> Report:
    return await Run(clock, seed, calls, budget)()
