"""Stage 12: every matched request is completed exactly once, with what came of it, whatever happened on the way."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jackfield.api import (
    Attempt,
    Call,
    CallError,
    Change,
    Deny,
    End,
    Outcome,
    Reject,
    Reply,
    Request,
    failure,
    hook,
    reply_text,
)
from jackfield.api.canonical import Message, Text
from jackfield.api.testing import ScriptedUpstream, sse_answer
from tests.kernel.conftest import WHOLE, ToyProvider, http_toy, pieces, talk
from tests.kernel.pipeline_kit import Made, Observer, ask, failing, toy_host
from tests.kernel.toy import stream_of


def boom(*_: Any) -> Any:
    raise RuntimeError("boom")


def errs(cause: Any) -> Callable[[Attempt], Reply]:
    def answer(attempt: Attempt) -> Reply:
        raise CallError(failure(cause, "no"))

    return answer


def cut_stream(attempt: Attempt) -> Reply:
    raw = stream_of(["one", "two"])
    return Reply(stream=pieces(raw[: raw.index(b"event: block_done")], 30))


OUTCOMES: list[tuple[str, ToyProvider, list[Made], dict[str, Any], tuple[str, int, str | None]]] = [
    ("an answer", ToyProvider(), [], talk(), ("succeeded", 200, None)),
    ("a stream", ToyProvider(), [], talk(stream=True), ("succeeded", 200, None)),
    ("a stream that a handler ended", ToyProvider(), [Made("p", intercept_stream=lambda: lambda event: End())], talk(stream=True),
     ("succeeded", 200, None)),
    ("an answer that a plugin gave", ToyProvider(), [Made("p", intercept_request=lambda: Change(respond=reply_text("no need")))], talk(),
     ("succeeded", 200, None)),
    ("a refusal that a plugin gave", ToyProvider(), [Made("p", intercept_request=lambda: Change(respond=Reply(status=403, body=b"{}")))],
     talk(), ("rejected", 403, None)),
    ("a model that does not exist", ToyProvider(), [], talk("nobody"), ("rejected", 404, "caller")),
    ("a body that is not valid", ToyProvider(), [Made("p", intercept_request=lambda call: call.request and None)],
     {"model": "m", "say": 7}, ("rejected", 400, "caller")),
    ("no model", ToyProvider(), [], {"say": []}, ("rejected", 400, "caller")),
    ("a scheduler that denies", ToyProvider(), [Made("p", pick_credential=lambda: Deny(reason="closed"))], talk(),
     ("rejected", 503, "overload")),
    ("a plugin that breaks", ToyProvider(), [Made("p", intercept_request=boom)], talk(), ("failed", 503, "plugin")),
    ("an upstream's error", ToyProvider(failing((500, {"oops": "x"}))), [], talk(), ("failed", 502, "upstream")),
    ("the caller's fault, says the upstream", ToyProvider(failing((422, {"oops": "x"}))), [], talk(), ("failed", 422, "caller")),
    ("a provider that breaks", ToyProvider(boom), [], talk(), ("failed", 503, "plugin")),
    ("a network that breaks", ToyProvider(errs("network")), [], talk(), ("failed", 502, "network")),
    ("a stream that breaks off", ToyProvider(cut_stream), [], talk(stream=True), ("failed", 200, "network")),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "plugins", "body", "outcome"), [row[1:] for row in OUTCOMES], ids=[row[0] for row in OUTCOMES])
async def test_the_outcome_says_what_came_of_a_call(
    provider: ToyProvider, plugins: list[Made], body: dict[str, Any], outcome: tuple[str, int, str | None]
) -> None:
    observer = Observer()
    async with toy_host(*plugins, observer, provider=provider) as host:
        answer = await host.post("/toy/v1/talk", body)
        [said] = await observer.completed()
    assert (said.status, said.http_status, said.cause) == outcome
    assert answer.status == outcome[1]
    assert len(observer.outcomes) == 1


@pytest.mark.parametrize(
    ("authenticate", "status"), [(lambda call: None, 401), (lambda call: Reject(), 401), (boom, 503)], ids=["missing", "wrong", "broken"]
)
async def test_a_call_that_nobody_let_in_is_completed_too(authenticate: Any, status: int) -> None:
    observer = Observer()
    async with toy_host(Made("door", authenticate=authenticate), observer) as host:
        assert (await ask(host)).status == status
        [said] = await observer.completed()
    assert (said.status, said.http_status, said.attempts) == ("rejected", status, 0)


async def test_a_route_that_nobody_has_is_not_completed() -> None:
    observer = Observer()
    async with toy_host(observer) as host:
        assert (await host.post("/nowhere/at/all", {})).status == 404
        assert (await ask(host)).status == 200
    assert [call.operation for call in observer.calls] == ["generate"]


async def test_the_outcome_of_a_served_call_names_who_served_it_and_what_it_cost() -> None:
    observer = Observer()
    keys = {"credentials": [{"provider": "toy", "key": "k", "label": "k", "id": "toy:one"}], "models": {"aliases": {"best": "m"}}}
    async with toy_host(observer, config=keys) as host:
        for stream in (False, True):
            await ask(host, model="best", stream=stream)
        plain, streamed = await observer.completed(2)
    for said in (plain, streamed):
        assert (said.provider, said.credential, said.model, said.attempts) == ("toy", "toy:one", "m", 1)
        assert said.usage is not None
        assert (said.usage.input, said.usage.output, said.usage.source) == (3, 5, "upstream")
        assert said.fidelity == "edited"
        assert said.first_byte is not None
        assert 0 < said.first_byte <= said.duration


async def test_the_log_names_the_credential_and_the_model_that_answered(caplog: pytest.LogCaptureFixture) -> None:
    keys = {"credentials": [{"provider": "toy", "key": "k", "id": "toy:one"}], "models": {"aliases": {"best": "m"}}}
    async with toy_host(config=keys) as host:
        with caplog.at_level(logging.INFO, "jackfield.calls"):
            await ask(host, model="best")
            await ask(host, model="nobody")
    served, refused = (record.getMessage() for record in caplog.records if record.name == "jackfield.calls")
    assert re.search(r"model=best -> succeeded 200 \d+ ms by toy:one/m$", served)
    assert re.search(r"model=nobody -> rejected 404 \d+ ms: ", refused)


async def test_the_outcome_of_a_stream_comes_after_its_last_byte() -> None:
    observer, end = Observer(), asyncio.Event()
    raw = stream_of(["one"])

    async def slowly() -> Any:
        yield raw[: raw.index(b"event: close")]
        await end.wait()
        yield raw[raw.index(b"event: close") :]

    async with toy_host(observer, provider=ToyProvider(lambda attempt: Reply(stream=slowly()))) as host:
        async with host.open("POST", "/toy/v1/talk", talk(stream=True)) as response:
            await response.content.readany()
            assert not observer.outcomes
            end.set()
            await response.read()
        [said] = await observer.completed()
    assert said.usage is not None, "the cost stands in the last event"


# ------------------------------------------------------------------------------------------------ usage


async def test_usage_is_told_once_for_every_attempt_that_reached_a_provider() -> None:
    observer = Observer()
    first, second = ToyProvider(failing((500, {"oops": "x"}))), ToyProvider()
    first.key, second.key = "one", "two"
    async with toy_host(observer, provider=[first, second], config={"models": {"aliases": {"both": ["one://m", "two://m"]}}}) as host:
        for _ in range(2):
            assert (await ask(host, model="both")).status == 200
        await observer.completed(2)
    told = [(attempt.provider.key, usage.source) for attempt, usage in observer.usages]
    assert len(first.attempts) > 0
    assert told.count(("two", "upstream")) == 2
    assert told.count(("one", "absent")) == len(first.attempts)
    assert len(told) == 2 + len(first.attempts)


async def test_no_usage_is_told_of_an_attempt_that_never_reached_a_provider() -> None:
    observer, provider = Observer(), ToyProvider()
    async with toy_host(Made("p", intercept_attempt=boom), observer, provider=provider) as host:
        assert (await ask(host)).status == 503
        await observer.completed()
    assert provider.attempts == []
    assert observer.usages == []


async def test_a_stream_that_is_assembled_and_one_that_is_played_tell_their_usage() -> None:
    class Only(ToyProvider):
        streams = "only"

    class Never(ToyProvider):
        streams = "never"

        async def execute(self, attempt: Attempt) -> Reply:
            return Reply(body=msgspec.json.encode(WHOLE))

    for provider, stream in ((Only(lambda attempt: Reply(stream=pieces(stream_of(["Hello"]), 23))), False), (Never(), True)):
        observer = Observer()
        async with toy_host(observer, provider=provider) as host:
            assert (await ask(host, stream=stream)).status == 200
            [said] = await observer.completed()
        assert said.usage is not None
        assert (said.usage.input, said.usage.output) == (3, 5)
        assert [usage.output for _, usage in observer.usages] == [5]


# -------------------------------------------------------------------------------------------- observers


@pytest.mark.parametrize(
    "broken",
    [
        boom,
        hook(on_error="closed")(lambda call, outcome: boom()),
        lambda call, outcome: call.request.messages,  # of a body that is not valid
        lambda call, outcome: asyncio.Event().wait(),
    ],
    ids=["raises", "raises and is closed", "reads what is not valid", "never answers"],
)
async def test_an_observer_that_breaks_harms_neither_the_others_nor_the_next_call(broken: Any) -> None:
    observer = Observer("z_last")
    async with toy_host(Made("a_first", request_complete=broken), observer, config={"hooks": {"deadline": 0.05}}) as host:
        for body in (talk(), {"model": "m", "say": 7}, talk()):
            await host.post("/toy/v1/talk", body)
        assert len(await observer.completed(3)) == 3


async def test_an_observers_own_call_is_one_within_the_call_that_it_was_told_of() -> None:
    """Else an observer that asks a model about each call would be told of its own call, and ask about that, without end."""
    made: list[int] = []

    class Judge:
        id = "judge"

        def __init__(self, host: Any) -> None:
            self._host = host

        async def request_complete(self, call: Call, outcome: Outcome) -> None:
            made.append(call.depth)
            if len(made) < 20:
                await self._host.execute(Request(model="m", messages=(Message(role="user", parts=(Text(text="was it good?"),)),)))

    observer = Observer()
    async with toy_host(Judge, observer) as host:
        await ask(host)
        await observer.completed(5)
    assert made == [0, 1, 2, 3, 4]


async def test_what_observers_were_not_told_yet_is_told_before_the_plugins_close() -> None:
    told: list[str] = []

    class Slow:
        id = "slow"

        async def request_complete(self, call: Call, outcome: Outcome) -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            told.append(outcome.status)

        async def close(self) -> None:
            told.append("closed")

    async with toy_host(Slow()) as host:
        for _ in range(3):
            await ask(host)
    assert told == ["succeeded"] * 3 + ["closed"]


async def test_the_explanation_says_who_decided_what_and_what_it_cost() -> None:
    observer = Observer()
    plugins = [Made("changer", intercept_request=lambda: Change(set={("note",): 1})), Made("broken", normalize_request=boom)]
    async with toy_host(*plugins, observer) as host:
        assert (await ask(host)).status == 200
        [said] = await observer.completed()
    told = said.explain()
    assert {(row["stage"], row["by"]) for row in told["decisions"]} >= {("intercept_request", "changer"), ("normalize_request", "broken")}
    assert "boom" in str(told["decisions"])
    assert {"changer.intercept_request", "broken.normalize_request"} <= told["plugin_ms"].keys()
    assert told["attempts"] == [{"candidate": "toy:none needed/m", "model": "m"}]


async def test_a_client_that_leaves_is_a_canceled_call() -> None:
    observer = Observer()

    async def endless() -> Any:
        yield stream_of(["one"])[: stream_of(["one"]).index(b"event: block_done")]
        await asyncio.Event().wait()

    async with (
        ScriptedUpstream(sse_answer(endless())) as upstream,
        toy_host(observer, provider=[http_toy(upstream.url)]) as host,
    ):
        async with host.open("POST", "/toy/v1/talk", talk(stream=True)) as response:
            await response.content.readany()
            response.close()
        [said] = await observer.completed()
    assert (said.status, said.http_status) == ("canceled", 200)
