"""Streams of the dialect `openai.responses` that are changed, cut short or broken: what the client gets stays a valid stream."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from jackfield.api import End, Error, Event, Usage
from jackfield.api.canonical import (
    ArgumentsDelta,
    Begin,
    Delta,
    Done,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    UsageDelta,
)
from jackfield.interception import Handler, Interception
from tests.plugins.openai_responses.responses_wire import RESPONSES, check_stream, encoded, event_of, events_of, types_of

SEALED = Signature(value="gAAA", family="openai")


@functools.cache
def whole_stream() -> Sequence[Event]:
    """Return a stream with thoughts, a text in two words, and a call."""
    deltas: list[Delta] = [
        Begin(id="resp_1", model="m", created=7),
        PartStart(index=0, part=Thinking(id="rs_1")),
        ThinkingDelta(index=0, text="Let me ", summary=0),
        ThinkingDelta(index=0, text="see.", summary=0),
        SignatureDelta(index=0, signature=SEALED),
        PartEnd(index=0),
        PartStart(index=1, part=Text(text="")),
        TextDelta(index=1, text="Hello"),
        TextDelta(index=1, text=", world"),
        PartEnd(index=1),
        PartStart(index=2, part=ToolCall(id="call_1", name="f", item_id="fc_1")),
        ArgumentsDelta(index=2, text='{"a":'),
        ArgumentsDelta(index=2, text="1}"),
        PartEnd(index=2),
        Finish(reason="tool_calls"),
        UsageDelta(usage=Usage(input=3, output=5)),
        Done(),
    ]
    return encoded(deltas)


Step = Callable[[Event], Any]


class _Hook:
    """What an interception needs to know of the plugin whose handler it runs."""

    patience = 3

    class breaker:
        in_a_row = 0

    def failed(self, fault: BaseException) -> BaseException:
        raise fault


class _Trace:
    def __init__(self) -> None:
        self.costs: list[Any] = []


async def through(step: Step, events: Sequence[Event] | None = None, size: int = 1) -> list[Event]:
    """Return what a client gets of a stream behind a handler; it comes in reads of some events each."""
    given = list(events if events is not None else whole_stream())
    trace: Any = _Trace()
    interception = Interception(RESPONSES, [Handler(_Hook(), step, trace)], trace)  # type: ignore[arg-type]
    raw = b""
    for at in range(0, len(given), size):
        read = given[at : at + size]
        raw += await interception.take(read, b"".join(event.raw for event in read), lambda: None)  # type: ignore[arg-type,return-value]
        if interception.ended is not None:
            break
    return events_of(raw)


def texts(response: dict[str, Any]) -> list[str]:
    return [part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]]


def only(name: str, answer: Any) -> Step:
    return lambda event: answer(event) if event.name == name else None


async def test_a_stream_that_nobody_changes_leaves_as_it_came() -> None:
    events = whole_stream()
    assert b"".join(event.raw for event in await through(lambda event: None, events)) == b"".join(event.raw for event in events)


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_replaced_words_are_repeated_in_their_new_form(size: int) -> None:
    events = await through(lambda event: event.with_text(event.text.upper()) if event.text else None, size=size)
    assert texts(check_stream(events)) == ["HELLO, WORLD"]
    assert types_of(events) == types_of(whole_stream())


async def test_thoughts_and_arguments_that_were_changed_are_repeated_in_their_new_form() -> None:
    def step(event: Event) -> Event | None:
        if event.thinking or event.arguments:
            return event.with_changes({("delta",): event.json["delta"].replace("see", "look").replace("1", "2")})
        return None

    last = check_stream(await through(step))
    assert last["output"][0]["summary"][0]["text"] == "Let me look."
    assert last["output"][2]["arguments"] == '{"a":2}'


async def test_a_dropped_increment_leaves_no_gap() -> None:
    events = await through(lambda event: [] if event.text == "Hello" else None)
    assert texts(check_stream(events)) == [", world"]


async def test_all_increments_dropped_leave_an_empty_text() -> None:
    assert texts(check_stream(await through(lambda event: [] if event.text else None))) == [""]


async def test_an_added_increment_counts_in_the_repeated_text() -> None:
    events = await through(lambda event: [event, event.with_text("!")] if event.text == ", world" else None)
    assert texts(check_stream(events)) == ["Hello, world!"]


@pytest.mark.parametrize(
    ("at", "left"), [(0, ["message", "function_call"]), (1, ["reasoning", "function_call"]), (2, ["reasoning", "message"])]
)
async def test_a_dropped_item_takes_all_of_it_along(at: int, left: list[str]) -> None:
    step = only("response.output_item.added", lambda event: [] if event.json["output_index"] == at else None)
    assert [item["type"] for item in check_stream(await through(step))["output"]] == left


@pytest.mark.parametrize("name", sorted({event.name for event in whole_stream()} - {"response.output_item.added", "response.in_progress"}))
async def test_every_kind_of_event_can_be_dropped(name: str) -> None:
    last = check_stream(await through(only(name, lambda event: [])))
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call"]


async def test_words_added_after_their_message_get_a_message_of_their_own() -> None:
    words: list[Event] = []

    def step(event: Event) -> Any:
        if event.text:
            words.append(event)
        return [event, words[-1].with_text("(fin)")] if event.name == "response.output_item.done" and words else None

    events = await through(step)
    assert texts(check_stream(events)) == ["Hello, world", "(fin)", "(fin)"]


async def test_words_added_while_a_call_is_open_wait_for_its_end() -> None:
    words: list[Event] = []

    def step(event: Event) -> Any:
        if event.text:
            words.append(event)
        return [words[-1].with_text("(late)"), event] if event.arguments else None

    events = await through(step)
    last = check_stream(events)
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call", "message"]
    assert texts(last) == ["Hello, world", "(late)(late)"]
    assert last["output"][2]["arguments"] == '{"a":1}'


async def test_words_that_still_wait_are_said_before_the_end() -> None:
    words: list[Event] = []

    def step(event: Event) -> Any:
        if event.text:
            words.append(event)
        return End([event, words[-1].with_text("(late)")]) if event.arguments else None

    assert texts(check_stream(await through(step))) == ["Hello, world", "(late)"]


async def test_an_item_that_a_handler_adds_is_numbered_in() -> None:
    item = {"id": "fc_9", "type": "function_call", "status": "completed", "call_id": "call_9", "name": "g", "arguments": "{}"}

    def step(event: Event) -> Any:
        if event.name != "response.output_item.done" or event.json["item"]["type"] != "message":
            return None
        added = [{"type": "response.output_item.added", "output_index": 40, "item": {**item, "arguments": ""}},
                 {"type": "response.function_call_arguments.delta", "output_index": 40, "item_id": "fc_9", "delta": "{}"},
                 {"type": "response.function_call_arguments.done", "output_index": 40, "item_id": "fc_9", "arguments": "{}"},
                 {"type": "response.output_item.done", "output_index": 40, "item": item}]  # fmt: skip
        return [event, *map(event_of, added)]

    last = check_stream(await through(step))
    assert [one.get("call_id", "") for one in last["output"]] == ["", "", "call_9", "call_1"]


async def test_end_closes_what_is_open_and_says_why() -> None:
    events = await through(lambda event: End([event.with_text("[cut]")], finish="length") if event.text == ", world" else None)
    last = check_stream(events)
    assert texts(last) == ["Hello[cut]"]
    assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


async def test_end_in_the_middle_of_a_call_or_of_thoughts_still_ends_them() -> None:
    for name in ("response.function_call_arguments.delta", "response.reasoning_summary_text.delta"):
        last = check_stream(await through(only(name, lambda event: End())))
        assert last["status"] == "completed"


async def test_end_before_anything_still_begins() -> None:
    assert check_stream(await through(only("response.created", lambda event: End())))["output"] == []


# ------------------------------------------------------------------------------------ endings by the follower


def fed(count: int) -> Any:
    follower = RESPONSES.follow()
    for event in whole_stream()[:count]:
        follower.feed(event)
    return follower


@pytest.mark.parametrize("count", range(len(whole_stream())))
def test_a_stream_can_fail_at_any_place(count: int) -> None:
    ending = list(fed(count).fail(Error(status=502, message="the provider went away")))
    events = [*whole_stream()[:count], *ending]
    last = check_stream(events)
    assert last["status"] == "failed"
    assert last["error"] == {"code": "server_error", "message": "the provider went away"}
    assert types_of(ending)[-2:] == ["error", "response.failed"]
    assert ending[-2].error is not None
    assert ending[-2].error.message == "the provider went away"


@pytest.mark.parametrize("count", range(len(whole_stream())))
def test_a_stream_can_be_ended_at_any_place(count: int) -> None:
    events = [*whole_stream()[:count], *fed(count).finish("stop", Usage(input=1, output=2))]
    last = check_stream(events)
    assert last["usage"]["total_tokens"] == 3


def test_a_call_that_broke_off_is_not_said_to_be_done() -> None:
    at = types_of(whole_stream()).index("response.function_call_arguments.delta") + 1
    events = [*whole_stream()[:at], *fed(at).fail(Error(message="broken off"))]
    done = [event.json["item"]["type"] for event in events if event.name == "response.output_item.done"]
    assert done == ["reasoning", "message"]


def done_and_repeated(events: Sequence[Event]) -> list[tuple[str, str]]:
    """Return the status of each message where its item ends, and where the last event repeats it."""
    done = [event.json["item"] for event in events if event.name == "response.output_item.done"]
    return [
        (one["status"], again["status"])
        for one, again in zip(done, check_stream(events)["output"], strict=True)
        if one["type"] == "message"
    ]


def test_a_message_that_broke_off_is_incomplete() -> None:
    at = types_of(whole_stream()).index("response.output_text.delta") + 1
    assert done_and_repeated([*whole_stream()[:at], *fed(at).fail(Error(message="broken off"))]) == [("incomplete", "incomplete")]


@pytest.mark.parametrize(("reason", "status"), [("length", "incomplete"), ("stop", "completed")])
def test_a_message_that_is_ended_is_as_complete_as_its_answer(reason: Any, status: str) -> None:
    at = types_of(whole_stream()).index("response.output_text.delta") + 1
    assert done_and_repeated([*whole_stream()[:at], *fed(at).finish(reason, None)]) == [(status, status)]


def test_a_message_that_had_ended_before_the_break_stays_complete() -> None:
    at = types_of(whole_stream()).index("response.function_call_arguments.delta") + 1
    assert done_and_repeated([*whole_stream()[:at], *fed(at).fail(Error(message="broken off"))]) == [("completed", "completed")]


def test_nothing_is_missing_after_the_last_event() -> None:
    follower = fed(len(whole_stream()))
    assert follower.complete
    assert list(follower.finish("stop", None)) == []
    assert list(follower.fail(Error(message="late"))) == []
    assert list(follower.admit(whole_stream()[0], True)) == []


def test_an_error_of_the_upstreams_is_followed_by_the_failed_answer_alone() -> None:
    follower = fed(3)
    follower.feed(event_of({"type": "error", "sequence_number": 3, "error": {"code": "rate_limit_exceeded", "message": "slow down"}}))
    assert follower.complete
    (failed,) = follower.finish("stop", None)
    assert failed.json["type"] == "response.failed"
    assert failed.json["sequence_number"] == 4
    assert failed.json["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}


def test_the_error_events_for_a_stream_of_which_nothing_is_known_begin_it() -> None:
    events = list(RESPONSES.follow().fail(Error(status=429, message="slow down")))
    assert types_of(events) == ["response.created", "error", "response.failed"]
    assert check_stream(events)["error"]["code"] == "rate_limit_exceeded"
