"""How long a call may take, who says so, and that the record names the very setting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from jackfield.api import (
    Attempt,
    Bearer,
    CallError,
    Headers,
    Host,
    HttpRequest,
    ModelInfo,
    Nested,
    Reply,
    Request,
    ThinkingSupport,
    Timeouts,
)
from jackfield.api.canonical import Message, Text, ThinkingConfig
from jackfield.api.testing import Harness, ScriptedUpstream, json_answer
from jackfield.api.testing.upstream import Received, Script, Wire
from jackfield.settings import Timeouts as Settings
from tests.kernel.conftest import WHOLE, ToyProvider, http_toy
from tests.kernel.pipeline_kit import PATIENCE, Made, Observer, ask, begun_stream, toy_host
from tests.kernel.toy import read_stream

QUICK = {"client_body": "200ms"}
"""Has the host look at what waits twenty times a second; the limits of the tests are others."""
SOON = "300ms"


async def silence(received: Received, wire: Wire) -> None:
    """Take a request and never answer."""
    await wire.gone.wait()


async def half(received: Received, wire: Wire) -> None:
    """Begin a whole answer."""
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    await wire.gone.wait()


@asynccontextmanager
async def house(script: Script, timeouts: Mapping[str, Any], *plugins: object, **provider: Any) -> AsyncIterator[tuple[Harness, Observer]]:
    """Run a host with an upstream, and somebody who notes what comes of calls."""
    observer = Observer()
    async with ScriptedUpstream(script) as upstream:
        config = {"timeouts": {**QUICK, **timeouts}, "models": {"aliases": {"alias": "m"}}}
        async with toy_host(observer, *plugins, provider=[http_toy(upstream.url, **provider)], config=config) as host:
            yield host, observer


async def told(host: Harness, headers: Mapping[str, str] | None = None, **said: Any) -> tuple[int, str, str]:
    """Make a call; return status, code and message of the error that it ends in."""
    answer = await asyncio.wait_for(ask(host, headers=headers, **said), PATIENCE)
    return answer.status, answer.json["code"], answer.json["oops"]


# --------------------------------------------------------------------------------------------------- who says so

LONG = {"connect": 300, "first_byte": 300, "idle": 300, "total": 300}
PLACES: dict[str, tuple[dict[str, Any], str, str]] = {
    "in general": ({}, "timeouts.{}", "m"),
    "for the provider": ({"providers": {"toy": {}}}, "timeouts.providers.toy.{}", "m"),
    "for the model": ({"providers": {"toy": LONG}, "models": {"m": {}}}, "timeouts.models.m.{}", "m"),
    "for models by pattern": ({"providers": {"toy": LONG}, "models": {"x*": LONG, "m*": {}}}, "timeouts.models.m*.{}", "m"),
    "for the name that the client used": ({"providers": {"toy": LONG}, "models": {"al*": {}}}, "timeouts.models.al*.{}", "alias"),
    "for the upstream's name": ({"providers": {"toy": LONG}, "models": {"m": {}}}, "timeouts.models.m.{}", "alias"),
}
LIMITS: dict[str, tuple[Script, str]] = {
    "first_byte": (silence, "first_byte_timeout"),
    "idle": (half, "idle_timeout"),
    "total": (half, "total_timeout"),
}


@pytest.mark.parametrize(("script", "code"), LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize(("places", "setting", "model"), PLACES.values(), ids=PLACES)
async def test_the_most_special_limit_holds_and_is_named(
    request: pytest.FixtureRequest, script: Script, code: str, places: dict[str, Any], setting: str, model: str
) -> None:
    what = request.node.callspec.id.rsplit("-", 1)[1]
    said: dict[str, Any] = {"first_byte": 300, "idle": 300, "total": 300, **places}
    *_, key = setting.format(what).removeprefix("timeouts.").rsplit(".", 1)
    if setting == "timeouts.{}":
        said[key] = SOON
    else:
        _, section, name, _ = setting.split(".")
        said[section] = {**said[section], name: {key: SOON}}
    async with house(script, said) as (host, observer):
        status, told_code, message = await told(host, model=model)
        assert (status, told_code) == (502, code)
        assert f"0.3 s ({setting.format(what)})" in message
        [outcome] = await observer.completed()
        assert (outcome.cause, outcome.message) == ("network", message)
        if what != "total":
            assert message in str(outcome.explain()["attempts"])


def test_what_each_place_leaves_open_the_next_one_says() -> None:
    """Of call, request, model, provider, the provider's own plugin, and in general; the first pattern that says something counts."""
    said = msgspec.convert(
        {
            "connect": 1, "first_byte": 2, "idle": 3, "total": 4,
            "providers": {"acme": {"idle": 31, "total": 41}},
            "models": {"o3*": {"total": 42}, "o*": {"total": 43, "first_byte": 23}, "other": {"first_byte": 99}},
        },
        Settings, strict=False, dec_hook=lambda kind, value: kind(value),
    )  # fmt: skip
    own = Timeouts(connect=10, first_byte=20, idle=30)
    assert said.of("acme", ("o3-pro", "x"), own=own) == {
        "connect": (10, "provider 'acme': timeouts.connect"),
        "first_byte": (23, "timeouts.models.o*.first_byte"),
        "idle": (31, "timeouts.providers.acme.idle"),
        "total": (42, "timeouts.models.o3*.total"),
    }
    assert said.of("other", call=Timeouts(total=0, idle=8)) == {
        "connect": (1, "timeouts.connect"),
        "first_byte": (2, "timeouts.first_byte"),
        "idle": (8, "Nested.timeouts.idle"),
        "total": (float("inf"), "Nested.timeouts.total"),
    }


