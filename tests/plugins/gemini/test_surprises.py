"""What servers and clients of Gemini's protocol do that its reference does not say, one test each."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from jackfield.api import Headers
from jackfield.api.canonical import (
    Begin,
    Citation,
    Delta,
    Done,
    Finish,
    Opaque,
    PartEnd,
    PartStart,
    ServerToolCall,
    ServerToolResult,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UsageDelta,
)
from tests.plugins.gemini.gemini_wire import (
    ARRAY,
    GEMINI,
    array_events,
    assembled,
    chunk,
    decoded,
    events_of,
    exchanges,
    plain,
    read_answer,
    read_request,
    stream,
    write_answer,
    write_request,
)


def sse(*chunks: Any, end: str = "\r\n") -> bytes:
    return b"".join(f"data: {json.dumps(one)}{end}{end}".encode() for one in chunks)


def user(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def recorded(folder: Path, name: str) -> Any:
    (found,) = [one for one in exchanges(folder) if one["id"] == name]
    return found


# ---------------------------------------------------------------------------------------------- framing


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_any_line_end_will_do_and_no_end_marker_is_needed(end: str) -> None:
    response = assembled(events_of(sse(chunk("Hello"), chunk(", you", finish="STOP"), end=end)))
    assert (response.text, response.finish) == ("Hello, you", "stop")


def test_a_stream_of_one_json_array_says_the_same() -> None:
    chunks = [chunk('a "quoted" \\ [text]\n{'), chunk(" end", finish="STOP")]
    raw = json.dumps(chunks, indent=2).replace("\n", "\r\n").encode()
    assert decoded(array_events(raw)) == decoded(stream(*chunks))


def test_a_json_array_is_put_together_again() -> None:
    events = [ARRAY.event(json.dumps(one).encode()) for one in (chunk("a"), chunk("b"), chunk("c", finish="STOP"))]
    join = ARRAY.framing.join()
    assert join is not None
    raw = join(events[0].raw) + join(events[1].raw + events[2].raw) + ARRAY.framing.finish()
    assert [one["candidates"][0]["content"]["parts"][0]["text"] for one in json.loads(raw)] == ["a", "b", "c"]


def test_an_error_to_a_streaming_call_is_json_whatever_its_content_type_says(recordings: Path) -> None:
    said = recorded(recordings, "gemini-generate-mirascope-51af0c34eb99")["response"]
    headers = Headers({"Content-Type": said["content_type"]})
    error = GEMINI.decode_error(404, headers, json.dumps(said["body"]).encode())
    assert (error.status, error.type) == (404, "NOT_FOUND")
    assert "is not found for API version" in error.message


def test_an_error_to_a_call_without_sse_is_a_list_of_one() -> None:
    body = [{"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}]
    error = GEMINI.decode_error(503, Headers(), json.dumps(body).encode())
    assert (error.status, error.message, error.type) == (503, "The model is overloaded.", "UNAVAILABLE")


def test_no_line_ends_that_break_python_clients_leave() -> None:
    encoder = GEMINI.encode_stream(read_request({"contents": [user("x")]}), [])
    events = encoder.feed(decoded(stream(chunk("a\u2028b\u2029c\u0085d", finish="STOP"))))
    raw = b"".join(event.raw for event in events)
    assert len(raw.decode().splitlines()) == len(raw.split(b"\n")) - 1
    assert assembled(events).text == "a\u2028b\u2029c\u0085d"


def test_comments_are_never_sent() -> None:
    assert GEMINI.keepalive is None


# ---------------------------------------------------------------------------------------------- endings


@pytest.mark.parametrize("finish", ["STOP", 1])
def test_a_function_is_to_be_called_although_the_reason_is_stop(finish: Any) -> None:
    body = {**chunk({"functionCall": {"name": "f", "args": {}}}, finish=finish)}
    body["candidates"][0]["finishMessage"] = "Model generated function call(s)."
    response = read_answer(body)
    assert response.finish == "tool_calls"
    written, losses = write_answer(response)
    assert written["candidates"][0]["finishReason"] == finish
    assert written["candidates"][0]["finishMessage"] == "Model generated function call(s)."
    assert not losses


def test_enums_may_be_numbers(recordings: Path) -> None:
    body = recorded(recordings, "gemini-generate-opentelemetry-py-613cfd84efa9")["response"]["body"]
    response = read_answer(body)
    assert response.finish == "stop"
    assert write_answer(response)[0]["usageMetadata"] == body["usageMetadata"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("SPII", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("OTHER", "other"),
        ("SOMETHING_NEW", "other"),
        (2, "length"),
        (3, "content_filter"),
        (9, "error"),
        (99, "other"),
        ("FINISH_REASON_UNSPECIFIED", None),
        (0, None),
        (None, None),
    ],
    ids=str,
)
def test_why_an_answer_ended(word: Any, reason: Any) -> None:
    response = read_answer(chunk("words", finish=word))
    assert response.finish == reason
    assert write_answer(response)[0]["candidates"][0].get("finishReason") == word


def test_a_call_that_nobody_declared_is_still_the_callers_to_answer(recordings: Path) -> None:
    body = recorded(recordings, "gemini-generate-pydantic-ai-bec26d6cebd8")["response"]["body"]
    response = read_answer(body)
    assert body["candidates"][0]["finishReason"] == "UNEXPECTED_TOOL_CALL"
    assert (response.finish, response.tool_calls[0].name) == ("tool_calls", "list_files")
    assert GEMINI.glance(json.dumps(body).encode()).error is None


@pytest.mark.parametrize("content", [{}, {"role": "model"}, None, {"parts": [{"text": ""}], "role": "model"}], ids=str)
def test_a_content_may_be_missing_or_without_parts(content: Any) -> None:
    candidate = {"finishReason": "MAX_TOKENS", "index": 0, **({"content": content} if content is not None else {})}
    body = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 9, "thoughtsTokenCount": 4}}
    response = read_answer(body)
    assert (response.text, response.finish, response.tool_calls) == ("", "length", ())
    assert write_answer(response)[0] == body
    assert GEMINI.glance(json.dumps(body).encode()).error is None
    assert assembled(stream(body)).finish == "length"


def test_a_refused_prompt_has_no_candidates() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    response = read_answer(body)
    assert (response.finish, response.text) == ("content_filter", "")
    assert write_answer(response)[0] == body
    seen = GEMINI.glance(json.dumps(body).encode())
    assert seen.error is None
    assert seen.usage == response.usage
    (event,) = stream(body)
    assert GEMINI.commits(event)
    assert event.finish == "content_filter"
    whole = assembled([event])
    assert (whole.finish, whole.text, whole.usage) == (response.finish, "", response.usage)


@pytest.mark.parametrize("word", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", 9], ids=str)
@pytest.mark.parametrize("content", [{}, {"role": "model"}, {"parts": [{"text": ""}], "role": "model"}], ids=str)
def test_a_failed_answer_is_a_failure(word: Any, content: Any) -> None:
    body = {"candidates": [{"content": content, "finishReason": word, "finishMessage": "Malformed function call: print(f("}]}
    error = GEMINI.glance(json.dumps(body).encode()).error
    assert error is not None
    assert error.status == 502
    assert error.code in ("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL")
    assert error.message == "Malformed function call: print(f("
    (event,) = stream(body)
    assert not GEMINI.commits(event)


def test_an_answer_that_failed_after_thoughts_ends_its_stream_with_an_error() -> None:
    thoughts = chunk({"text": "hm", "thought": True})
    deltas = decoded(stream(thoughts, chunk({"text": ""}, finish="MALFORMED_FUNCTION_CALL")))
    assert isinstance(deltas[-1], StreamError)
    assert deltas[-1].error.code == "MALFORMED_FUNCTION_CALL"


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": [], "usageMetadata": {"promptTokenCount": 3}},
        {"usageMetadata": {"promptTokenCount": 3}, "modelVersion": "m"},
        {"candidates": [{"content": {}, "finishReason": "STOP"}]},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP"}]},
        {"candidates": [{"finishReason": 1}]},
    ],
    ids=str,
)
def test_an_empty_answer_is_a_failure(body: Any) -> None:
    error = GEMINI.glance(json.dumps(body).encode()).error
    assert error is not None
    assert (error.status, error.code) == (502, "EMPTY_RESPONSE")


def test_a_stream_that_begins_with_an_empty_ending_is_not_yet_an_answer() -> None:
    (event,) = stream(chunk({"text": ""}, finish="STOP"))
    assert not GEMINI.commits(event)
    assert GEMINI.commits(stream(chunk({"text": ""}))[0])


def test_chunks_without_a_word_may_be_held_back() -> None:
    nothing = [
        chunk({"text": ""}),
        {"usageMetadata": {"promptTokenCount": 3}, "modelVersion": "m"},
        {"candidates": [{"content": {"role": "model"}}]},
    ]
    something = [
        chunk({"text": "a"}),
        chunk({"text": "hm", "thought": True}),
        chunk({"functionCall": {"name": "f", "args": {}}}),
        chunk({"text": ""}, finish="STOP"),
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"error": {"code": 503, "message": "x"}},
    ]
    assert all(GEMINI.lifecycle(one) for one in stream(*nothing))
    assert not any(GEMINI.lifecycle(one) for one in stream(*something))


# ------------------------------------------------------------------------------------------- signatures


def test_a_signature_on_a_call_stays_on_it_and_parallel_calls_have_one() -> None:
    first = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
    body = chunk(first, {"functionCall": {"name": "g", "args": {}}}, finish="STOP")
    one, two = read_answer(body).tool_calls
    assert one.signature is not None
    assert (one.signature.value, one.signature.family, two.signature) == ("c2ln", "gemini", None)
    assert plain(assembled(stream(body))) == plain(read_answer(body))
    assert write_answer(read_answer(body))[0] == body


def test_a_signature_may_stand_on_plain_words() -> None:
    body = chunk({"text": "words", "thoughtSignature": "c2ln"}, finish="STOP")
    (part,) = read_answer(body).choices[0].message.parts
    assert isinstance(part, Text)
    assert part.signature is not None
    assert write_answer(read_answer(body))[0] == body


def test_a_signature_on_an_empty_text_at_the_end_of_a_stream_belongs_to_the_words_before() -> None:
    chunks = [chunk("Hel"), chunk("lo"), chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP")]
    (part,) = assembled(stream(*chunks)).choices[0].message.parts
    assert isinstance(part, Text)
    assert part.signature is not None
    assert (part.text, part.signature.value) == ("Hello", "c2ln")


def test_a_signature_on_an_empty_text_after_a_call_is_a_part_of_its_own() -> None:
    call = {"functionCall": {"name": "f", "args": {}}}
    parts = assembled(stream(chunk(call), chunk({"text": "", "thoughtSignature": "c2ln"}, finish="STOP"))).choices[0].message.parts
    assert [type(part) for part in parts] == [ToolCall, Text]


def test_base64_comes_in_the_url_safe_alphabet_and_leaves_in_the_standard_one() -> None:
    raw = bytes(range(248, 256)) * 2
    body = {"contents": [user({"inlineData": {"mimeType": "image/png", "data": urlsafe_b64encode(raw).decode()}})]}
    written, _ = write_request(read_request(body))
    assert written["contents"][0]["parts"][0]["inlineData"]["data"] == "+Pn6+/z9/v/4+fr7/P3+/w=="


def test_a_placeholder_is_no_signature_but_goes_back() -> None:
    for value in ("skip_thought_signature_validator", "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="):
        call = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": value}
        request = read_request({"contents": [user("x"), user(call, role="model")]})
        (part,) = request.messages[1].parts
        assert isinstance(part, ToolCall)
        assert part.signature is None
        assert write_request(request)[0]["contents"][1]["parts"] == [call]


# ------------------------------------------------------------------------------------------------ calls


def test_calls_without_ids_get_ids_that_are_not_written_back() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    body = chunk(call, call, finish="STOP")
    one, two = read_answer(body).tool_calls
    assert one.id != two.id
    assert [one.id, two.id] == [found.id for found in read_answer(body).tool_calls]
    assert write_answer(read_answer(body))[0] == body
    assert [found.id for found in assembled(stream(body)).tool_calls] == [one.id, two.id]


def test_a_call_may_have_an_id(recordings: Path) -> None:
    body = recorded(recordings, "gemini-generate-pydantic-ai-1841a326b885")["response"]["body"]
    ids = [part["functionCall"]["id"] for part in body["candidates"][0]["content"]["parts"] if "functionCall" in part]
    assert ids
    assert [call.id for call in read_answer(body).tool_calls] == ids


def test_results_without_ids_belong_to_calls_by_name_and_order() -> None:
    calls = [{"functionCall": {"name": name, "args": {"n": n}}} for n, name in enumerate("ffg")]
    results = [{"functionResponse": {"name": name, "response": {"output": name + str(n)}}} for n, name in ((0, "g"), (1, "f"), (2, "f"))]
    body = {"contents": [user("x"), user(*calls, role="model"), user(*results)]}
    request = read_request(body)
    asked = [part for part in request.messages[1].parts if isinstance(part, ToolCall)]
    given = [part for part in request.messages[2].parts if isinstance(part, ToolResult)]
    assert [part.call_id for part in given] == [asked[2].id, asked[0].id, asked[1].id]
    assert write_request(request)[0] == body


def test_a_call_may_arrive_in_pieces() -> None:
    def piece(**call: Any) -> dict[str, Any]:
        return chunk({"functionCall": call})

    pieces = [
        chunk({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "c2ln"}),
        piece(partialArgs=[{"jsonPath": "$.city", "stringValue": "Bos", "willContinue": True}], willContinue=True),
        piece(partialArgs=[{"jsonPath": "$.city", "stringValue": "ton"}], willContinue=True),
        piece(partialArgs=[{"jsonPath": "$.days[1].n", "numberValue": 2.0}, {"jsonPath": "$.dry", "boolValue": True}], willContinue=True),
        piece(partialArgs=[{"jsonPath": "$.none", "nullValue": "NULL_VALUE"}], willContinue=True),
        piece(),
        chunk({"text": ""}, finish="STOP"),
    ]
    response = assembled(stream(*pieces))
    (call,) = response.tool_calls
    assert json.loads(call.arguments) == {"city": "Boston", "days": [None, {"n": 2}], "dry": True, "none": None}
    assert call.signature is not None
    assert (call.name, response.finish) == ("f", "tool_calls")


def test_a_call_in_pieces_that_never_ended_is_whole_at_the_end() -> None:
    begun = chunk({"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}], "willContinue": True}})
    assert assembled(stream(begun, chunk({"text": ""}, finish="STOP"))).tool_calls[0].arguments == '{"a":"b"}'


# ------------------------------------------------------------------------------------- what servers run


def test_tools_that_google_ran_are_shown() -> None:
    call = {"toolCall": {"id": "t1", "toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}}, "thoughtSignature": "c2ln"}
    result = {"toolResponse": {"id": "t1", "toolType": "GOOGLE_SEARCH_WEB", "response": {"n": 1}}}
    body = chunk(call, result, "words", finish="STOP")
    asked, given, _ = read_answer(body).choices[0].message.parts
    assert isinstance(asked, ServerToolCall)
    assert isinstance(given, ServerToolResult)
    assert (asked.name, asked.id, given.call_id, asked.arguments) == ("google_search_web", "t1", "t1", '{"queries":["q"]}')
    assert write_answer(read_answer(body))[0] == body
    assert plain(assembled(stream(body))) == plain(read_answer(body))


@pytest.mark.parametrize("named", [{"id": "c1"}, {}], ids=["id", "no id"])
def test_programs_that_google_ran_are_shown(named: dict[str, str]) -> None:
    code = {"executableCode": {**named, "language": "PYTHON", "code": "print(1)"}}
    result = {"codeExecutionResult": {**named, "outcome": "OUTCOME_FAILED", "output": "Error"}}
    body = chunk(code, result, finish="STOP")
    asked, given = read_answer(body).choices[0].message.parts
    assert isinstance(asked, ServerToolCall)
    assert isinstance(given, ServerToolResult)
    assert (asked.name, asked.id, given.is_error) == ("code_execution", named.get("id"), True)
    assert write_answer(read_answer(body))[0] == body
    assert plain(assembled(stream(body))) == plain(read_answer(body))


def test_grounding_becomes_citations_and_comes_back() -> None:
    grounding = {
        "searchEntryPoint": {"renderedContent": "<div>"},
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b", "title": "B"}}],
        "groundingSupports": [{"segment": {"startIndex": 7, "endIndex": 12, "text": "words"}, "groundingChunkIndices": [0, 1]}],
        "webSearchQueries": ["q"],
    }
    body = chunk("Größe words", finish="STOP")
    body["candidates"][0]["groundingMetadata"] = grounding
    body["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"] = {"startIndex": 8, "endIndex": 13, "text": "words"}
    (part,) = read_answer(body).choices[0].message.parts
    assert isinstance(part, Text)
    assert part.citations == (
        Citation(url="https://a", title="A", start=6, end=11),
        Citation(url="https://b", title="B", start=6, end=11),
    )
    assert write_answer(read_answer(body))[0] == body
    assert plain(
        assembled(stream(chunk("Größe "), body | {"candidates": [{**body["candidates"][0], "content": user("words", role="model")}]}))
    ) == plain(read_answer(body))


def test_grounding_may_be_empty() -> None:
    body = chunk("words", finish="STOP")
    body["candidates"][0]["groundingMetadata"] = {}
    assert write_answer(read_answer(body))[0] == body


# ------------------------------------------------------------------------------------------------ usage


def test_thoughts_and_what_tools_brought_are_counted_apart_on_the_wire() -> None:
    counts = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 7,
        "totalTokenCount": 25,
    }
    usage = read_answer(chunk("x", finish="STOP", usageMetadata=counts)).usage
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.output, usage.thinking, usage.tokens) == (15, 4, 10, 7, 25)
    assert write_answer(read_answer(chunk("x", finish="STOP", usageMetadata=counts)))[0]["usageMetadata"] == counts


@pytest.mark.parametrize(
    ("tier", "begun", "first"),
    [
        (None, None, None),
        ("default", None, None),
        ("default", Usage(), None),
        ("default", Usage(source="absent"), None),
        ("priority", None, {"serviceTier": "priority"}),
        ("default", Usage(input=3), {"promptTokenCount": 3, "totalTokenCount": 3, "serviceTier": "standard"}),
    ],
)
def test_no_chunk_tells_of_tokens_before_they_are_counted(tier: str | None, begun: Usage | None, first: Any) -> None:
    deltas: list[Delta] = [
        Begin(id="r", model="m", service_tier=tier, usage=begun),
        PartStart(choice=0, index=0, part=Text(text="")),
        TextDelta(choice=0, index=0, text="a"),
        TextDelta(choice=0, index=0, text="b"),
        PartEnd(choice=0, index=0),
        Finish(choice=0, reason="stop"),
        UsageDelta(usage=Usage(input=3, output=2)),
        Done(),
    ]
    encoder = GEMINI.encode_stream(read_request({"contents": [user("x")]}), [])
    said = [event.json.get("usageMetadata") for delta in deltas for event in encoder.feed([delta])]
    counted = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    assert said == [first, None, counted | ({"serviceTier": "standard" if tier == "default" else tier} if tier else {})]


def test_an_answer_without_a_count_of_its_own_counts_its_thoughts() -> None:
    counts = {"promptTokenCount": 5, "totalTokenCount": 9, "thoughtsTokenCount": 4}
    usage = read_answer(chunk("x", finish="MAX_TOKENS", usageMetadata=counts)).usage
    assert usage is not None
    assert (usage.output, usage.thinking, usage.total) == (4, 4, None)


def test_tier_traffic_and_time_come_back(recordings: Path) -> None:
    body = chunk("x", finish="STOP", createTime="2026-08-19T14:38:30.407704Z")
    body["usageMetadata"] = {
        "promptTokenCount": 1,
        "candidatesTokenCount": 1,
        "totalTokenCount": 2,
        "trafficType": "ON_DEMAND",
        "serviceTier": "standard",
    }
    response = read_answer(body)
    assert (response.created, response.service_tier) == (1787150310, "default")
    assert write_answer(response)[0] == body


def test_usage_in_every_chunk_is_reported_once_at_the_end_and_once_at_the_start() -> None:
    def counts(n: int) -> dict[str, Any]:
        return {"usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": n, "totalTokenCount": 4 + n}}

    deltas = decoded(stream(chunk("a", **counts(1)), chunk("b", **counts(2)), chunk("c", finish="STOP", **counts(3))))
    kinds = [type(delta).__name__ for delta in deltas]
    assert kinds == ["Begin", "PartStart", "TextDelta", "TextDelta", "TextDelta", "PartEnd", "Finish", "UsageDelta", "Done"]
    assert deltas[0].usage.output == 1  # type: ignore[union-attr]
    assert deltas[-2].usage.output == 3  # type: ignore[union-attr]


# --------------------------------------------------------------------------------------------- requests


def test_both_spellings_may_stand_in_one_body() -> None:
    snake = {
        "system_instruction": user("be brief"),
        "contents": [user({"inline_data": {"mime_type": "image/png", "data": "AAAA"}})],
        "generation_config": {
            "max_output_tokens": 5,
            "stop_sequences": ["x"],
            "thinking_config": {"include_thoughts": True, "thinkingBudget": 9},
        },
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object", "properties": {"a_b": {}}}}]}],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
    }
    camel = {
        "systemInstruction": user("be brief"),
        "contents": [user({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})],
        "generationConfig": {
            "maxOutputTokens": 5,
            "stopSequences": ["x"],
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 9},
        },
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "properties": {"a_b": {}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    }
    assert read_request(snake) == read_request(camel)
    assert write_request(read_request(snake))[0] == camel


def test_tools_may_be_an_object_and_so_may_contents_and_parts() -> None:
    body = {"contents": {"role": "user", "parts": {"text": "x"}}, "tools": {"functionDeclarations": {"name": "f"}}}
    request = read_request(body)
    assert (request.messages[0].text, request.tools[0].name) == ("x", "f")
    assert write_request(request)[0] == {"contents": [user("x")], "tools": [{"functionDeclarations": [{"name": "f"}]}]}


def test_a_result_may_hold_media() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    result = {"functionResponse": {"id": "c", "name": "f", "response": {"result": "see"}, "parts": [picture]}}
    call = {"functionCall": {"id": "c", "name": "f", "args": {}}}
    body = {"contents": [user("x"), user(call, role="model"), user(result)]}
    (part,) = read_request(body).messages[2].parts
    assert isinstance(part, ToolResult)
    assert [type(inner).__name__ for inner in part.parts] == ["Text", "Image"]
    assert write_request(read_request(body))[0] == body


@pytest.mark.parametrize("key", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_a_schema_may_stand_under_three_names(key: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = read_request({"contents": [user("x")], "tools": [{"functionDeclarations": [{"name": "f", key: schema}]}]})
    assert request.tools[0].parameters == schema
    (written,) = write_request(request)[0]["tools"][0]["functionDeclarations"]
    assert written == {"name": "f", "parametersJsonSchema" if "son" in key else key: schema}


def test_types_in_upper_case_are_lowered_and_come_back() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {"type": {"type": "STRING", "nullable": True}, "b": {"type": "ARRAY", "items": {"type": "INTEGER"}}},
    }
    body = {
        "contents": [user("x")],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}],
        "generationConfig": {"responseMimeType": "application/json", "responseSchema": schema},
    }
    request = read_request(body)
    lowered = {"type": "object", "properties": {"type": {"type": ["string", "null"]}, "b": {"type": "array", "items": {"type": "integer"}}}}
    assert request.tools[0].parameters == lowered
    assert request.output.schema == lowered
    assert write_request(request)[0] == body


def test_too_many_requests_say_how_long_to_wait(recordings: Path) -> None:
    said = recorded(recordings, "gemini-generate-ruby-llm-345d17dd0f72")["response"]["body"]
    error = GEMINI.decode_error(429, Headers(), json.dumps(said).encode())
    assert (error.type, error.retry_after) == ("RESOURCE_EXHAUSTED", 48)
    assert json.loads(GEMINI.encode_error(error)) == said


def test_a_thought_that_is_a_picture_is_passed_on_here_alone() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thought": True}
    body = chunk(part, "words", finish="STOP")
    first, _ = read_answer(body).choices[0].message.parts
    assert isinstance(first, Opaque)
    assert write_answer(read_answer(body))[0] == body


def test_thoughts_are_told_by_a_flag() -> None:
    body = chunk({"text": "hm", "thought": True}, "words", finish="STOP")
    first, _ = read_answer(body).choices[0].message.parts
    assert first == Thinking(text="hm")
    assert write_answer(read_answer(body))[0] == body
