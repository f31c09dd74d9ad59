"""Streams of the dialect `anthropic.messages` that are changed, cut short or broken: the strictest client accepts what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jackfield.api import End, Error, Event, Usage
from jackfield.api.testing import Harness, ScriptedUpstream, sse_answer
from tests.plugins.anthropic.messages_wire import (
    MESSAGES,
    adds,
    begin,
    block,
    closes,
    ends,
    event,
    events_of,
    opens,
    over,
    strictly,
    words,
)

TOOL = [opens(1, "tool_use"), adds(1, "input_json", partial_json='{"a":'), adds(1, "input_json", partial_json="1}"), closes(1)]
THOUGHT = [opens(0, "thinking"), adds(0, "thinking", thinking="hm"), adds(0, "signature", signature="S"), closes(0)]


def fed(*events: Event) -> Any:
    follower = MESSAGES.follow()
    for one in events:
        follower.feed(one)
    return follower


def through(events: Sequence[Event], handler: Any = lambda one: None) -> list[Event]:
    """Send a stream through a handler and a follower, as the host does from the handler's first answer on."""
    follower, leaving = MESSAGES.follow(), []
    for one in events:
        answer = handler(one)
        if answer is None:
            leaving += follower.admit(one, False)
        elif isinstance(answer, End):
            leaving += [out for made in answer.events for out in follower.admit(made, made is not one)]
            return [*leaving, *follower.finish(answer.finish, None)]
        elif not answer:
            leaving += follower.drop(one)
        else:
            leaving += [out for made in answer for out in follower.admit(made, made is not one)]
    return leaving


STREAM = [begin(), *block(0, "one", " two"), *TOOL, *block(2, "three"), ends("tool_use"), over()]


def test_what_nobody_changes_leaves_as_it_came() -> None:
    leaving = through(STREAM)
    assert leaving == STREAM
    assert all(out is one for out, one in zip(leaving, STREAM, strict=True))


def test_an_answer_is_complete_when_it_is_said_why_it_ended() -> None:
    follower = fed(begin(), *block(0, "x"))
    assert follower.complete is False
    follower.feed(ends())
    assert follower.complete is True
    assert [one.name for one in follower.finish("stop", None)] == ["message_stop"]
    assert list(follower.finish("stop", None)) == []


def test_an_answer_that_was_whole_at_its_beginning_is_complete() -> None:
    assert fed(begin(stop_reason="tool_use", content=[{"type": "tool_use"}])).complete


def test_an_early_end_closes_what_is_open() -> None:
    sent = [begin(), opens(0), words(0, "Hel")]
    follower = fed(*sent)
    leaving = follower.finish("length", Usage(input=9, output=4))
    assert [one.name for one in leaving] == ["content_block_stop", "message_delta", "message_stop"]
    client = strictly([*sent, *leaving])
    assert (client.text, client.stop_reason) == ("Hel", "max_tokens")
    assert client.message["usage"]["output_tokens"] == 4


def test_an_end_before_anything_was_sent_is_a_whole_answer() -> None:
    client = strictly(MESSAGES.follow().finish("stop", None))
    assert (client.content, client.stop_reason) == ([], "end_turn")


def test_a_failure_is_told_once_and_nothing_follows() -> None:
    follower = fed(begin(), opens(0), words(0, "x"))
    (told,) = follower.fail(Error(status=502, message="the provider went away"))
    assert told.name == "error"
    assert told.json == {"type": "error", "error": {"type": "api_error", "message": "the provider went away"}}
    assert MESSAGES.terminal(told)
    assert follower.complete
    assert list(follower.fail(Error(message="again"))) == []
    assert list(follower.finish("stop", None)) == []
    assert list(follower.admit(words(0, "y"), False)) == []
    assert list(follower.drop(ends())) == []


def test_after_an_error_of_the_upstreams_nothing_is_missing() -> None:
    follower = fed(begin(), event("error", error={"type": "overloaded_error", "message": "busy"}))
    assert follower.complete
    assert list(follower.fail(Error(message="broken off"))) == []


@pytest.mark.parametrize(
    "gone", ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
)
def test_whatever_is_dropped_the_stream_stays_one(gone: str) -> None:
    leaving = through(STREAM, lambda one: [] if one.name == gone else None)
    client = strictly(leaving)
    assert client.text == ("" if gone in ("content_block_start", "content_block_delta") else "one twothree")


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_any_one_event_may_be_dropped(at: int) -> None:
    wanted = {1: "three", 2: " twothree", 3: "onethree", 9: "one two", 10: "one two"}
    leaving = through(STREAM, lambda one: [] if one is STREAM[at] else None)
    if STREAM[at] in TOOL[1:3]:
        leaving = [one for one in leaving if one not in TOOL[1:3]]  # half of a call's arguments is no JSON
    assert strictly(leaving).text == wanted.get(at, "one twothree")


def test_a_block_that_loses_all_its_words_is_gone() -> None:
    leaving = through(STREAM, lambda one: [] if one.text in ("one", " two") else None)
    assert [one["type"] for one in strictly(leaving).content] == ["tool_use", "text"]


def test_a_block_whose_start_is_dropped_is_gone_whole_and_others_move_up() -> None:
    leaving = through(STREAM, lambda one: [] if one is STREAM[1] else None)
    client = strictly(leaving)
    assert [one["type"] for one in client.content] == ["tool_use", "text"]
    assert client.content[0]["input"] == {"a": 1}


def test_nobody_waits_for_calls_that_were_all_taken_out() -> None:
    leaving = through(STREAM, lambda one: [] if one is TOOL[0] else None)
    assert strictly(leaving).stop_reason == "end_turn"