async def test_a_provider_that_is_not_there_is_a_problem() -> None:
    async with house(silence, {"providers": {"toi": {"idle": 1}}}) as (host, _):
        assert [p for p in host.host.problems if "timeouts.providers.toi: there is no provider 'toi'; did you mean 'toy'?" in p]


async def test_nothing_is_no_limit() -> None:
    """Zero stands for as long as it takes, here where there would be a limit."""

    async def slow(received: Received, wire: Wire) -> None:
        await asyncio.sleep(0.6)  # this is the upstream's pace, not a wait for something
        await json_answer(WHOLE)(received, wire)

    async with house(slow, {"first_byte": "200ms", "providers": {"toy": {"first_byte": 0, "connect": 0}}}) as (host, _):
        assert (await ask(host)).status == 200


# ---------------------------------------------------------------------------------------------------- thinking

THINKS = ThinkingSupport(levels=("low", "high"), off=False)
MAY_THINK = ThinkingSupport(levels=("low", "high"))
BOTH = {"first_byte": SOON, "thinking": "600ms"}


@pytest.mark.parametrize(
    ("support", "model", "reads", "limits", "setting"),
    [
        (None, "m", False, BOTH, "0.3 s (timeouts.first_byte)"),
        (MAY_THINK, "m", False, BOTH, "0.3 s (timeouts.first_byte)"),
        (THINKS, "m", False, BOTH, "0.6 s (timeouts.thinking)"),
        (MAY_THINK, "m(high)", False, BOTH, "0.6 s (timeouts.thinking)"),
        (MAY_THINK, "m(none)", False, BOTH, "0.3 s (timeouts.first_byte)"),
        (MAY_THINK, "m", True, BOTH, "0.6 s (timeouts.thinking)"),
        (THINKS, "m", False, {**BOTH, "thinking": "100ms"}, "0.3 s (timeouts.first_byte)"),
        (THINKS, "m", False, {**BOTH, "first_byte": 300, "models": {"m": {"first_byte": SOON}}}, "0.3 s (timeouts.models.m.first_byte)"),
    ],
    ids=["unknown", "may", "must", "by its name", "not by its name", "as somebody read", "shorter", "more special"],
)
async def test_the_first_byte_may_take_longer_where_the_model_is_known_to_think(
    support: ThinkingSupport | None, model: str, reads: bool, limits: dict[str, Any], setting: str
) -> None:
    def reading(call: Any) -> None:
        msgspec.structs.force_setattr(call.request, "thinking", ThinkingConfig(mode="on"))

    plugins = [Made("reading", intercept_request=reading)] if reads else []
    async with house(silence, limits, *plugins, models=[ModelInfo(id="m", thinking=support)]) as (host, _):
        assert setting in (await told(host, model=model))[2]


# -------------------------------------------------------------------------------------------------------- a call


async def test_a_client_says_how_long_its_call_may_take() -> None:
    async with house(silence, {}) as (host, observer):
        status, code, message = await told(host, {"x-jackfield-timeout": SOON})
        assert (status, code) == (502, "total_timeout")
        assert "0.3 s (the header x-jackfield-timeout)" in message
        [outcome] = await observer.completed()
        assert (outcome.status, outcome.message, outcome.attempts) == ("failed", message, 1)


