"""What is asked of single events and of answers that pass on as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jackfield.api import Usage
from jackfield.api.canonical import ArgumentsDelta, Done, Finish, PartStart, TextDelta, ThinkingDelta, ToolCall, UsageDelta
from tests.plugins.openai.chat_wire import CHAT, answer, chunk, chunk_event


def test_an_event_says_what_it_adds_and_nothing_else() -> None:
    assert list(chunk_event(chunk({"content": "a"})).deltas) == [TextDelta(index=0, text="a")]
    assert list(chunk_event(chunk({"role": "assistant", "content": ""})).deltas) == []
    assert list(chunk_event(chunk({"reasoning": "hm"})).deltas) == [ThinkingDelta(index=0, text="hm")]
    assert list(chunk_event(chunk({"reasoning": "hm", "reasoning_content": "hm"})).deltas) == [ThinkingDelta(index=0, text="hm")]
    assert list(chunk_event(chunk({"refusal": "no"})).deltas) == [TextDelta(index=0, text="no")]
    assert list(chunk_event(chunk(finish="length", index=1)).deltas) == [Finish(choice=1, reason="length")]
    assert list(CHAT.event(b"[DONE]").deltas) == [Done()]


def test_an_event_says_which_call_it_goes_on_with() -> None:
    start = {"index": 1, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    assert list(chunk_event(chunk({"tool_calls": [start]})).deltas) == [
        PartStart(index=1, part=ToolCall(id="c", name="f")),
        ArgumentsDelta(index=1, text="{"),
    ]
    assert chunk_event(chunk({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]})).arguments == "}"


def test_counts_words_and_end_in_one_event() -> None:
    event = chunk_event(chunk({"content": "a"}, finish="stop", usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}))
    assert (event.text, event.finish) == ("a", "stop")
    assert event.usage == Usage(input=3, output=1, extensions=event.usage.extensions)  # type: ignore[union-attr]
    assert [type(delta) for delta in event.deltas] == [TextDelta, Finish, UsageDelta]


def test_words_of_a_list_count_as_words() -> None:
    event = chunk_event(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]})
    )
    assert (event.text, event.thinking) == ("a", "hm")
    assert event.with_text("b").text == "b"
    assert event.with_text("b").thinking == "hm"


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"old"},"finish_reason":null}],"x":1.10}',
        b'data: {"id":"c", "choices": [ {"index": 0, "delta": {"content": "old"}, "finish_reason": null} ],"x":1.10}',
        b'data: {"id":"c","choices":[{"delta":{"content":"\\u006fld"}}],"x":1.10}',
        b'data: {"id":"c","choices":[{"delta":{"content":"old"},"message":{"content":"old"}}],"x":1.10}',
        b'data: {"id":"c","choices":[{"delta":{"refusal":"old"}}],"x":1.10}',
        b'data:{"id":"c","choices":[{"delta":\ndata:{"content":"old"}}],"x":1.10}',
    ],
)
def test_new_words_stand_in_the_place_of_the_old_ones(raw: bytes) -> None:
    event = CHAT.event_type(raw)
    changed = event.with_text('new "words"\u2028')
    assert changed.text == 'new "words"\u2028'
    assert b'"x":1.10' in changed.raw
    assert changed.json["choices"][0].get("message") == event.json["choices"][0].get("message")


def test_new_words_for_an_event_without_words_change_nothing() -> None:
    for event in (CHAT.event(b"[DONE]"), chunk_event(chunk(finish="stop")), chunk_event(chunk({"role": "assistant", "content": ""}))):
        assert event.with_text("new") is event
        assert CHAT.text_path(event) is None


def test_new_words_for_an_event_with_several_choices_stand_once() -> None:
    both = chunk({"content": "a"})
    both["choices"].append({"index": 1, "delta": {"content": "b"}})
    assert chunk_event(both).text == "ab"
    assert chunk_event(both).with_text("X").text == "X"


def test_the_ending_of_an_answer_begins_with_its_finish_reason_an_error_or_the_marker() -> None:
    ending = [chunk(finish="stop"), chunk({"content": "a"}, finish="stop"), {"error": {"message": "x"}}]
    going_on = [
        chunk({"content": "a"}),
        chunk({"content": '"finish_reason":"stop"'}),
        chunk(finish=""),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 1}},
    ]
    assert all(CHAT.ends(chunk_event(one)) for one in ending)
    assert not any(CHAT.ends(chunk_event(one)) for one in going_on)
    assert CHAT.ends(CHAT.event(b"[DONE]"))
    assert CHAT.ends(CHAT.event_type(b'data: {"choices":[{"delta":{},"finish_reason" : "stop"}]}'))


def test_everything_but_an_error_is_output() -> None:
    assert CHAT.commits(chunk_event(chunk({"role": "assistant", "content": ""})))
    assert CHAT.commits(chunk_event(chunk({"content": "an error"})))
    assert not CHAT.commits(chunk_event({"error": {"message": "x"}}))
    assert not CHAT.commits(chunk_event({"object": "error", "message": "x", "code": 500}))


def test_chunks_that_add_nothing_may_be_held_back() -> None:
    filled = {"content": None, "tool_calls": None, "function_call": {"name": "", "arguments": ""}, "audio": {}}
    nothing = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"role": "assistant", "content": None, "refusal": None, "reasoning": ""}),
        chunk(filled, finish=""),
        {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
    ]
    something = [
        chunk({"role": "assistant", "content": "a"}),
        chunk({"reasoning": "hm"}),
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"audio": {"id": "a"}}),
        chunk({}, finish="stop"),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 1}},
        {"id": "c", "choices": [{"index": 0, "delta": {"content": ""}}], "error": {"message": "x"}},
        {"error": {"message": "x"}},
        {"object": "error", "message": "x"},
    ]
    assert all(CHAT.lifecycle(chunk_event(one)) and CHAT.commits(chunk_event(one)) for one in nothing)
    assert not any(CHAT.lifecycle(chunk_event(one)) for one in something)
    assert not CHAT.lifecycle(CHAT.event(b"[DONE]"))
    assert not CHAT.lifecycle(CHAT.event(b"<html>"))


def test_a_glance_shows_the_counts() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 151,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    seen = CHAT.glance(json.dumps(answer({"content": "a"}, usage=usage)).encode())
    assert seen.usage == Usage(input=100, output=50, thinking=20, cache_read=40, total=151)
    assert seen.error is None


@pytest.mark.parametrize("usage", [{"prompt_tokens": "5", "completion_tokens": 2.0}, {"prompt_tokens": None}, {}, "none", [1]])
def test_a_glance_copes_with_odd_counts(usage: Any) -> None:
    assert CHAT.glance(json.dumps(answer({"content": "a"}, usage=usage)).encode()).error is None


def test_a_glance_at_embeddings_shows_the_counts() -> None:
    body = {"object": "list", "data": [{"embedding": [0.5], "index": 0}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}
    assert CHAT.glance(json.dumps(body).encode()).usage == Usage(input=3)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"error": {"message": "no credit", "code": 402}}, 402, "no credit"),
        ({"error": {"message": "odd", "type": "server_error"}}, 500, "odd"),
        ({"error": "gone"}, 500, "gone"),
        ({"object": "error", "message": "bad", "code": 400}, 400, "bad"),
        ({"detail": "no"}, 500, "no"),
    ],
)
def test_a_glance_finds_an_error_that_came_as_a_success(body: Any, status: int, message: str) -> None:
    error = CHAT.glance(json.dumps(body).encode()).error
    assert error is not None
    assert (error.status, error.message) == (status, message)


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html><body>busy</body></html>", b"{", b"null", b"[]", b"{}", b'{"object":"list"}', b'"x"', b"\xff\xfe", b'{"error":null}'],
)
def test_a_glance_at_what_is_no_answer_raises_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        CHAT.glance(raw)
