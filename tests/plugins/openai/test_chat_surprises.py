"""What speakers of the dialect really send that its reference does not say: each must be survived, and restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Event, Headers, Request, Response
from jackfield.api.canonical import (
    Audio,
    Begin,
    Delta,
    Document,
    Done,
    Finish,
    Image,
    OpaqueDelta,
    PartStart,
    Signature,
    StreamError,
    TextDelta,
    Thinking,
    ToolCall,
    UsageDelta,
    Video,
)
from tests.plugins.openai.chat_wire import (
    CHAT,
    answer,
    assembled,
    chunk,
    chunk_event,
    decoded,
    differences,
    events_of,
    exchange,
    normal,
    read_answer,
    read_request,
    stream,
    write_answer,
    write_request,
)


def rewritten(events: list[Event]) -> list[Any]:
    decoder, encoder = CHAT.decode_stream(), CHAT.encode_stream(Request(stream=True, stream_usage=True), [])
    return [made.json for event in events for made in encoder.feed(decoder.feed(event)) if not CHAT.terminal(made)]


def recorded_stream(recordings: Path, name: str) -> list[Event]:
    return events_of(exchange(recordings, name)["response"]["sse"].encode())


def recorded_answer(recordings: Path, name: str) -> Any:
    return exchange(recordings, name)["response"]["body"]


def same_stream(events: list[Event]) -> bool:
    return differences(normal([event.json for event in events if not CHAT.terminal(event)]), normal(rewritten(events))) == []


def same_answer(body: Any) -> bool:
    return differences(normal(body), normal(write_answer(read_answer(body))[0])) == []


def of(kind: type[Any], deltas: list[Delta]) -> list[Any]:
    return [delta for delta in deltas if isinstance(delta, kind)]


# ------------------------------------------------------------------------------------------------ token counts


def test_usage_in_a_last_chunk_without_choices(recordings: Path) -> None:
    events = recorded_stream(recordings, "mirascope-d3987bf93c67")
    response = assembled(events)
    assert response.usage is not None
    assert (response.usage.input, response.usage.output, response.usage.thinking) == (14, 50, 50)
    assert response.finish == "length"
    assert same_stream(events)


def test_usage_in_a_chunk_that_still_has_a_choice(recordings: Path) -> None:
    events = recorded_stream(recordings, "openinference-62ff9b23bc95")
    deltas = decoded(events)
    assert of(UsageDelta, deltas)[0].usage.input == 96
    assert of(Finish, deltas)[0].reason == "tool_calls"
    assert same_stream(events)


def test_usage_that_grows_in_every_chunk(recordings: Path) -> None:
    events = recorded_stream(recordings, "ai-0fcfb94f45f0")
    found = of(UsageDelta, decoded(events))
    assert len(found) > 3
    assert assembled(events).usage == found[-1].usage
    assert same_stream(events)


def test_null_usage_in_all_chunks_but_the_last_is_no_usage(recordings: Path) -> None:
    events = recorded_stream(recordings, "mirascope-d3987bf93c67")
    assert [event.usage is not None for event in events] == [False, False, True, False]
    assert not any(needle in events[0].raw for needle in CHAT.needles.usage)


def test_usage_that_stands_only_where_groq_puts_it(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-c8326b573f29")
    usage = assembled(events).usage
    assert usage is not None
    assert usage.input == 5003
    assert same_stream(events)


@pytest.mark.parametrize("cost", [0.000222, {"request_cost": 0.005, "total_cost": 0.00502}])
def test_cost_in_usage_as_a_number_or_an_object(cost: Any) -> None:
    body = answer({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": cost})
    response = read_answer(body)
    assert response.usage is not None
    assert (response.usage.input, response.usage.output) == (1, 2)
    assert same_answer(body)


@pytest.mark.parametrize("key", ["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"])
def test_cached_tokens_under_the_names_of_others(key: str) -> None:
    body = answer({"content": "x"}, usage={"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102, key: 64})
    response = read_answer(body)
    assert response.usage is not None
    assert response.usage.cache_read == 64
    assert CHAT.glance(json.dumps(body).encode()).usage.cache_read == 64  # type: ignore[union-attr]
    assert same_answer(body)


# ---------------------------------------------------------------------------------------------------- padding


def test_random_padding_called_obfuscation(recordings: Path) -> None:
    events = recorded_stream(recordings, "mirascope-d3987bf93c67")
    assert [chunk["obfuscation"] for chunk in rewritten(events)] == ["w2moW", "DYZeqWuR5mBcNZ9", "X6oMm"]


def test_random_padding_called_p(recordings: Path) -> None:
    events = recorded_stream(recordings, "ruby-llm-a6cf6de30008")
    assert rewritten(events)[-1]["p"] == "a"
    assert assembled(events).tool_calls[0].name == "weather"


def test_comment_lines_between_events(recordings: Path) -> None:
    raw = exchange(recordings, "ruby-llm-5ae2d8c55b4b")["response"]["sse"].encode()
    assert b": OPENROUTER PROCESSING" in raw
    assert assembled(events_of(raw)).text == "1\n2\n3"


# ------------------------------------------------------------------------------------ what stands around an answer


def test_a_first_chunk_without_id_model_and_choices(recordings: Path) -> None:
    events = recorded_stream(recordings, "ruby-llm-73ff5b40a4cc")
    deltas = decoded(events)
    assert isinstance(deltas[0], Begin)
    assert deltas[0].id == "chatcmpl-EEbfrHnccAO8ZtkBZbyJLKyzG4nHr"
    assert "prompt_filter_results" in rewritten(events)[0]
    assert same_stream(events)


def test_filter_results_in_every_choice(recordings: Path) -> None:
    assert same_answer(recorded_answer(recordings, "ai-gateway-bb80bc4763c7"))
    assert same_stream(recorded_stream(recordings, "ai-0919636b9e91"))


def test_a_choice_with_both_delta_and_message(recordings: Path) -> None:
    body = recorded_answer(recordings, "ruby-llm-848c516672bd")
    assert read_answer(body).text == body["choices"][0]["message"]["content"]
    assert same_answer(body)


def test_a_message_that_grows_beside_the_deltas_is_not_read_twice() -> None:
    grown = [chunk({"role": "assistant", "content": "One"}), chunk({"content": " two"}), chunk(finish="stop")]
    for one, whole in zip(grown, ("One", "One two", "One two"), strict=True):
        one["choices"][0]["message"] = {"role": "assistant", "content": whole}
    events = stream(*grown)
    assert assembled(events).text == "One two"
    assert same_stream(events)


def test_another_object_at_the_end(recordings: Path) -> None:
    events = recorded_stream(recordings, "ai-0fcfb94f45f0")
    assert rewritten(events)[-1]["object"] == "chat.completion.done"


def test_no_end_marker(recordings: Path) -> None:
    events = [event for event in recorded_stream(recordings, "mirascope-d3987bf93c67") if not CHAT.terminal(event)]
    assert isinstance(decoded(events)[-1], Done)
    assert not of(Done, decoded(events[:1])), "an answer without a finish reason is not complete"


def test_an_end_marker_however_spaced() -> None:
    for data in (b"data: [DONE]", b"data:[DONE]", b"data:   [DONE] ", b"data: [DONE]\r"):
        event = CHAT.event_type(data)
        assert CHAT.terminal(event), data
        assert any(needle in data for needle in CHAT.needles.terminal)
        assert decoded([chunk_event(chunk({"content": "x"}, finish="stop")), event])[-1] == Done()
    assert not CHAT.terminal(chunk_event(chunk({"content": "[DONE]"})))


# ---------------------------------------------------------------------------------------------------- errors


def test_an_error_as_a_named_event(recordings: Path) -> None:
    deltas = decoded(recorded_stream(recordings, "pydantic-ai-d675f1b6d0fb"))
    error = deltas[-1]
    assert isinstance(error, StreamError)
    assert (error.error.status, error.error.code) == (400, "tool_use_failed")
    assert not of(Done, deltas)


@pytest.mark.parametrize("code", [502, "server_error"])
def test_an_error_inside_a_normal_chunk(code: Any) -> None:
    broken = chunk({"content": ""}, finish="error", provider="OpenAI", error={"code": code, "message": "Provider disconnected"})
    deltas = decoded(stream(chunk({"role": "assistant", "content": "One"}), broken))
    error = deltas[-1]
    assert isinstance(error, StreamError)
    assert error.error.message == "Provider disconnected"
    assert error.error.status == (502 if code == 502 else 500)
    assert not of(Finish, deltas)
    event = chunk_event(broken)
    assert event.error is not None
    assert not CHAT.commits(event)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"error": {"message": "slow down", "type": "server_error", "param": None, "code": None}}, "slow down"),
        ({"error": "gone"}, "gone"),
        ({"object": "error", "message": "no memory", "type": "InternalServerError", "code": 500}, "no memory"),
        ({"detail": "not today"}, "not today"),
        ({"code": "internal", "error": "odd"}, "odd"),
    ],
)
def test_errors_in_a_stream_in_every_form(data: Any, message: str) -> None:
    last = decoded(stream(chunk({"role": "assistant", "content": "One"}), data))[-1]
    assert isinstance(last, StreamError)
    assert last.error.message == message
    event = chunk_event(data)
    assert event.error is not None
    assert event.error.message == message
    assert any(needle in json.dumps(data, separators=(",", ":")).encode() for needle in CHAT.needles.error)


def test_a_named_error_without_words_is_an_error() -> None:
    event = CHAT.event(b"boom", "error")
    assert isinstance(decoded([chunk_event(chunk({"role": "assistant", "content": "One"})), event])[-1], StreamError)
    assert event.error is not None
    follower = CHAT.follow()
    follower.feed(event)
    assert follower.complete


def test_an_error_body_with_detail(recordings: Path) -> None:
    body = recorded_answer(recordings, "ruby-llm-0f588131a968")
    error = CHAT.decode_error(401, Headers(), json.dumps(body).encode())
    assert error.message == "Invalid API Key"


def test_an_error_with_an_integer_code_and_the_upstreams_own_words(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-99109a79c86a")
    error = CHAT.decode_error(429, Headers(), json.dumps(body).encode())
    assert error.code == "429"
    written = json.loads(CHAT.encode_error(error))
    assert written["error"]["metadata"] == body["error"]["metadata"]
    assert written["error"]["code"] == 429
    assert written["user_id"] == body["user_id"]


def test_an_error_with_what_the_model_wrote(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-023971f35871")
    error = CHAT.decode_error(400, Headers(), json.dumps(body).encode())
    assert json.loads(CHAT.encode_error(error))["error"]["failed_generation"] == body["error"]["failed_generation"]


# ----------------------------------------------------------------------------------------------- how answers end


def test_two_chunks_in_a_row_with_a_finish_reason(recordings: Path) -> None:
    events = recorded_stream(recordings, "ruby-llm-5ae2d8c55b4b")
    assert len(of(Finish, decoded(events))) == 1
    assert same_stream(events)


def test_a_native_finish_reason_beside_the_usual_one(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-6c3457caafc3")
    assert read_answer(body).finish == "stop"
    assert write_answer(read_answer(body))[0]["choices"][0]["native_finish_reason"] == body["choices"][0]["native_finish_reason"]


def test_an_empty_finish_reason_ends_nothing_in_a_stream_and_is_kept_in_an_answer(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-4ac0314faff2")
    assert read_answer(body).finish is None
    assert write_answer(read_answer(body))[0]["choices"][0]["finish_reason"] == ""
    events = stream(chunk({"role": "assistant", "content": "One"}, finish=""), chunk({"content": " two"}, finish=""), chunk(finish="stop"))
    assert assembled(events).text == "One two"
    assert len(of(Finish, decoded(events))) == 1


@pytest.mark.parametrize(
    ("word", "reason"), [("eos", "stop"), ("model_length", "length"), ("sensitive", "content_filter"), ("weird", "other")]
)
def test_finish_reasons_of_other_speakers(word: str, reason: str) -> None:
    body = answer({"content": "x"}, finish=word)
    assert read_answer(body).finish == reason
    assert same_answer(body)
    events = stream(chunk({"role": "assistant", "content": "x"}), chunk(finish=word))
    assert assembled(events).finish == reason
    assert same_stream(events)


def test_the_finish_reason_stop_although_tools_were_called(recordings: Path) -> None:
    body = recorded_answer(recordings, "mirascope-71c2b033e599")
    response = read_answer(body)
    assert response.finish == "stop"
    assert response.tool_calls[0].arguments == '{"output":3}'
    assert same_answer(body)


def test_a_stop_reason_that_is_a_token_or_a_text(recordings: Path) -> None:
    assert same_answer(recorded_answer(recordings, "openllmetry-b28eba8ddc8a"))
    body = answer({"content": "x"})
    body["choices"][0].update(stop_reason=154827, token_ids=None)
    assert read_answer(body).choices[0].stop_sequence is None
    assert same_answer(body)
    body["choices"][0]["stop_reason"] = "###"
    assert read_answer(body).choices[0].stop_sequence == "###"
    assert same_answer(body)


def test_a_seed_of_many_digits_keeps_all_of_them(recordings: Path) -> None:
    body = recorded_answer(recordings, "openinference-e5b20f19e7cf")
    assert write_answer(read_answer(body))[0]["choices"][0]["seed"] == 10570679248326920000
    assert write_answer(read_answer(body))[0]["prompt"] == []


# ------------------------------------------------------------------------------------------------------ deltas


def test_the_role_in_every_delta(recordings: Path) -> None:
    events = recorded_stream(recordings, "mirascope-6723902d65f2")
    assert same_stream(events)
    assert len(of(Begin, decoded(events))) == 1


def test_a_first_delta_without_a_role(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-c8326b573f29")
    assert assembled(events).thinking.startswith("<think>")
    assert same_stream(events)


def test_a_whole_tool_call_in_one_delta_without_an_index(recordings: Path) -> None:
    events = recorded_stream(recordings, "openinference-62ff9b23bc95")
    call = assembled(events).tool_calls[0]
    assert (call.id, call.name, call.arguments) == ("EscTeQY62", "get_weather", '{"city": "San Francisco"}')
    assert same_stream(events)


def test_several_whole_calls_without_an_index_or_all_with_the_same() -> None:
    def call(at: int, **index: int) -> dict[str, Any]:
        return {**index, "id": f"call_{at}", "type": "function", "function": {"name": f"f{at}", "arguments": "{}"}}

    for pieces in ([call(0), call(1)], [call(0, index=0), call(1, index=0)]):
        together = stream(chunk({"role": "assistant", "tool_calls": pieces}, finish="tool_calls"))
        apart = stream(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk(finish="tool_calls"))
        for events in (together, apart):
            assert [(c.id, c.name, c.arguments) for c in assembled(events).tool_calls] == [("call_0", "f0", "{}"), ("call_1", "f1", "{}")]
            assert same_stream(events)


def test_a_tool_call_without_type(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-6fd11bd2b478")
    assert read_answer(body).tool_calls[0].kind == "function"
    assert same_answer(body)


def test_a_tool_call_with_an_empty_id_gets_one_that_others_accept() -> None:
    body = answer({"content": None, "tool_calls": [{"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}]})
    call = read_answer(body).tool_calls[0]
    assert call.id.startswith("call_")
    assert read_answer(body).tool_calls[0].id == call.id
    assert same_answer(body)
    first = {"index": 0, "id": "", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "id": "", "type": "function", "function": {"name": "", "arguments": "{}"}}
    events = stream(chunk({"role": "assistant", "tool_calls": [first]}), chunk({"tool_calls": [more]}), chunk(finish="tool_calls"))
    assert [(bool(c.id), c.arguments) for c in assembled(events).tool_calls] == [(True, "{}")]
    assert same_stream(events)


@pytest.mark.parametrize("calls", [None, []])
def test_no_tool_calls_said_in_so_many_words(calls: Any) -> None:
    body = answer({"content": "x", "tool_calls": calls})
    assert read_answer(body).tool_calls == ()
    assert same_answer(body)


def test_content_absent_null_or_empty_beside_tool_calls(recordings: Path) -> None:
    assert same_answer(recorded_answer(recordings, "pydantic-ai-b655f10498f9"))
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for content in ({}, {"content": None}, {"content": ""}):
        body = answer({**content, "tool_calls": [call]}, finish="tool_calls")
        assert [type(part) for part in read_answer(body).choices[0].message.parts] == [ToolCall]
        assert same_answer(body)


def test_content_as_a_list_with_thinking_parts(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-f762730d8eb0")
    response = read_answer(body)
    assert response.text == "4"
    assert response.thinking.startswith("The user is asking")
    assert same_answer(body)
    events = recorded_stream(recordings, "prism-f80d47c3b9ad")
    assert assembled(events).thinking.startswith("The question")
    assert same_stream(events)


def test_reasoning_under_reasoning_content(recordings: Path) -> None:
    body = recorded_answer(recordings, "ruby-llm-f5d77772a3a1")
    assert read_answer(body).thinking == body["choices"][0]["message"]["reasoning_content"]
    assert same_answer(body)


def test_reasoning_under_reasoning(recordings: Path) -> None:
    body = recorded_answer(recordings, "ruby-llm-d7787298c721")
    assert read_answer(body).thinking == body["choices"][0]["message"]["reasoning"]
    assert "reasoning" in write_answer(read_answer(body))[0]["choices"][0]["message"]
    assert same_answer(body)


def test_reasoning_details_with_a_signature(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-026bd2d56436")
    thought = read_answer(body).choices[0].message.parts[0]
    detail = body["choices"][0]["message"]["reasoning_details"][0]
    assert isinstance(thought, Thinking)
    assert thought.signature == Signature(value=detail["signature"], family="anthropic")
    assert thought.text == detail["text"]
    assert same_answer(body)


def test_reasoning_details_with_encrypted_data(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-095551f58282")
    thought = read_answer(body).choices[0].message.parts[0]
    summary, sealed = body["choices"][0]["message"]["reasoning_details"]
    assert isinstance(thought, Thinking)
    assert thought.signature == Signature(value=sealed["data"], family="openai")
    assert thought.summary == (summary["summary"],)
    assert thought.id == sealed["id"]
    assert same_answer(body)


def test_redacted_thoughts_of_anthropics_models() -> None:
    detail = {"type": "reasoning.encrypted", "data": "c2VhbGVk", "format": "anthropic-claude-v1", "index": 0}
    body = answer({"content": "x", "reasoning_details": [detail]})
    assert read_answer(body).choices[0].message.parts[0] == Thinking(
        redacted=Signature(value="c2VhbGVk", family="anthropic"),
        extensions={"openai.chat": {"reasoning_details": [{"type": "reasoning.encrypted", "format": "anthropic-claude-v1", "index": 0}]}},
    )
    assert same_answer(body)
    assert same_stream(stream(chunk({"role": "assistant", "reasoning_details": [detail]}), chunk({"content": "x"}), chunk(finish="stop")))


def test_null_reasoning_and_null_content_take_turns(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-fb0dae395fd0")
    response = assembled(events)
    assert [type(part).__name__ for part in response.choices[0].message.parts] == ["Thinking", "Text"]
    assert response.thinking.startswith("Hmm, the")
    assert same_stream(events)


def test_a_thought_signature_on_the_tool_call() -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    body = answer({"content": None, "tool_calls": [call]}, finish="tool_calls")
    assert read_answer(body).tool_calls[0].signature == Signature(value="c2ln", family="gemini")
    assert same_answer(body)
    events = stream(chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]}), chunk(finish="tool_calls"))
    assert assembled(events).tool_calls[0].signature == Signature(value="c2ln", family="gemini")
    assert same_stream(events)
    request = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    assert differences(normal(request), normal(write_request(read_request(request))[0])) == []


def test_unused_fields_filled_with_empty_objects(recordings: Path) -> None:
    body = recorded_answer(recordings, "pydantic-ai-4ac0314faff2")
    parts = read_answer(body).choices[0].message.parts
    assert [type(part).__name__ for part in parts] == ["Text"]
    assert not any(isinstance(part, Audio | ToolCall) for part in parts)
    assert same_answer(body)
    with_calls = recorded_answer(recordings, "pydantic-ai-0eeddc0bd826")
    assert [call.kind for call in read_answer(with_calls).tool_calls] == ["function"]
    assert same_answer(with_calls)


def test_tools_that_the_server_ran_unseen(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-c8326b573f29")
    assert any("executed_tools" in chunk["choices"][0]["delta"] for chunk in rewritten(events))
    assert assembled(events).tool_calls == ()


def test_a_further_choice_is_named_and_written_as_it_came() -> None:
    events = stream(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "A"}),
        chunk({"role": "assistant", "content": ""}, index=1),
        chunk({"content": "B"}, index=1),
        chunk(finish="stop"),
        chunk(finish="length", index=1),
    )
    response = assembled(events)
    assert [(choice.message.text, choice.finish) for choice in response.choices] == [("A", "stop"), ("B", "length")]
    assert same_stream(events)


def test_a_chunk_that_says_nothing_is_kept_for_this_dialect_alone() -> None:
    events = stream(chunk({"role": "assistant", "content": ""}), chunk({"content": ""}), chunk({"content": "x"}), chunk(finish="stop"))
    assert len(of(OpaqueDelta, decoded(events))) == 1
    assert same_stream(events)


# --------------------------------------------------------------------------------------------------- requests


def same_request(body: Any) -> bool:
    return differences(normal(body), normal(write_request(read_request(body))[0])) == []


def test_a_request_with_reasoning_sent_back(recordings: Path) -> None:
    body = exchange(recordings, "ruby-llm-661147212ce2")["request"]["body"]
    message = next(m for m in body["messages"] if m["role"] == "assistant")
    request = read_request(body)
    thought = next(part for m in request.messages for part in m.parts if isinstance(part, Thinking))
    assert thought.text == message["reasoning_content"] == message["reasoning"]
    assert same_request(body)


def test_a_request_with_reasoning_details_sent_back(recordings: Path) -> None:
    body = exchange(recordings, "pydantic-ai-7525f36c3e42")["request"]["body"]
    thought = read_request(body).messages[1].parts[0]
    assert isinstance(thought, Thinking)
    assert thought.signature is not None
    assert thought.signature.family == "anthropic"
    assert same_request(body)


def test_a_request_with_empty_reasoning_keeps_it() -> None:
    # DeepSeek refuses tool results whose call came without the member, even where it was empty.
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": "", "reasoning_content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    assert write_request(read_request({"model": "m", "messages": messages}))[0]["messages"] == messages


def test_a_request_with_a_prefix(recordings: Path) -> None:
    body = exchange(recordings, "pydantic-ai-e5890a0a1dc0")["request"]["body"]
    assert any("prefix" in message for message in body["messages"])
    assert same_request(body)
    prefilled = {"model": "m", "messages": [{"role": "assistant", "content": "{", "prefix": True}]}
    assert same_request(prefilled)


def test_a_request_with_the_older_functions(recordings: Path) -> None:
    body = exchange(recordings, "openllmetry-dbd8c09c829f")["request"]["body"]
    assert read_request(body).tools[0].name
    assert same_request(body)
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    ]
    old = {"model": "m", "messages": messages, "functions": [{"name": "f", "parameters": {}}], "function_call": {"name": "f"}}
    request = read_request(old)
    call, result = request.messages[1].parts[0], request.messages[2].parts[0]
    assert isinstance(call, ToolCall)
    assert call.id == result.call_id  # type: ignore[union-attr]
    assert request.tool_choice is not None
    assert request.tool_choice.names == ("f",)
    assert same_request(old)


def test_an_answer_with_the_older_function_call(recordings: Path) -> None:
    body = recorded_answer(recordings, "openllmetry-b3adbaa10984")
    response = read_answer(body)
    assert response.finish == "tool_calls"
    assert response.tool_calls[0].name == "get_current_weather"
    assert same_answer(body)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "image_url", "image_url": "https://a.example/x.png"}, Image),
        ({"type": "image_url", "image_url": "data:image/png;base64,iVBORw0K"}, Image),
        ({"type": "document_url", "document_url": "https://a.example/x.pdf", "document_name": "x"}, Document),
        ({"type": "file_url", "file_url": {"url": "https://a.example/x.pdf"}}, Document),
        ({"type": "video_url", "video_url": {"url": "https://a.example/x.webm"}}, Video),
        ({"type": "input_audio", "input_audio": "SUQzBAAA"}, Audio),
        ({"type": "file", "file": {"file_data": "https://a.example/x.pdf", "filename": "x.pdf"}}, Document),
        ({"type": "file", "file": {"file_data": "JVBERi0x", "filename": "x.pdf"}}, Document),
    ],
)
def test_media_in_the_forms_of_other_speakers(part: Any, kind: type[Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]}
    assert isinstance(read_request(body).messages[0].parts[1], kind)
    written, losses = write_request(read_request(body))
    assert differences(normal(body), normal(written)) == []
    assert losses == []


def test_starts_of_parts_come_in_order(recordings: Path) -> None:
    for name in ("mirascope-6723902d65f2", "ruby-llm-9a37e46c1c91", "pydantic-ai-67d2895498fe", "prism-f80d47c3b9ad"):
        starts = [delta.index for delta in of(PartStart, decoded(recorded_stream(recordings, name)))]
        assert starts == list(range(len(starts))), name


def test_text_that_looks_like_an_end_marker_ends_nothing() -> None:
    events = stream(chunk({"role": "assistant", "content": "[DONE]"}), chunk({"content": " really"}), chunk(finish="stop"))
    assert "".join(delta.text for delta in of(TextDelta, decoded(events))) == "[DONE] really"
    assert isinstance(assembled(events), Response)
