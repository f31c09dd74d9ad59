"""How answers fail to arrive, and what a host makes of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import msgspec
import pytest

from jackfield.api import CallError, Failure, Request, Response
from jackfield.api.canonical import Assembler, Delta, Finish, StreamError, TextDelta
from jackfield_simulator.delivery import STATUSES


async def read(stream: AsyncIterator[Delta]) -> tuple[list[Delta], Exception | None]:
    """Read a stream as far as it goes; return what came, and what broke it."""
    came: list[Delta] = []
    try:
        async for delta in stream:
            came.append(delta)
    except Exception as fault:
        return came, fault
    return came, None


def check_begun(came: list[Delta]) -> None:
    """Fail unless the answer began, said something, and did not come to its end."""
    assembler = Assembler()
    assembler.feed(came)
    assert assembler.response().text
    assert not assembler.done
    assert not any(isinstance(delta, Finish) for delta in came)


def check_waits(step: Awaitable[Any]) -> None:
    """Fail unless what is awaited waits for what never comes, and ends at once when it is cancelled."""
    waiting = step.__await__()
    future = next(waiting)
    assert isinstance(future, asyncio.Future)
    assert not future.done()
    with pytest.raises(asyncio.CancelledError):
        waiting.throw(asyncio.CancelledError())


async def judged(sim: Any, model: str, *, stream: bool = False) -> Failure:
    """Return what a host makes of an error answer."""
    reply = await sim.reply(model, stream=stream)
    assert reply.stream is None
    return sim.simulator.classify(sim.attempt(model, Request()).dialect, reply.status, reply.headers, reply.body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [*STATUSES, 418, 599])
async def test_an_error_model_answers_with_its_status(sim: Any, status: int, stream: bool) -> None:
    failure = await judged(sim, f"sim/error-{status}", stream=stream)
    assert failure.status == status
    assert failure.retry_after is None


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, "caller"),
        (401, "credential"),
        (402, "quota"),
        (413, "caller"),
        (429, "rate"),
        (500, "upstream"),
        (503, "overload"),
        (529, "overload"),
    ],
)
async def test_an_error_means_what_its_status_means(sim: Any, status: int, cause: str) -> None:
    assert (await judged(sim, f"sim/error-{status}")).cause == cause


async def test_the_message_of_a_callers_error_reaches_the_caller(sim: Any) -> None:
    failure = await judged(sim, "sim/error-422")
    assert (failure.message, failure.code) == ("The simulator was asked for the error 422.", "unprocessable")


@pytest.mark.parametrize("model", ["sim/error-429-after-7", "sim/error-503-after-7"])
async def test_after_says_when_to_come_again(sim: Any, model: str) -> None:
    assert (await judged(sim, model)).retry_after == 7
    assert (await sim.reply(model)).headers["retry-after"] == "7"


async def test_cut_ends_in_the_middle_without_a_word_about_it(sim: Any) -> None:
    came, fault = await read(await sim.events("sim/cut"))
    check_begun(came)
    assert fault is None


async def test_cut_not_streamed_is_half_a_body(sim: Any) -> None:
    body = (await sim.reply("sim/cut")).body
    assert body.startswith(b'{"id":"sim-')
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body, type=Response)


async def test_reset_breaks_the_stream_as_a_network_does(sim: Any) -> None:
    came, fault = await read(await sim.events("sim/reset"))
    check_begun(came)
    assert isinstance(fault, CallError)
    assert fault.failure.cause == "network"


@pytest.mark.parametrize("model", ["sim/reset", "sim/unreachable"])
async def test_without_a_stream_a_broken_connection_gives_no_answer(sim: Any, model: str) -> None:
    with pytest.raises(CallError) as fault:
        await sim.reply(model)
    assert fault.value.failure.cause == "network"


async def test_an_unreachable_provider_gives_no_stream_either(sim: Any) -> None:
    with pytest.raises(CallError):
        await sim.reply("sim/unreachable", stream=True)


async def test_an_error_in_mid_stream_comes_last(sim: Any) -> None:
    came, fault = await read(await sim.events("sim/error-mid-stream"))
    check_begun(came[:-1])
    assert isinstance(came[-1], StreamError)
    assert (came[-1].error.status, fault) == (529, None)


async def test_error_first_is_all_that_its_stream_says(sim: Any) -> None:
    came, _ = await read(await sim.events("sim/error-first"))
    assert [type(delta) for delta in came] == [StreamError]


@pytest.mark.parametrize("model", ["sim/error-mid-stream", "sim/error-first"])
async def test_without_a_stream_an_error_in_it_is_an_error_answer(sim: Any, model: str) -> None:
    assert (await judged(sim, model)).status == 529


async def test_empty_sends_nothing(sim: Any) -> None:
    assert await read(await sim.events("sim/empty")) == ([], None)
    assert (await sim.reply("sim/empty")).body == b""


async def test_garbage_is_no_answer(sim: Any) -> None:
    whole, streamed = await sim.reply("sim/garbage"), await sim.reply("sim/garbage", stream=True)
    assert whole.status == streamed.status == 200
    assert whole.headers["content-type"] == "text/html"
    assert [piece async for piece in streamed.stream] == [whole.body]
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(whole.body)


@pytest.mark.parametrize(("model", "stream"), [("sim/crash", False), ("sim/crash", True), ("sim/crash-mid-stream", False)])
async def test_a_crash_is_no_call_error(sim: Any, model: str, stream: bool) -> None:
    with pytest.raises(RuntimeError):
        await sim.reply(model, stream=stream)


async def test_a_crash_in_mid_stream_is_no_call_error_either(sim: Any) -> None:
    came, fault = await read(await sim.events("sim/crash-mid-stream"))
    check_begun(came)
    assert isinstance(fault, RuntimeError)


async def test_a_stalled_stream_begins_and_never_goes_on_until_the_client_leaves(sim: Any) -> None:
    stream = await sim.events("sim/stall")
    begun = [await anext(stream) for _ in await sim.stream("sim/cut")]
    check_begun(begun)
    check_waits(anext(stream))
    assert [delta async for delta in stream] == []


@pytest.mark.parametrize(("model", "stream"), [("sim/stall", False), ("sim/hang", False), ("sim/hang", True)])
async def test_what_never_answers_ends_when_the_client_leaves(sim: Any, model: str, stream: bool) -> None:
    check_waits(sim.reply(model, stream=stream))


async def test_a_stream_that_is_closed_says_no_more(sim: Any) -> None:
    stream = await sim.events("sim/echo-slow-20")
    await anext(stream)
    await stream.aclose()
    assert [delta async for delta in stream] == []


async def test_slow_waits_before_the_first_event_and_between_two(sim: Any, no_waiting: list[float]) -> None:
    deltas = await sim.stream("sim/slow-20", "a b")
    assert no_waiting == [0.02] * len(deltas)


@pytest.mark.parametrize("model", ["sim/slow-20", "sim/echo-slow-20"])
async def test_slow_without_a_stream_waits_once(sim: Any, no_waiting: list[float], model: str) -> None:
    assert (await sim.whole(model, "a b")).text == "a b"
    assert no_waiting == [0.02]


async def test_any_failure_may_be_slow(sim: Any, no_waiting: list[float]) -> None:
    assert (await judged(sim, "sim/error-429-after-7-slow-500")).retry_after == 7
    assert no_waiting == [0.5]


async def test_a_long_stream_without_pauses_lets_others_run(sim: Any, no_waiting: list[float]) -> None:
    deltas = await sim.stream("sim/long-1000")
    assert sum(isinstance(delta, TextDelta) for delta in deltas) == 1000
    assert set(no_waiting) == {0.0}
    assert len(no_waiting) >= 10
