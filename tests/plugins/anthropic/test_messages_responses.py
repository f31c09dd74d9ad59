"""Whole answers of the dialect `anthropic.messages`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jackfield.api import Request, Response, Usage
from jackfield.api.canonical import (
    Audio,
    Choice,
    Citation,
    Document,
    Image,
    Logprobs,
    Message,
    Opaque,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from tests.plugins.anthropic.messages_wire import MESSAGES, answer, differences, normal, read_answer, read_request, valid, write_answer


def said(*parts: Any, finish: Any = "stop", **more: Any) -> Response:
    choice = Choice(message=Message(role="assistant", parts=parts), finish=finish, **more)
    return Response(id="chatcmpl-1", model="gpt-9", created=7, choices=(choice,), usage=Usage(input=10, output=5))


def written(*parts: Any, **more: Any) -> tuple[Any, list[Any]]:
    wire, losses = write_answer(said(*parts, **more))
    valid(wire)
    return wire, losses


def test_an_answer_from_elsewhere_is_one_that_anthropics_client_reads() -> None:
    wire, losses = written(
        Thinking(text="hm", signature=Signature(value="S", family="anthropic")),
        Text(text="hello"),
        ToolCall(id="a", name="f", arguments='{"b": 1}'),
    )
    message = valid(wire)
    assert [part.type for part in message.content] == ["thinking", "text", "tool_use"]
    assert (message.id, message.model, message.stop_reason) == ("chatcmpl-1", "gpt-9", "tool_use")
    assert losses == []


def test_an_answer_without_anything_is_valid() -> None:
    wire, losses = write_answer(Response())
    message = valid(wire)
    assert (message.content, message.stop_reason) == ([], "end_turn")
    assert message.id.startswith("msg_")
    assert losses == []


@pytest.mark.parametrize(
    ("finish", "parts", "word", "lost"),
    [
        ("stop", (), "end_turn", False),
        (None, (), "end_turn", False),
        ("length", (), "max_tokens", False),
        ("stop_sequence", (), "stop_sequence", False),
        ("tool_calls", (ToolCall(id="a", name="f"),), "tool_use", False),
        ("stop", (ToolCall(id="a", name="f"),), "tool_use", False),
        (None, (ToolCall(id="a", name="f"),), "tool_use", False),
        ("length", (ToolCall(id="a", name="f"),), "max_tokens", False),
        ("tool_calls", (), "end_turn", False),
        ("refusal", (), "refusal", False),
        ("stop", (Refusal(text="no"),), "refusal", True),
        ("content_filter", (), "refusal", True),
        ("pause", (), "pause_turn", False),
        ("context_length", (), "model_context_window_exceeded", False),
        ("error", (), "end_turn", True),
        ("other", (), "end_turn", True),
    ],
)
def test_why_an_answer_ended(finish: Any, parts: Any, word: str, lost: bool) -> None:
    wire, losses = written(*parts, finish=finish)
    assert wire["stop_reason"] == word
    assert bool(losses) is lost


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"), ("max_tokens", "length"), ("stop_sequence", "stop_sequence"), ("tool_use",
        "tool_calls"), ("pause_turn", "pause"),
        ("refusal", "refusal"), ("model_context_window_exceeded", "context_length"), ("compaction", "other"), ("new_reason", "other"),
    ],
)  # fmt: skip
def test_every_stop_reason_is_understood_and_comes_back(word: str, finish: str) -> None:
    content = [{"type": "tool_use", "id": "a", "name": "f", "input": {}}] if word == "tool_use" else []
    wire = answer(*content, stop_reason=word)
    response = read_answer(wire)
    assert response.finish == finish
    again, losses = write_answer(response)
    assert again["stop_reason"] == word
    assert losses == []


def test_a_refusal_keeps_its_reasons() -> None:
    wire = answer(stop_reason="refusal", stop_details={"type": "refusal", "category": "cyber", "explanation": "no"})
    assert differences(normal(wire), normal(write_answer(read_answer(wire))[0])) == []


def test_the_sequence_that_ended_an_answer_is_named() -> None:
    wire = answer({"type": "text", "text": "x"}, stop_reason="stop_sequence", stop_sequence="END")
    response = read_answer(wire)
    assert response.choices[0].stop_sequence == "END"
    assert write_answer(response)[0]["stop_sequence"] == "END"


# ------------------------------------------------------------------------------------------------------- usage


def test_cached_tokens_are_part_of_the_input() -> None:
    counts = {"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 30, "output_tokens": 7}
    details = {"output_tokens_details": {"thinking_tokens": 4}, "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}}
    wire = answer(usage={**counts, **details, "service_tier": "priority"})
    response = read_answer(wire)
    usage = response.usage
    assert usage is not None
    assert (usage.input, usage.output, usage.thinking, usage.cache_read, usage.cache_write) == (60, 7, 4, 30, 20)
    assert response.service_tier == "priority"
    assert differences(normal(wire), normal(write_answer(response)[0])) == []


def test_counts_from_elsewhere_leave_the_cached_ones_out_of_the_input() -> None:
    response = Response(
        id="r", model="m", usage=Usage(input=100, output=9, thinking=5, cache_read=60, cache_write=10), service_tier="default"
    )
    usage = valid(write_answer(response)[0]).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 60, 10)
    assert usage.output_tokens == 9
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 5
    assert usage.service_tier == "standard"


@pytest.mark.parametrize(
    "value", [{}, {"input_tokens": None}, {"input_tokens": -4, "output_tokens": 1e30}, {"output_tokens_details": 3}], ids=str
)
def test_odd_counts_are_survived(value: Any) -> None:
    raw = json.dumps(answer(usage=value)).encode()
    usage, seen = MESSAGES.decode_response(raw).usage, MESSAGES.glance(raw).usage
    assert usage is not None
    assert seen is not None
    assert (usage.input, usage.output, usage.thinking) == (seen.input, seen.output, seen.thinking)
    assert usage.input == usage.thinking == 0


def test_a_count_of_tokens() -> None:
    assert json.loads(MESSAGES.encode_count(Usage(input=42))) == {"input_tokens": 42}
    assert MESSAGES.decode_count(b'{"input_tokens": 42, "context_management": {}}').input == 42
    for raw in (b"[]", b"{}", b"x"):
        with pytest.raises(ValueError, match=r".+"):
            MESSAGES.decode_count(raw)


# ---------------------------------------------------------------------------------------- thoughts and signatures


def back(wire: Any) -> tuple[Any, ...]:
    """Return what a client's next request says of an answer that it was shown."""
    message = {"role": "assistant", "content": wire["content"]}
    request = read_request({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}, message]})
    return request.messages[1].parts


