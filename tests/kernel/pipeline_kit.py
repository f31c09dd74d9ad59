"""What the tests of the pipeline share: plugins made of functions, an observer, and bytes that a decoder would not keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from jackfield.api import Attempt, Call, Headers, Outcome, Reply, Usage
from jackfield.api.testing import Answer, Harness, Received, Script
from jackfield.api.testing.upstream import Wire
from tests.kernel.conftest import Toy, ToyProvider, talk
from tests.kernel.toy import stream_of

PATIENCE = 10.0
"""Seconds after which a test gives up on what should happen at once."""


class Made:
    """A plugin made of functions, one for each hook."""

    def __init__(self, id: str, *, priority: int = 0, **hooks: Callable[..., Any]) -> None:
        self.id, self.priority = id, priority
        vars(self).update(hooks)


class Observer:
    """A plugin that notes what came of calls and attempts."""

    def __init__(self, id: str = "observer") -> None:
        self.id = id
        self.calls: list[Call] = []
        self.outcomes: list[Outcome] = []
        self.usages: list[tuple[Attempt, Usage]] = []
        self._changed = asyncio.Condition()

    async def request_complete(self, call: Call, outcome: Outcome) -> None:
        async with self._changed:
            self.calls.append(call)
            self.outcomes.append(outcome)
            self._changed.notify_all()

    async def handle_usage(self, attempt: Attempt, usage: Usage) -> None:
        self.usages.append((attempt, usage))

    async def completed(self, count: int = 1) -> list[Outcome]:
        """Wait until so many calls are complete, and return their outcomes."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.outcomes) >= count)
        return self.outcomes

    async def explained(self, count: int = 1) -> str:
        """Wait for a call to be complete and return what its explanation says, as one text."""
        return str((await self.completed(count))[count - 1].explain())


def toy_host(*plugins: object, provider: ToyProvider | Sequence[ToyProvider] = (), config: Mapping[str, Any] | None = None) -> Harness:
    """Return a host with the toy dialect, a provider of it and these plugins."""
    providers = [provider] if isinstance(provider, ToyProvider) else provider
    return Harness([Toy(*providers), *plugins], {"attempts": {"wait": 0}, **(config or {})}, bare=True)


async def ask(host: Harness, *, headers: Mapping[str, str] | None = None, **said: Any) -> Answer:
    """Make one call in the toy dialect."""
    return await host.post("/toy/v1/talk", talk(**said), headers)


def hanging(begun: bytes) -> Script:
    """Return an upstream's script that begins a stream and then says nothing more, until its client has gone."""

    async def script(received: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        if begun:
            await wire.send(b"%x\r\n%b\r\n" % (len(begun), begun))
        await wire.gone.wait()

    return script


def begun_stream(*words: str) -> bytes:
    """Return the bytes of a stream that has said some words and not ended."""
    raw = stream_of(words)
    return raw[: raw.index(b"event: block_done")]


def failing(*answers: tuple[int, dict[str, Any]]) -> Callable[[Attempt], Reply]:
    """Return what makes a toy provider fail: with these statuses and bodies in turn, the last for ever."""
    left = list(answers)

    def answer(attempt: Attempt) -> Reply:
        status, said = left.pop(0) if len(left) > 1 else left[0]
        return Reply(status=status, headers=Headers({"Content-Type": "application/json"}), body=msgspec.json.encode(said))

    return answer
