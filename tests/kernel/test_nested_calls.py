"""Calls that plugins make: within a call they are part of it, without one they are the plugin's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jackfield.api import Attempt, Body, Call, CallError, Change, Event, Nested, Provider, Reply, Request, Response, Route, reply_text
from jackfield.api.canonical import Begin, Message, Text, TextDelta
from jackfield.api.testing import Harness, ScriptedUpstream
from tests.kernel.conftest import Toy, ToyProvider, http_toy, pieces, talk
from tests.kernel.pipeline_kit import PATIENCE, Observer, ask, begun_stream, failing, hanging, toy_host
from tests.kernel.toy import check_stream, stream_of


def request(words: str = "hi", model: str = "m") -> Request:
    return Request(model=model, messages=(Message(role="user", parts=(Text(text=words),)),))


def hosted(id: str, priority: int = 0, **hooks: Callable[..., Any]) -> type[Any]:
    """Return a plugin class made of functions that are handed the plugin's host first."""

    def init(self: Any, host: Any) -> None:
        self.host = host

    def with_host(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, call: function(self.host, call)

    methods = {name: with_host(function) for name, function in hooks.items()}
    return type(id.capitalize(), (), {"__init__": init, "id": id, "priority": priority, **methods})


class Log:
    """Notes which plugin saw which call, as (plugin, hook, depth)."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def plugin(self, id: str, priority: int = 0, calls: Callable[[Any, Call], Any] | None = None) -> type[Any]:
        """Return a plugin with every router and interceptor; its request interceptor makes a call where `calls` does."""
        log = self

        class Noting:
            def __init__(self, host: Any) -> None:
                self._host = host

            def route_model(self, call: Call) -> None:
                log.seen.append((id, "route_model", call.depth))

            async def intercept_request(self, call: Call) -> None:
                log.seen.append((id, "intercept_request", call.depth))
                if calls is not None:
                    await calls(self._host, call)

            def intercept_attempt(self, attempt: Attempt) -> None:
                log.seen.append((id, "intercept_attempt", attempt.call.depth))

            def intercept_response(self, call: Call, reply: Reply) -> None:
                log.seen.append((id, "intercept_response", call.depth))

            def intercept_stream(self, call: Call, head: Any) -> None:
                log.seen.append((id, "intercept_stream", call.depth))

        Noting.id, Noting.priority = id, priority  # type: ignore[attr-defined]
        return Noting

    def depths(self, id: str, hook: str) -> list[int]:
        return [depth for who, what, depth in self.seen if (who, what) == (id, hook)]


async def once(host: Any, call: Call) -> None:
    await host.execute(request())


async def streamed(host: Any, call: Call) -> None:
    async for _ in host.stream(request()):
        pass


@pytest.mark.parametrize(("calls", "answer"), [(once, "intercept_response"), (streamed, "intercept_stream")], ids=["whole", "stream"])
async def test_a_nested_call_skips_routers_and_interceptors_of_the_plugin_that_made_it_and_no_others(calls: Any, answer: str) -> None:
    log = Log()
    async with toy_host(log.plugin("maker", 5, calls), log.plugin("other", 0)) as host:
        assert (await ask(host)).status == 200
    for hook in ("route_model", "intercept_request", "intercept_attempt"):
        assert log.depths("maker", hook) == [0]
        assert sorted(log.depths("other", hook)) == [0, 1]
    assert log.depths("maker", answer) == ([0] if answer == "intercept_response" else [])
    assert sorted(log.depths("other", answer)) == ([0, 1] if answer == "intercept_response" else [1])


async def test_two_plugins_that_call_each_other_end() -> None:
    log = Log()
    async with toy_host(log.plugin("ping", 5, once), log.plugin("pong", 0, once)) as host:
        assert (await ask(host)).status == 200
    # ping's call meets pong, whose call meets neither; then the client's call meets pong, whose call meets ping, whose call meets neither.
    assert log.depths("ping", "intercept_request") == [0, 1]
    assert log.depths("pong", "intercept_request") == [1, 0]
    assert max(depth for _, _, depth in log.seen) == 1


class Endless(Provider):
    """A provider that asks the host for the very model that it serves."""

    key, models = "endless", ("endless",)

    def __init__(self) -> None:
        self.host: Any = None
        self.depths: list[int] = []
        self.fault: CallError | None = None

    async def execute(self, attempt: Attempt) -> Reply:
        self.depths.append(attempt.call.depth)
        try:
            return Reply(response=await self.host.execute(request(model="endless")))
        except CallError as fault:
            self.fault = self.fault or fault
            raise


class Loop:
    """The plugin with the endless provider."""

    id = "loop"

    def __init__(self, provider: Endless, host: Any) -> None:
        provider.host = host
        self._provider = provider

    def register_providers(self) -> list[Provider]:
        return [self._provider]


async def test_calls_are_at_most_four_deep_and_the_error_says_so() -> None:
    provider = Endless()

    class Plugin(Loop):
        def __init__(self, host: Any) -> None:
            super().__init__(provider, host)

    async with toy_host(Plugin) as host:
        answer = await ask(host, model="endless")
    assert provider.depths == [0, 1, 2, 3, 4]
    assert provider.fault is not None
    assert provider.fault.failure.code == "too_deep"
    assert "4" in str(provider.fault)
    assert answer.status == 503
    assert "at most 4 deep" in answer.json["oops"]


async def test_a_nested_call_has_its_parent_and_the_principal_of_the_client() -> None:
    observer = Observer()
    async with toy_host(hosted("maker", intercept_request=once), observer) as host:
        await ask(host)
        await observer.completed(2)
    inner, outer = observer.calls
    assert (inner.parent, inner.depth, outer.depth) == (outer, 1, 0)
    assert inner.principal is outer.principal
    assert inner.principal.name == "local"


async def test_a_call_made_outside_of_any_call_belongs_to_its_plugin() -> None:
    observer, started, done = Observer(), asyncio.Event(), asyncio.Event()

    class Starter:
        id = "starter"

        def __init__(self, host: Any) -> None:
            self._host = host

        async def start(self) -> None:
            self._host.spawn(self._work())

        async def _work(self) -> None:
            await started.wait()
            await self._host.execute(request())
            done.set()

    async with toy_host(Starter, observer):
        started.set()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        await observer.completed()
    [call] = observer.calls
    assert (call.principal.name, call.parent, call.depth) == ("plugin:starter", None, 0)


async def test_a_task_that_a_plugin_spawns_within_a_call_makes_calls_of_its_own() -> None:
    observer, done = Observer(), asyncio.Event()

    async def later(host: Any) -> None:
        await host.execute(request("later"))
        done.set()

    async def spawn(host: Any, call: Call) -> None:
        host.spawn(later(host))

    async with toy_host(hosted("maker", intercept_request=spawn), observer) as host:
        await ask(host)
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        await observer.completed(2)
    assert sorted((call.principal.name, call.depth) for call in observer.calls) == [("local", 0), ("plugin:maker", 0)]


# ------------------------------------------------------------------------------------- what goes in and comes out


async def answers_of(call: Any, method: str = "execute", **options: Any) -> Any:
    """Return what a plugin's own call is answered: the answer, or for streams the list of what came."""
    got: list[Any] = []

    async def make(host: Any, _: Call) -> None:
        try:
            got.append(await host.execute(call) if method == "execute" else [one async for one in host.stream(call)])
        except CallError as fault:
            got.append(fault)

    async with toy_host(hosted("maker", intercept_request=make), **options) as host:
        async with asyncio.timeout(PATIENCE):
            assert (await ask(host)).status == 200
    return got[0]


async def test_a_canonical_request_is_answered_canonically() -> None:
    answer = await answers_of(request())
    assert isinstance(answer, Response)
    assert (answer.text, answer.model, answer.finish) == ("Hello", "m", "stop")
    deltas = await answers_of(request(), "stream")
    assert isinstance(deltas[0], Begin)
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "Hello"


@pytest.mark.parametrize("body", [talk(), b'{"model":"m","say":[]}'], ids=["mapping", "bytes"])
async def test_a_body_in_a_dialect_is_answered_in_that_dialect(body: Any) -> None:
    answer = await answers_of(Nested(dialect="toy.talk", body=body))
    assert isinstance(answer, Reply)
    assert (answer.status, answer.headers["toy-request-id"]) == (200, "r-1")
    assert isinstance(answer.body, Body)
    assert answer.body.json["blocks"] == [{"text": "Hello"}]


async def test_a_stream_in_a_dialect_is_its_events() -> None:
    events = await answers_of(Nested(dialect="toy.talk", body=talk(stream=True)), "stream")
    assert all(isinstance(event, Event) for event in events)
    assert b"".join(event.raw for event in events) == stream_of(["Hello"])


@pytest.mark.parametrize("flag", [True, False, None], ids=["says stream", "says no stream", "says nothing"])
@pytest.mark.parametrize("method", ["execute", "stream"])
async def test_the_method_decides_whether_a_body_in_a_dialect_is_streamed(method: str, flag: bool | None) -> None:
    body = talk(stream=bool(flag))
    if flag is None:
        del body["stream"]
    long = ToyProvider(blocks=[["word "] * 200])
    answer = await answers_of(Nested(dialect="toy.talk", body=body), method, provider=long)
    if method == "execute":
        assert isinstance(answer, Reply)
        assert answer.body.json["id"] == "t-1"
    else:
        assert check_stream(b"".join(event.raw for event in answer)) == "word " * 200


async def test_other_operations_can_be_asked_for() -> None:
    provider = ToyProvider(lambda attempt: Reply(body=b'{"tokens": 7}'))
    got = await answers_of(Nested(dialect="toy.talk", operation="count", body={"model": "m"}), provider=provider)
    assert isinstance(got, Reply)
    assert got.body.json == {"tokens": 7}


@pytest.mark.parametrize("method", ["execute", "stream"])
@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (request(model="nobody"), 404, "model_not_found"),
        (Nested(dialect="nobody.talk", body={}), 503, "unknown_dialect"),
        (Nested(dialect="toy.talk", body=b"{"), 400, "invalid_json"),
        (Nested(dialect="toy.talk", body={"say": []}), 400, "missing_model"),
    ],
    ids=["unknown model", "unknown dialect", "no JSON", "no model"],
)
async def test_what_cannot_be_asked_raises(call: Any, method: str, status: int, code: str) -> None:
    fault = await answers_of(call, method)
    assert isinstance(fault, CallError)
    assert (fault.failure.shown_status, fault.failure.code) == (status, code)


