"""A client that leaves cancels everything below it, wherever the call stands: nothing goes on, nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jackfield.api import Attempt, Change, Principal, Provider, Reply
from jackfield.api.testing import Harness, ScriptedUpstream
from jackfield.api.testing.upstream import Received, Wire
from tests.kernel.conftest import Toy, ToyProvider, http_toy, talk
from tests.kernel.pipeline_kit import PATIENCE, Made, Observer, ask, begun_stream, hanging, toy_host


def in_flight(host: Harness) -> set[int]:
    return {account.in_flight for account in host.host.generation.accounts}


async def silent(received: Received, wire: Wire) -> None:
    """Take a request and never answer."""
    await wire.gone.wait()


UPSTREAM: dict[str, tuple[Any, bool, bytes]] = {
    "before the upstream answers": (silent, False, b""),
    "before the upstream begins a stream": (silent, True, b""),
    "before the first event": (hanging(b""), True, b""),
    "in the middle of the first event": (hanging(b"event: open\ndata: {"), True, b""),
    "in the middle of the stream": (hanging(begun_stream("one", "two")), True, begun_stream("one", "two")),
}


@pytest.mark.parametrize("observed", [False, True], ids=["bytes", "events"])
@pytest.mark.parametrize(("script", "stream", "received"), UPSTREAM.values(), ids=UPSTREAM)
async def test_the_upstreams_connection_closes_when_the_client_leaves(script: Any, stream: bool, received: bytes, observed: bool) -> None:
    observer = Observer()
    looking = [Made("look", intercept_stream=lambda: lambda event: None)] if observed else []
    async with ScriptedUpstream(script) as upstream, toy_host(*looking, observer, provider=[http_toy(upstream.url)]) as host:
        leave = await leaving(host, stream, received)
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: len(upstream.requests) == 1)
        assert in_flight(host) == {1}
        await leave()
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: upstream.open == 0)
        [outcome] = await observer.completed()
        assert in_flight(host) == {0}
    assert (outcome.status, outcome.http_status, outcome.attempts) == ("canceled", 200 if received else 0, 1)


async def leaving(host: Harness, stream: bool, received: bytes) -> Callable[[], Any]:
    """Begin a call, read so much of its answer, and return what makes the client leave."""
    arrived = asyncio.Event()

    async def call() -> None:
        async with host.open("POST", "/toy/v1/talk", talk(stream=stream)) as response:
            got = await response.content.readexactly(len(received))
            assert got == received
            arrived.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    if received:
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()

    async def leave() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return leave


class Stuck:
    """Something that is begun and never ends, unless it is cancelled."""

    def __init__(self) -> None:
        self.begun, self.canceled = asyncio.Event(), asyncio.Event()

    async def __call__(self, *_: Any) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.canceled.set()
            raise


HOOKS = [
    "authenticate", "route_model", "intercept_request", "pick_credential", "intercept_attempt", "normalize_request",
    "normalize_response", "intercept_response", "intercept_stream",
]  # fmt: skip


def a_hook(name: str, stuck: Stuck) -> Made:
    async def waits(first: Any = None, second: Any = None) -> Any:
        return await stuck()

    signatures: dict[str, Any] = {
        "pick_credential": lambda call, pool: waits(),
        "intercept_attempt": lambda attempt: waits(),
        "normalize_request": lambda attempt: waits(),
        "normalize_response": lambda attempt, reply: waits(),
        "intercept_response": lambda call, reply: waits(),
        "intercept_stream": lambda call, head: waits(),
    }
    return Made("stuck", **{name: signatures.get(name, lambda call: waits())})


def a_stream_handler(stuck: Stuck) -> Made:
    async def handler(event: Any) -> Any:
        if event.text:
            await stuck()

    return Made("stuck", intercept_stream=lambda: handler)


def a_given_stream(stuck: Stuck) -> Made:
    async def stream() -> Any:
        yield begun_stream("one")
        await stuck()

    return Made("stuck", intercept_request=lambda: Change(respond=Reply(stream=stream())))


IN_PLUGINS: list[tuple[str, Callable[[Stuck], Made], bool]] = [
    *((name, lambda stuck, name=name: a_hook(name, stuck), name == "intercept_stream") for name in HOOKS),  # type: ignore[misc]
    ("normalize_response of a stream", lambda stuck: a_hook("normalize_response", stuck), True),
    ("a stream handler", a_stream_handler, True),
    ("a stream that a plugin gives", a_given_stream, True),
]


@pytest.mark.parametrize(("plugin", "stream"), [row[1:] for row in IN_PLUGINS], ids=[row[0] for row in IN_PLUGINS])
async def test_a_hook_that_waits_is_cancelled_when_the_client_leaves(plugin: Callable[[Stuck], Made], stream: bool) -> None:
    observer, stuck = Observer(), Stuck()
    door = Made("door", priority=-1, authenticate=lambda: Principal(name="guest"))
    provider = ToyProvider()
    async with toy_host(plugin(stuck), door, observer, provider=provider, config={"scheduler": "stuck", "hooks": {"deadline": 60}}) as host:
        await left(host, stuck, stream=stream)
        [outcome] = await observer.completed()
        assert in_flight(host) == {0}
        assert outcome.status == "canceled"
        assert not host.host.problems or "scheduler" in host.host.problems[0]


async def left(host: Harness, stuck: Stuck, *, stream: bool = False) -> None:
    """Make a call, leave once it is stuck, and see that it is cancelled."""
    task = asyncio.create_task(ask(host, stream=stream))
    async with asyncio.timeout(PATIENCE):
        await stuck.begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stuck.canceled.wait()


async def test_leaving_is_no_failure_of_the_plugin_that_was_at_work() -> None:
    observer, stuck = Observer(), Stuck()

    class Plugin:
        id = "stuck"
        calls = 0

        async def intercept_request(self, call: Any) -> None:
            self.calls += 1
            if self.calls == 1:
                await stuck()

    async with toy_host(Plugin(), observer, config={"hooks": {"failures": 1}}) as host:
        await left(host, stuck)
        assert (await ask(host)).status == 200


async def test_a_provider_at_work_is_cancelled() -> None:
    observer, stuck = Observer(), Stuck()

    class Slow(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            return await stuck()  # type: ignore[no-any-return]

    async with toy_host(observer, provider=Slow()) as host:
        await left(host, stuck)
        [outcome] = await observer.completed()
        assert in_flight(host) == {0}
    assert (outcome.status, outcome.attempts) == ("canceled", 1)


class Streaming(Provider):
    """A provider whose stream begins, waits, and notes that it was closed."""

    key, models, dialects = "streaming", ("s",), ("toy.talk",)

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def execute(self, attempt: Attempt) -> Reply:
        return Reply(stream=self._stream())

    async def _stream(self) -> Any:
        try:
            yield begun_stream("one")
            await asyncio.Event().wait()
        finally:
            self.closed.set()


@pytest.mark.parametrize("stream", [True, False], ids=["relayed", "assembled"])
async def test_a_providers_stream_is_closed(stream: bool) -> None:
    observer, provider, begun = Observer(), Streaming(), asyncio.Event()
    look = Made("look", intercept_attempt=lambda attempt: begun.set())
    async with Harness([Toy(provider), look, observer], bare=True) as host:
        task = asyncio.create_task(ask(host, model="s", stream=stream))
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            while in_flight(host) != {1}:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await provider.closed.wait()
        [outcome] = await observer.completed()
        assert in_flight(host) == {0}
    assert outcome.status == "canceled"


async def test_a_stream_handlers_close_is_told_that_the_client_left() -> None:
    told: list[str] = []

    class Handler:
        def __call__(self, event: Any) -> None:
            return None

        async def close(self, outcome: Any) -> None:
            await asyncio.sleep(0)
            told.append(outcome.status)

    observer = Observer()
    async with (
        ScriptedUpstream(hanging(begun_stream("one"))) as upstream,
        toy_host(Made("closing", intercept_stream=lambda: Handler()), observer, provider=[http_toy(upstream.url)]) as host,
    ):
        leave = await leaving(host, True, begun_stream("one"))
        await leave()
        await observer.completed()
    assert told == ["canceled"]


async def test_a_client_that_stops_reading_holds_the_upstream_back_and_may_still_leave() -> None:
    begun = begun_stream("word " * 10_000)
    words = begun[begun.index(b"event: words") :]
    sent = 0

    class Endless(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            return Reply(stream=self._stream())

        async def _stream(self) -> Any:
            nonlocal sent
            yield begun
            while True:
                sent += 1
                yield words

    observer = Observer()
    async with toy_host(observer, provider=Endless()) as host:
        async with host.open("POST", "/toy/v1/talk", talk(stream=True)) as response:
            await response.content.readany()
            async with asyncio.timeout(PATIENCE):
                before = -1
                while before != sent:  # until nothing more is taken from the upstream
                    before = sent
                    await asyncio.sleep(0.05)
            response.close()
        [outcome] = await observer.completed()
        assert in_flight(host) == {0}
    assert outcome.status == "canceled"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_many_that_leave_leave_nothing(stream: bool) -> None:
    observer = Observer()
    async with ScriptedUpstream(hanging(begun_stream("one"))) as upstream, toy_host(observer, provider=[http_toy(upstream.url)]) as host:
        tasks = [asyncio.create_task(ask(host, stream=stream)) for _ in range(20)]
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: len(upstream.requests) == 20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        outcomes = await observer.completed(20)
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: upstream.open == 0)
        assert in_flight(host) == {0}
        assert not host.host._shared._calls  # type: ignore[union-attr]
    assert {outcome.status for outcome in outcomes} == {"canceled"}
