"""What Anthropic really sends that its reference does not say, or says in passing: each must be survived, and restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Event, Headers, Request, Usage
from jackfield.api.canonical import (
    ArgumentsDelta,
    CitationDelta,
    Done,
    Finish,
    Message,
    Opaque,
    PartEnd,
    PartStart,
    ServerToolCall,
    ServerToolResult,
    Signature,
    SignatureDelta,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolResult,
    play,
)
from tests.plugins.anthropic.messages_wire import (
    MESSAGES,
    adds,
    assembled,
    begin,
    block,
    closes,
    decoded,
    differences,
    encoded,
    ends,
    event,
    events_of,
    exchange,
    normal,
    opens,
    over,
    read_answer,
    read_request,
    requests_of,
    streams_of,
    strictly,
    write_answer,
    write_request,
)


def recorded_stream(recordings: Path, name: str) -> list[Event]:
    return events_of(exchange(recordings, name)["response"]["sse"].encode())


def recorded_answer(recordings: Path, name: str) -> Any:
    return exchange(recordings, name)["response"]["body"]


def recorded_request(recordings: Path, name: str) -> Any:
    return exchange(recordings, name)["request"]["body"]


def same_answer(body: Any) -> bool:
    return differences(normal(body), normal(write_answer(read_answer(body))[0])) == []


def same_request(body: Any) -> bool:
    return differences(normal(body), normal(write_request(read_request(body))[0])) == []


def test_blanks_before_the_last_brace_or_at_the_end_of_a_line(recordings: Path) -> None:
    padded = [one for one in recorded_stream(recordings, "mirascope-e9518ba48665") if one.frame.endswith(b" }") or one.frame.endswith(b" ")]
    assert padded
    events = [
        MESSAGES.event_type(one.frame[:-1] + b"        }" if one.frame.endswith(b"}") else one.frame, one.name)
        for one in [begin(), *block(0, "Hello"), ends(), over()]
    ]
    assert assembled(events).text == "Hello"
    assert [one.text for one in events if one.text] == ["Hello"]
    spaced = [MESSAGES.event_type(one.frame + b"      ", one.name) for one in events]
    assert assembled(spaced).text == "Hello"


def test_pings_between_and_within_blocks_or_none(recordings: Path) -> None:
    counts = {sum(one.name == "ping" for one in events_of(raw)) for _, raw in streams_of(recordings)}
    assert {0, 1} <= counts
    ping = event("ping")
    plain = [begin(), *block(0, "a", "b"), *block(1, "c"), ends(), over()]
    pinged = [made for one in plain[:-1] for made in (one, ping)] + plain[-1:]
    assert decoded(pinged) == decoded(plain)
    assert not ping.deltas
    assert not MESSAGES.terminal(ping)


def test_the_first_piece_of_arguments_is_empty(recordings: Path) -> None:
    events = [
        begin(),
        opens(0, "tool_use"),
        adds(0, "input_json", partial_json=""),
        adds(0, "input_json", partial_json='{"a":1}'),
        closes(0),
    ]
    events += [ends("tool_use"), over()]
    assert assembled(events).tool_calls[0].arguments == '{"a":1}'
    assert [one.json["delta"]["partial_json"] for one in encoded(decoded(events)) if one.name == "content_block_delta"] == ["", '{"a":1}']
    first = next(one for one in recorded_stream(recordings, "ruby-llm-0ffdc7057fa4") if one.name == "content_block_delta")
    assert first.json["delta"]["partial_json"] == ""


@pytest.mark.parametrize("pieces", [(), ("",), ("", "")], ids=str)
def test_a_call_without_arguments_has_no_pieces_or_empty_ones(pieces: tuple[str, ...]) -> None:
    made = [adds(0, "input_json", partial_json=piece) for piece in pieces]
    events = [begin(), opens(0, "tool_use"), *made, closes(0), ends("tool_use"), over()]
    call = assembled(events).tool_calls[0]
    assert call.arguments == "{}"
    whole = read_answer({"content": [{"type": "tool_use", "id": call.id, "name": call.name, "input": {}}]})
    assert whole.tool_calls[0].arguments == "{}"
    again = encoded(decoded(events))
    assert [one.name for one in again] == [one.name for one in events]
    assert strictly(again).content[0]["input"] == {}


def test_a_call_without_arguments_that_was_recorded(recordings: Path) -> None:
    events = recorded_stream(recordings, "ruby-llm-0ffdc7057fa4")
    assert [call.arguments for call in assembled(events).tool_calls] == ["{}"]


def test_whole_blocks_in_their_beginning(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-47b7a0e39542")
    parts = assembled(events).choices[0].message.parts
    results = [part for part in parts if isinstance(part, ServerToolResult)]
    assert results
    assert json.loads(results[0].content)
    calls = [part for part in parts if isinstance(part, ServerToolCall)]
    assert {result.call_id for result in results} <= {call.id for call in calls}
    redacted = [begin(), opens(0, "redacted_thinking", data="D"), closes(0), ends(), over()]
    assert assembled(redacted).choices[0].message.parts == (Thinking(redacted=Signature(value="D", family="anthropic")),)


def test_a_beginning_that_holds_the_whole_answer(recordings: Path) -> None:
    events = recorded_stream(recordings, "ai-23f899113b8a")
    assert [one.name for one in events] == ["message_start", "message_stop"]
    response = assembled(events)
    assert (response.finish, [call.name for call in response.tool_calls]) == ("tool_calls", ["rollDie"])
    assert json.loads(response.tool_calls[0].arguments) == {"player": "player2"}
    deltas = decoded(events)
    assert [type(delta) for delta in deltas[-2:]] == [Finish, Done]


def test_a_signature_without_any_thought(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-b3e617dc323d")
    thought = read_answer(body).choices[0].message.parts[0]
    assert isinstance(thought, Thinking)
    assert thought.text == ""
    assert thought.signature is not None
    assert same_answer(body)
    events = [begin(), opens(0, "thinking"), adds(0, "signature", signature="S"), closes(0), *block(1, "x"), ends(), over()]
    assert [type(delta) for delta in decoded(events)[1:4]] == [PartStart, SignatureDelta, PartEnd]
    assert strictly(encoded(decoded(events))).content[0] == {"type": "thinking", "thinking": "", "signature": "S"}


def test_redacted_thoughts_several_before_the_text(recordings: Path) -> None:
    recorded = read_answer(recorded_answer(recordings, "pydantic-ai-9f9f0b8bffb4")).choices[0].message.parts
    assert sum(isinstance(part, Thinking) and part.redacted is not None for part in recorded) >= 1
    assert same_answer(recorded_answer(recordings, "pydantic-ai-9f9f0b8bffb4"))
    content = [{"type": "redacted_thinking", "data": "A"}, {"type": "redacted_thinking", "data": "B"}, {"type": "text", "text": "x"}]
    body = {"type": "message", "role": "assistant", "content": content, "usage": {"input_tokens": 1, "output_tokens": 1}}
    parts = read_answer({**body, "id": "m", "model": "m", "stop_reason": "end_turn"}).choices[0].message.parts
    assert [part.redacted.value for part in parts if isinstance(part, Thinking) and part.redacted] == ["A", "B"]


def test_many_small_texts_with_citations(recordings: Path) -> None:
    (single,) = assembled(recorded_stream(recordings, "ruby-llm-55017186ce44")).choices[0].message.parts
    assert isinstance(single, Text)
    assert [citation.kind for citation in single.citations] == ["document"]
    many = [raw for _, raw in streams_of(recordings) if raw.count(b"citations_delta") > 3]
    assert many
    for raw in many:
        texts = [part for part in assembled(events_of(raw)).choices[0].message.parts if isinstance(part, Text)]
        cited = [text for text in texts if text.citations]
        assert len(texts) > len(cited) > 1
        assert {citation.kind for text in cited for citation in text.citations} == {"url"}
        assert sum(isinstance(delta, CitationDelta) for one in events_of(raw) for delta in one.deltas) == raw.count(
            b'"type":"citations_delta"'
        )


def test_a_compaction_comes_whole_and_as_a_delta(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-9de7e298d491")
    part = read_answer(body).choices[0].message.parts[0]
    assert isinstance(part, Opaque)
    assert part.kind == "compaction"
    assert same_answer(body)
    assert body["usage"]["iterations"]
    events = [begin(), opens(0, "compaction", content=None), adds(0, "compaction", content="short"), closes(0), ends(), over()]
    (streamed,) = assembled(events).choices[0].message.parts
    assert isinstance(streamed, Opaque)
    assert json.loads(streamed.value) == {"type": "compaction", "content": "short"}
    assert strictly(encoded(decoded(events))).content == [{"type": "compaction", "content": "short"}]


def test_counts_come_again_and_larger_at_the_end(recordings: Path) -> None:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 1, "cache_creation_input_tokens": 2, "output_tokens": 1}
    more = {"input_tokens": 100, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 20, "output_tokens": 50}
    response = assembled([begin(usage=usage), ends(usage=more), over()])
    assert response.usage is not None
    assert (response.usage.input, response.usage.cache_read, response.usage.cache_write, response.usage.output) == (130, 10, 20, 50)
    events = recorded_stream(recordings, "mirascope-e9518ba48665")
    assert next(one for one in events if one.name == "message_delta").usage is not None


def test_output_tokens_at_the_beginning_are_no_total(recordings: Path) -> None:
    events = recorded_stream(recordings, "ruby-llm-0ffdc7057fa4")
    assert events[0].json["message"]["usage"]["output_tokens"] > 1
    response = assembled(events)
    last = next(one for one in events if one.name == "message_delta").json["usage"]["output_tokens"]
    assert response.usage is not None
    assert response.usage.output == last


def test_new_members_of_the_counts_come_back(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-36fb8b4e379b")
    assert {"cache_creation", "inference_geo"} <= body["usage"].keys()
    assert same_answer(body)
    brand_new = {
        "input_tokens": 1,
        "output_tokens": 2,
        "moon_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 1, "dream_tokens": 1},
    }
    assert same_answer({**body, "usage": brand_new})


def test_members_beside_the_content_come_back(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-36fb8b4e379b")
    more = {
        "stop_details": None,
        "container": {"id": "c", "expires_at": "2026-01-01T00:00:00Z"},
        "context_management": {"applied_edits": []},
        "diagnostics": {"cache_miss_reason": None},
        "input_transformations": [{"type": "thinking_dropped"}],
    }
    assert same_answer({**body, **more})
    (told,) = [one.json for one in encoded(list(play(read_answer({**body, **more})))) if one.name == "message_delta"]
    assert told["delta"]["container"] == more["container"]
    assert told["context_management"] == more["context_management"]


def test_a_call_made_by_code_keeps_its_caller(recordings: Path) -> None:
    assert "caller" in json.dumps(recorded_answer(recordings, "ruby-llm-44215f6a0da4"))
    assert same_answer(recorded_answer(recordings, "ruby-llm-44215f6a0da4"))
    caller = {"type": "code_execution_20250825", "tool_id": "srvtoolu_1"}
    events = [begin(), opens(0, "tool_use", caller=caller), closes(0), ends("tool_use"), over()]
    assert strictly(encoded(decoded(events))).content[0]["caller"] == caller


def test_an_answer_that_pauses(recordings: Path) -> None:
    events = [begin(), *block(0, "wait"), ends("pause_turn"), over()]
    assert assembled(events).finish == "pause"
    assert strictly(encoded(decoded(events))).stop_reason == "pause_turn"


def test_an_answer_without_content(recordings: Path) -> None:
    body = recorded_answer(recordings, "ruby-llm-d823d2d8db2d")
    assert body["content"] == []
    response = read_answer(body)
    assert (response.text, response.finish) == ("", "stop")
    assert same_answer(body)


def test_an_answer_names_a_dated_model(recordings: Path) -> None:
    one = exchange(recordings, "mirascope-6ffa2cee5d8c")
    body = one["response"].get("body")
    response = read_answer(body) if body else assembled(recorded_stream(recordings, "mirascope-6ffa2cee5d8c"))
    assert response.model.startswith(one["request"]["body"]["model"])
    assert response.model != one["request"]["body"]["model"]


def test_a_system_message_among_the_others(recordings: Path) -> None:
    body = recorded_request(recordings, "pydantic-ai-fec1de7e926d")
    request = read_request(body)
    assert [message.role for message in request.messages].index("system") > 0 or "system" not in body
    assert same_request(body)


def test_null_members_count_as_absent(recordings: Path) -> None:
    body = recorded_request(recordings, "mirascope-9bd256a2d811")
    assert "null" in json.dumps(body)
    assert same_request(body)
    nulls = {"type": "text", "text": "x", "cache_control": None, "citations": None}
    (part,) = read_request({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": [nulls]}]}).messages[0].parts
    assert part == Text(text="x")


def test_results_of_tools_that_hold_more_than_texts(recordings: Path) -> None:
    kinds: set[str] = set()
    for _, body in requests_of(recordings):
        results = [part for message in read_request(body).messages for part in message.parts if isinstance(part, ToolResult)]
        held = [part for result in results for part in result.parts]
        kinds |= {part.kind if isinstance(part, Opaque) else type(part).__name__ for part in held}
    assert kinds == {"Text", "Image", "Document", "tool_reference"}
    assert same_request(recorded_request(recordings, "pydantic-ai-fec1de7e926d"))


def test_an_error_has_the_id_of_its_request_beside_it(recordings: Path) -> None:
    one = exchange(recordings, "mirascope-4f1fce5eae6a")
    body = one["response"]["body"]
    assert body["request_id"].startswith("req_")
    error = MESSAGES.decode_error(one["response"]["status"], Headers(), json.dumps(body).encode())
    assert error.message == body["error"]["message"]
    assert json.loads(MESSAGES.encode_error(error)) == body


# -------------------------------------------------------------------------- what the recordings do not have


def test_an_error_in_the_middle_of_a_stream() -> None:
    bad = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    deltas = decoded([begin(), opens(0), adds(0, "text", text="x"), bad])
    client = strictly(encoded(deltas))
    assert client.error == {"type": "overloaded_error", "message": "Overloaded"}


def test_a_refusal_with_its_details() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": None}
    events = [
        begin(),
        *block(0, "I"),
        event("message_delta", delta={"stop_reason": "refusal", "stop_details": details}, usage={"output_tokens": 1}),
    ]
    events.append(over())
    assert assembled(events).finish == "refusal"
    (told,) = [one for one in encoded(decoded(events)) if one.name == "message_delta"]
    assert normal(told.json["delta"]) == {"stop_reason": "refusal", "stop_details": {"type": "refusal", "category": "bio"}}


def test_an_event_that_is_cut_off() -> None:
    raw = b"".join(one.raw for one in (begin(), opens(0), adds(0, "text", text="Hello")))
    deltas = decoded(events_of(raw[:-20]))
    assert not any(isinstance(delta, Done) for delta in deltas)
    assert not any(isinstance(delta, TextDelta) for delta in deltas)


def test_progress_of_hidden_thoughts_comes_back() -> None:
    events = [
        begin(),
        opens(0, "thinking"),
        adds(0, "thinking", thinking="", estimated_tokens=64),
        adds(0, "signature", signature="S"),
        closes(0),
    ]
    events += [ends(), over()]
    deltas = decoded(events)
    assert ThinkingDelta(index=0, text="", extensions={"anthropic.messages": {"estimated_tokens": 64}}) in deltas
    assert next(one.json["delta"] for one in encoded(deltas) if one.name == "content_block_delta")["estimated_tokens"] == 64


def test_the_same_block_number_twice() -> None:
    events = [begin(), *block(0, "a"), *block(0, "b"), ends(), over()]
    assert assembled(events).text == "ab"
    assert strictly(encoded(decoded(events))).text == "ab"


def test_arguments_keep_what_the_model_wrote() -> None:
    written = '{"price": 1.10, "big": 12345678901234567890123}'
    pieces = [adds(0, "input_json", partial_json=written[at : at + 9]) for at in range(0, len(written), 9)]
    events = [begin(), opens(0, "tool_use"), *pieces, closes(0), ends("tool_use"), over()]
    (call,) = assembled(events).tool_calls
    assert call.arguments == written
    assert any(isinstance(delta, ArgumentsDelta) for delta in decoded(events))
    body, _ = write_request_with(call)
    assert written.encode() in body


def write_request_with(call: ToolCall) -> tuple[bytes, list[Any]]:
    losses: list[Any] = []
    result = ToolResult(call_id=call.id, parts=(Text(text="ok"),))
    messages = (
        Message(role="user", parts=(Text(text="x"),)),
        Message(role="assistant", parts=(call,)),
        Message(role="tool", parts=(result,)),
    )
    return MESSAGES.encode_request(Request(model="m", messages=messages), "count", losses), losses


def test_counts_of_an_answer_nobody_counted() -> None:
    wire, losses = write_answer(read_answer({"id": "m", "model": "m", "content": [], "stop_reason": "end_turn"}))
    assert wire["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert losses == []
    assert MESSAGES.glance(json.dumps(wire).encode()).usage == Usage()
