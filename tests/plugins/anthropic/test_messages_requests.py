"""Requests of the dialect `anthropic.messages`: what clients send is understood, and what others said is said as Anthropic takes it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from jackfield.api import BadRequest, Request
from jackfield.api.canonical import (
    Audio,
    Cache,
    Citation,
    Document,
    Image,
    Message,
    Opaque,
    Output,
    Refusal,
    Sampling,
    ServerToolCall,
    ServerToolResult,
    Signature,
    Source,
    Text,
    Thinking,
    ThinkingConfig,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)
from jackfield.api.canonical.request import WebSearch
from tests.plugins.anthropic.messages_wire import MESSAGES, differences, normal, read_request, write_request

USER = {"role": "user", "content": "hi"}
OLD, NEW = "claude-sonnet-4-5", "claude-opus-5-5"


def body(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": list(messages) or [USER], **more}


def asked(*messages: Message, **more: Any) -> Request:
    said = messages or (Message(role="user", parts=(Text(text="hi"),)),)
    sampling = more.pop("sampling", Sampling(max_tokens=100))
    return Request(model=more.pop("model", "m"), messages=said, sampling=sampling, **more)


def user(*parts: Any) -> Message:
    return Message(role="user", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Any) -> Message:
    return Message(role="assistant", parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))


def result(call_id: str, text: str = "done") -> Message:
    return Message(role="tool", parts=(ToolResult(call_id=call_id, parts=(Text(text=text),)),))


def call(call_id: str, **more: Any) -> ToolCall:
    return ToolCall(id=call_id, name="f", arguments='{"a":1}', **more)


def same(wire: Any) -> bool:
    written, losses = write_request(read_request(wire))
    assert losses == []
    assert differences(normal(wire), normal(written)) == []
    return True


# ------------------------------------------------------------------------------------------- what clients send


def test_a_plain_request_in_canonical_words() -> None:
    wire = body(
        {"role": "user", "content": "What is it?"},
        system="Be brief.",
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["END"],
        stream=True,
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
    )
    request = read_request(wire)
    assert request.system == "Be brief."
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.sampling == Sampling(temperature=0.5, top_p=0.9, top_k=40, max_tokens=100, stop=("END",))
    assert (request.stream, request.user, request.service_tier) == (True, "u-1", "standard_only")
    assert same(wire)


def test_everything_that_claude_code_sends_comes_back() -> None:
    wire = body(
        {"role": "user", "content": [{"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": "be quick", "output_config": {"effort": "low"}},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "EqQ="},
                {"type": "redacted_thinking", "data": "Zm9v"},
                {"type": "text", "text": "ok"},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a", "n": 1.5}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "text", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ],
        },
        model=NEW,
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1"},
            {"type": "text", "text": "You are", "cache_control": {"type": "ephemeral"}},
        ],
        tools=[{"name": "Read", "description": "reads", "input_schema": {"$schema": "x", "type": "object"}, "defer_loading": True}],
        metadata={"user_id": '{"session_id":"s"}'},
        thinking={"type": "adaptive", "display": "updates"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        stream=True,
    )
    request = read_request(wire)
    assert [message.role for message in request.messages] == ["system", "user", "system", "assistant", "tool"]
    assert request.thinking == ThinkingConfig(mode="auto", effort="medium")
    assert isinstance(request.messages[0].parts[0], Opaque), "who asks is told to Anthropic alone"
    assert request.system == "You are\n\nbe quick"
    assert same(wire)


@pytest.mark.parametrize(
    "more",
    [
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4000},
        {"thinking": {"type": "enabled", "budget_tokens": 31999, "display": "omitted"}, "max_tokens": 32000},
        {"thinking": {"type": "enabled", "budget_tokens": 9000}, "max_tokens": 4000},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"thinking": {"type": "between_tools"}},
        {"output_config": {"effort": "xhigh"}},
        {
            "output_config": {
                "format": {"type": "json_schema", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
            }
        },
        {"output_format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}},
        {"output_config": {"task_budget": {"type": "tokens", "total": 9}, "effort": "low"}},
        {"system": []},
        {"system": ""},
        {"system": [{"type": "text", "text": "one"}]},
        {"tools": []},
        {"stop_sequences": []},
        {"stream": False},
        {"metadata": {}},
        {"cache_control": {"type": "ephemeral"}, "container": "c", "mcp_servers": [{"type": "url", "url": "u", "name": "n"}]},
        {"speed": "fast", "inference_geo": "eu", "diagnostics": {"previous_message_id": "msg_0"}},
    ],
    ids=str,
)
def test_settings_come_back_in_the_form_in_which_they_came(more: dict[str, Any]) -> None:
    assert same(body(**more))


TOOL = {"name": "f", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("choice", "mode", "parallel"),
    [
        ({"type": "auto"}, "auto", None),
        ({"type": "auto", "disable_parallel_tool_use": True}, "auto", False),
        ({"type": "any", "disable_parallel_tool_use": False}, "required", True),
        ({"type": "tool", "name": "f"}, "named", None),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": True}, "named", False),
        ({"type": "none"}, "none", None),
    ],
    ids=str,
)
def test_a_tool_choice_is_understood(choice: dict[str, Any], mode: str, parallel: bool | None) -> None:
    wire = body(tools=[TOOL], tool_choice=choice)
    request = read_request(wire)
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.parallel_tools) == (mode, parallel)
    assert same(wire)


@pytest.mark.parametrize(
    "tool",
    [
        TOOL,
        {**TOOL, "type": "custom", "strict": True, "description": "does", "input_examples": [{"a": 1}], "eager_input_streaming": True}
        | {"input_schema": {"type": "object", "properties": {}, "additionalProperties": False}},
        {**TOOL, "defer_loading": True, "cache_control": {"type": "ephemeral", "ttl": "5m"}, "allowed_callers": ["direct"]},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 3, "allowed_domains": ["a.example"]},
        {"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral"}},
        {"type": "mcp_toolset", "mcp_server_name": "deepwiki"},
    ],
    ids=str,
)
def test_a_tool_comes_back(tool: dict[str, Any]) -> None:
    (found,) = read_request(body(tools=[tool])).tools
    assert found.kind == ("function" if tool.get("type") in (None, "custom") else "hosted")
    assert same(body(tools=[tool]))


@pytest.mark.parametrize(
    ("wire", "part"),
    [
        ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}, Image),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}, Image),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}, "transformations": {"oversized_image": "error"}}, Image),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, "title": "t"}, Document),
        ({"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf"}, "context": "c"}, Document),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}, "citations": {"enabled": True}}, Document),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}, Document),
        ({"type": "document", "source": {"type": "content", "content": "words"}, "citations": {"enabled": False}}, Document),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}},
            Document,
        ),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {}}]}}, Opaque),
        ({"type": "search_result", "source": "https://a", "title": "t", "content": [{"type": "text", "text": "w"}]}, Document),
        ({"type": "container_upload", "file_id": "file_2"}, Opaque),
        ({"type": "video", "source": {"type": "url", "url": "u"}}, Opaque),
    ],
    ids=str,
)
@pytest.mark.parametrize("inside", [False, True])
def test_media_comes_back_alone_and_in_results_of_tools(wire: dict[str, Any], part: type[Any], inside: bool) -> None:
    if not inside:
        (found,) = read_request(body({"role": "user", "content": [wire]})).messages[0].parts
        assert isinstance(found, part)
        assert same(body({"role": "user", "content": [wire]}))
        return
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
    answered = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [wire], "is_error": True}]}
    (only,) = read_request(body(USER, called, answered)).messages[-1].parts
    assert isinstance(only, ToolResult)
    assert isinstance(only.parts[0], part)
    assert only.is_error
    assert same(body(USER, called, answered))


def test_the_texts_of_a_document_are_words_elsewhere() -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    wire = {"type": "document", "source": {"type": "content", "content": blocks}}
    (found,) = read_request(body({"role": "user", "content": [wire]})).messages[0].parts
    assert isinstance(found, Document)
    assert found.text == "one\n\ntwo"


def test_history_with_server_tools_and_citations_comes_back() -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}, "caller": {"type": "direct"}}
    hit = {"type": "web_search_result", "url": "https://a", "title": "t", "encrypted_content": "E", "page_age": None}
    cited = {"type": "web_search_result_location", "url": "https://a", "title": "t", "cited_text": "w", "encrypted_index": "I"}
    wire = body(
        USER,
        {
            "role": "assistant",
            "content": [
                search,
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [hit]},
                {"type": "text", "text": "so", "citations": [cited]},
                {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "ask", "server_name": "s", "input": {}},
                {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": [{"type": "text", "text": "x"}]},
                {"type": "compaction", "content": "short"},
            ],
        },
        USER,
    )
    parts = read_request(wire).messages[1].parts
    assert [type(part) for part in parts] == [ServerToolCall, ServerToolResult, Text, ServerToolCall, ServerToolResult, Opaque]
    assert isinstance(parts[1], ServerToolResult)
    assert parts[1].name == "web_search"
    assert same(wire)


def test_the_error_of_a_server_tool_is_one() -> None:
    failed = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    wire = body(
        USER, {"role": "assistant", "content": [{"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": failed}]}, USER
    )
    (part,) = read_request(wire).messages[1].parts
    assert isinstance(part, ServerToolResult)
    assert part.is_error
    assert same(wire)


def test_messages_of_one_speaker_in_a_row_stay_apart_if_they_came_so() -> None:
    assert same(
        body(USER, USER, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}, USER)
    )


def test_a_request_to_count_tokens_has_nothing_of_the_answer() -> None:
    wire = {"model": "m", "messages": [USER], "system": "s", "tools": [TOOL], "tool_choice": {"type": "auto"}}
    request = MESSAGES.decode_request(json.dumps(wire).encode(), "count")
    losses: list[Any] = []
    assert json.loads(MESSAGES.encode_request(request, "count", losses)) == wire
    assert losses == []
    generated = asked(sampling=Sampling(temperature=0.3, max_tokens=5, stop=("x",)), stream=True, user="u")
    assert json.loads(MESSAGES.encode_request(generated, "count", losses)).keys() == {"model", "messages"}
    assert losses == []


# ----------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b'{"messages": "\xff"}', None),
        (body(model=1), "model"),
        ({"model": "m"}, "messages"),
        (body(messages=None), "messages"),
        ({"messages": []}, "messages"),
        (body(messages={}), "messages"),
        (body("hi"), "messages[0]"),
        (body({"content": "x"}), "messages[0].role"),
        (body({"role": "developer", "content": "x"}), "messages[0].role"),
        (body({"role": "user"}), "messages[0].content"),
        (body({"role": "user", "content": 3}), "messages[0].content"),
        (body(USER, {"role": "assistant", "content": [{"type": "text"}]}), "messages[1].content[0].text"),
        (body({"role": "user", "content": [{"text": "x"}]}), "messages[0].content[0].type"),
        (body({"role": "user", "content": ["x"]}), "messages[0].content[0]"),
        (body({"role": "user", "content": [{"type": "text", "text": "x", "cache_control": 1}]}), "messages[0].content[0].cache_control"),
        (body({"role": "user", "content": [{"type": "image"}]}), "messages[0].content[0].source"),
        (body({"role": "user", "content": [{"type": "image", "source": {}}]}), "messages[0].content[0].source.type"),
        (body({"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}), "messages[0].content[0].source.data"),
        (
            body({"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "iVBORw=="}}]}),
            "messages[0].content[0].source.media_type",
        ),
        (body({"role": "user", "content": [{"type": "tool_result"}]}), "messages[0].content[0].tool_use_id"),
        (
            body(
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_use", "id": "a", "name": "b"}]}],
                }
            ),
            "messages[0].content[0].content[0].type",
        ),
        (
            body({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": "x"}]}),
            "messages[0].content[0].input",
        ),
        (body({"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}), "messages[0].content[0].id"),
        (body({"role": "assistant", "content": [{"type": "text", "text": "x", "citations": [1]}]}), "messages[0].content[0].citations[0]"),
        (body(system=3), "system"),
        (body(system=[{"type": "text"}]), "system[0].text"),
        (body(max_tokens="many"), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(temperature="hot"), "temperature"),
        (body(temperature=True), "temperature"),
        (body(stop_sequences="x"), "stop_sequences"),
        (body(stop_sequences=[1]), "stop_sequences[0]"),
        (body(stream="yes"), "stream"),
        (body(tools={}), "tools"),
        (body(tools=[1]), "tools[0]"),
        (body(tools=[{"input_schema": {}}]), "tools[0].name"),
        (body(tools=[{"name": "f", "input_schema": "x"}]), "tools[0].input_schema"),
        (body(tool_choice="auto"), "tool_choice"),
        (body(tool_choice={"type": "some"}), "tool_choice.type"),
        (body(tool_choice={"type": "tool"}), "tool_choice.name"),
        (body(thinking={"budget_tokens": 3}), "thinking.type"),
        (body(thinking={"type": "enabled"}), "thinking.budget_tokens"),
        (body(thinking={"type": "enabled", "budget_tokens": "x"}), "thinking.budget_tokens"),
        (body(output_config={"format": {"schema": {}}}), "output_config.format.type"),
        (body(output_config={"effort": 1}), "output_config.effort"),
        (body(metadata={"user_id": 1}), "metadata.user_id"),
    ],
    ids=str,
)
def test_bad_input_is_told_with_its_place(raw: Any, param: str | None) -> None:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    with pytest.raises(BadRequest) as caught:
        MESSAGES.decode_request(data, "generate")
    assert caught.value.param == param
    assert param is None or param in caught.value.message


def test_only_what_has_no_other_word_is_kept_as_this_dialects_own() -> None:
    tool = {"type": "custom", "name": "f", "input_schema": {"type": "object", "properties": {}}}
    wire = body(stream=False, tools=[tool], system=[], metadata={"user_id": "u"}, thinking={"type": "enabled", "budget_tokens": 2000})
    assert same(wire)
    request = read_request(wire)
    kept = [*request.extensions["anthropic.messages"].items(), *request.tools[0].extensions["anthropic.messages"].items()]
    assert [key for key, value in kept if not key.startswith("=") and value not in ("", [], {})] == []


def test_what_stands_for_something_stored_is_kept_under_its_name() -> None:
    assert MESSAGES.stored == read_request(body(container="container_1")).extensions["anthropic.messages"].keys()


def test_a_wanted_stream_is_asked_for_though_none_had_been() -> None:
    wire, _ = write_request(msgspec.structs.replace(read_request(body(stream=False)), stream=True))
    assert wire["stream"] is True
    assert not [key for key in wire if key.startswith("=")]


def test_deep_nesting_is_refused_and_does_not_break() -> None:
    deep = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":' + b"[" * 5000 + b"]" * 5000 + b"}]}"
    with pytest.raises(BadRequest):
        MESSAGES.decode_request(deep, "generate")


def test_odd_characters_come_back() -> None:
    text = "NUL \x00, line ends \u2028\u2029\u0085, \U0001f600"
    raw = MESSAGES.encode_request(asked(user(text)), "generate", [])
    assert not any(char.encode() in raw for char in "\u2028\u2029\u0085")
    assert json.loads(raw)["messages"][0]["content"] == text
    assert MESSAGES.decode_request(raw, "generate").messages[0].text == text


# ----------------------------------------------------------------------------------- what others said: messages


def test_leading_texts_of_system_and_developer_become_the_system() -> None:
    request = asked(
        Message(role="system", parts=(Text(text="one"),)),
        Message(role="developer", parts=(Text(text="two", cache=Cache(ttl="1h")),)),
        user("hi"),
    )
    wire, losses = write_request(request)
    assert wire["system"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert wire["messages"] == [USER]
    assert losses == []


@pytest.mark.parametrize(
    ("model", "inside"), [(NEW, True), ("claude-opus-4-8", True), (OLD, False), ("claude-sonnet-5", False), ("glm-5", False)]
)
def test_a_later_text_of_the_system_stands_where_the_model_takes_it(model: str, inside: bool) -> None:
    request = asked(user("hi"), Message(role="developer", parts=(Text(text="be quick"),)), assistant("ok"), user("go"), model=model)
    wire, losses = write_request(request)
    if inside:
        assert [message["role"] for message in wire["messages"]] == ["user", "system", "assistant", "user"]
        assert wire["messages"][1]["content"] == "be quick"
        assert losses == []
    else:
        assert wire["messages"][0]["content"][1]["text"] == "<system-reminder>\nbe quick\n</system-reminder>"
        assert [(loss.path, loss.what) for loss in losses] == [("messages[1]", "changed")]


def test_a_text_of_the_system_after_an_answer_is_a_reminder_for_every_model() -> None:
    wire, losses = write_request(asked(user("hi"), assistant("ok"), Message(role="system", parts=(Text(text="x"),)), model=NEW))
    assert wire["messages"][2] == {"role": "user", "content": "<system-reminder>\nx\n</system-reminder>"}
    assert len(losses) == 1


def test_results_of_one_turn_stand_together_before_what_the_user_says() -> None:
    request = asked(
        user("hi"),
        assistant("let me", call("a")),
        assistant(call("b")),
        user("quick"),
        result("a", "one"),
        result("b", "two"),
        user("please"),
    )
    wire, losses = write_request(request)
    assert [message["role"] for message in wire["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in wire["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]
    assert [block.get("tool_use_id", block.get("text")) for block in wire["messages"][2]["content"]] == ["a", "b", "quick", "please"]
    assert losses == []


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    wire, losses = write_request(asked(user("hi"), assistant(call("a"), call("b")), result("b"), user("go on")))
    blocks = {block["tool_use_id"]: block for block in wire["messages"][2]["content"] if block["type"] == "tool_result"}
    assert blocks["a"]["is_error"] is True
    assert [(loss.path, loss.what) for loss in losses] == [("messages[2]", "invented")]


def test_a_result_that_nobody_asked_for_becomes_a_text() -> None:
    wire, losses = write_request(asked(user("hi"), assistant("no calls"), result("lost", "words")))
    assert wire["messages"][2]["content"] == [
        {"type": "text", "text": "Result of tool call lost:"},
        {"type": "text", "text": "words"},
    ]
    assert [loss.what for loss in losses] == ["changed"]


def test_of_two_results_of_one_call_the_later_counts() -> None:
    wire, losses = write_request(asked(user("hi"), assistant(call("a")), result("a", "old"), result("a", "new")))
    assert wire["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a", "content": "new"}]
    assert [loss.what for loss in losses] == ["dropped"]


def test_texts_of_blanks_alone_are_left_out() -> None:
    wire, losses = write_request(asked(user("hi"), assistant("", call("a")), result("a"), user("  \n"), user("go")))
    assert [block["type"] for block in wire["messages"][1]["content"]] == ["tool_use"]
    assert [block["type"] for block in wire["messages"][2]["content"]] == ["tool_result", "text"]
    assert [loss.path for loss in losses] == ["messages[3].parts[0]"]


def test_a_message_of_which_nothing_is_left_is_left_out() -> None:
    wire, losses = write_request(asked(user("hi"), assistant(Thinking(text="hm")), user("go")))
    assert wire["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "go"}]}]
    assert [loss.path for loss in losses] == ["messages[1].parts[0]"]


def test_an_answer_to_be_continued_does_not_end_in_blanks() -> None:
    wire, losses = write_request(asked(user("hi"), assistant("The answer is \n")))
    assert wire["messages"][-1] == {"role": "assistant", "content": "The answer is"}
    assert [loss.what for loss in losses] == ["changed"]


def test_a_model_that_continues_no_answer_is_asked_to() -> None:
    wire, losses = write_request(asked(user("hi"), assistant("The answer is"), model=NEW))
    assert [message["role"] for message in wire["messages"]] == ["user", "assistant", "user"]
    assert [(loss.path, loss.what) for loss in losses] == [("messages", "invented")]


def test_thinking_is_off_for_results_of_a_turn_whose_thought_is_gone() -> None:
    thought = Thinking(text="hm", signature=Signature(value="S", family="anthropic"))
    for parts, kind, lost in (((call("a"),), "disabled", ["thinking"]), ((thought, call("a")), "enabled", [])):
        said = ThinkingConfig(mode="on", budget=2000)
        wire, losses = write_request(asked(user("hi"), assistant(*parts), result("a"), sampling=Sampling(max_tokens=5000), thinking=said))
        assert wire["thinking"]["type"] == kind
        assert [loss.path for loss in losses] == lost


def test_there_is_always_something_to_answer() -> None:
    wire, losses = write_request(asked(Message(role="system", parts=(Text(text="You are"),))))
    assert wire["system"] == "You are"
    assert wire["messages"][0]["role"] == "user"
    assert wire["messages"][0]["content"]
    assert [loss.what for loss in losses] == ["invented"]


@pytest.mark.parametrize(
    ("part", "written", "what"),
    [
        (
            Thinking(text="hm", signature=Signature(value="S", family="anthropic")),
            {"type": "thinking", "thinking": "hm", "signature": "S"},
            None,
        ),
        (
            Thinking(summary=("a", "b"), signature=Signature(value="S", family="anthropic")),
            {"type": "thinking", "thinking": "a\n\nb", "signature": "S"},
            None,
        ),
        (Thinking(redacted=Signature(value="D", family="anthropic")), {"type": "redacted_thinking", "data": "D"}, None),
        (Thinking(text="hm", signature=Signature(value="S", family="openai")), None, "dropped"),
        (Thinking(redacted=Signature(value="S", family="openai")), None, "dropped"),
        (Thinking(text="hm"), None, "dropped"),
        (Refusal(text="no"), {"type": "text", "text": "no"}, "changed"),
        (Audio(id="a", transcript="said"), {"type": "text", "text": "said"}, "changed"),
        (Audio(id="a"), None, "dropped"),
        (ServerToolCall(id="ws_1", name="web_search", arguments="{}"), None, "dropped"),
        (ServerToolResult(call_id="ws_1", name="web_search", content="{}"), None, "dropped"),
        (ServerToolResult(call_id="srvtoolu_1", name="tool_search", content='"text"'), None, "dropped"),
        (ServerToolCall(id="srvtoolu_1", name="tool_search", extensions={"openai.responses": {"type": "x"}}), None, "dropped"),
        (Opaque(dialect="openai.responses", kind="program", value="{}"), None, "dropped"),
        (Text(text="so", signature=Signature(value="S", family="gemini")), {"type": "text", "text": "so"}, "dropped"),
        (Text(text="so", citations=(Citation(url="https://a", title="t"),)), {"type": "text", "text": "so"}, "dropped"),
    ],
    ids=str,
)
def test_what_an_assistant_said_elsewhere(part: Any, written: Any, what: str | None) -> None:
    wire, losses = write_request(asked(user("hi"), assistant(part, "x"), user("go")))
    content = wire["messages"][1]["content"]
    found = content[0] if isinstance(content, list) and len(content) == 2 else None
    assert found == written
    assert [(loss.path.startswith("messages[1].parts[0]"), loss.what) for loss in losses] == ([(True, what)] if what else [])


@pytest.mark.parametrize(
    ("part", "written", "what"),
    [
        (Image(source=Source(data="/9j/AAAA")), {"type": "base64", "media_type": "image/jpeg", "data": "/9j/AAAA"}, None),
        (Image(source=Source(data="_-__", media_type="image/png")), {"type": "base64", "media_type": "image/png", "data": "/+//"}, None),
        (Image(source=Source(data="AAAA", media_type="image/jpg")), {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}, None),
        (Image(source=Source(data="AAAA")), {"type": "base64", "media_type": "image/png", "data": "AAAA"}, "invented"),
        (Image(source=Source(url="https://a"), detail="high"), {"type": "url", "url": "https://a"}, "dropped"),
        (Image(source=Source(url="https://a"), detail="auto"), {"type": "url", "url": "https://a"}, None),
        (Image(source=Source(url="gs://b/c")), None, "dropped"),
        (Image(source=Source(file_id="file-123")), None, "dropped"),
        (Document(source=Source(data="AAAA")), {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, None),
        (Document(source=Source(data="aGk=", media_type="text/csv")), {"type": "text", "media_type": "text/plain", "data": "hi"}, None),
        (Document(source=Source(data="/w==", media_type="text/csv")), None, "dropped"),
        (Document(source=Source(data="AAAA", media_type="application/zip")), None, "dropped"),
        (Document(text="words"), {"type": "text", "media_type": "text/plain", "data": "words"}, None),
        (Document(text=""), None, "dropped"),
        (Video(source=Source(url="https://a")), None, "dropped"),
        (Audio(source=Source(data="AAAA"), format="wav"), None, "dropped"),
    ],
    ids=str,
)
def test_media_from_elsewhere(part: Any, written: Any, what: str | None) -> None:
    wire, losses = write_request(asked(user("look", part)))
    content = wire["messages"][0]["content"]
    assert (content[1]["source"] if len(content) > 1 and isinstance(content, list) else None) == written
    assert [loss.what for loss in losses] == ([what] if what else [])


@pytest.mark.parametrize(
    ("said", "written", "lost"),
    [
        ("", {}, False),
        ("  ", {}, False),
        ('{"a": 1.10}', {"a": 1.1}, False),
        ("[1]", {"input": "[1]"}, True),
        ("not json", {"input": "not json"}, True),
    ],
)
def test_arguments_are_an_object(said: str, written: Any, lost: bool) -> None:
    wire, losses = write_request(asked(user("hi"), assistant(ToolCall(id="a", name="f", arguments=said)), result("a")))
    assert wire["messages"][1]["content"][0]["input"] == written
    assert bool(losses) is lost


def test_what_the_kernel_left_of_foreign_calls_is_survived() -> None:
    parts = (
        ToolCall(id="a", name="f", arguments="free text", kind="custom", namespace="n", signature=Signature(value="S", family="gemini")),
    )
    wire, losses = write_request(
        asked(user("hi"), Message(role="assistant", parts=parts), result("a"), tools=(Tool(name="f", kind="custom", namespace="n"),))
    )
    assert wire["messages"][1]["content"][0]["input"] == {"input": "free text"}
    assert wire["tools"][0]["input_schema"]["required"] == ["input"]
    assert {loss.path for loss in losses} == {
        "messages[1].parts[0].signature",
        "messages[1].parts[0].arguments",
        "messages[1].parts[0].namespace",
        "tools[0]",
        "tools[0].namespace",
    }


# ----------------------------------------------------------------------------------- what others said: settings


def test_a_limit_is_invented_where_none_was_said() -> None:
    for model, limit in (("claude-opus-4-5", 32000), ("claude-3-5-haiku-latest", 8192), ("claude-3-opus-20240229", 4096)):
        wire, losses = write_request(asked(model=model, sampling=Sampling()))
        assert wire["max_tokens"] == limit
        assert [(loss.path, loss.what) for loss in losses] == [("sampling.max_tokens", "invented")]


def test_an_invented_limit_leaves_room_for_an_answer_beside_the_thoughts() -> None:
    wire, _ = write_request(asked(sampling=Sampling(), thinking=ThinkingConfig(mode="on", budget=40000)))
    assert wire["max_tokens"] > wire["thinking"]["budget_tokens"] == 40000


@pytest.mark.parametrize(
    ("said", "thinking", "effort", "lost"),
    [
        (ThinkingConfig(), None, None, []),
        (ThinkingConfig(effort="high"), {"type": "adaptive"}, "high", []),
        (ThinkingConfig(mode="on", effort="minimal"), {"type": "adaptive"}, "low", ["thinking.effort"]),
        (ThinkingConfig(mode="auto"), {"type": "adaptive"}, None, []),
        (ThinkingConfig(mode="on"), {"type": "adaptive"}, None, []),
        (ThinkingConfig(mode="off", effort="none"), {"type": "disabled"}, None, []),
        (ThinkingConfig(effort="none"), {"type": "disabled"}, None, []),
        (ThinkingConfig(mode="on", budget=2000), {"type": "enabled", "budget_tokens": 2000}, None, []),
        (ThinkingConfig(budget=2000, effort="low"), {"type": "enabled", "budget_tokens": 2000}, "low", []),
        (ThinkingConfig(mode="on", budget=512), {"type": "enabled", "budget_tokens": 1024}, None, ["thinking.budget"]),
        (ThinkingConfig(mode="on", budget=9000), {"type": "enabled", "budget_tokens": 4999}, None, ["thinking.budget"]),
        (ThinkingConfig(budget=0), {"type": "disabled"}, None, []),
        (ThinkingConfig(effort="high", summary="auto"), {"type": "adaptive", "display": "summarized"}, "high", []),
        (ThinkingConfig(effort="high", summary="none"), {"type": "adaptive", "display": "omitted"}, "high", []),
        (ThinkingConfig(summary="auto"), None, None, ["thinking.summary"]),
    ],
    ids=str,
)
def test_how_much_to_think(said: ThinkingConfig, thinking: Any, effort: str | None, lost: list[str]) -> None:
    wire, losses = write_request(asked(sampling=Sampling(max_tokens=5000), thinking=said))
    assert wire.get("thinking") == thinking
    assert wire.get("output_config", {}).get("effort") == effort
    assert [loss.path for loss in losses] == lost


@pytest.mark.parametrize(
    ("model", "said", "thinking", "effort", "lost"),
    [
        (OLD, ThinkingConfig(effort="high"), {"type": "enabled", "budget_tokens": 24576}, None, False),
        (OLD, ThinkingConfig(mode="auto"), {"type": "enabled", "budget_tokens": 8192}, None, False),
        (
            OLD,
            ThinkingConfig(mode="on", effort="low", summary="auto"),
            {"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
            None,
            False,
        ),
        ("claude-opus-4-6", ThinkingConfig(effort="high"), {"type": "adaptive"}, "high", False),
        ("claude-opus-4-6", ThinkingConfig(budget=9000), {"type": "enabled", "budget_tokens": 9000}, None, False),
        (NEW, ThinkingConfig(mode="on", budget=8000), {"type": "adaptive"}, "medium", False),
        (NEW, ThinkingConfig(mode="off"), {"type": "disabled"}, None, False),
        ("claude-3-5-haiku-latest", ThinkingConfig(effort="high"), None, None, True),
        ("claude-3-5-haiku-latest", ThinkingConfig(mode="off"), None, None, False),
    ],
    ids=str,
)
def test_thinking_is_said_in_the_form_that_the_model_takes(
    model: str, said: ThinkingConfig, thinking: Any, effort: str | None, lost: bool
) -> None:
    wire, losses = write_request(asked(model=model, sampling=Sampling(max_tokens=30_000), thinking=said))
    assert wire.get("thinking") == thinking
    assert wire.get("output_config", {}).get("effort") == effort
    assert [loss.path for loss in losses] == (["thinking"] if lost else [])


def test_an_effort_that_anthropics_client_names_alone_stays_alone() -> None:
    assert same(body(model=OLD, output_config={"effort": "high"}))


def test_a_budget_that_leaves_no_room_turns_thinking_off() -> None:
    wire, losses = write_request(asked(sampling=Sampling(max_tokens=500), thinking=ThinkingConfig(mode="on", budget=2000)))
    assert wire["thinking"] == {"type": "disabled"}
    assert [loss.path for loss in losses] == ["thinking.budget"]


@pytest.mark.parametrize(
    ("model", "said", "kept", "lost"),
    [
        ("claude-3-7-sonnet-20250219", {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, ["temperature", "top_k", "top_p"], []),
        ("glm-5", {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, ["temperature", "top_k", "top_p"], []),
        (OLD, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, ["temperature", "top_k"], ["sampling.top_p"]),
        ("us.anthropic.claude-opus-4-1", {"top_p": 0.9}, ["top_p"], []),
        (NEW, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}, [], ["sampling.temperature", "sampling.top_p", "sampling.top_k"]),
        (NEW, {"temperature": 1}, ["temperature"], []),
        ("claude-3-haiku", {"temperature": 1.7}, ["temperature"], ["sampling.temperature"]),
    ],
    ids=str,
)
def test_sampling_is_said_as_far_as_the_model_takes_it(model: str, said: dict[str, Any], kept: list[str], lost: list[str]) -> None:
    wire, losses = write_request(asked(model=model, sampling=Sampling(max_tokens=10, **said)))
    assert sorted(wire.keys() & {"temperature", "top_p", "top_k"}) == kept
    assert [loss.path for loss in losses] == lost
    assert wire.get("temperature", 0) <= 1


@pytest.mark.parametrize("thinking", [ThinkingConfig(mode="on", budget=2000), ThinkingConfig(mode="auto")])
def test_what_is_refused_beside_thinking_is_left_out(thinking: ThinkingConfig) -> None:
    sampling = Sampling(max_tokens=20_000, temperature=0.5, top_p=0.5, top_k=3)
    wire, losses = write_request(asked(model="claude-opus-4-0", sampling=sampling, thinking=thinking))
    assert not wire.keys() & {"temperature", "top_p", "top_k"}
    assert [loss.path for loss in losses] == ["sampling.temperature", "sampling.top_p", "sampling.top_k"]
    fine = Sampling(max_tokens=20_000, temperature=1, top_p=0.97)
    wire, losses = write_request(asked(model="claude-opus-4-0", sampling=fine, thinking=thinking))
    assert wire.keys() >= {"temperature", "top_p"}
    assert losses == []


def test_thinking_with_a_budget_gives_way_to_a_tool_that_must_be_used() -> None:
    tools = (Tool(name="f", parameters={"type": "object"}),)
    more: dict[str, Any] = {"tools": tools, "tool_choice": ToolChoice(mode="required"), "sampling": Sampling(max_tokens=5000)}
    wire, losses = write_request(asked(thinking=ThinkingConfig(mode="on", budget=2000), **more))
    assert wire["thinking"] == {"type": "disabled"}
    assert [loss.path for loss in losses] == ["thinking"]
    wire, losses = write_request(asked(thinking=ThinkingConfig(mode="auto"), **more))
    assert wire["thinking"] == {"type": "adaptive"}
    assert losses == []


def test_settings_that_messages_do_not_have_are_named() -> None:
    sampling = Sampling(
        max_tokens=9, n=2, seed=1, logprobs=True, top_logprobs=2, logit_bias={"1": 2}, frequency_penalty=0.1,
        presence_penalty=0.1, min_p=0.1,
        stop=("a", " \n"),
    )  # fmt: skip
    output = Output(format="json", verbosity="low", modalities=("text", "audio"), voice="v", audio_format="wav", description="d")
    request = asked(
        sampling=sampling,
        output=output,
        store=True,
        previous="resp_1",
        cache_key="k",
        cache_retention="24h",
        metadata={"a": "b"},
        service_tier="flex",
    )
    wire, losses = write_request(request)
    assert wire["stop_sequences"] == ["a"]
    assert {loss.path for loss in losses} == {
        "sampling.n", "sampling.seed", "sampling.logprobs", "sampling.top_logprobs", "sampling.logit_bias", "sampling.frequency_penalty",
        "sampling.presence_penalty", "sampling.min_p", "sampling.stop", "output.format", "output.verbosity",
        "output.modalities", "output.voice",
        "output.audio_format", "output.description", "store", "previous", "cache_key", "cache_retention", "metadata", "service_tier",
    }  # fmt: skip
    assert all(loss.what == "dropped" for loss in losses)


def test_what_means_the_same_is_no_loss() -> None:
    sampling = Sampling(max_tokens=9, n=1, logprobs=False)
    _, losses = write_request(
        asked(sampling=sampling, output=Output(format="text", modalities=("text",)), store=False, service_tier="default", stream_usage=True)
    )
    assert losses == []


def test_a_schema_for_the_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]}
    wire, losses = write_request(asked(output=Output(format="json_schema", name="n", strict=True, schema=schema)))
    form = wire["output_config"]["format"]
    assert form["type"] == "json_schema"
    assert form["schema"]["additionalProperties"] is False
    assert "minLength" not in form["schema"]["properties"]["a"]
    assert {loss.path.split(".")[0] for loss in losses} == {"output"}


def test_tools_from_elsewhere() -> None:
    tools = (
        Tool(name="f", description="d", parameters={"type": "object", "properties": {}}, strict=False, cache=Cache()),
        Tool(name="g"),
        Tool(name="web_search_preview", kind="hosted", dialect="openai.responses"),
    )
    wire, losses = write_request(asked(tools=tools, tool_choice=ToolChoice(mode="required"), parallel_tools=False))
    assert wire["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"type": "object", "properties": {}},
            "strict": False,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert wire["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert [(loss.path, loss.why) for loss in losses] == [
        ("tools[2]", "the tool web_search_preview is known to models of openai.responses alone")
    ]


def test_a_search_of_the_web_from_elsewhere_is_anthropics_own() -> None:
    search = WebSearch(allowed_domains=("a.example",), max_uses=2, context="low", location={"city": "Bern", "odd": "x"})
    tool = Tool(name="web_search", kind="hosted", dialect="openai.responses", config={"search_context_size": "low"}, search=search)
    wire, losses = write_request(asked(tools=(tool,)))
    assert wire["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "max_uses": 2,
            "allowed_domains": ["a.example"],
            "user_location": {"type": "approximate", "city": "Bern"},
        }
    ]
    assert [(loss.path, loss.what) for loss in losses] == [("tools[0].search.context", "changed")]
    both = WebSearch(allowed_domains=("a",), blocked_domains=("b",))
    wire, losses = write_request(asked(tools=(msgspec.structs.replace(tool, search=both),)))
    assert "blocked_domains" not in wire["tools"][0]
    assert [loss.path for loss in losses] == ["tools[0].search.blocked_domains"]
    (read,) = read_request(body(tools=wire["tools"])).tools
    assert read.search == WebSearch(allowed_domains=("a",))


def test_a_conversation_that_goes_on_is_not_read_again() -> None:
    past = [USER, {"role": "assistant", "content": [{"type": "text", "text": "ok", "cache_control": {"type": "ephemeral"}}]}]
    first, second = read_request(body(*past, USER)), read_request(body(*past, USER, {"role": "assistant", "content": "more"}, USER))
    assert all(one is other for one, other in zip(first.messages, second.messages, strict=False))
    twice = read_request(body(USER, USER)).messages
    assert twice[0] != twice[1], "the second stands apart from one before it, the first does not"
    assert same(body(*past, USER))
    assert same(body(*past, USER))


def test_calls_one_at_a_time_without_a_choice() -> None:
    wire, _ = write_request(asked(tools=(Tool(name="f"),), parallel_tools=False))
    assert wire["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    wire, losses = write_request(asked(parallel_tools=False))
    assert "tool_choice" not in wire
    assert losses == []


def test_a_choice_among_some_tools_leaves_out_the_others() -> None:
    choice = ToolChoice(mode="allowed", names=("g",), required=True)
    wire, losses = write_request(asked(tools=(Tool(name="f"), Tool(name="g")), tool_choice=choice))
    assert [tool["name"] for tool in wire["tools"]] == ["g"]
    assert wire["tool_choice"] == {"type": "any"}
    assert [(loss.path, loss.what) for loss in losses] == [("tools[0]", "dropped"), ("tool_choice", "changed")]


def test_a_choice_without_any_tool_left_is_no_choice() -> None:
    hosted = (Tool(name="file_search", kind="hosted", dialect="openai.responses"),)
    wire, losses = write_request(asked(tools=hosted, tool_choice=ToolChoice(mode="required")))
    assert not wire.keys() & {"tools", "tool_choice"}
    assert [loss.path for loss in losses] == ["tools[0]", "tool_choice"]


def test_a_name_of_a_speaker_is_lost() -> None:
    wire, losses = write_request(asked(Message(role="user", parts=(Text(text="hi"),), name="Ann")))
    assert wire["messages"] == [USER]
    assert [loss.path for loss in losses] == ["messages[0].name"]