@pytest.mark.parametrize("method", ["execute", "stream"])
async def test_a_providers_failure_keeps_status_code_and_wait(method: str) -> None:
    class Provider(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            if attempt.call.depth == 0:
                return await ToyProvider().execute(attempt)
            reply = failing((429, {"oops": "slow down", "code": "slow"}))(attempt)
            reply.headers = reply.headers.with_changes({"Retry-After": "9"})
            return reply

    fault = await answers_of(request(), method, provider=Provider(), config={"cooldown": {"rate": 0}})
    assert isinstance(fault, CallError)
    told = fault.failure
    assert (told.cause, told.status, told.code, told.retry_after) == ("rate", 429, "slow", 9.0)
    assert fault.headers["retry-after"] == "9"


async def test_an_answer_can_be_made_of_a_nested_one() -> None:
    async def improve(host: Any, call: Call) -> Change:
        first = await host.execute(request("draft"))
        return Change(respond=reply_text(first.text + ", improved"))

    for stream in (False, True):
        async with toy_host(hosted("maker", intercept_request=improve)) as host:
            answer = await ask(host, stream=stream)
        assert (check_stream(answer.body) if stream else answer.json["blocks"][0]["text"]) == "Hello, improved"


async def test_nested_calls_can_run_side_by_side() -> None:
    texts: list[str] = []

    async def both(host: Any, call: Call) -> None:
        answers = await asyncio.gather(*(host.execute(request(str(n))) for n in range(5)))
        texts.extend(answer.text for answer in answers)

    observer = Observer()
    async with toy_host(hosted("maker", intercept_request=both), observer) as host:
        assert (await ask(host)).status == 200
        await observer.completed(6)
    assert texts == ["Hello"] * 5
    assert sorted(call.depth for call in observer.calls) == [0, 1, 1, 1, 1, 1]


async def test_a_nested_stream_that_is_left_early_lets_go_of_its_upstream() -> None:
    async def peek(host: Any, call: Call) -> Change:
        deltas = host.stream(request())
        async for delta in deltas:
            if isinstance(delta, TextDelta):
                break
        await deltas.aclose()
        return Change(respond=reply_text("seen"))

    async with (
        ScriptedUpstream(hanging(begun_stream("one", "two"))) as upstream,
        Harness([Toy(http_toy(upstream.url)), hosted("maker", intercept_request=peek)], bare=True) as host,
    ):
        assert (await ask(host)).json["blocks"] == [{"text": "seen"}]
        async with asyncio.timeout(PATIENCE):
            await upstream.until(lambda: upstream.open == 0)


# ------------------------------------------------------------------------------------------------ lifetimes


class Held:
    """A provider that holds its answer back until it is told; it notes what was cancelled."""

    def __init__(self) -> None:
        self.begun, self.free = asyncio.Event(), asyncio.Event()
        self.canceled = 0

    def provider(self) -> ToyProvider:
        held = self

        class Provider(ToyProvider):
            async def execute(self, attempt: Attempt) -> Reply:
                held.begun.set()
                try:
                    await held.free.wait()
                except asyncio.CancelledError:
                    held.canceled += 1
                    raise
                return await super().execute(attempt)

        return Provider()


async def leave(host: Harness, begun: asyncio.Event) -> None:
    """Make a call and leave once something has begun."""
    task = asyncio.create_task(ask(host))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("calls", [once, streamed], ids=["whole", "stream"])
async def test_a_nested_call_is_cancelled_with_its_parent(calls: Any) -> None:
    observer, held = Observer(), Held()
    async with toy_host(hosted("maker", intercept_request=calls), observer, provider=held.provider()) as host:
        await leave(host, held.begun)
        outcomes = await observer.completed(2)
        assert {account.in_flight for account in host.host.generation.accounts} == {0}
    assert [outcome.status for outcome in outcomes] == ["canceled", "canceled"]
    assert held.canceled == 1


async def test_a_detached_call_outlives_its_parent_and_belongs_to_the_plugin() -> None:
    observer, held = Observer(), Held()

    async def detached(host: Any, call: Call) -> None:
        await host.execute(Nested(request=request(), detached=True))

    async with toy_host(hosted("maker", intercept_request=detached), observer, provider=held.provider()) as host:
        await leave(host, held.begun)
        assert [outcome.status for outcome in await observer.completed(1)] == ["canceled"]
        held.free.set()
        assert [outcome.status for outcome in await observer.completed(2)] == ["canceled", "succeeded"]
    parent, own = observer.calls
    assert (parent.depth, own.depth, own.parent, own.principal.name) == (0, 0, None, "plugin:maker")


async def test_a_detached_call_ends_with_the_host() -> None:
    held = Held()

    async def detached(host: Any, call: Call) -> None:
        await host.execute(Nested(request=request(), detached=True))

    async with toy_host(hosted("maker", intercept_request=detached), provider=held.provider()) as host:
        await leave(host, held.begun)
    assert held.canceled == 1


async def test_a_nested_call_is_bounded_by_the_deadline_of_the_hook_that_makes_it() -> None:
    observer, held = Observer(), Held()
    config = {"hooks": {"deadline": 0.05}}
    async with toy_host(hosted("maker", intercept_request=once), observer, provider=held.provider(), config=config) as host:
        assert (await ask(host)).status == 503
        await observer.completed(2)
    assert held.canceled == 1
    assert [outcome.status for outcome in observer.outcomes] == ["canceled", "failed"]


async def test_a_router_may_ask_a_model_where_a_call_should_go() -> None:
    async def choose(host: Any, call: Call) -> Route:
        return Route(model=(await host.execute(request("which?", "n"))).text and "n")

    provider = ToyProvider(lambda attempt: Reply(stream=pieces(stream_of(["Hi"]), 9)) if attempt.stream else Reply(body=WHOLE_RAW))
    async with toy_host(hosted("chooser", route_model=choose), provider=provider) as host:
        assert (await ask(host, model="m")).status == 200
    assert [(attempt.call.depth, attempt.model) for attempt in provider.attempts] == [(1, "n"), (0, "n")]


WHOLE_RAW = b'{"id":"t-1","model":"n","blocks":[{"text":"Hi"}],"stop":"stop"}'