@pytest.mark.parametrize(
    ("part", "signature"),
    [
        (Thinking(text="hm", signature=Signature(value="S==", family="anthropic")), "S=="),
        (Thinking(text="hm", signature=Signature(value="S==", family="openai")), "jf1.openai.S=="),
        (Thinking(signature=Signature(value="S==", family="openai")), "jf1.openai.S=="),
        (Thinking(redacted=Signature(value="S==", family="xai")), "jf1.xai/redacted.S=="),
        (Thinking(text="hm"), "jf1.unsigned."),
    ],
    ids=str,
)
def test_a_thought_comes_back_from_the_client_as_it_was(part: Thinking, signature: str) -> None:
    wire, losses = written(part, Text(text="x"))
    assert wire["content"][0]["signature"] == signature
    assert back(wire) == (part, Text(text="x"))
    assert losses == []
    assert signature.startswith(tuple(needle.decode() for needle in MESSAGES.needles.tagged)) is (signature != "S==")


def test_encrypted_thoughts_of_anthropics_have_a_block_of_their_own() -> None:
    part = Thinking(redacted=Signature(value="D", family="anthropic"))
    wire, _ = written(part)
    assert wire["content"] == [{"type": "redacted_thinking", "data": "D"}]
    assert back(wire) == (part,)


def test_a_summary_is_shown_as_the_thought() -> None:
    wire, _ = written(Thinking(summary=("one", "two"), signature=Signature(value="S", family="openai")))
    assert wire["content"][0]["thinking"] == "one\n\ntwo"


def test_a_thought_that_says_nothing_is_no_block() -> None:
    wire, losses = written(Thinking(id="rs_1"), Text(text="x"))
    assert [part["type"] for part in wire["content"]] == ["text"]
    assert losses == []


def test_signatures_of_calls_come_back_to_their_calls() -> None:
    first = ToolCall(id="a", name="f", arguments="{}", signature=Signature(value="AB+/", family="gemini"))
    parts = (Thinking(text="hm"), first, ToolCall(id="b", name="g", arguments="{}"), Text(text="x"))
    wire, losses = written(*parts)
    assert [part["type"] for part in wire["content"]] == ["thinking", "thinking", "tool_use", "tool_use", "text"]
    assert losses == []
    assert back(wire) == parts
    assert read_answer(wire).choices[0].message.parts == parts


