"""Requests of the dialect `openai.chat`: what is read, what is refused, and what other dialects' requests become."""

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
    Sampling,
    ServerToolCall,
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
    WebSearch,
)
from tests.plugins.openai.chat_wire import CHAT, read_request, write_request

USER = {"role": "user", "content": "hi"}
SEALED = Signature(value="r", family="anthropic")
GIVEN = Message(role="tool", parts=(ToolResult(call_id="c", parts=(Text(text="done"),)),))
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def asked(**members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER], **members}


def said(*messages: Message, **more: Any) -> Request:
    return Request(model="m", messages=messages or (Message(role="user", parts=(Text(text="hi"),)),), **more)


def test_the_parts_of_a_conversation_are_where_they_were_said() -> None:
    request = read_request(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0K", "detail": "low"}},
                    ],
                    "name": "ann",
                },
                {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "a cat"},
                {"role": "developer", "content": "Now answer."},
                {"role": "assistant", "refusal": "I would rather not."},
            ],
        }
    )
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "tool", "developer", "assistant"]
    assert request.system == "Be brief.\n\nNow answer."
    assert request.messages[1].parts[1] == Image(source=Source(data="iVBORw0K", media_type="image/png"), detail="low")
    assert request.messages[1].name == "ann"
    assert request.messages[2].parts == (Text(text="Let me look."), ToolCall(id="c", name="f", arguments="{}"))
    assert request.messages[3].parts == (ToolResult(call_id="c", parts=(Text(text="a cat"),)),)


def test_settings_are_read_into_their_canonical_places() -> None:
    request = read_request(
        asked(
            temperature=0.5,
            top_p=0.9,
            frequency_penalty=1,
            presence_penalty=-1,
            seed=7,
            n=2,
            max_completion_tokens=100,
            stop="END",
            logprobs=True,
            top_logprobs=3,
            logit_bias={"50256": -100},
            reasoning_effort="low",
            verbosity="high",
            service_tier="flex",
            store=True,
            metadata={"a": "b"},
            user="ann",
            prompt_cache_key="k",
            prompt_cache_retention="24h",
            parallel_tool_calls=False,
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
            stream=True,
            stream_options={"include_usage": True},
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}, "strict": True}},
        )
    )
    assert request.sampling == Sampling(
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=1,
        presence_penalty=-1,
        seed=7,
        n=2,
        max_tokens=100,
        stop=("END",),
        logprobs=True,
        top_logprobs=3,
        logit_bias={"50256": -100},
    )
    assert request.thinking.effort == "low"
    assert request.output == Output(
        format="json_schema",
        schema={"type": "object"},
        name="s",
        strict=True,
        verbosity="high",
        modalities=("text", "audio"),
        voice="alloy",
        audio_format="wav",
    )
    assert (request.service_tier, request.store, request.metadata, request.user) == ("flex", True, {"a": "b"}, "ann")
    assert (request.cache_key, request.cache_retention, request.parallel_tools) == ("k", "24h", False)
    assert (request.stream, request.stream_usage) == (True, True)


