"""What speakers of the dialect really send that its reference does not say: each must be survived, and restored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jackfield.api import Event, Headers, Request
from jackfield.api.canonical import Begin, Image, Opaque, ServerToolCall, Signature, StreamError, Text, Thinking, ToolCall
from tests.plugins.openai_responses.responses_wire import (
    RESPONSES,
    answer,
    answers_of,
    assembled,
    check_stream,
    decoded,
    differences,
    encoded,
    event_of,
    events_of,
    exchange,
    normal,
    read_answer,
    read_request,
    requests_of,
    streams_of,
    text_stream,
    types_of,
    write_answer,
    write_request,
)


def recorded_stream(recordings: Path, name: str) -> list[Event]:
    return events_of(exchange(recordings, name)["response"]["sse"].encode())


def recorded_answer(recordings: Path, name: str) -> Any:
    return exchange(recordings, name)["response"]["body"]


def rewritten(events: list[Event]) -> list[Event]:
    decoder, encoder = RESPONSES.decode_stream(), RESPONSES.encode_stream(Request(stream=True), [])
    return [made for event in events for made in encoder.feed(decoder.feed(event))]


def same_answer(body: Any) -> bool:
    return differences(normal(body), normal(write_answer(read_answer(body))[0])) == []


def same_request(body: Any) -> bool:
    return differences(normal(body), normal(write_request(read_request(body))[0])) == []


# ------------------------------------------------------------------------------------------------ the framing


def test_events_without_a_sequence_number(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-f221c37ec279")
    assert all("sequence_number" not in event.json for event in events)
    assert assembled(events).finish is not None
    assert [event.json["sequence_number"] for event in rewritten(events)] == list(range(len(events)))
    follower = RESPONSES.follow()
    for event in events[:4]:
        follower.feed(event)
    assert all("sequence_number" not in event.json for event in follower.finish("stop", None))


def test_events_without_names_and_an_end_marker(recordings: Path) -> None:
    events = recorded_stream(recordings, "pydantic-ai-1cbfb6b17e24")
    assert {event.name for event in events} == {""}
    assert events[-1].data == b"[DONE]"
    response = assembled(events)
    assert (response.finish, bool(response.text)) == ("stop", True)
    assert [RESPONSES.terminal(event) for event in events].index(True) == len(events) - 2
    assert all(event.name == event.json["type"] for event in rewritten(events))


def test_a_data_line_before_its_event_line(recordings: Path) -> None:
    raw = exchange(recordings, "pydantic-ai-0ac85bbdeb31")["response"]["sse"]
    assert raw.startswith("data:")
    events = events_of(raw.encode())
    assert [event.name for event in events] == [event.json["type"] for event in events]
    assert assembled(events).finish is not None


def test_random_padding_in_deltas(recordings: Path) -> None:
    events = recorded_stream(recordings, "llm-4747425f0f8b")
    padded = [event.json["obfuscation"] for event in events if "obfuscation" in event.json]
    assert padded
    assert [event.json["obfuscation"] for event in rewritten(events) if "obfuscation" in event.json] == padded


def test_a_failed_answer_after_an_error_event(recordings: Path) -> None:
    events = recorded_stream(recordings, "ai-be68d68e60da")
    deltas = decoded(events)
    assert [type(delta) for delta in deltas] == [Begin, StreamError]
    assert isinstance(deltas[-1], StreamError)
    assert deltas[-1].error.code == "insufficient_quota"
    assert types_of(rewritten(events)) == types_of(events)
    assert [RESPONSES.terminal(event) for event in events] == [False, False, False, True]


def test_an_answer_that_waits_in_a_queue(recordings: Path) -> None:
    whole = recorded_answer(recordings, "pydantic-ai-4413f7e6a569")
    assert (whole["status"], whole["usage"]) == ("queued", None)
    response = read_answer(whole)
    assert (response.finish, response.usage) == (None, None)
    assert same_answer(whole)
    queued = [events for events in map(events_of, (raw for _, raw in streams_of(recordings))) if "response.queued" in types_of(events[:3])]
    assert queued
    for events in queued:
        assert types_of(rewritten(events))[:3] == ["response.created", "response.queued", "response.in_progress"]


# --------------------------------------------------------------------------------------------------- the ids


def test_ids_of_answers_that_are_none_of_openais(recordings: Path) -> None:
    whole = recorded_answer(recordings, "pydantic-ai-630f708e54f5")
    assert not whole["id"].startswith("resp_")
    assert read_answer(whole).id == whole["id"]
    assert same_answer(whole)


def test_an_items_id_differs_in_every_event(recordings: Path) -> None:
    events = recorded_stream(recordings, "ai-caaaba66c103")
    response = assembled(events)
    assert response.finish is not None
    assert response.choices[0].message.parts
    last = check_stream(rewritten(events), typed=False)
    assert len({item["id"] for item in last["output"]}) == len(last["output"])


def test_encrypted_content_that_differs_between_added_and_done(recordings: Path) -> None:
    events = recorded_stream(recordings, "ruby-llm-1c439be25a6d")
    items = {(e.json["type"], e.json["output_index"]): e.json["item"] for e in events if e.json["type"].startswith("response.output_item")}
    first, last = items["response.output_item.added", 0], items["response.output_item.done", 0]
    assert first["encrypted_content"] != last["encrypted_content"]
    thought = assembled(events).choices[0].message.parts[0]
    assert isinstance(thought, Thinking)
    assert thought.signature == Signature(value=last["encrypted_content"], family="openai")


# ------------------------------------------------------------------------------------------------- thoughts


def test_thoughts_without_summary_and_without_any_text(recordings: Path) -> None:
    whole = recorded_answer(recordings, "mirascope-64e942b2af92")
    thought = read_answer(whole).choices[0].message.parts[0]
    assert isinstance(thought, Thinking)
    assert (thought.text, thought.summary) == ("", ())
    assert thought.id
    assert same_answer(whole)


def test_thoughts_as_reasoning_text(recordings: Path) -> None:
    whole = recorded_answer(recordings, "pydantic-ai-7ed6f6697132")
    thought = read_answer(whole).choices[0].message.parts[0]
    assert isinstance(thought, Thinking)
    assert thought.text == whole["output"][0]["content"][0]["text"]
    assert same_answer(whole)
    streamed = [raw for _, raw in streams_of(recordings) if b"response.reasoning_text.delta" in raw]
    assert streamed
    for raw in streamed:
        events = events_of(raw)
        said = "".join(event.json["delta"] for event in events if event.json and event.json["type"] == "response.reasoning_text.delta")
        part = next(part for part in assembled(events).choices[0].message.parts if isinstance(part, Thinking))
        assert part.text == said
        assert "".join(event.thinking for event in events) == said


def test_thoughts_sent_back_without_what_followed_them_are_refused_so_they_are_never_sent() -> None:
    items = [
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"role": "user", "content": "y"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAB"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    written, losses = write_request(read_request({"model": "m", "input": items}))
    assert [item.get("id") for item in written["input"]] == [None, None, "rs_2", None]
    assert [loss.what for loss in losses] == ["dropped"]


# -------------------------------------------------------------------------------------------------- the items


def test_messages_with_a_phase(recordings: Path) -> None:
    found = 0
    for _, body in answers_of(recordings):
        messages = [item for item in body["output"] if item["type"] == "message"]
        if any("phase" in item for item in messages):
            found += len(messages)
            written = [item for item in write_answer(read_answer(body))[0]["output"] if item["type"] == "message"]
            assert [(item["id"], item.get("phase")) for item in written] == [(item["id"], item.get("phase")) for item in messages]
    assert found > 20


def test_several_messages_in_one_answer() -> None:
    part = {"type": "output_text", "text": "x", "annotations": []}
    first, second = (
        {"id": f"msg_{n}", "type": "message", "role": "assistant", "status": "completed", "content": [part, part]} for n in (1, 2)
    )
    response = read_answer(answer(first, second))
    assert response.text == "xxxx"
    assert [item["id"] for item in write_answer(response)[0]["output"]] == ["msg_1", "msg_2"]


def test_a_tool_search_has_an_object_as_arguments_and_no_call_id(recordings: Path) -> None:
    whole = recorded_answer(recordings, "pydantic-ai-c420e1842fe0")
    item = next(item for item in whole["output"] if item["type"] == "tool_search_call")
    assert (type(item["arguments"]), item["call_id"]) == (dict, None)
    call = next(part for part in read_answer(whole).choices[0].message.parts if isinstance(part, ServerToolCall))
    assert (call.name, json.loads(call.arguments)) == ("tool_search", item["arguments"])
    assert same_answer(whole)


def test_calls_and_tools_in_namespaces(recordings: Path) -> None:
    one = exchange(recordings, "pydantic-ai-f00a0aef961c")
    body = one["request"]["body"]
    assert same_request(body)
    whole = one["response"].get("body")
    found = [
        part.namespace
        for said in ([whole] if whole else [])
        for part in read_answer(said).choices[0].message.parts
        if isinstance(part, ToolCall)
    ] + [part.namespace for message in read_request(body).messages for part in message.parts if isinstance(part, ToolCall)]
    spaces = [tool.namespace for tool in read_request(body).tools]
    assert any(found) or any(spaces)


def test_items_of_the_rarer_types(recordings: Path) -> None:
    rare = {"program", "tool_search_output", "mcp_list_tools", "mcp_approval_request", "compaction", "shell_call", "apply_patch_call"}
    seen = set()
    for name, body in answers_of(recordings):
        types = {item["type"] for item in body["output"]} & rare
        if types:
            seen |= types
            assert same_answer(body), name
    for name, raw in streams_of(recordings):
        for event in events_of(raw):
            item = event.json.get("item") if isinstance(event.json, dict) else None
            if isinstance(item, dict) and item["type"] in rare:
                seen.add(item["type"])
                assert any(isinstance(part, Opaque | ServerToolCall) for part in assembled(events_of(raw)).choices[0].message.parts), name
    assert seen == rare


def test_a_search_of_x_that_only_xai_knows() -> None:
    item = {"type": "x_search_call", "id": "xs_1", "status": "completed", "call_id": "c", "name": "x_semantic_search", "arguments": "{}"}
    (part,) = read_answer(answer(item)).choices[0].message.parts
    assert isinstance(part, Opaque)
    assert write_answer(read_answer(answer(item)))[0]["output"] == [item]


def test_pictures_that_the_model_made(recordings: Path) -> None:
    found = [body for _, body in answers_of(recordings) if any(item["type"] == "image_generation_call" for item in body["output"])]
    assert found
    for body in found:
        assert any(isinstance(part, Image) for part in read_answer(body).choices[0].message.parts)
        assert same_answer(body)


# ----------------------------------------------------------------------------------------------- the settings


def test_content_filters_at_the_top_level(recordings: Path) -> None:
    whole = recorded_answer(recordings, "pydantic-ai-630f708e54f5")
    assert "content_filters" in whole
    filtered = [body for _, body in answers_of(recordings) if body.get("content_filters")]
    assert filtered
    assert all(map(same_answer, filtered))


def test_what_newer_answers_say_of_cost_and_moderation(recordings: Path) -> None:
    keys = ("tool_usage", "moderation", "billing", "prompt_cache_retention")
    seen = {key for _, body in answers_of(recordings) for key in keys if body.get(key)}
    assert seen == set(keys)
    assert same_answer(answer(safety_identifier="s"))
    assert same_answer(recorded_answer(recordings, "pydantic-ai-5dfca8f7d2b2"))


def test_settings_and_tools_that_the_server_filled_in_are_repeated(recordings: Path) -> None:
    whole = recorded_answer(recordings, "pydantic-ai-5f92b7e88fe9")
    assert whole["tools"]
    assert write_answer(read_answer(whole))[0]["tools"] == whole["tools"]


def test_an_answer_cut_at_the_limit_may_have_no_message(recordings: Path) -> None:
    whole = recorded_answer(recordings, "mirascope-64e942b2af92")
    response = read_answer(whole)
    assert response.finish == "length"
    assert not any(isinstance(part, Text) for part in response.choices[0].message.parts)
    events = [events_of(raw) for _, raw in streams_of(recordings) if b"response.incomplete" in raw]
    assert events
    assert all(assembled(some).finish == "length" for some in events)


def test_the_error_body_of_xai() -> None:
    raw = b'{"code":"Client specified an invalid argument","error":"Invalid model"}'
    error = RESPONSES.decode_error(400, Headers(), raw)
    assert (error.message, error.code) == ("Invalid model", "Client specified an invalid argument")
    assert RESPONSES.glance(raw).error is not None


def test_inputs_as_a_text_items_without_type_and_references(recordings: Path) -> None:
    body = exchange(recordings, "opentelemetry-py-8b975f78aa99")["request"]["body"]
    assert isinstance(body["input"], str)
    assert same_request(body)
    reference = [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "msg_1"}, {"id": "rs_1"}]
    assert same_request({"model": "m", "input": reference})
    assert any(
        isinstance(b["input"], list) and all("type" not in item for item in b["input"]) for _, b in requests_of(recordings) if "input" in b
    )


# ------------------------------------------------------------------------------------------- what clients insist on

CODEX = {
    "model": "gpt-6.1-sol",
    "input": [
        {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [
            {"type": "namespace", "name": "functions", "description": "d", "tools": [
                {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
                {"type": "function", "name": "wait", "strict": False, "parameters": {"type": "object", "properties": {}}},
            ]},
        ]},
        {"type": "message", "id": "msg_0", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
        {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "content": None,
         "encrypted_content": "gAAA"},
        {"type": "custom_tool_call", "id": "ctc_1", "status": "completed", "call_id": "call_1", "name": "exec", "namespace": "functions",
         "input": "ls()"},
        {"type": "custom_tool_call_output", "id": "ctco_1", "call_id": "call_1", "output": [{"type": "input_text", "text": "a.txt"}]},
        {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "call_2", "name": "wait", "namespace": "functions",
         "arguments": "{}"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_2", "output": "done"},
        {"type": "configuration_update", "reasoning": {"effort": "high"}},
        {"type": "message", "id": "msg_2", "role": "assistant", "content": [{"type": "output_text", "text": "a.txt"}],
         "internal_chat_message_metadata_passthrough": {"turn": 1}},
    ],
    "tool_choice": "auto", "parallel_tool_calls": True, "reasoning": {"effort": "medium", "context": "all_turns"}, "store": False,
    "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "text": {"verbosity": "low"}, "client_metadata": {"a": "b"},
    "stream": True,
}  # fmt: skip
"""A request as Codex CLI 0.169.0 makes one."""


def test_codexs_requests_come_back_as_they_were() -> None:
    request = read_request(CODEX)
    written, losses = write_request(request)
    assert differences(normal(CODEX), normal(written)) == []
    assert not losses
    assert [message.role for message in request.messages] == ["developer", "user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [(tool.namespace, tool.name, tool.kind) for tool in request.tools] == [
        ("functions", "exec", "custom"),
        ("functions", "wait", "function"),
    ]
    assert request.thinking.effort == "high"


def test_codex_needs_whole_items_and_the_last_event_with_all_of_them() -> None:
    events = text_stream("Hello")
    assert "response.output_item.done" in types_of(events)
    assert events[-1].json["response"]["output"][0]["content"][0]["text"] == "Hello"


def test_openais_helper_needs_one_id_and_whole_items() -> None:
    check_stream(text_stream("Hello"))


def test_line_ends_that_clients_take_for_the_end_of_an_event_are_escaped() -> None:
    raw = b"".join(event.raw for event in text_stream("a\u2028b\u2029c\x85d"))
    assert len(raw.decode().splitlines()) == raw.count(b"\n")
    assert raw.count(b"\\u2028") == 5


def test_nothing_but_known_event_types_is_written() -> None:
    deltas = decoded([*text_stream("x")[:3], event_of({"type": "ping"}), event_of({"type": "keepalive"}), *text_stream("x")[3:]])
    assert all(kind.startswith("response.") for kind in types_of(encoded(deltas)))