def test_a_thought_that_another_speaker_left_unsigned_comes_back_to_it() -> None:
    wire = answer({"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "x"})
    assert write_answer(read_answer(wire))[0]["content"] == wire["content"]
    request = {
        "model": "m",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": wire["content"]}],
    }
    losses: list[Any] = []
    again = MESSAGES.encode_request(read_request(request), "generate", losses)
    assert json.loads(again)["messages"][1]["content"] == wire["content"]
    assert losses == []


# --------------------------------------------------------------------------------------------------- other parts


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        (Refusal(text="no"), "changed"),
        (Audio(transcript="said"), "changed"),
        (Audio(id="a"), "dropped"),
        (Image(source=Source(data="AAAA", media_type="image/png")), "dropped"),
        (ServerToolCall(id="fs_1", name="file_search", arguments="{}"), "dropped"),
        (ServerToolResult(call_id="fs_1", name="file_search", content="[]"), "dropped"),
        (Opaque(dialect="gemini.generate", kind="executableCode", value="{}"), "dropped"),
        (Text(text="x", signature=Signature(value="S", family="gemini")), "dropped"),
        (Text(text="x", citations=(Citation(kind="file", title="f"),)), "dropped"),
        (Document(text="x"), "dropped"),
    ],
    ids=str,
)
def test_what_answers_of_messages_have_no_place_for(part: Any, lost: str | None) -> None:
    wire, losses = write_answer(said(part))
    assert [loss.what for loss in losses] == ([lost] if lost else [])
    if lost:
        valid(wire)


def test_a_text_that_says_nothing_is_no_block() -> None:
    wire, losses = written(Text(text=""), ToolCall(id="a", name="f"))
    assert [part["type"] for part in wire["content"]] == ["tool_use"]
    assert losses == []


def test_web_citations_of_others_are_shown_and_not_sent_to_anthropic() -> None:
    wire, losses = written(Text(text="x", citations=(Citation(url="https://a", title="t", quote="q", start=0, end=1),)))
    assert losses == []
    (cited,) = wire["content"][0]["citations"]
    assert (cited["url"], cited["cited_text"], cited["encrypted_index"]) == ("https://a", "q", "")
    (part,) = back(wire)
    request = Request(messages=(Message(role="user", parts=(Text(text="x"),)), Message(role="assistant", parts=(part,))))
    sent = json.loads(MESSAGES.encode_request(request, "count", losses))["messages"][1]["content"]
    assert sent == "x"
    assert [loss.path for loss in losses] == ["messages[1].parts[0].citations"]


def test_a_search_of_the_web_that_others_made_is_shown_and_comes_back() -> None:
    call = ServerToolCall(id="ws_1", name="web_search", arguments='{"query":"q"}')
    found = ServerToolResult(call_id="ws_1", name="web_search", content='[{"url":"https://a","title":"t"},{"url":"https://b"},{"odd":1}]')
    wire, losses = written(call, found, Text(text="x"))
    assert losses == []
    shown = wire["content"][1]
    assert [(hit["url"], hit["title"]) for hit in shown["content"]] == [("https://a", "t"), ("https://b", "https://b")]
    again = back(wire)
    assert again[0] == call
    assert isinstance(again[1], ServerToolResult)
    assert [hit["url"] for hit in json.loads(again[1].content)] == ["https://a", "https://b"]
    request = Request(messages=(Message(role="user", parts=(Text(text="x"),)), Message(role="assistant", parts=again)))
    losses = []
    MESSAGES.encode_request(request, "count", losses)
    assert [loss.path for loss in losses] == ["messages[1].parts[0]", "messages[1].parts[1]"], "Anthropic takes only its own"


def test_of_several_answers_the_first_is_told() -> None:
    choices = tuple(Choice(message=Message(role="assistant", parts=(Text(text=text),)), index=at) for at, text in enumerate("abc"))
    wire, losses = write_answer(Response(choices=choices))
    assert wire["content"] == [{"type": "text", "text": "a"}]
    assert [loss.path for loss in losses] == ["choices[1]", "choices[2]"]


def test_likelihoods_are_lost() -> None:
    _, losses = write_answer(said(Text(text="x"), logprobs=Logprobs(content=())))
    assert [loss.path for loss in losses] == ["choices[0].logprobs"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"null", b'{"content": "x"}', b"<html>", b"[" * 100_000])
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        MESSAGES.decode_response(raw)
    with pytest.raises(ValueError, match=r".+"):
        MESSAGES.glance(raw)


def test_a_glance_at_an_error_shows_it() -> None:
    seen = MESSAGES.glance(b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}')
    assert seen.error is not None
    assert (seen.error.status, seen.error.message) == (529, "busy")
    seen = MESSAGES.glance(b'{"error": {"message": "odd"}}')
    assert seen.error is not None


def test_a_glance_at_a_count_shows_it() -> None:
    assert MESSAGES.glance(b'{"input_tokens": 9}').usage == Usage(input=9)


def test_a_block_that_cannot_be_read_is_kept() -> None:
    blocks: list[Any] = [{"type": "text"}, {"type": "new_kind", "x": 1}, {"no": "type"}, {"type": "tool_use", "id": 3}]
    response = read_answer(answer(*blocks))
    assert [type(part) for part in response.choices[0].message.parts] == [Opaque] * 4
    assert write_answer(response)[0]["content"] == blocks