@pytest.mark.parametrize(
    "members",
    [
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"stop": "a"},
        {"stop": ["a"]},
        {"stop": []},
        {"stop": ["a", "b"]},
        {"top_k": 5, "min_p": 0.1},
        {"reasoning": {"effort": "high", "exclude": True}},
        {"reasoning": {"max_tokens": 2000}},
        {"reasoning": {"enabled": True}},
        {"reasoning": {"effort": "high"}, "reasoning_effort": "high"},
        {"thinking": {"type": "enabled", "budget_tokens": 100}},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "adaptive"}},
        {"enable_thinking": False, "thinking_budget": 5},
        {"reasoning_effort": "none"},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "grammar", "grammar": "root ::= x"}},
        {"response_format": {"type": "regex", "pattern": "a+"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "x": 1}, "y": 2}},
        {"prediction": {"type": "content", "content": "x"}},
        {"safety_identifier": "s"},
        {"web_search_options": {"search_context_size": "low"}},
        {"tool_choice": "auto"},
        {"tool_choice": "any"},
        {"tool_choice": "none"},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": {"function": {"name": "f"}}},
        {"tool_choice": {"type": "custom", "custom": {"name": "f"}}},
        {"tool_choice": {"type": "something"}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            }
        },
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "web"}]}}},
        {"tools": []},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": None}, "x": 1}]},
        {"tools": [{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]},
        {"tools": [{"type": "custom", "custom": {"name": "c", "description": "d", "format": {"type": "text"}}}]},
        {
            "tools": [
                {"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}
            ]
        },
        {"tools": [{"type": "web_search", "max_uses": 3, "cache_control": {"type": "ephemeral"}}]},
        {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}},
        {"stream": True, "stream_options": {}},
        {"stream": False},
        {"service_tier": "on_demand"},
        {"unheard_of": {"deep": [1, {"er": None}]}},
    ],
    ids=lambda members: json.dumps(members)[:60],
)
def test_what_a_request_says_comes_back_in_the_same_form(members: dict[str, Any]) -> None:
    body = asked(**members)
    written, losses = write_request(read_request(body))
    strict = {"strict": None} if "strict" in json.dumps(members) and members.get("tools") else {}
    if strict:
        del body["tools"][0]["function"]["strict"]
    assert written == body
    assert losses == []


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": ""},
        {"role": "user", "content": []},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0x", "filename": "a.pdf"}}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/svg+xml;charset=utf-8,x"}}]},
        {"role": "user", "content": [{"type": "novelty", "value": [1]}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}],
        },
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s", "closed": True}]},
        {"role": "assistant", "content": [{"type": "reference", "reference_ids": [1]}]},
        {"role": "assistant", "audio": {"id": "audio_1"}},
        {"role": "assistant", "content": "a", "reasoning": "r"},
        {
            "role": "assistant",
            "content": "a",
            "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}],
        },
        {"role": "assistant", "content": "", "annotations": []},
        {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "free text"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "a"}], "name": "f"},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "a", "cache_control": {"type": "ephemeral"}},
    ],
    ids=lambda message: json.dumps(message)[:70],
)
def test_a_message_comes_back_in_the_same_form(message: dict[str, Any]) -> None:
    written, losses = write_request(read_request({"model": "m", "messages": [message]}))
    assert written["messages"] == [message]
    assert losses == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ("x", None),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": None}, "messages"),
        ({"model": "m", "messages": {}}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": 1, "messages": [USER]}, "model"),
        ({"model": "m", "messages": ["x"]}, "messages[0]"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [USER, {"role": "wizard", "content": "x"}]}, "messages[1].role"),
        ({"model": "m", "messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (
            {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"model": "m", "messages": [{"role": "user", "content": "x", "name": 1}]}, "messages[0].name"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"model": "m", "messages": [{"role": "tool", "tool_call_id": "c", "content": [{"type": "refusal", "refusal": "no"}]}]},
            "messages[0].content[0]",
        ),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]}, "messages[0].tool_calls[0].id"),
        ({"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        (
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": 5}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"model": "m", "messages": [{"role": "assistant", "audio": {}}]}, "messages[0].audio.id"),
        (asked(tools={}), "tools"),
        (asked(tools=[1]), "tools[0]"),
        (asked(tools=[{"type": "function"}]), "tools[0].function"),
        (
            asked(tools=[{"type": "function", "function": {"name": "a"}}] * 2 + [{"type": "function", "function": {}}]),
            "tools[2].function.name",
        ),
        (asked(tools=[{"type": "function", "function": {"name": "f", "parameters": []}}]), "tools[0].function.parameters"),
        (asked(functions=[{}]), "functions[0].name"),
        (asked(tool_choice="maybe"), "tool_choice"),
        (asked(tool_choice=5), "tool_choice"),
        (asked(tool_choice={"type": "function"}), "tool_choice.function"),
        (asked(function_call="maybe"), "function_call"),
        (asked(temperature="hot"), "temperature"),
        (asked(temperature=True), "temperature"),
        (asked(n=1.5), "n"),
        (asked(stop=5), "stop"),
        (asked(stop=["a", 5]), "stop[1]"),
        (asked(logit_bias={"1": "x"}), "logit_bias.1"),
        (asked(stream="yes"), "stream"),
        (asked(stream_options=[]), "stream_options"),
        (asked(stream_options={"include_usage": 1}), "stream_options.include_usage"),
        (asked(metadata={"a": 1}), "metadata.a"),
        (asked(response_format="json"), "response_format"),
        (asked(response_format={}), "response_format.type"),
        (asked(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (asked(modalities=["text", 1]), "modalities[1]"),
        (asked(max_tokens="5"), "max_tokens"),
        (asked(parallel_tool_calls="no"), "parallel_tool_calls"),
        (asked(user=5), "user"),
        (asked(reasoning_effort=3), "reasoning_effort"),
    ],
    ids=lambda value: json.dumps(value)[:70],
)
def test_a_wrong_body_is_refused_with_the_path_of_what_is_wrong(body: Any, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(body)
    assert caught.value.param == param
    assert caught.value.code
    assert param is None or repr(param) in caught.value.message


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"a":NaN}', b"\xff", b"[" * 100_000, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}", b'"\\ud800"']
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        CHAT.decode_request(raw, "generate")


def test_operations_without_a_canonical_form_give_an_empty_request() -> None:
    assert CHAT.decode_request(b'{"model":"m","input":"x"}', "embed") == Request()
    assert CHAT.decode_request(b"not even json", "models") == Request()


def test_a_changed_setting_is_written_where_the_old_one_stood() -> None:
    request = read_request(
        asked(max_tokens=5, top_k=3, thinking={"type": "enabled", "budget_tokens": 100, "clear_thinking": False}, stop="a")
    )
    changed = Request(
        model="m",
        messages=request.messages,
        sampling=Sampling(max_tokens=9, top_k=4, stop=("b",)),
        thinking=ThinkingConfig(mode="off", budget=200),
        extensions=request.extensions,
    )
    written, losses = write_request(changed)
    assert written == asked(max_tokens=9, top_k=4, stop="b", thinking={"type": "disabled", "budget_tokens": 200, "clear_thinking": False})
    assert losses == []


def test_a_setting_that_was_taken_away_stays_away() -> None:
    request = read_request(asked(max_tokens=5, top_k=3, stop="a", stream_options={"include_usage": True}, tool_choice="any"))
    written, _ = write_request(Request(model="m", messages=request.messages, extensions=request.extensions))
    assert written == asked()


# ------------------------------------------------------------------------- requests that came in other dialects


def test_a_limit_without_a_place_is_written_as_openai_wants_it() -> None:
    assert write_request(said(sampling=Sampling(max_tokens=5)))[0]["max_completion_tokens"] == 5


@pytest.mark.parametrize(
    ("thinking", "effort", "path"),
    [
        (ThinkingConfig(effort="high"), "high", None),
        (ThinkingConfig(mode="off"), "none", None),
        (ThinkingConfig(mode="auto"), None, None),
        (ThinkingConfig(mode="on", budget=1000), "low", "thinking.budget"),
        (ThinkingConfig(budget=5000), "medium", "thinking.budget"),
        (ThinkingConfig(budget=32000), "high", "thinking.budget"),
        (ThinkingConfig(mode="on"), None, "thinking.mode"),
        (ThinkingConfig(effort="low", budget=5), "low", "thinking.budget"),
        (ThinkingConfig(summary="auto"), None, "thinking.summary"),
    ],
)
def test_how_much_to_think_becomes_an_effort(thinking: ThinkingConfig, effort: str | None, path: str | None) -> None:
    written, losses = write_request(said(thinking=thinking))
    assert written.get("reasoning_effort") == effort
    assert [loss.path for loss in losses] == ([path] if path else [])


@pytest.mark.parametrize(
    ("request_", "path", "what"),
    [
        (said(sampling=Sampling(top_k=5)), "sampling.top_k", "dropped"),
        (said(sampling=Sampling(min_p=0.5)), "sampling.min_p", "dropped"),
        (said(previous="resp_1"), "previous", "dropped"),
        (said(service_tier="standard_only"), "service_tier", "dropped"),
        (said(output=Output(format="json_schema", schema={})), "output.name", "invented"),
        (said(output=Output(format="grammar")), "output.format", "dropped"),
        (said(tools=(Tool(name="web_search", kind="hosted", dialect="other.talk"),)), "tools[0]", "dropped"),
        (said(tools=(Tool(name="f", namespace="n"),)), "tools[0].namespace", "dropped"),
        (said(tools=(Tool(name="f", cache=Cache()),)), "tools[0].cache", "dropped"),
        (said(tool_choice=ToolChoice(mode="named", names=("web",), kind="hosted")), "tool_choice", "dropped"),
        (said(Message(role="user", parts=(Text(text="x", cache=Cache()),))), "messages[0].parts[0].cache", "dropped"),
        (
            said(Message(role="user", parts=(Document(source=Source(url="https://a.example/x.pdf")), Text(text="x")))),
            "messages[0].parts[0]",
            "dropped",
        ),
        (
            said(Message(role="user", parts=(Document(source=Source(data="JVBERi0x", media_type="application/pdf")),))),
            "messages[0].parts[0].title",
            "invented",
        ),
        (said(Message(role="user", parts=(Document(text="words"), Text(text="x")))), "messages[0].parts[0]", "changed"),
        (
            said(Message(role="user", parts=(Document(source=Source(file_id="f"), title="t", context="c"),))),
            "messages[0].parts[0].context",
            "dropped",
        ),
        (said(Message(role="user", parts=(Image(source=Source(file_id="f")), Text(text="x")))), "messages[0].parts[0]", "dropped"),
        (
            said(Message(role="user", parts=(Audio(source=Source(url="https://a.example/x.ogg")), Text(text="x")))),
            "messages[0].parts[0]",
            "dropped",
        ),
        (
            said(Message(role="user", parts=(Opaque(dialect="other.talk", kind="k", value="{}"), Text(text="x")))),
            "messages[0].parts[0]",
            "dropped",
        ),
        (said(Message(role="assistant", parts=(ServerToolCall(name="web"), Text(text="x")))), "messages[0].parts[0]", "dropped"),
        (
            said(Message(role="assistant", parts=(Thinking(text="t", signature=Signature(value="s", family="anthropic")), Text(text="x")))),
            "messages[0].parts[0]",
            "dropped",
        ),
        (said(Message(role="assistant", parts=(Thinking(redacted=SEALED), Text(text="x")))), "messages[0].parts[0]", "dropped"),
        (
            said(Message(role="assistant", parts=(Text(text="x", citations=(Citation(url="u"),)),))),
            "messages[0].parts[0].citations",
            "dropped",
        ),
        (
            said(Message(role="assistant", parts=(Text(text="x", signature=Signature(value="s", family="gemini")),))),
            "messages[0].parts[0].signature",
            "dropped",
        ),
        (
            said(Message(role="assistant", parts=(ToolCall(id="c", name="f", namespace="n"),)), GIVEN),
            "messages[0].parts[0].namespace",
            "dropped",
        ),
        (
            said(Message(role="assistant", parts=(ToolCall(id="c", name="f", signature=Signature(value="s", family="gemini")),)), GIVEN),
            "messages[0].parts[0].signature",
            "dropped",
        ),
        (said(Message(role="assistant", parts=(ToolCall(id="c", name="f"), Text(text="after"))), GIVEN), "messages[0]", "changed"),
        (said(Message(role="assistant", parts=(ToolCall(id="c", name="f"),))), "messages[0]", "invented"),
        (
            said(Message(role="tool", parts=(ToolResult(call_id="c", is_error=True, parts=(Text(text="x"),)),))),
            "messages[0].parts[0].is_error",
            "dropped",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_said_is_listed(request_: Request, path: str, what: str) -> None:
    _, losses = write_request(request_)
    assert [(loss.path, loss.what) for loss in losses] == [(path, what)]
    assert losses[0].why


def test_unsigned_thoughts_go_back_to_the_model_and_signed_ones_of_others_do_not() -> None:
    # DeepSeek's models refuse a tool result without the thoughts before the call.
    parts = (Thinking(text="open"), Text(text="x"))
    assert write_request(said(Message(role="assistant", parts=parts)))[0]["messages"] == [
        {"role": "assistant", "content": "x", "reasoning_content": "open"}
    ]
    signed = (Thinking(text="closed", signature=Signature(value="s", family="anthropic")), Text(text="x"))
    assert write_request(said(Message(role="assistant", parts=signed)))[0]["messages"] == [{"role": "assistant", "content": "x"}]


def test_results_and_words_of_one_message_become_several_in_the_order_that_the_wire_wants() -> None:
    request = said(
        Message(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="{}"))),
        Message(
            role="user",
            parts=(Text(text="here"), ToolResult(call_id="a", parts=(Text(text="1"),)), ToolResult(call_id="b", parts=(Text(text="2"),))),
        ),
    )
    messages = write_request(request)[0]["messages"]
    assert [(m["role"], m.get("tool_call_id"), m.get("content")) for m in messages[1:]] == [
        ("tool", "a", "1"),
        ("tool", "b", "2"),
        ("user", None, "here"),
    ]


def test_pictures_in_tool_results_move_behind_all_results() -> None:
    picture = Image(source=Source(data="iVBORw0K", media_type="image/png"))
    request = said(
        Message(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="g", arguments="{}"))),
        Message(role="tool", parts=(ToolResult(call_id="a", parts=(Text(text="see"), picture)),)),
        Message(role="tool", parts=(ToolResult(call_id="b", parts=(Text(text="2"),)),)),
        Message(role="user", parts=(Text(text="and?"),)),
    )
    written, losses = write_request(request)
    assert [message["role"] for message in written["messages"]] == ["assistant", "tool", "tool", "user", "user"]
    assert written["messages"][1]["content"] == "see"
    assert written["messages"][3]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw0K"
    assert [(loss.path, loss.what) for loss in losses] == [("messages[1].parts[0].parts[1]", "changed")]


def test_base64_of_another_alphabet_leaves_in_the_standard_one() -> None:
    parts = (Image(source=Source(data="-_-_aa", media_type="image/png")), Video(source=Source(data="-_8", media_type="video/mp4")))
    content = write_request(said(Message(role="user", parts=parts)))[0]["messages"][0]["content"]
    assert content[0]["image_url"]["url"] == "data:image/png;base64,+/+/aa=="
    assert content[1]["video_url"]["url"] == "data:video/mp4;base64,+/8="


def test_names_of_tools_are_left_alone() -> None:
    name = "mcp__server.do/it-ü"
    written, losses = write_request(said(tools=(Tool(name=name),), tool_choice=ToolChoice(mode="named", names=(name,))))
    assert written["tools"][0]["function"]["name"] == name
    assert written["tool_choice"]["function"]["name"] == name
    assert losses == []


def test_sound_finds_its_format_by_its_media_type() -> None:
    sound = Audio(source=Source(data="SUQz", media_type="audio/mpeg"))
    content = write_request(said(Message(role="user", parts=(sound,))))[0]["messages"][0]["content"]
    assert content == [{"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}]


def test_line_separators_that_break_naive_clients_are_escaped() -> None:
    raw = CHAT.encode_request(said(Message(role="user", parts=(Text(text="a\u2028b\u2029c\u0085dé"),))), "generate", [])
    assert b"\\u2028" in raw
    assert b"\\u2029" in raw
    assert b"\\u0085" in raw
    assert "é".encode() in raw
    assert json.loads(raw)["messages"][0]["content"] == "a\u2028b\u2029c\u0085dé"


def test_the_options_of_web_search_are_a_tool_that_the_provider_runs() -> None:
    options = {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"country": "SE", "city": "Lund"}}}
    wire = asked(web_search_options=options)
    (tool,) = read_request(wire).tools
    assert (tool.kind, tool.dialect) == ("hosted", "openai.chat")
    assert tool.search == WebSearch(context="low", location={"country": "SE", "city": "Lund"})
    written, losses = write_request(read_request(wire))
    assert (written["web_search_options"], losses) == (options, [])


@pytest.mark.parametrize(("model", "told"), [("gpt-4o-search-preview", ["max_uses"]), ("gpt-4o", [""])])
def test_a_search_of_another_dialect_is_written_for_models_that_search(model: str, told: list[str]) -> None:
    search = WebSearch(max_uses=3, location={"country": "SE"})
    request = said(tools=(Tool(name="web_search", kind="hosted", dialect="anthropic.messages", search=search),))
    written, losses = write_request(msgspec.structs.replace(request, model=model))
    expected = {"user_location": {"type": "approximate", "approximate": {"country": "SE"}}}
    assert written.get("web_search_options") == (expected if "search" in model else None)
    assert [loss.path for loss in losses] == ["tools[0]" + (f".{name}" if name else "") for name in told]


def test_the_results_of_tools_stand_directly_after_their_calls() -> None:
    def call(*ids: str) -> Message:
        return Message(role="assistant", parts=tuple(ToolCall(id=one, name="f", arguments="{}") for one in ids))

    def result(one: str) -> Message:
        return Message(role="tool", parts=(ToolResult(call_id=one, parts=(Text(text=one),)),))

    def words(text: str) -> Message:
        return Message(role="user", parts=(Text(text=text),))

    def order(*messages: Message) -> list[str]:
        written, losses = write_request(said(*messages))
        assert {loss.what for loss in losses} <= {"invented"}
        return ["+".join(c["id"] for c in m.get("tool_calls", ())) or m.get("tool_call_id") or m["content"] for m in written["messages"]]

    assert order(words("x"), call("a"), words("y"), result("a"), words("z")) == ["x", "a", "a", "y", "z"]
    assert order(call("a", "b"), result("a"), words("x"), words("y"), result("b")) == ["a+b", "a", "b", "x", "y"]
    assert order(call("a"), words("x"), call("b"), words("y"), result("a"), result("b")) == ["a", "a", "x", "b", "b", "y"]
    assert order(call("a"), words("x"), call("b"), result("b")) == ["a", "a", "x", "b", "b"]
    assert order(words("x"), result("nobody's"), words("y")) == ["x", "nobody's", "y"]


@pytest.mark.parametrize("dialect", ["openai.responses", "openai.chat"])
def test_no_choice_among_tools_is_written_where_none_is_left(dialect: str) -> None:
    tools = (Tool(name="file_search", kind="hosted", dialect=dialect),)
    written, losses = write_request(said(tools=tools, tool_choice=ToolChoice(mode="auto"), parallel_tools=True))
    left = dialect == "openai.chat"
    assert [key in written for key in ("tools", "tool_choice", "parallel_tool_calls")] == [left] * 3
    assert [loss.path for loss in losses] == ([] if left else ["tools[0]"])


def test_sound_without_a_format_gets_one() -> None:
    written, losses = write_request(said(output=Output(modalities=("text", "audio"), voice="alloy")))
    assert written["audio"] == {"voice": "alloy", "format": "wav"}
    assert [(loss.path, loss.what) for loss in losses] == [("output.audio_format", "invented")]
    own = asked(audio={"voice": "alloy"})
    assert write_request(read_request(own)) == (own, [])


def test_a_body_that_is_no_utf_8_is_the_callers_fault() -> None:
    for raw in (
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"messages":[{"role":"user","content":"a"}],"tools":["\xff"]}',
    ):
        with pytest.raises(BadRequest):
            CHAT.decode_request(raw, "generate")