async def test_a_client_cannot_lengthen_what_the_configuration_says() -> None:
    async with house(silence, {"total": SOON}) as (host, _):
        assert "0.3 s (timeouts.total)" in (await told(host, {"x-jackfield-timeout": "1h"}))[2]


async def test_a_client_that_has_time_is_answered() -> None:
    async with house(json_answer(WHOLE), {}) as (host, _):
        for said in ("30", "30s", "0", "1.5m"):
            assert (await ask(host, headers={"x-jackfield-timeout": said})).status == 200


@pytest.mark.parametrize("said", ["soon", "-1", "", "1 fortnight", "nan"])
async def test_what_is_no_time_is_the_clients_mistake(said: str) -> None:
    async with house(json_answer(WHOLE), {}) as (host, observer):
        answer = await ask(host, headers={"x-jackfield-timeout": said})
        assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "invalid_timeout", "x-jackfield-timeout")
        assert "a number of seconds" in answer.json["oops"]
        assert (await observer.completed())[0].status == "rejected"


async def test_the_header_is_not_passed_on() -> None:
    async with ScriptedUpstream(json_answer(WHOLE)) as upstream, toy_host(provider=[http_toy(upstream.url)]) as host:
        assert (await ask(host, headers={"x-jackfield-timeout": "30s"})).status == 200
        assert "x-jackfield-timeout" not in upstream.requests[0].headers


@pytest.mark.parametrize("what", ["first_byte", "idle"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_provider_without_http_is_held_to_the_same_limits(what: str, stream: bool) -> None:
    left = list[str]()

    class Silent(ToyProvider):
        timeouts = Timeouts(**{what: 0.3})
        streams = "only"

        async def execute(self, attempt: Attempt) -> Reply:
            if what == "first_byte":
                await asyncio.Event().wait()
            return Reply(stream=self._begun(), headers=Headers())

        async def _begun(self) -> AsyncIterator[bytes]:
            try:
                yield begun_stream("one")
                await asyncio.Event().wait()
            finally:
                left.append("closed")

    observer = Observer()
    async with toy_host(observer, provider=[Silent()], config={"timeouts": QUICK}) as host:
        answer = await asyncio.wait_for(ask(host, stream=stream), PATIENCE)
        [outcome] = await observer.completed()
        says = f"0.3 s (provider 'toy': timeouts.{what})"
        assert says in outcome.message
        assert (outcome.status, outcome.cause) == ("failed", "network")
        if stream and what == "idle":
            name, last = read_stream(answer.body)[-1]
            assert (name, last["code"]) == ("oops", "idle_timeout")
        else:
            assert (answer.status, answer.json["code"]) == (502, f"{what}_timeout")
        assert left == (["closed"] if what == "idle" else [])
        assert {account.in_flight for account in host.host.generation.accounts} == {0}


@pytest.mark.parametrize("by", ["header", "configuration", "provider without HTTP"])
async def test_a_stream_ends_with_the_dialects_error_event(by: str) -> None:
    """Also while the upstream goes on, so that nothing ever stands still."""

    async def drip(received: Received, wire: Wire) -> None:
        raw = begun_stream("one")
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.send(b"%x\r\n%b\r\n" % (len(raw), raw))
        while not wire.gone.is_set():
            await wire.send(b"9\r\n: go on\n\n\r\n")
            await asyncio.sleep(0.02)  # this is the upstream's pace, not a wait for something

    class Dripping(ToyProvider):
        async def execute(self, attempt: Attempt) -> Reply:
            return Reply(stream=self._drip(), headers=Headers())

        async def _drip(self) -> AsyncIterator[bytes]:
            yield begun_stream("one")
            while True:
                await asyncio.sleep(0.02)  # this is the provider's pace, not a wait for something
                yield b": go on\n\n"

    said = {} if by == "header" else {"total": SOON}
    headers = {"x-jackfield-timeout": SOON} if by == "header" else {}
    observer = Observer()
    async with ScriptedUpstream(drip) as upstream:
        provider = Dripping() if by == "provider without HTTP" else http_toy(upstream.url)
        async with toy_host(observer, provider=[provider], config={"timeouts": {**QUICK, **said}}) as host:
            answer = await asyncio.wait_for(ask(host, headers=headers, stream=True), PATIENCE)
            name, last = read_stream(answer.body)[-1]
            assert (answer.status, name, last["code"]) == (200, "oops", "total_timeout")
            assert "0.3 s (" in last["why"]
            [outcome] = await observer.completed()
            assert (outcome.status, outcome.message) == ("failed", last["why"])
            assert {account.in_flight for account in host.host.generation.accounts} == {0}
        await asyncio.wait_for(upstream.until(lambda: upstream.open == 0), PATIENCE)


async def test_all_attempts_of_a_call_share_its_time() -> None:
    """The next credential has what is left, not as much again."""
    observer = Observer()
    async with ScriptedUpstream(silence) as upstream:
        config = {
            "credentials": [{"provider": "toy", "key": f"key-{n}"} for n in range(3)],
            "timeouts": {**QUICK, "first_byte": SOON, "total": "500ms"},
        }
        async with toy_host(observer, provider=[http_toy(upstream.url, auth=Bearer())], config=config) as host:
            assert (await told(host))[1] == "total_timeout"
            [outcome] = await observer.completed()
            assert (outcome.attempts, len(upstream.requests)) == (2, 2)
            assert "first_byte" in str(outcome.explain()["attempts"])


async def test_time_is_over_while_a_hook_is_at_work() -> None:
    async def slow(attempt: Attempt) -> None:
        await asyncio.Event().wait()

    async with house(json_answer(WHOLE), {}, Made("slow", intercept_attempt=slow)) as (host, _):
        assert (await told(host, {"x-jackfield-timeout": SOON}))[1] == "total_timeout"


# ------------------------------------------------------------------------------------------------- plugins' calls


class Asking:
    """A plugin that makes calls."""

    id = "asking"

    def __init__(self, config: None, host: Host) -> None:
        Asking.host = host


Asking.__init__.__annotations__.clear()
SAID = Request(model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),))


