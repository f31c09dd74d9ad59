"""Plugins are called in order, within a deadline, and every failure is owned by the plugin that made it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import types
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
import pytest

from jackfield.api import BadRequest, Body, Call, Candidate, Change, NotDecoded, Outcome, Principal, Reject, Route, hook
from jackfield.api.testing import Answer, Harness
from tests.kernel.conftest import Toy, ToyProvider, talk


def plugin(id: str = "p", **functions: Any) -> Any:
    """Return a plugin object with these hooks."""
    return types.SimpleNamespace(id=id, **functions)


class Watcher:
    """Keeps what came of calls."""

    id = "watcher"

    def __init__(self) -> None:
        self.outcomes: asyncio.Queue[Outcome] = asyncio.Queue()

    def request_complete(self, call: Call, outcome: Outcome) -> None:
        self.outcomes.put_nowait(outcome)

    async def explained(self) -> dict[str, Any]:
        """Return the explanation of the next call that completes."""
        return dict((await self.outcomes.get()).explain())

    async def notes(self) -> str:
        """Return what the next call's explanation says that plugins did."""
        return "\n".join(f"{note['by']} {note['stage']} {note['what']}" for note in (await self.explained())["decisions"])


class Host(Harness):
    """A host with the toy and some plugins, whose hooks have little time."""

    def __init__(self, *plugins: Any, hooks: Mapping[str, Any] | None = None, **sections: Any) -> None:
        self.watcher, self.provider = Watcher(), ToyProvider()
        config = {"hooks": {"deadline": 0.25, **(hooks or {})}, "plugins": sections}
        super().__init__([Toy(self.provider), self.watcher, *plugins], config, bare=True)

    async def call(self, **body: Any) -> Answer:
        return await self.post("/toy/v1/talk", talk(**body))


async def never(*_: Any) -> None:
    await asyncio.Event().wait()


def to(model: str) -> Callable[..., Route]:
    return lambda call: Route(model=model, reason=f"to {model}")


async def declines(call: Any) -> None:
    await asyncio.sleep(0)


# ----------------------------------------------------------------------------------------------- the shapes


@pytest.mark.parametrize("first", [lambda call: None, declines], ids=["def", "async def"])
async def test_a_router_that_declines_does_not_end_the_asking(first: Any) -> None:
    async with Host(plugin("a", route_model=first), plugin("b", route_model=to("n")), plugin("c", route_model=to("m"))) as host:
        assert (await host.call()).status == 200
        assert host.provider.attempts[0].model == "n"
        assert "b route_model to n" in await host.watcher.notes()


async def test_a_route_that_leads_nowhere_is_passed_over() -> None:
    async with Host(plugin("a", route_model=to("nowhere")), plugin("b", route_model=to("n"))) as host:
        await host.call()
        assert host.provider.attempts[0].model == "n"
        assert "a route_model raised ValueError: a route to" in await host.watcher.notes()


async def test_request_interceptors_see_what_those_before_them_changed_and_answers_pass_in_reverse() -> None:
    seen: list[str] = []

    def member(name: str, priority: int) -> Any:
        def intercept_request(call: Call) -> Change:
            seen.append(f"{name}:{call.body.json.get('by', '')}")
            return Change(set={("by",): call.body.json.get("by", "") + name})

        async def intercept_response(call: Call, reply: Any) -> None:
            seen.append(name)

        return types.SimpleNamespace(id=name, priority=priority, intercept_request=intercept_request, intercept_response=intercept_response)

    async with Host(member("a", 1), member("c", 2), member("b", 2)) as host:
        assert (await host.call()).status == 200
    assert seen == ["b:", "c:b", "a:bc", "a", "c", "b"]


async def test_only_the_selected_scheduler_is_asked_and_it_may_delegate() -> None:
    asked: list[str] = []

    def picks(name: str) -> Any:
        def pick_credential(call: Call, pool: Any) -> Candidate:
            asked.append(name)
            return pool.eligible[0]  # type: ignore[no-any-return]

        return plugin(name, pick_credential=pick_credential)

    harness = Harness([Toy(), picks("a"), picks("b"), picks("c")], {"scheduler": {"default": "b", "models": {"n*": "c"}}}, bare=True)
    async with harness as host:
        await host.post("/toy/v1/talk", talk())
        await host.post("/toy/v1/talk", talk("n"))
    assert asked == ["b", "c"]