@pytest.mark.parametrize(("file_id", "kept"), [("file-abc", True), ("0190-mistral", True), ("file_011CNha8", False), ("files/abc", False)])
def test_a_file_that_another_provider_keeps_is_not_asked_for(file_id: str, kept: bool) -> None:
    parts = (Text(text="Read this."), Document(source=Source(file_id=file_id)))
    written, losses = write_request(said(Message(role="user", parts=parts)))
    content = written["messages"][0]["content"]
    assert [part for part in content if part["type"] == "file"] == ([{"type": "file", "file": {"file_id": file_id}}] if kept else [])
    assert [loss.path for loss in losses] == ([] if kept else ["messages[0].parts[1]"])
    own = asked(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": file_id}}]}])
    assert write_request(read_request(own)) == (own, [])


LOOSE = {"properties": {"list": {"type": "array"}}}
STRICT = {"type": "object", "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "integer"}}, "required": ["a"]}


def test_schemas_of_other_dialects_are_fitted_to_what_openai_accepts_and_own_ones_are_not() -> None:
    tools = (Tool(name="f", parameters=LOOSE), Tool(name="g", parameters=STRICT, strict=True))
    request = said(tools=tools, output=Output(format="json_schema", name="n", schema=STRICT, strict=True))
    for _ in range(2):  # the second time from what is remembered
        written, losses = write_request(request)
        loose, strict = (tool["function"]["parameters"] for tool in written["tools"])
        assert loose["type"] == "object"
        assert "items" in loose["properties"]["list"]
        for schema in (strict, written["response_format"]["json_schema"]["schema"]):
            assert schema["required"] == ["a", "b"]
            assert schema["additionalProperties"] is False
            assert "default" not in schema["properties"]["a"]
        paths = {loss.path for loss in losses}
        assert any(path.startswith("tools[1].parameters") for path in paths)
        assert any(path.startswith("output.schema") for path in paths)
    own = asked(
        tools=[{"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}} for tool in tools],
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": STRICT, "strict": True}},
    )
    assert write_request(read_request(own)) == (own, [])


def test_a_call_without_a_result_gets_an_empty_one_directly_behind() -> None:
    """OpenAI refuses calls without: "The following tool_call_ids did not have response messages"."""
    user = Message(role="user", parts=(Text(text="hi"),))
    called = Message(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}")))
    given = Message(role="tool", parts=(ToolResult(call_id="b", parts=(Text(text="done"),)),))
    last = Message(role="assistant", parts=(ToolCall(id="c", name="f", arguments="{}"),))
    body, losses = write_request(said(user, called, given, user, last))
    assert [(one["role"], one.get("tool_call_id"), one.get("content")) for one in body["messages"]] == [
        ("user", None, "hi"),
        ("assistant", None, None),
        ("tool", "a", ""),
        ("tool", "b", "done"),
        ("user", None, "hi"),
        ("assistant", None, None),
        ("tool", "c", ""),
    ]
    assert [(loss.path, loss.what) for loss in losses] == [("messages[1]", "invented"), ("messages[4]", "invented")]


@pytest.mark.parametrize("between", [0, 1, 14, 15, 16, 40])
def test_a_call_without_a_result_is_found_however_long_the_conversation_is(between: int) -> None:
    words = [Message(role="user", parts=(Text(text=f"{at}"),)) for at in range(between)]
    called = Message(role="assistant", parts=(ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}")))
    given = Message(role="tool", parts=(ToolResult(call_id="a", parts=(Text(text="done"),)),))
    for _ in range(2):
        body, losses = write_request(said(*words, called, given, *words))
        results = [(one["tool_call_id"], one["content"]) for one in body["messages"] if one["role"] == "tool"]
        assert sorted(results) == [("a", "done"), ("b", "")]
        assert [loss.what for loss in losses] == ["invented"]


def test_a_result_that_a_client_of_this_dialect_left_out_is_not_made_up() -> None:
    body, losses = write_request(read_request({"model": "m", "messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, USER]}))
    assert [one["role"] for one in body["messages"]] == ["user", "assistant", "user"]
    assert losses == []
