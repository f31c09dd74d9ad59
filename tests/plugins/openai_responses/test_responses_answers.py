"""Answers of the dialect `openai.responses`, whole and streamed, errors and small looks."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import ResponseUsage
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from pydantic import TypeAdapter

from jackfield.api import Error, Headers, ModelInfo, Request, Response, Usage
from jackfield.api.canonical import (
    ArgumentsDelta,
    Audio,
    Begin,
    Choice,
    Citation,
    Delta,
    Done,
    Finish,
    Image,
    Logprobs,
    LogprobsDelta,
    Message,
    OpaqueDelta,
    PartEnd,
    PartStart,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Signature,
    Source,
    StreamError,
    Text,
    TextDelta,
    Thinking,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolChoice,
    UsageDelta,
)
from tests.plugins.openai_responses.responses_wire import (
    RESPONSES,
    answer,
    assembled,
    check_answer,
    check_stream,
    decoded,
    encoded,
    event_of,
    played,
    read_answer,
    text_stream,
    types_of,
    write_answer,
)


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": list(parts), **more}


def output_text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **more}


def foreign(*parts: Any, finish: Any = "stop", **more: Any) -> Response:
    return Response(id="x", model="m", created=7, choices=(Choice(message=Message(role="assistant", parts=parts), finish=finish),), **more)


# ------------------------------------------------------------------------------------------------ whole answers


def test_an_answer_with_thoughts_words_and_calls() -> None:
    body = answer(
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"},
        message(output_text("Paris.", annotations=[
            {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5},
            {"type": "file_citation", "file_id": "file-1", "filename": "a.pdf", "index": 3},
        ])),
        {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{}"},
    )  # fmt: skip
    response = read_answer(body)
    thought, text, call = response.choices[0].message.parts
    assert thought == Thinking(summary=("Hm.",), id="rs_1", signature=Signature(value="gAAA", family="openai"))
    assert isinstance(text, Text)
    assert text.citations[0] == Citation(url="https://a.example", title="A", start=0, end=5)
    assert (text.citations[1].kind, text.citations[1].title) == ("file", "a.pdf")
    assert isinstance(call, ToolCall)
    assert response.finish == "tool_calls"
    assert write_answer(response)[0]["output"] == body["output"]


@pytest.mark.parametrize(
    ("more", "finish"),
    [
        ({}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
        ({"status": "in_progress"}, None),
        ({"status": "queued"}, None),
        ({"status": "cancelled"}, None),
        ({"status": "failed", "error": {"code": "server_error", "message": "broken"}}, "error"),
    ],
    ids=str,
)
def test_why_an_answer_ended(more: dict[str, Any], finish: Any) -> None:
    body = answer(message(output_text("x")), **more)
    response = read_answer(body)
    assert response.finish == finish
    back = write_answer(response)[0]
    assert (back["status"], back.get("incomplete_details"), back.get("error")) == (
        body["status"], body.get("incomplete_details"), body.get("error"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("finish", "status", "reason", "listed"),
    [
        ("stop", "completed", None, False), ("tool_calls", "completed", None, False), ("length", "incomplete", "max_output_tokens", False),
        ("content_filter", "incomplete", "content_filter", False), ("refusal", "incomplete", "content_filter", True),
        ("context_length", "incomplete", "max_output_tokens", True), ("pause", "completed", None, True), ("other", "completed", None, True),
        ("stop_sequence", "completed", None, True),
    ],
)  # fmt: skip
def test_the_endings_of_other_dialects(finish: Any, status: str, reason: str | None, listed: bool) -> None:
    body, losses = write_answer(foreign(Text(text="x"), finish=finish))
    check_answer(body)
    assert (body["status"], (body["incomplete_details"] or {}).get("reason")) == (status, reason)
    assert [loss.path for loss in losses] == (["choices[0].finish"] if listed else [])


def test_a_refusal_in_words_is_a_complete_answer() -> None:
    body, _ = write_answer(foreign(Refusal(text="No."), finish="refusal"))
    check_answer(body)
    assert body["status"] == "completed"
    assert body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert read_answer(body).choices[0].message.parts[0] == msgspec.structs.replace(
        Refusal(text="No."), extensions=read_answer(body).choices[0].message.parts[0].extensions  # type: ignore[union-attr]
    )  # fmt: skip


def test_a_bare_answer_of_another_dialect_is_whole() -> None:
    body, losses = write_answer(Response(choices=(Choice(message=Message(role="assistant")),)))
    check_answer(body)
    assert body["id"].startswith("resp_")
    assert body["output"] == []
    assert body["usage"] is None
    assert body["store"] is False
    assert not losses


def test_thoughts_of_other_families_are_shown_as_a_summary_and_sealed_with_a_tag() -> None:
    body, losses = write_answer(
        foreign(
            Thinking(text="Hm.", signature=Signature(value="SIG", family="anthropic")),
            Thinking(redacted=Signature(value="SEAL", family="anthropic")),
            Thinking(text="Open."),
            ToolCall(id="c", name="f", arguments="{}", signature=Signature(value="T", family="gemini")),
        )
    )
    check_answer(body)
    assert not losses
    assert [(item["type"], item.get("encrypted_content"), [s["text"] for s in item.get("summary", ())]) for item in body["output"]] == [
        ("reasoning", "jf1.anthropic.SIG", ["Hm."]),
        ("reasoning", "jf1.anthropic/redacted.SEAL", []),
        ("reasoning", "jf1.unsigned.words", ["Open."]),
        ("function_call", None, []),
        ("reasoning", "jf1.gemini/previous.T", []),
    ]


def test_what_answers_have_no_place_for_is_listed() -> None:
    parts = (
        Text(text="x", citations=(Citation(kind="document", quote="q"),)),
        Audio(transcript="a"),
        ServerToolCall(name="code_execution", arguments="{}"),
        Image(source=Source(url="https://a.example/a.png")),
    )
    choices = (Choice(message=Message(role="assistant", parts=parts), finish="stop"), Choice(index=1))
    body, losses = write_answer(Response(id="x", model="m", choices=choices, service_tier="on_demand"))
    check_answer(body)
    assert [loss.path for loss in losses] == [
        "choices", "service_tier", "choices[0].parts[0].citations[0]", "choices[0].parts[1]", "choices[0].parts[2]", "choices[0].parts[3]",
    ]  # fmt: skip


def test_usage_has_every_member_that_openais_types_demand() -> None:
    body, _ = write_answer(foreign(Text(text="x"), usage=Usage(input=10, output=5, cache_read=4, cache_write=2, thinking=3)))
    ResponseUsage.model_validate(body["usage"], strict=True)
    assert body["usage"] == {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 15,
    }  # fmt: skip
    assert write_answer(foreign(usage=Usage(source="absent")))[0]["usage"] is None


def test_a_changed_count_stands_above_the_form_that_was_kept() -> None:
    body = answer(message(output_text("x")), usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5, "cost": 0.1})
    response = read_answer(body)
    assert write_answer(response)[0]["usage"] == body["usage"]
    assert response.usage is not None
    changed = msgspec.structs.replace(response, usage=msgspec.structs.replace(response.usage, input=7))
    assert write_answer(changed)[0]["usage"]["input_tokens"] == 7


def test_chances_of_tokens_belong_to_the_answer_and_go_back_to_their_texts() -> None:
    token = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": [{"token": "b", "bytes": [98], "logprob": -1.0}]}
    body = answer(message(output_text("a", logprobs=[token]), output_text("aa", logprobs=[token, token])))
    response = read_answer(body)
    logprobs = response.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert len(logprobs.content) == 3
    assert write_answer(response)[0]["output"] == body["output"]
    plain = foreign(Text(text="a"))
    choice = msgspec.structs.replace(plain.choices[0], logprobs=Logprobs(content=(TokenLogprob(token="a", logprob=-0.5),)))
    written, _ = write_answer(msgspec.structs.replace(plain, choices=(choice,)))
    check_answer(written)
    assert written["output"][0]["content"][0]["logprobs"][0]["bytes"] == [97]


SERVER_ITEMS: list[tuple[dict[str, Any], str, Any, Any]] = [
    (
        {"type": "web_search_call", "id": "ws_1", "status": "completed",
         "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a.example"}]}},
        "web_search", {"query": "q"}, [{"url": "https://a.example"}],
    ),
    (
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "open_page", "url": "https://a.example"}},
        "web_search", {"url": "https://a.example"}, None,
    ),
    (
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"], "results": [{"file_id": "f", "text": "t"}]},
        "file_search", {"queries": ["q"]}, {"results": [{"file_id": "f", "text": "t"}]},
    ),
    (
        {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1+1", "container_id": "c",
         "outputs": [{"type": "logs", "logs": "2"}]},
        "code_interpreter", {"code": "1+1"}, {"outputs": [{"type": "logs", "logs": "2"}]},
    ),
    (
        {"type": "mcp_call", "id": "mcp_1", "status": "completed", "arguments": '{"a":1}', "name": "n", "server_label": "s",
         "output": "done"},
        "mcp", {"a": 1}, {"output": "done"},
    ),
    (
        {"type": "tool_search_call", "id": "tsc_1", "status": "completed", "arguments": {"q": 1}, "execution": "server", "call_id": None},
        "tool_search", {"q": 1}, None,
    ),
    (
        {"type": "shell_call", "id": "sh_1", "status": "completed", "action": {"commands": ["ls"]}, "call_id": "c"},
        "shell", {"commands": ["ls"]}, None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("item", "name", "asked", "gave"), SERVER_ITEMS, ids=[item["type"] for item, *_ in SERVER_ITEMS])
def test_tools_that_openai_ran(item: dict[str, Any], name: str, asked: Any, gave: Any) -> None:
    response = read_answer(answer(item))
    call, *results = response.choices[0].message.parts
    assert isinstance(call, ServerToolCall)
    assert (call.name, json.loads(call.arguments)) == (name, asked)
    assert [json.loads(part.content) for part in results if isinstance(part, ServerToolResult)] == ([gave] if gave is not None else [])
    assert write_answer(response)[0]["output"] == [{key: value for key, value in item.items() if value is not None}]
    last = check_stream(played(response), typed=False)
    assert last["output"] == [{key: value for key, value in item.items() if value is not None}]


def test_a_picture_that_was_made_is_an_image() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA", "output_format": "webp", "size": "1x1"}
    response = read_answer(answer(item))
    (part,) = response.choices[0].message.parts
    assert isinstance(part, Image)
    assert part.source == Source(data="AAAA", media_type="image/webp")
    assert write_answer(response)[0]["output"] == [item]
    body, losses = write_answer(foreign(Image(source=Source(data="BBBB", media_type="image/png"))))
    check_answer(body)
    assert not losses
    assert body["output"][0]["result"] == "BBBB"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"output":null}', b"nope", b'{"output":{}}', b'{"output":' + b"[" * 100_000])
def test_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        RESPONSES.decode_response(raw)


# --------------------------------------------------------------------------------------------------- streams


def test_the_order_of_events() -> None:
    events = text_stream("Hel", "lo")
    check_stream(events)
    assert types_of(events) == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done", "response.content_part.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip


def test_a_call_streams_its_arguments_under_ids_of_the_right_kind() -> None:
    for kind, prefix, name in (("function", "fc_", "function_call_arguments"), ("custom", "ctc_", "custom_tool_call_input")):
        call = ToolCall(id="c", name="f", kind=kind, namespace="n")  # type: ignore[arg-type]
        deltas: list[Delta] = [
            Begin(id="r"),
            PartStart(index=0, part=call),
            ArgumentsDelta(index=0, text="{"),
            ArgumentsDelta(index=0, text="}"),
        ]
        events = encoded([*deltas, PartEnd(index=0), Finish(reason="tool_calls"), Done()])
        last = check_stream(events)
        assert types_of(events)[2:-1] == [
            "response.output_item.added", f"response.{name}.delta", f"response.{name}.delta", f"response.{name}.done",
            "response.output_item.done",
        ]  # fmt: skip
        (item,) = last["output"]
        assert item["id"].startswith(prefix)
        assert (item["call_id"], item["name"], item["namespace"]) == ("c", "f", "n")
        assert item.get("arguments", item.get("input")) == "{}"


def test_a_call_without_arguments_has_json_all_the_same() -> None:
    last = check_stream(
        encoded([Begin(), PartStart(index=0, part=ToolCall(id="c", name="f")), PartEnd(index=0), Finish(reason="stop"), Done()])
    )
    assert last["output"][0]["arguments"] == "{}"


def test_calls_whose_arguments_take_turns_are_whole_in_the_end() -> None:
    deltas: list[Delta] = [
        Begin(), PartStart(index=0, part=ToolCall(id="a", name="f")), ArgumentsDelta(index=0, text='{"x":'), PartEnd(index=0),
        PartStart(index=1, part=ToolCall(id="b", name="g")), ArgumentsDelta(index=1, text="{}"), ArgumentsDelta(index=0, text="1}"),
        PartEnd(index=1), Finish(reason="tool_calls"), Done(),
    ]  # fmt: skip
    last = check_stream(encoded(deltas))
    assert [item["arguments"] for item in last["output"]] == ['{"x":1}', "{}"]


def test_chances_of_tokens_stand_with_their_words() -> None:
    token = TokenLogprob(token="a", logprob=-0.5)
    deltas: list[Delta] = [Begin(), PartStart(index=0, part=Text(text=""))]
    encoder = RESPONSES.encode_stream(Request(), [])
    events = [*encoder.feed(deltas), *encoder.feed([TextDelta(index=0, text="a"), LogprobsDelta(logprobs=Logprobs(content=(token,)))])]
    events += encoder.feed([PartEnd(index=0), Finish(reason="stop"), Done()])
    check_stream(events)
    by_type = {event.json["type"]: event.json for event in events}
    assert [len(by_type[f"response.output_text.{kind}"]["logprobs"]) for kind in ("delta", "done")] == [1, 1]


def test_a_second_answer_is_lost_and_listed_once() -> None:
    losses: list[Any] = []
    deltas: list[Delta] = [Begin(id="r"), PartStart(index=0, part=Text(text="")), TextDelta(index=0, text="a")]
    other: list[Delta] = [
        PartStart(choice=1, index=0, part=Text(text="")),
        TextDelta(choice=1, index=0, text="b"),
        Finish(choice=1, reason="stop"),
    ]
    last = check_stream(encoded([*deltas, *other, PartEnd(index=0), Finish(reason="stop"), Done()], losses=losses))
    assert [item["content"][0]["text"] for item in last["output"]] == ["a"]
    assert [loss.path for loss in losses] == ["choices[1]"]


def test_an_answer_repeats_the_settings_of_its_request() -> None:
    request = Request(
        model="m", tools=(Tool(name="f", parameters={"type": "object"}),), tool_choice=ToolChoice(mode="named", names=("f",)),
        parallel_tools=False, metadata={"a": "b"}, user="u",
    )  # fmt: skip
    events = encoded([Begin(id="r", model="m"), Finish(reason="stop"), Done()], request)
    last = check_stream(events)
    assert [tool["name"] for tool in last["tools"]] == ["f"]
    assert last["tool_choice"] == {"type": "function", "name": "f"}
    assert (last["parallel_tool_calls"], last["metadata"], last["user"]) == (False, {"a": "b"}, "u")


def test_an_error_is_told_twice_and_is_the_last_word() -> None:
    error = Error(status=429, message="slow down", code="rate_limit_exceeded", param="x")
    deltas: list[Delta] = [Begin(id="r"), PartStart(index=0, part=Text(text="")), TextDelta(index=0, text="a"), StreamError(error=error)]
    events = encoded([*deltas, Done(), TextDelta(index=0, text="late")])
    last = check_stream(events)
    assert types_of(events)[-2:] == ["error", "response.failed"]
    said = events[-2].json
    assert (said["code"], said["message"], said["param"]) == ("rate_limit_exceeded", "slow down", "x")
    assert said["error"]["message"] == "slow down"
    assert last["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}


def test_a_stream_of_another_dialect_that_never_begins_is_begun() -> None:
    check_stream(encoded([PartStart(index=0, part=Text(text="a")), PartEnd(index=0), Finish(reason="stop"), Done()]))
    check_stream(encoded([Done()]))
    check_stream(encoded([StreamError(error=Error(message="x"))]))


def test_an_event_of_another_dialect_is_lost_and_listed() -> None:
    losses: list[Any] = []
    events = encoded([Begin(id="r"), OpaqueDelta(dialect="acme.chat", name="tick", value="{}"), Done()], losses=losses)
    check_stream(events)
    assert [loss.path for loss in losses] == ["stream"]


def test_a_stream_of_nothing_but_whole_items_is_understood() -> None:
    item = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"}
    text = message(output_text("Hello"))
    events = [
        event_of({"type": "response.output_item.done", "output_index": 0, "item": text}),
        event_of({"type": "response.output_item.done", "output_index": 1, "item": item}),
        event_of({"type": "response.completed", "response": answer(text, item)}),
    ]
    response = assembled(events)
    assert (response.text, [call.arguments for call in response.tool_calls], response.finish) == ("Hello", ["{}"], "tool_calls")
    alone = assembled([event_of({"type": "response.completed", "response": answer(text, item)})])
    assert (alone.text, [call.name for call in alone.tool_calls]) == ("Hello", ["f"])
    assert (alone.id, alone.model, alone.usage.input if alone.usage else 0) == ("resp_1", "m", 3)


def test_a_stream_that_breaks_off_has_no_end() -> None:
    deltas = decoded(text_stream("a")[:5])
    assert isinstance(deltas[-1], PartEnd)
    assert not any(isinstance(delta, Finish | Done) for delta in deltas)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None, "sequence_number": 1}, 429),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}, 400),
        ({"type": "error", "error": {"type": "authentication_error", "message": "m"}}, 401),
        ({"type": "error", "error": {"code": "usage_limit_reached", "message": "m"}}, 429),
        ({"type": "error", "error": {"type": "not_found", "message": "m"}}, 404),
        ({"type": "error", "error": {"message": "m", "status_code": 418}}, 418),
        ({"type": "error", "error": {"message": "m"}}, 502),
        ({"type": "response.failed", "response": {"id": "r", "error": {"code": "server_error", "message": "m"}}}, 502),
        ({"type": "response.failed", "response": {"id": "r", "error": {"code": "context_length_exceeded", "message": "m"}}}, 400),
        ({"error": {"message": "m", "code": 503}}, 503),
    ],
    ids=str,
)  # fmt: skip
def test_errors_in_a_stream_have_the_status_that_they_stand_for(value: Any, status: int) -> None:
    *_, last = decoded([event_of(value)])
    assert isinstance(last, StreamError)
    assert (last.error.status, last.error.message) == (status, "m")
    error = event_of(value).error
    assert error is not None
    assert error.status == status


def test_an_error_alone_does_not_end_a_stream_for_the_failed_answer_follows() -> None:
    error = event_of({"type": "error", "error": {"message": "m"}})
    assert not RESPONSES.terminal(error)
    assert RESPONSES.ends(error)
    assert not RESPONSES.commits(error)
    assert RESPONSES.commits(event_of({"type": "response.created", "response": {"id": "r"}}))


@pytest.mark.parametrize("kind", ["created", "queued", "in_progress"])
@pytest.mark.parametrize("named", [True, False])
def test_what_becomes_of_a_response_before_its_first_item_may_be_held_back(kind: str, named: bool) -> None:
    value = {"type": f"response.{kind}", "response": {"id": "r", "output": []}}
    event = RESPONSES.event(value, value["type"] if named else "")
    assert RESPONSES.lifecycle(event)
    assert RESPONSES.commits(event)


@pytest.mark.parametrize(
    "kind", ["response.output_item.added", "response.output_text.delta", "response.completed", "response.failed", "error"]
)
def test_items_words_and_endings_of_a_response_are_not_held_back(kind: str) -> None:
    assert not RESPONSES.lifecycle(RESPONSES.event({"type": kind}, kind))


# ------------------------------------------------------------------------------------------------ small looks


def test_repeats_name_every_place_that_says_again_what_was_said() -> None:
    events = text_stream("a")
    places = {event.name: [repeat.path for repeat in RESPONSES.repeats(event)] for event in events}
    assert places["response.output_text.done"] == [("text",)]
    assert places["response.content_part.done"] == [("part", "text")]
    assert places["response.output_item.done"] == [("item", "content", 0, "text")]
    assert places["response.completed"] == [("response", "output", 0, "content", 0, "text")]
    assert not places["response.output_text.delta"]
    keys = {(repeat.of, repeat.index) for event in events for repeat in RESPONSES.repeats(event)}
    assert keys == {("text", delta.index) for event in events for delta in event.deltas if isinstance(delta, TextDelta)}


def test_words_are_replaced_in_deltas_alone() -> None:
    event = next(event for event in text_stream("a") if event.text)
    assert event.with_text("b").text == "b"
    assert event.with_text("b").json["sequence_number"] == event.json["sequence_number"]
    created = text_stream("a")[0]
    assert created.with_text("b") is created


def test_an_event_without_a_name_is_known_by_its_type() -> None:
    event = RESPONSES.event(text_stream("a")[-1].data)
    assert event.name == ""
    assert RESPONSES.terminal(event)
    assert event.usage == Usage(input=1, output=2)
    assert event.finish == "stop"


@pytest.mark.parametrize(
    ("body", "error", "counted"),
    [
        (answer(), None, True),
        (answer(status="failed", error={"code": "rate_limit_exceeded", "message": "m"}), "m", True),
        (answer(status="failed", background=True, error={"code": "server_error", "message": "m"}), None, True),
        ({"object": "response.input_tokens", "input_tokens": 7}, None, False),
        ({"object": "response.deleted", "id": "r", "deleted": True}, None, False),
        ({"object": "list", "data": []}, None, False),
        ({"object": "response.compaction", "output": [], "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}}, None, True),
        ({"error": {"message": "m"}}, "m", False),
        ({"code": "x", "error": "m"}, "m", False),
    ],
    ids=str,
)
def test_a_glance_at_any_answer(body: Any, error: str | None, counted: bool) -> None:
    seen = RESPONSES.glance(json.dumps(body).encode())
    assert (seen.error.message if seen.error else None) == error
    assert (seen.usage.input if seen.usage else None) == (3 if counted else None)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"<html>", b'{"detail": 5, "x": 1}'])
def test_a_glance_at_what_is_none(raw: bytes) -> None:
    if raw.startswith(b'{"detail"'):
        assert RESPONSES.glance(raw).error is not None
        return
    with pytest.raises(ValueError, match=r"."):
        RESPONSES.glance(raw)


def test_counts_of_tokens_are_written_and_read() -> None:
    raw = RESPONSES.encode_count(Usage(input=42))
    TypeAdapter(InputTokenCountResponse).validate_json(raw, strict=True)
    assert RESPONSES.decode_count(raw) == Usage(input=42)
    with pytest.raises(ValueError, match="counts no tokens"):
        RESPONSES.decode_count(b"{}")


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"error": {"message": "x", "code": "invalid_encrypted_content"}}, True),
        (
            {"error": {"message": "The encrypted content gAAA could not be verified. Reason: Encrypted content could not be decrypted."}},
            True,
        ),
        ({"error": {"message": "Encrypted content is not supported with this model."}}, False),
        ({"error": {"message": "x", "code": "invalid_value"}}, False),
    ],
)
def test_a_refused_signature_is_told_from_other_errors(body: Any, refused: bool) -> None:
    error = RESPONSES.decode_error(400, Headers(), json.dumps(body).encode())
    assert RESPONSES.refuses_signature(error) is refused
    assert not RESPONSES.refuses_signature(msgspec.structs.replace(error, status=500))


@pytest.mark.parametrize(
    ("raw", "message_"),
    [
        (b"", "without a word"), (b"<html>502</html>", "<html>"), (b'{"code":"x","error":"xAI says no"}', "xAI says no"),
        (b'{"error":{"message":"m","type":"t"}}', "m"), (b'{"detail":"d"}', "d"),
    ],
)  # fmt: skip
def test_error_bodies_of_every_shape(raw: bytes, message_: str) -> None:
    error = RESPONSES.decode_error(502, Headers({"retry-after": "3"}), raw)
    assert message_ in error.message
    assert (error.status, error.retry_after) == (502, 3.0)
    assert set(json.loads(RESPONSES.encode_error(error))["error"]) >= {"message", "type", "param", "code"}


def test_models_are_listed_as_in_chat() -> None:
    body = json.loads(RESPONSES.encode_models([ModelInfo(id="m")]))
    assert (body["object"], body["data"][0]["id"]) == ("list", "m")
    assert [model.id for model in RESPONSES.decode_models(json.dumps(body).encode())] == ["m"]
    assert json.loads(RESPONSES.encode_model(ModelInfo(id="m")))["object"] == "model"


def test_the_counts_are_those_of_the_last_event() -> None:
    deltas = decoded(text_stream("a"))
    assert [delta.usage.output for delta in deltas if isinstance(delta, UsageDelta)] == [2]