# ------------------------------------------------------------------------------------------ what may fail how


class Odd(BaseException):
    """An exception that `except Exception` does not see."""


FAULTS = [
    ValueError("no"), KeyError("x"), StopIteration("s"), StopAsyncIteration(), RecursionError("deep"), MemoryError(), TimeoutError("mine"),
    SystemExit(3), asyncio.CancelledError(), Odd("odd"), OSError(), ExceptionGroup("g", [ValueError()]),
]  # fmt: skip


FORMS = pytest.mark.parametrize("form", [0, 1, 2], ids=["def", "async def", "after a wait"])
PATIENT = {"failures": 1000}


def raises(fault: BaseException) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """Return a function that raises, a coroutine function that does, and one that does after it had to wait."""

    def at_once(call: Any) -> None:
        raise fault

    async def in_a_coroutine(call: Any) -> None:
        raise fault

    async def after_a_wait(call: Any) -> None:
        await asyncio.sleep(0)
        raise fault

    return at_once, in_a_coroutine, after_a_wait


@FORMS
async def test_whatever_an_open_hook_raises_the_call_goes_on_and_says_who_failed(form: int) -> None:
    broken = plugin("a")
    async with Host(plugin("a", route_model=lambda call: broken.fails(call)), plugin("b", route_model=to("n")), hooks=PATIENT) as host:
        for fault in FAULTS:
            broken.fails = raises(fault)[form]
            assert (await host.call()).status == 200
            assert host.provider.attempts.pop().model == "n"
            notes = await host.watcher.notes()
            assert "a route_model raised" in notes
            assert "longer" not in notes