@pytest.mark.parametrize(("limits", "code"), [(Timeouts(total=0.3), "total_timeout"), (Timeouts(first_byte=0.3), "first_byte_timeout")])
async def test_a_plugins_call_has_limits_of_its_own(limits: Timeouts, code: str) -> None:
    long = {"models": {"m": LONG}}
    async with house(silence, long, Asking):
        with pytest.raises(CallError) as late:
            await asyncio.wait_for(Asking.host.execute(Nested(request=SAID, timeouts=limits)), PATIENCE)  # type: ignore[attr-defined]
        assert late.value.failure.code == code
        assert f"0.3 s (Nested.timeouts.{code.removesuffix('_timeout')})" in late.value.failure.message
        assert late.value.failure.blame == "request"


async def test_a_plugins_call_may_take_longer_than_the_configuration_says() -> None:
    async def slow(received: Received, wire: Wire) -> None:
        await asyncio.sleep(0.6)  # this is the upstream's pace, not a wait for something
        await json_answer(WHOLE)(received, wire)

    async with house(slow, {"first_byte": "200ms", "total": "200ms"}, Asking):
        said = Nested(request=SAID, timeouts=Timeouts(first_byte=10, total=10))
        await asyncio.wait_for(Asking.host.execute(said), PATIENCE)  # type: ignore[attr-defined]


@pytest.mark.parametrize("what", ["first_byte", "idle", "total"])
async def test_a_plugins_request_has_limits_of_its_own(what: str) -> None:
    observer = Observer()
    async with ScriptedUpstream(silence if what == "first_byte" else half) as upstream:
        config = {"timeouts": QUICK}
        async with toy_host(observer, Asking, provider=[http_toy(upstream.url)], config=config):

            async def fetch() -> None:
                request = HttpRequest(method="GET", url=upstream.url, timeouts=Timeouts(**{what: 0.3}))
                await (await Asking.host.http.request(request)).read()  # type: ignore[attr-defined]

            with pytest.raises(CallError) as late:
                await fetch()
            assert late.value.failure.code == f"{what}_timeout"
            assert f"0.3 s (HttpRequest.timeouts.{what})" in late.value.failure.message


async def test_other_limits_hold_once_the_configuration_says_so() -> None:
    async with house(silence, {"total": 300}) as (host, _):
        await host.host.reload({"timeouts": {**QUICK, "models": {"m": {"total": SOON}}}})
        assert "0.3 s (timeouts.models.m.total)" in (await told(host))[2]