def test_words_that_a_handler_adds_stand_in_the_open_block() -> None:
    leaving = through(STREAM, lambda one: [one, one.with_text("!")] if one.text == " two" else None)
    client = strictly(leaving)
    assert client.text == "one two!three"
    assert len(client.content) == 3


def test_words_that_a_handler_adds_after_a_block_get_their_own() -> None:
    last: list[Event] = []

    def footer(one: Event) -> Any:
        last[:] = [one] if one.text else last
        return [last[0].with_text("(fin)"), one] if one.name == "message_delta" else None

    client = strictly(through(STREAM, footer))
    assert [one.get("text") for one in client.content] == ["one two", None, "three", "(fin)"]


def test_words_that_a_handler_adds_within_a_call_wait_for_its_end() -> None:
    leaving = through(STREAM, lambda one: [one, words(0, "aside")] if one is TOOL[1] else None)
    client = strictly(leaving)
    assert [one["type"] for one in client.content] == ["text", "tool_use", "text", "text"]
    assert client.content[1]["input"] == {"a": 1}
    assert client.text == "one twoasidethree"


@pytest.mark.parametrize("before", [STREAM[1], STREAM[2], TOOL[0], TOOL[1], STREAM[-2]])
def test_a_block_that_a_handler_adds_is_numbered_in(before: Event) -> None:
    own = block(0, "mine")
    client = strictly(through(STREAM, lambda one: [*own, one] if one is before else None))
    assert "mine" in client.text
    assert client.text.replace("mine", "") == "one twothree"
    assert client.content[[one["type"] for one in client.content].index("tool_use")]["input"] == {"a": 1}


def test_a_block_that_a_handler_leaves_open_is_closed() -> None:
    leaving = through(STREAM, lambda one: [opens(7), words(7, "mine"), one] if one is STREAM[-2] else None)
    assert strictly(leaving).text == "one twothreemine"
    leaving = through(STREAM, lambda one: [opens(7), words(7, "mine"), one] if one is STREAM[1] else None)
    assert strictly(leaving).text == "mineone twothree"


def test_what_a_handler_adds_before_the_beginning_waits_for_one() -> None:
    client = strictly(through(STREAM, lambda one: [words(0, "early"), one] if one.name == "message_start" else None))
    assert client.text == "earlyone twothree"


def test_what_a_handler_adds_after_the_end_has_no_place() -> None:
    leaving = through(
        STREAM, lambda one: [one, words(0, "late"), ends(), begin()] if one.name in ("message_delta", "message_stop") else None
    )
    assert strictly(leaving).text == "one twothree"


@pytest.mark.parametrize("at", range(1, len(STREAM)))
def test_a_stream_may_be_ended_anywhere(at: int) -> None:
    leaving = through(STREAM, lambda one: End([words(0, "[cut]")], finish="length") if one is STREAM[at] else None)
    if at in (5, 6, 7, 8):
        leaving = [one for one in leaving if one.name != "content_block_delta" or one.json["delta"]["type"] != "input_json_delta"]
    client = strictly(leaving)
    assert client.over
    assert client.stop_reason in ("max_tokens", "tool_use")


def test_an_end_after_words_of_its_own_is_told_in_order() -> None:
    leaving = through(STREAM, lambda one: End([one.with_text("[cut]")], finish="length") if one.text == " two" else None)
    client = strictly(leaving)
    assert (client.text, client.stop_reason) == ("one[cut]", "max_tokens")


def test_pings_pass_and_may_be_dropped() -> None:
    with_ping = [begin(), event("ping"), *block(0, "x"), ends(), over()]
    assert [one.name for one in through(with_ping)][1] == "ping"
    assert all(one.name != "ping" for one in through(with_ping, lambda one: [] if one.name == "ping" else None))


# ------------------------------------------------------------------------------------- through a running host


class Interceptor:
    """A plugin with one stream handler."""

    id = "interceptor"

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def intercept_stream(self, call: Any, head: Any) -> Any:
        return self._handler


async def streamed(handler: Any, pieces: Sequence[bytes], *, end: bool = True) -> list[Event]:
    """Return what a client gets of a stream through a host with one handler."""
    async with ScriptedUpstream(sse_answer(pieces, end=end)) as upstream:
        server = {"base_url": upstream.url, "models": ["m"], "auth": "none"}
        config = {"plugins": {"anthropic": {"providers": {"acme": server}}}}
        async with Harness([Interceptor(handler)], config) as host:
            asked = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "x"}]}
            return events_of((await host.post("/v1/messages", asked)).body)


RAW = [one.raw for one in STREAM]


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (lambda one: one.with_text(one.text.upper()) if one.text else None, "ONE TWOTHREE"),
        (lambda one: [] if one.text == "one" else None, " twothree"),
        (lambda one: [one, one.with_text("!")] if one.text == "three" else None, "one twothree!"),
        (lambda one: End([one.with_text("[cut]")], finish="length") if one.text == " two" else None, "one[cut]"),
    ],
)
async def test_a_host_keeps_the_stream_whole(handler: Any, text: str) -> None:
    assert strictly(await streamed(handler, RAW)).text == text


async def test_a_host_ends_a_broken_stream_with_an_error() -> None:
    client = strictly(await streamed(lambda one: one.with_text(one.text.upper()) if one.text else None, RAW[:3], end=False))
    assert client.text == "ONE"
    assert client.error is not None
    assert client.error["type"] == "api_error"


async def test_a_host_gives_a_complete_answer_the_end_that_its_upstream_left_out() -> None:
    assert strictly(await streamed(lambda one: None, RAW[:-1])).text == "one twothree"