@FORMS
async def test_whatever_a_closed_hook_raises_the_client_gets_503_that_names_the_plugin(form: int) -> None:
    broken = plugin("a")
    async with Host(plugin("a", intercept_request=lambda call: broken.fails(call)), hooks=PATIENT) as host:
        for fault in FAULTS:
            broken.fails = raises(fault)[form]
            answer = await host.call()
            assert (answer.status, answer.json["code"]) == (503, "plugin_failed")
            assert "'a'" in answer.json["oops"]
            assert not host.provider.attempts


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("route_model", "n"), ("route_model", True), ("intercept_request", {"set": {}}), ("intercept_attempt", b"body"),
        ("normalize_request", 0), ("normalize_response", []), ("intercept_response", Route(model="n")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("later", [False, True], ids=["def", "async def"])
async def test_an_answer_of_a_wrong_type_is_a_failure_that_names_plugin_hook_and_type(name: str, answer: Any, later: bool) -> None:
    async def waits(*_: Any) -> Any:
        return answer

    functions = {
        "normalize_response": lambda attempt, reply: waits() if later else answer,
        "intercept_response": lambda call, reply: waits() if later else answer,
        "intercept_attempt": lambda attempt: waits() if later else answer,
        "normalize_request": lambda attempt: waits() if later else answer,
    }
    function = functions.get(name, lambda call: waits() if later else answer)
    async with Host(plugin("a", **{name: function}), a={"hooks": {name: {"on_error": "open"}}}) as host:
        assert (await host.call()).status == 200
        assert f"a {name} raised TypeError: answered {type(answer).__name__}, which it may not" in await host.watcher.notes()


@pytest.mark.parametrize("answer", ["me", 3, Route(model="n")])
async def test_a_wrong_answer_of_authenticate_accepts_nobody(answer: Any) -> None:
    async with Host(plugin("a", authenticate=lambda call: answer)) as host:
        assert (await host.call()).status == 503


async def test_a_doorkeeper_that_fails_is_passed_over_by_one_that_accepts() -> None:
    broken = plugin("a", authenticate=raises(ValueError())[0])
    async with Host(broken, plugin("b", authenticate=lambda call: Principal(name="b"))) as host:
        assert (await host.call()).status == 200
    async with Host(broken, plugin("b", authenticate=lambda call: Reject())) as host:
        assert (await host.call()).status == 503


async def test_a_clients_mistake_that_a_hook_reads_is_the_clients() -> None:
    def reads(call: Call) -> None:
        raise BadRequest("words are missing", "say")

    async with Host(plugin("a", route_model=reads)) as host:
        answer = await host.call()
        assert (answer.status, answer.json["field"]) == (400, "say")


@pytest.mark.parametrize(
    ("own", "operator", "status"),
    [(None, None, 503), ("open", None, 200), (None, "open", 200), ("open", "closed", 503), ("closed", "open", 200)],
)
async def test_the_plugin_may_choose_its_answer_to_failure_and_the_operator_has_the_last_word(own: Any, operator: Any, status: int) -> None:
    function = hook(on_error=own)(raises(ValueError("no"))[0])
    said = {"hooks": {"intercept_request": {"on_error": operator}}} if operator else {}
    async with Host(plugin("a", intercept_request=function), a=said) as host:
        assert (await host.call()).status == status


async def test_a_hook_that_the_operator_disables_is_not_called() -> None:
    async with Host(plugin("a", route_model=raises(ValueError())[0]), a={"hooks": {"route_model": {"enabled": False}}}) as host:
        await host.call()
        assert await host.watcher.notes() == ""


async def test_what_a_hook_does_to_a_decoded_body_changes_nothing_that_is_sent() -> None:
    def mutates(call: Call) -> None:
        call.body.json["say"].clear()

    async with Host(plugin("a", intercept_request=mutates)) as host:
        await host.call(words="kept")
        assert b"kept" in host.provider.attempts[0].body.raw


# ------------------------------------------------------------------------------------------------- deadlines


@pytest.mark.parametrize(
    ("options", "section", "limit"),
    [
        ({}, {}, "0.25"),
        ({"deadline": 0.04}, {}, "0.04"),
        ({"deadline": 9}, {"deadline": "30ms"}, "0.03"),
        ({"deadline": 9}, {"deadline": 9, "hooks": {"route_model": {"deadline": 0.02}}}, "0.02"),
    ],
    ids=["default", "the plugin's own", "the operator's for the plugin", "the operator's for the hook"],
)
async def test_a_hook_that_is_late_is_passed_over_at_its_deadline(options: Any, section: Any, limit: str) -> None:
    async with Host(plugin("a", route_model=hook(**options)(lambda call: never())), plugin("b", route_model=to("n")), a=section) as host:
        assert (await host.call()).status == 200
        assert host.provider.attempts[0].model == "n"
        assert f"a route_model took longer than {limit} s" in await host.watcher.notes()


async def test_a_closed_hook_that_is_late_ends_the_call() -> None:
    async with Host(plugin("a", intercept_request=never)) as host:
        assert (await host.call()).status == 503


async def test_a_late_answer_of_a_hook_that_ignores_its_cancellation_is_not_used() -> None:
    async def stubborn(call: Call) -> Route:
        with contextlib.suppress(asyncio.CancelledError):
            await never()
        return Route(model="n")

    async with Host(plugin("a", route_model=stubborn)) as host:
        assert (await host.call()).status == 200
        assert host.provider.attempts[0].model == "m"
        assert "a route_model took longer than 0.25 s" in await host.watcher.notes()


async def test_what_hooks_cost_is_measured_by_plugin_and_hook() -> None:
    def busy(call: Call) -> None:
        time.sleep(0.02)

    async with Host(plugin("a", route_model=busy, intercept_request=lambda call: None), plugin("b", route_model=lambda call: None)) as host:
        await host.call()
        costs = (await host.watcher.explained())["plugin_ms"]
        del costs["watcher.request_complete"]
        assert set(costs) == {"a.route_model", "a.intercept_request", "b.route_model"}
        assert costs["a.route_model"] >= 20 > costs["b.route_model"]


class Awaitable:
    """Something that can be awaited and is no coroutine."""

    def __await__(self) -> Generator[Any, None, Route]:
        yield from asyncio.sleep(0).__await__()
        return Route(model="n")


def future(call: Any) -> asyncio.Future[Route]:
    made: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(made.set_result, Route(model="n"))
    return made


async def coroutine(call: Any) -> Route:
    return Route(model="n")


@pytest.mark.parametrize(
    "function",
    [coroutine, future, lambda call: Awaitable(), lambda call: asyncio.ensure_future(coroutine(call)), lambda call: coroutine(call)],
    ids=["coroutine", "future", "awaitable", "task", "def that returns a coroutine"],
)
async def test_a_hook_may_answer_anything_that_can_be_awaited(function: Any) -> None:
    async with Host(plugin("a", route_model=function)) as host:
        await host.call()
        assert host.provider.attempts[0].model == "n"


# --------------------------------------------------------------------------------------------------- breaker


class Flaky:
    """A router that fails as long as it is told to."""

    id = "a"

    def __init__(self) -> None:
        self.broken, self.calls = True, 0

    def route_model(self, call: Call) -> Route:
        self.calls += 1
        if self.broken:
            raise ValueError("no")
        return Route(model="n")


async def test_a_hook_that_fails_again_and_again_is_passed_over_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    flaky = Flaky()
    async with Host(flaky, hooks={"failures": 2, "pause": 60}) as host:
        notes = [(await host.call(), await host.watcher.notes())[1] for _ in range(4)]
    assert flaky.calls == 2
    assert "raised ValueError: no" in notes[1]
    assert notes[2] == notes[3] == "a route_model is passed over after repeated failures (raised ValueError: no)"
    assert "plugin 'a': route_model failed 2 times in a row and is passed over for 60 s" in caplog.text


async def test_a_hook_that_answers_in_between_is_not_passed_over() -> None:
    flaky = Flaky()
    async with Host(flaky, hooks={"failures": 2, "pause": 60}) as host:
        for broken in (True, False, True, False, True):
            flaky.broken = broken
            await host.call()
    assert flaky.calls == 5


async def test_a_hook_that_was_passed_over_is_tried_again_after_the_pause_and_heals() -> None:
    flaky = Flaky()
    async with Host(flaky, hooks={"failures": 1, "pause": 0.05}) as host:
        await host.call()
        ends = time.monotonic() + 5
        while flaky.calls == 1 and time.monotonic() < ends:
            await host.call()
        assert flaky.calls == 2
        await host.call()
        assert flaky.calls == 2  # one failure after the pause is enough
        flaky.broken = False
        while flaky.calls == 2 and time.monotonic() < ends:
            await host.call()
        before = flaky.calls
        await host.call()
        assert flaky.calls == before + 1


async def test_a_closed_hook_that_is_passed_over_still_guards() -> None:
    calls: list[Call] = []

    def fails(call: Call) -> None:
        calls.append(call)
        raise ValueError("no")

    async with Host(plugin("a", intercept_request=fails), hooks={"failures": 1, "pause": 60}) as host:
        assert [(await host.call()).status for _ in range(3)] == [503, 503, 503]
    assert len(calls) == 1


async def test_a_router_whose_answers_are_never_usable_is_passed_over_in_the_end() -> None:
    calls: list[Call] = []

    def nowhere(call: Call) -> Route:
        calls.append(call)
        return Route(model="nowhere")

    async with Host(plugin("a", route_model=nowhere), hooks={"failures": 2, "pause": 60}) as host:
        assert [(await host.call()).status for _ in range(4)] == [200] * 4
    assert len(calls) == 2


# -------------------------------------------------------------------------------------------------- blocking


async def test_a_blocking_hook_runs_beside_the_event_loop_and_several_at_once() -> None:
    both = threading.Barrier(2)
    threads: set[str] = set()

    @hook(blocking=True, deadline=5)
    def route_model(call: Call) -> Route:
        both.wait(5)
        threads.add(threading.current_thread().name)
        return Route(model="n")

    async with Host(plugin("a", route_model=route_model)) as host:
        await asyncio.gather(host.call(), host.call())
        assert [attempt.model for attempt in host.provider.attempts] == ["n", "n"]
    assert all(name.startswith("jackfield-a") for name in threads)


async def test_a_blocking_hook_that_is_late_is_passed_over_though_its_thread_goes_on() -> None:
    release = threading.Event()

    @hook(blocking=True)
    def route_model(call: Call) -> Route:
        release.wait(10)
        return Route(model="n")

    async with Host(plugin("a", route_model=route_model)) as host:
        try:
            assert [a.status for a in await asyncio.gather(*(host.call() for _ in range(6)))] == [200] * 6
            assert {attempt.model for attempt in host.provider.attempts} == {"m"}
            assert "took longer than 0.25 s" in await host.watcher.notes()
        finally:
            release.set()


async def test_a_full_pool_of_one_plugin_does_not_hold_another() -> None:
    release = threading.Event()

    @hook(blocking=True)
    def waits(call: Call) -> None:
        release.wait(10)

    @hook(blocking=True, deadline=5)
    def answers(call: Call) -> Route:
        return Route(model="n")

    async with Host(plugin("a", route_model=waits), plugin("b", route_model=answers)) as host:
        try:
            await asyncio.gather(*(host.call() for _ in range(6)))
            assert [attempt.model for attempt in host.provider.attempts] == ["n"] * 6
        finally:
            release.set()


@pytest.mark.parametrize("fault", [ValueError("no"), SystemExit(3), StopIteration()], ids=lambda fault: type(fault).__name__)
async def test_what_a_blocking_hook_raises_is_its_failure(fault: BaseException) -> None:
    async with Host(plugin("a", route_model=hook(blocking=True)(raises(fault)[0])), plugin("b", route_model=to("n"))) as host:
        await host.call()
        assert host.provider.attempts[0].model == "n"


async def test_a_blocking_hook_has_the_state_of_its_own_plugin() -> None:
    seen: list[Any] = []
    loop, waits = asyncio.get_running_loop(), threading.Event()

    @hook(blocking=True, deadline=5)
    def intercept_request(call: Call) -> None:
        loop.call_soon_threadsafe(waits.set)  # by then the call waits for this thread
        waits.wait(5)
        call.state["mine"] = 1

    def reads(call: Call, reply: Any) -> None:
        seen.append(dict(call.state))

    other = plugin("b", intercept_request=hook(blocking=True, deadline=5)(lambda call: seen.append(dict(call.state))))
    async with Host(plugin("a", intercept_request=intercept_request, intercept_response=reads), other) as host:
        await host.call()
    assert seen == [{}, {"mine": 1}]


# ------------------------------------------------------------------------------------------------- observers


async def test_observers_are_told_after_the_answer_and_do_not_hold_it() -> None:
    release, told = asyncio.Event(), asyncio.Event()

    @hook(deadline=5)
    async def request_complete(call: Call, outcome: Outcome) -> None:
        await release.wait()
        told.set()

    async with Host(plugin("a", request_complete=request_complete)) as host:
        assert (await host.call()).status == 200
        assert not told.is_set()
        release.set()
        await told.wait()


async def test_calls_that_observers_cannot_keep_up_with_are_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jackfield.completion.MOST_WAITING", 1)
    release, told = asyncio.Event(), []

    @hook(deadline=5)
    async def request_complete(call: Call, outcome: Outcome) -> None:
        told.append(call.id)
        await release.wait()

    async with Host(plugin("a", request_complete=request_complete)) as host:
        for _ in range(5):
            assert (await host.call()).status == 200
        release.set()
    assert 1 <= len(told) <= 3
    assert "observers are too slow: 1 calls were not reported to them" in caplog.text


async def test_observers_that_take_long_hold_the_end_of_the_host_for_some_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("jackfield.completion._LAST_WORDS", 0.05)
    async with Host(plugin("a", request_complete=hook(deadline=60)(lambda call, outcome: never()))) as host:
        for _ in range(3):
            await host.call()
        async with asyncio.timeout(5):
            await host.host.stop(grace=0)
    assert "the host stops, and 2 calls were not reported to them" in caplog.text


def reads_request(call: Call, outcome: Outcome) -> None:
    call.request  # noqa: B018 (a body that is not valid raises)


@pytest.mark.parametrize(
    "fails",
    [
        reads_request,
        *(lambda call, outcome, fault=fault: raises(fault)[0](call) for fault in (ValueError("no"), NotDecoded(), SystemExit(1), Odd())),
        hook(on_error="closed")(lambda call, outcome: raises(ValueError("no"))[0](call)),
        hook(on_error="closed")(lambda call, outcome: raises(NotDecoded("large"))[0](call)),
        lambda call, outcome: never(),
    ],
    ids=["bad request", "error", "not decoded", "exit", "base exception", "closed", "closed and not decoded", "late"],
)
async def test_an_observer_that_fails_keeps_no_other_from_being_told(fails: Any) -> None:
    first = types.SimpleNamespace(id="a", priority=9, request_complete=fails)
    async with Host(first) as host:
        for _ in range(2):
            await host.post("/toy/v1/talk", {"model": "m", "say": 3})
            async with asyncio.timeout(5):
                await host.watcher.outcomes.get()
        async with asyncio.timeout(5):
            await host.host.stop(grace=0)


# -------------------------------------------------------------------------------------------------- watchdog


@pytest.mark.parametrize("form", ["def", "async def"])
async def test_who_holds_the_event_loop_is_named_with_its_stack(form: str, caplog: pytest.LogCaptureFixture) -> None:
    def slow_function_of_a_plugin(*_: Any) -> None:
        ends = time.monotonic() + 5
        while "slow_function_of_a_plugin" not in caplog.text and time.monotonic() < ends:
            time.sleep(0.005)

    async def waits_then_blocks(*_: Any) -> None:
        await asyncio.sleep(0)
        slow_function_of_a_plugin()

    function = slow_function_of_a_plugin if form == "def" else waits_then_blocks
    async with Host(plugin("a", route_model=hook(deadline=9)(function)), hooks={"blocked": 0.02}) as host:
        await host.call()
    assert "plugin 'a': route_model has held the event loop for" in caplog.text
    assert "in slow_function_of_a_plugin" in caplog.text


async def test_nobody_is_named_who_only_waits(caplog: pytest.LogCaptureFixture) -> None:
    async def waits(call: Call) -> None:
        await asyncio.sleep(0.03)

    async with Host(plugin("a", route_model=hook(deadline=5)(waits)), hooks={"blocked": 0.02}) as host:
        await host.call()
    assert "held the event loop" not in caplog.text


# ---------------------------------------------------------------------------------------- limits for parsing


async def test_a_body_too_large_to_parse_passes_open_hooks_and_ends_at_closed_ones_without_blame() -> None:
    def reads(call: Call) -> None:
        assert call.body.json is not None

    large = {"words": "x" * 200}
    for name, status in (("route_model", 200), ("intercept_request", 413)):
        harness = Harness([Toy(), plugin("a", **{name: reads})], {"limits": {"json": 100}, "hooks": {"failures": 1}}, bare=True)
        async with harness as host:
            assert [(await host.post("/toy/v1/talk", talk(**large))).status for _ in range(2)] == [status] * 2


def test_a_body_says_what_is_wrong_with_it() -> None:
    with pytest.raises(NotDecoded, match=r"limits\.json"):
        Body(msgspec.json.encode({"a": "x" * 50}), limit=10).json  # noqa: B018


# ------------------------------------------------------------------------------------- failures that overlap


async def test_the_breaker_opens_also_when_failing_calls_overlap() -> None:
    asked: list[Call] = []
    both = asyncio.Barrier(2)

    async def intercept_request(call: Call) -> None:
        asked.append(call)
        async with asyncio.timeout(1):
            await both.wait()
        raise ValueError("broken")

    async with Host(plugin("a", intercept_request=intercept_request), hooks={"failures": 4, "deadline": 5}) as host:
        for _ in range(3):
            answers = await asyncio.gather(host.call(), host.call())
            assert [answer.status for answer in answers] == [503, 503]
    assert len(asked) == 4


async def test_a_closed_hook_that_is_late_is_still_accounted_for() -> None:
    async with Host(plugin("a", intercept_request=never)) as host:
        assert (await host.call()).status == 503
        assert (await host.watcher.explained())["plugin_ms"]["a.intercept_request"] >= 50
