"""Streams of Gemini's protocol that are changed, cut short or broken: what the client gets stays a valid stream, in both framings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from google.genai import types

from jackfield.api import End, Error, Event, Request, Response, Usage
from jackfield.api.canonical import Choice, Message, Text, play
from jackfield.api.canonical.mending import MendedStream, replaced
from jackfield_gemini.generate import GenerateDialect
from tests.plugins.gemini.gemini_wire import ARRAY, GEMINI, assembled, chunk

BOTH = pytest.mark.parametrize("dialect", [GEMINI, ARRAY], ids=["sse", "array"])
CALL = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}


def event(dialect: GenerateDialect, *parts: Any, **more: Any) -> Event:
    return dialect.event(json.dumps(chunk(*parts, **more)).encode())


def fed(dialect: GenerateDialect, *events: Event) -> Any:
    follower = dialect.follow()
    for one in events:
        follower.feed(one)
    return follower


def valid(events: Sequence[Event]) -> None:
    """Check what Google's SDK would read, and that each event is of the framing of its stream."""
    for one in events:
        types.GenerateContentResponse.model_validate_json(one.data, strict=True)


@BOTH
def test_a_stream_is_complete_at_its_last_finish_reason_and_nothing_is_missing_then(dialect: GenerateDialect) -> None:
    follower = fed(dialect, event(dialect, "a"))
    assert follower.complete is False
    follower.feed(event(dialect, "b", finish="STOP"))
    assert follower.complete is True
    assert list(follower.finish("stop", Usage(input=1))) == []
    assert list(follower.admit(event(dialect, "late"), True)) == []
    assert list(follower.fail(Error(message="late"))) == []


@BOTH
def test_every_candidate_must_have_ended(dialect: GenerateDialect) -> None:
    follower = fed(dialect, event(dialect, "a"), event(dialect, "b", index=1), event(dialect, "", finish="STOP"))
    assert follower.complete is False
    (end,) = follower.finish("length", None)
    assert [(c["index"], c["finishReason"]) for c in end.json["candidates"]] == [(1, "MAX_TOKENS")]


@BOTH
def test_an_early_end_has_a_reason_and_counts_under_the_streams_own_names(dialect: GenerateDialect) -> None:
    follower = fed(dialect, event(dialect, "a"))
    (end,) = follower.finish("length", Usage(input=3, output=1))
    valid([end])
    assert end.raw.endswith(b"\n\n" if dialect is GEMINI else b"}\n")
    assert end.json == {
        "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4},
        "modelVersion": "m",
        "responseId": "r-1",
    }
    assert follower.complete
    assert list(follower.finish("stop", None)) == []


@BOTH
def test_an_end_before_anything_was_sent(dialect: GenerateDialect) -> None:
    (end,) = dialect.follow().finish("stop", None)
    valid([end])
    assert end.json["responseId"]
    assert end.json["candidates"][0]["finishReason"] == "STOP"


@BOTH
def test_a_failure_is_the_last_word(dialect: GenerateDialect) -> None:
    follower = fed(dialect, event(dialect, "a"))
    (error,) = follower.fail(Error(status=502, message="the provider went away"))
    assert error.json == {"error": {"code": 502, "message": "the provider went away", "status": "UNAVAILABLE"}}
    assert dialect.terminal(error)
    assert list(follower.fail(Error(message="again"))) == []
    assert list(follower.finish("stop", None)) == []
    assert list(follower.admit(event(dialect, "late"), False)) == []
    assert list(follower.drop(event(dialect, "late", finish="STOP"))) == []


@BOTH
def test_after_an_error_of_the_upstreams_nothing_is_sent(dialect: GenerateDialect) -> None:
    error = dialect.event(b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}')
    follower = fed(dialect, event(dialect, "a"), error)
    assert follower.complete
    assert dialect.terminal(error)
    assert dialect.ends(error)
    assert list(follower.fail(Error(message="broken off"))) == []


@BOTH
def test_words_that_a_handler_adds_get_the_streams_names(dialect: GenerateDialect) -> None:
    follower = fed(dialect, event(dialect, "a"))
    for like in (None, event(dialect, "x")):
        made = dialect.text_event("more", like)
        assert made is not None
        (admitted,) = follower.admit(made, True)
        valid([admitted])
        assert (admitted.json["responseId"], admitted.json["modelVersion"], admitted.text) == ("r-1", "m", "more")


@BOTH
def test_what_a_handler_left_alone_keeps_its_bytes(dialect: GenerateDialect) -> None:
    follower = dialect.follow()
    for one in (event(dialect, "a"), event(dialect, CALL), event(dialect, "", finish="STOP")):
        (leaving,) = follower.admit(one, False)
        assert leaving is one


