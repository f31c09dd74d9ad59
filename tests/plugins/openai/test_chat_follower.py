"""Streams of the dialect `openai.chat` that are changed, cut short or broken: what the client gets stays a valid stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from jackfield.api import Error, Event, Usage
from tests.plugins.openai.chat_wire import CHAT, assembled, chunk, chunk_event, decoded, stream

ROLE = {"role": "assistant", "content": ""}
CALL = {"index": 0, "id": "c0", "type": "function", "function": {"name": "f", "arguments": ""}}


def piece(index: int, text: str = "{}", **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": text, **more.pop("function", {})}, **more}]}


def call(index: int) -> dict[str, Any]:
    return piece(index, id=f"c{index}", type="function", function={"name": f"f{index}"})


def fed(*chunks: Any) -> Any:
    follower = CHAT.follow()
    for one in chunks:
        follower.feed(chunk_event(one))
    return follower


def shown(events: Sequence[Event]) -> list[Any]:
    return [event.json for event in events]


def test_a_stream_that_goes_through_unchanged_is_complete_at_its_last_finish_reason() -> None:
    follower = fed(chunk(ROLE), chunk({"content": "a"}))
    assert follower.complete is False
    follower.feed(chunk_event(chunk(finish="stop")))
    assert follower.complete is True
    assert [CHAT.terminal(event) for event in follower.finish("stop", None)] == [True]


def test_every_choice_must_have_ended() -> None:
    follower = fed(chunk(ROLE), chunk(ROLE, index=1), chunk(finish="stop"))
    assert follower.complete is False
    finish, done = follower.finish("length", None)
    assert finish.json["choices"] == [{"index": 1, "delta": {}, "finish_reason": "length"}]
    assert CHAT.terminal(done)


def test_nothing_is_missing_after_the_end_marker() -> None:
    follower = fed(chunk(ROLE), chunk(finish="stop"))
    follower.feed(CHAT.event(b"[DONE]"))
    assert follower.complete
    assert list(follower.finish("stop", Usage(input=1))) == []
    assert list(follower.fail(Error(message="x"))) == []
    assert list(follower.admit(chunk_event(chunk({"content": "late"})), True)) == []
    assert list(follower.drop(chunk_event(chunk(finish="stop")))) == []


def test_an_early_end_has_finish_reason_counts_and_marker_under_the_streams_own_names() -> None:
    follower = fed(chunk(ROLE), chunk({"content": "a"}))
    finish, usage, done = follower.finish("length", Usage(input=3, output=1))
    assert finish.json == {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}],
    }
    assert usage.json["choices"] == []
    assert usage.json["usage"]["total_tokens"] == 4
    assert CHAT.terminal(done)
    assert follower.complete


def test_an_end_before_anything_was_sent_still_names_the_speaker() -> None:
    finish, done = CHAT.follow().finish("stop", None)
    ChatCompletionChunk.model_validate_json(finish.data, strict=True)
    assert finish.json["choices"][0]["delta"]["role"] == "assistant"
    assert CHAT.terminal(done)


def test_counts_that_were_sent_are_not_sent_again() -> None:
    follower = fed(chunk(ROLE), chunk(finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}))
    assert [CHAT.terminal(event) for event in follower.finish("stop", Usage(input=9))] == [True]


def test_a_failure_is_told_and_ended() -> None:
    follower = fed(chunk(ROLE), chunk({"content": "a"}))
    error, done = follower.fail(Error(status=502, message="the provider went away"))
    assert error.json["error"]["message"] == "the provider went away"
    assert error.json["error"]["type"] == "server_error"
    assert error.error is not None
    assert CHAT.terminal(done)
    assert list(follower.fail(Error(message="again"))) == []
    assert list(follower.finish("stop", None)) == []


@pytest.mark.parametrize("name", ["", "error"])
def test_an_error_of_the_upstreams_leaves_only_the_marker_to_be_sent(name: str) -> None:
    follower = fed(chunk(ROLE))
    follower.feed(chunk_event({"error": {"message": "broken", "status_code": 500}}, name))
    assert follower.complete
    assert [CHAT.terminal(event) for event in follower.fail(Error(message="broken off"))] == [True]


def test_the_error_events_for_a_stream_of_which_nothing_is_known() -> None:
    error, done = CHAT.follow().fail(Error(status=401, message="who are you", code="invalid_api_key"))
    assert error.json == {"error": {"message": "who are you", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}}
    assert CHAT.terminal(done)


def test_words_that_a_handler_adds_get_the_streams_names() -> None:
    follower = fed(chunk(ROLE), chunk({"content": "a"}))
    for like in (None, chunk_event(chunk({"content": "x"}))):
        event = CHAT.text_event("more", like)
        assert event is not None
        (admitted,) = follower.admit(event, True)
        ChatCompletionChunk.model_validate_json(admitted.data, strict=True)
        assert {key: admitted.json[key] for key in ("id", "created", "model")} == {"id": "c-1", "created": 7, "model": "m"}
        assert admitted.text == "more"


def test_words_that_a_handler_adds_after_the_end_have_no_place() -> None:
    follower = fed(chunk(ROLE), chunk(finish="stop"))
    event = CHAT.text_event("late", None)
    assert event is not None
    assert list(follower.admit(event, True)) == []
    usage = chunk_event({"id": "c-1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert list(follower.admit(usage, False)) == [usage]


def test_what_a_handler_left_alone_keeps_its_bytes() -> None:
    follower = CHAT.follow()
    for event in stream(chunk(ROLE), chunk({"content": "a"}), chunk(call(0)), chunk(finish="tool_calls")):
        (leaving,) = follower.admit(event, False)
        assert leaving is event


def test_a_role_that_was_taken_out_stands_in_what_is_sent_next() -> None:
    follower = CHAT.follow()
    assert list(follower.drop(chunk_event(chunk(ROLE)))) == []
    (first,) = follower.admit(chunk_event(chunk({"content": "a"})), False)
    assert first.json["choices"][0]["delta"] == {"content": "a", "role": "assistant"}
    second = chunk_event(chunk({"content": "b"}))
    assert list(follower.admit(second, False)) == [second]


def test_an_answer_of_which_all_was_taken_out_still_has_a_speaker_and_an_end() -> None:
    follower = CHAT.follow()
    events = stream(chunk(ROLE), chunk({"content": "a"}), chunk({"content": "b"}, finish="stop"))
    leaving = [out for event in events for out in follower.drop(event)]
    assert shown(leaving)[0]["choices"][0] == {"index": 0, "delta": {"role": "assistant"}, "finish_reason": "stop"}
    assert CHAT.terminal(leaving[1])
    assert follower.complete


def test_taking_out_the_last_words_keeps_the_counts_beside_them() -> None:
    follower = fed(chunk(ROLE))
    (leaving,) = follower.drop(
        chunk_event(chunk({"content": "x"}, finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}))
    )
    assert leaving.text == ""
    assert leaving.finish == "stop"
    assert leaving.usage is not None


def test_a_call_that_was_taken_out_takes_its_arguments_along_and_others_move_up() -> None:
    follower = fed(chunk(ROLE))
    assert list(follower.drop(chunk_event(chunk(call(0))))) == []
    assert list(follower.admit(chunk_event(chunk(piece(0))), False)) == []
    leaving = [out for one in (call(1), piece(1)) for out in follower.admit(chunk_event(chunk(one)), False)]
    assert [out.json["choices"][0]["delta"]["tool_calls"][0]["index"] for out in leaving] == [0, 0]
    (end,) = follower.admit(chunk_event(chunk(finish="tool_calls")), False)
    assert end.finish == "tool_calls"
    response = assembled([chunk_event(chunk(ROLE)), *leaving, end])
    assert [(one.id, one.arguments) for one in response.tool_calls] == [("c1", "{}{}")]


def test_nobody_waits_for_calls_that_were_all_taken_out() -> None:
    follower = fed(chunk(ROLE))
    follower.drop(chunk_event(chunk(call(0))))
    (end,) = follower.admit(chunk_event(chunk(finish="tool_calls")), False)
    assert end.finish == "stop"


def test_a_call_that_a_handler_adds_gets_a_number_of_its_own() -> None:
    follower = fed(chunk(ROLE), chunk(call(0)), chunk(piece(0)))
    own = [chunk_event(chunk(piece(0, id="own", function={"name": "mine"}))), chunk_event(chunk(piece(0, "!")))]
    numbers = [out.json["choices"][0]["delta"]["tool_calls"][0]["index"] for event in own for out in follower.admit(event, True)]
    assert numbers == [1, 1]
    (upstream,) = follower.admit(chunk_event(chunk(call(1))), False)
    assert upstream.json["choices"][0]["delta"]["tool_calls"][0]["index"] == 2
    (more,) = follower.admit(chunk_event(chunk(piece(0, "?"))), False)
    assert more.json["choices"][0]["delta"]["tool_calls"][0]["index"] == 0


def test_a_stream_with_lists_for_content_is_followed_too() -> None:
    thought = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}
    follower = fed(chunk({"role": "assistant", **thought}), chunk({"content": "a"}), chunk(thought, finish="stop"))
    assert follower.complete
    assert len(follower.finish("stop", None)) == 1


def test_a_mended_stream_reads_as_a_whole() -> None:
    follower = CHAT.follow()
    events = stream(chunk(ROLE), chunk({"content": "one"}), chunk({"content": " two"}), chunk(finish="stop"))
    leaving = [out for event in events[:2] for out in follower.admit(event.with_text("ONE") if event.text else event, False)]
    leaving += follower.finish("length", None)
    response = assembled(leaving)
    assert (response.text, response.finish) == ("ONE", "length")
    assert decoded(leaving)[-1] is not None