@BOTH
def test_taking_out_everything_leaves_a_valid_end(dialect: GenerateDialect) -> None:
    follower = dialect.follow()
    counts = {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}}
    events = [event(dialect, "a"), event(dialect, CALL), event(dialect, "b", finish="STOP", **counts)]
    leaving = [out for one in events for out in follower.drop(one)]
    assert len(leaving) == 1
    valid(leaving)
    assert (leaving[0].text, leaving[0].finish, leaving[0].usage) == ("", "stop", events[2].usage)
    assert follower.complete


def test_a_refused_prompt_is_an_ending_that_cannot_be_taken_out() -> None:
    refused = GEMINI.event(b'{"promptFeedback":{"blockReason":"SAFETY"}}')
    follower = GEMINI.follow()
    assert list(follower.drop(refused)) == [refused]
    assert follower.complete
    assert GEMINI.ends(refused)


@BOTH
def test_changed_words_read_as_a_whole(dialect: GenerateDialect) -> None:
    follower = dialect.follow()
    events = [
        event(dialect, "one"),
        event(dialect, {"text": "hm", "thought": True}),
        event(dialect, " two"),
        event(dialect, "", finish="STOP"),
    ]
    leaving = [out for one in events[:3] for out in follower.admit(one.with_text(one.text.upper()) if one.text else one, False)]
    leaving += follower.finish("length", None)
    valid(leaving)
    response = assembled(leaving)
    assert (response.text, response.thinking, response.finish) == ("ONE TWO", "hm", "length")


def ended(dialect: GenerateDialect, before: Sequence[Event], event: Event, answer: End) -> list[Event]:
    """Return what leaves of a stream whose last event a handler answers so, in the host's order of calls."""
    client = MendedStream(dialect)
    client.follow(before)
    leaving = [*before, *client.settle(replaced(event, event, answer)), *client.end(answer.finish)]
    valid(leaving)
    assert not client.missing()
    assert list(client.fail(Error(message="late"))) == []
    return leaving


COUNTS = {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}}


@BOTH
@pytest.mark.parametrize("words", ["STOP", "MAX_TOKENS", "SAFETY"])
def test_the_reason_of_an_early_end_stands_also_where_the_answered_event_says_another(dialect: GenerateDialect, words: Any) -> None:
    last = event(dialect, "b and more", finish=words, **COUNTS)
    leaving = ended(dialect, [event(dialect, "a ")], last, End([last.with_text("[cut]")], finish="length"))
    response = assembled(leaving)
    assert (response.text, response.finish) == ("a [cut]", "length")
    assert leaving[-1].json["usageMetadata"] == COUNTS["usageMetadata"]
    assert [one.json["responseId"] for one in leaving] == ["r-1"] * len(leaving)
    # Where it says so itself nothing is said twice.
    assert len(leaving) == (2 if words == "MAX_TOKENS" else 3)


def test_an_end_without_a_reason_keeps_that_of_the_answered_event() -> None:
    last = event(GEMINI, "b", finish="MAX_TOKENS", **COUNTS)
    leaving = ended(GEMINI, [event(GEMINI, "a")], last, End([last]))
    assert leaving[1] is last
    assert len(leaving) == 2


@BOTH
def test_an_end_of_a_translated_answer_has_its_reason(dialect: GenerateDialect) -> None:
    answer = Response(model="m", choices=(Choice(message=Message(role="assistant", parts=(Text(text="all"),)), finish="stop"),))
    (only,) = dialect.encode_stream(Request(stream=True), []).feed(list(play(answer)))
    response = assembled(ended(dialect, [], only, End([only, *only_text(dialect, "never")], finish="content_filter")))
    assert (response.text, response.finish) == ("all", "content_filter")


def only_text(dialect: GenerateDialect, words: str) -> list[Event]:
    made = dialect.text_event(words, None)
    return [made] if made is not None else []


@BOTH
def test_an_end_with_a_reason_ends_the_candidate_that_its_event_ends_and_those_that_are_open(dialect: GenerateDialect) -> None:
    before = [event(dialect, "a", finish="STOP"), event(dialect, "b", index=1), event(dialect, "c", index=2)]
    last = event(dialect, "d", index=1, finish="STOP")
    leaving = ended(dialect, before, last, End([last], finish="length"))
    assert [(c["index"], c["finishReason"]) for c in leaving[-1].json["candidates"]] == [(1, "MAX_TOKENS"), (2, "MAX_TOKENS")]


@pytest.mark.parametrize("text", ["", "a", '"', "text", "\u2028", "Größe"])
def test_words_are_replaced_and_nothing_else(text: str) -> None:
    for one in (
        event(GEMINI, "text", usageMetadata={"promptTokenCount": 1}),
        event(GEMINI, {"text": "hm", "thought": True}, "text", CALL, " more"),
    ):
        new = one.with_text(text)
        assert new.text == text
        rest, again = one.json, new.json
        for body in (rest, again):
            for part in body["candidates"][0]["content"]["parts"]:
                part.pop("text", None) if not part.get("thought") else None
        assert rest == again


def test_an_event_without_words_stays_as_it_is() -> None:
    one = event(GEMINI, CALL)
    assert one.with_text("x") is one
