"""Requests of the dialect `openai.responses`, read and written, one feature after the other."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from jackfield.api import BadRequest, Loss, Request
from jackfield.api.canonical import (
    Audio,
    Cache,
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
    WebSearch,
)
from tests.plugins.openai_responses.responses_wire import RESPONSES, differences, normal, read_request, write_request

HELLO = [{"role": "user", "content": "Hello"}]


def same(body: Any) -> Request:
    """Assert that a body comes back as it was, without a loss, and return what it says."""
    request = read_request(body)
    written, losses = write_request(request)
    assert differences(normal(body), normal(written)) == []
    assert not losses
    return request


def written(*messages: Message, **more: Any) -> tuple[Any, list[Loss]]:
    return write_request(Request(model="m", messages=messages, **more))


def said_of(losses: list[Loss]) -> list[tuple[str, str]]:
    return [(loss.path, loss.what) for loss in losses]


# -------------------------------------------------------------------------------------------------- the input


def test_an_input_that_is_a_text() -> None:
    request = same({"model": "m", "input": "Hello"})
    assert request.messages == (Message(role="user", parts=(Text(text="Hello"),)),)


def test_an_input_that_is_an_empty_list_or_text() -> None:
    assert same({"model": "m", "input": []}).messages == ()
    same({"model": "m", "input": ""})


def test_instructions_become_the_first_system_message_and_stay_instructions() -> None:
    request = same({"model": "m", "instructions": "Be kind.", "input": "Hello"})
    assert [(m.role, m.text) for m in request.messages] == [("system", "Be kind."), ("user", "Hello")]
    both = same({"model": "m", "instructions": "Be kind.", "input": [{"role": "system", "content": "Be brief."}, *HELLO]})
    assert both.system == "Be kind.\n\nBe brief."


def test_a_system_message_among_the_items_stays_there() -> None:
    request = same({"model": "m", "input": [{"role": "system", "content": "Be kind."}, *HELLO]})
    assert request.messages[0].role == "system"


def test_the_first_system_message_of_another_dialect_becomes_instructions() -> None:
    body, losses = written(
        Message(role="system", parts=(Text(text="One."), Text(text="Two."))), Message(role="user", parts=(Text(text="Hi"),))
    )
    assert body["instructions"] == "One.\n\nTwo."
    assert body["input"] == [{"type": "message", "role": "user", "content": "Hi"}]
    assert not losses


def test_a_system_message_in_the_middle_stays_in_the_middle() -> None:
    body, losses = written(
        Message(role="user", parts=(Text(text="Hi"),)),
        Message(role="system", parts=(Text(text="Now in French."),)),
        Message(role="developer", parts=(Text(text="And brief."),)),
    )
    assert [item["role"] for item in body["input"]] == ["user", "system", "developer"]
    assert not losses


def test_items_of_messages_with_and_without_type_id_status_and_phase() -> None:
    part = {"type": "output_text", "text": "Let me look.", "annotations": []}
    items = [
        {"type": "message", "id": "msg_u", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "phase": "commentary", "content": [part]},
        {"id": "msg_2", "type": "message", "role": "assistant", "status": "completed", "phase": "final_answer", "content": [part]},
        {"role": "assistant", "content": "Short form"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Codex's form"}]},
        {"role": "user", "content": []},
    ]
    request = same({"model": "m", "input": items})
    assert [m.role for m in request.messages] == ["user", "assistant", "user"]
    assert request.messages[0].id == "msg_u"
    assert [part.text for part in request.messages[1].parts if isinstance(part, Text)] == [
        "Let me look.", "Let me look.", "Short form", "Codex's form",
    ]  # fmt: skip


def test_items_on_the_models_side_become_one_turn_and_results_another() -> None:
    items = [
        *HELLO,
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me see."}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}", "status": "completed"},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_2", "name": "exec", "namespace": "functions", "input": "ls"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny", "id": "fco_1"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "id": "ctco_1", "output": [{"type": "input_text", "text": "a.txt"}]},
    ]
    request = same({"model": "m", "input": items})
    assert [m.role for m in request.messages] == ["user", "assistant", "tool"]
    thought, text, call, free = request.messages[1].parts
    assert thought == Thinking(summary=("Hm.",), id="rs_1", signature=Signature(value="gAAA", family="openai"))
    assert isinstance(text, Text)
    assert isinstance(call, ToolCall)
    assert (call.id, call.item_id, call.kind) == ("call_1", "fc_1", "function")
    assert isinstance(free, ToolCall)
    assert (free.id, free.arguments, free.kind, free.namespace) == ("call_2", "ls", "custom", "functions")
    plain, listed = request.messages[2].parts
    assert isinstance(plain, ToolResult)
    assert (plain.call_id, plain.item_id, plain.parts) == ("call_1", "fco_1", (Text(text="sunny"),))
    assert isinstance(listed, ToolResult)
    assert listed.kind == "custom"


def test_pictures_files_and_sound() -> None:
    content = [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_image", "image_url": "https://a.example/b.png"},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
        {"type": "input_file", "file_url": "https://a.example/b.pdf"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "input_video", "video_url": "https://a.example/b.mp4"},
        {"type": "input_text", "text": "All of it.", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
    ]
    request = same({"model": "m", "input": [{"role": "user", "content": content}]})
    parts = request.messages[0].parts
    assert parts[0] == Image(source=Source(data="AAAA", media_type="image/png"), detail="low")
    assert isinstance(parts[1], Image)
    assert parts[1].source == Source(url="https://a.example/b.png")
    assert parts[2] == Image(source=Source(file_id="file-1"), detail="auto")
    assert parts[3] == Document(source=Source(data="AAAA", media_type="application/pdf"), title="a.pdf")
    assert isinstance(parts[4], Document)
    assert parts[4].source == Source(data="AAAA")
    assert isinstance(parts[7], Audio)
    assert parts[7].format == "mp3"
    assert isinstance(parts[8], Opaque)
    assert isinstance(parts[9], Text)
    assert parts[9].cache == Cache(ttl="12h")


def test_media_of_other_dialects() -> None:
    body, losses = written(
        Message(
            role="user",
            parts=(
                Image(source=Source(url="https://a.example/b.png")),
                Document(source=Source(data="AAAA", media_type="application/pdf")),
                Document(text="Plain words", title="t", context="c", citations=True),
                Audio(source=Source(data="AAAA"), format="wav"),
                Text(text="Look.", cache=Cache()),
            ),
        )
    )
    assert body["input"][0]["content"] == [
        {"type": "input_image", "image_url": "https://a.example/b.png", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "document.pdf"},
        {"type": "input_text", "text": "Plain words"},
        {"type": "input_text", "text": "Look."},
    ]
    where = "messages[0].parts"
    assert said_of(losses) == [
        (f"{where}[1].title", "invented"), (f"{where}[2].context", "dropped"), (f"{where}[2].citations", "dropped"),
        (f"{where}[2]", "changed"), (f"{where}[3]", "dropped"), (f"{where}[4].cache", "dropped"),
    ]  # fmt: skip


@pytest.mark.parametrize("file_id", ["file_011CNha8iCJcU1wXNR6q4V8w", "files/abc"])
def test_a_file_that_lies_with_another_provider_is_left_out_and_listed(file_id: str) -> None:
    source = Source(file_id=file_id)
    body, losses = written(Message(role="user", parts=(Document(source=source), Image(source=source), Text(text="Look."))))
    assert body["input"][0]["content"] == [{"type": "input_text", "text": "Look."}]
    assert said_of(losses) == [("messages[0].parts[0]", "dropped"), ("messages[0].parts[1]", "dropped")]


def test_what_a_model_of_another_dialect_said_has_the_form_that_openais_types_demand() -> None:
    body, losses = written(
        Message(role="user", parts=(Text(text="Hi"),)),
        Message(role="assistant", parts=(Text(text="One"), Text(text="Two"), ToolCall(id="c", name="f"))),
        Message(role="tool", parts=(ToolResult(call_id="c", parts=(Text(text="a"), Image(source=Source(data="AAAA"))), is_error=True),)),
    )
    _, message, call, output = body["input"]
    assert message["id"].startswith("msg_")
    assert message["content"] == [
        {"type": "output_text", "text": "One", "annotations": []},
        {"type": "output_text", "text": "Two", "annotations": []},
    ]
    assert call == {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    assert [part["type"] for part in output["output"]] == ["input_text", "input_image"]
    assert said_of(losses) == [("messages[2].parts[0].is_error", "dropped")]


def test_results_in_a_users_turn_stand_before_its_words() -> None:
    body, _ = written(
        Message(role="assistant", parts=(ToolCall(id="c", name="f", arguments="{}"),)),
        Message(role="user", parts=(Text(text="Well?"), ToolResult(call_id="c", parts=(Text(text="sunny"),)))),
    )
    assert [item.get("type") for item in body["input"]] == ["function_call", "function_call_output", "message"]


# ------------------------------------------------------------------------------------------------- thoughts


def thinking(*parts: Any) -> tuple[Any, list[Loss]]:
    return written(
        Message(role="user", parts=(Text(text="Hi"),)),
        Message(role="assistant", parts=parts),
        Message(role="user", parts=(Text(text="?"),)),
    )


def test_encrypted_thoughts_of_openais_go_back_to_it() -> None:
    body, losses = thinking(Thinking(signature=Signature(value="gAAA", family="openai")), Text(text="So."))
    assert body["input"][1]["encrypted_content"] == "gAAA"
    assert body["input"][1]["summary"] == []
    assert not losses


def test_openais_thoughts_that_come_back_by_another_dialect_go_back_as_the_summary_that_they_were() -> None:
    body, losses = thinking(Thinking(text="Hm.", signature=Signature(value="gAAA", family="openai")), Text(text="So."))
    thought = body["input"][1]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert "content" not in thought
    assert not losses


@pytest.mark.parametrize(
    "thought",
    [
        Thinking(text="Hm.", signature=Signature(value="x", family="anthropic")),
        Thinking(redacted=Signature(value="x", family="anthropic")),
        Thinking(text="Hm."),
        Thinking(summary=("Hm.",)),
    ],
    ids=["signed", "sealed", "open", "summary"],
)
def test_thoughts_of_others_are_left_out_and_listed(thought: Thinking) -> None:
    body, losses = thinking(thought, Text(text="So."))
    assert [item["type"] for item in body["input"]] == ["message", "message", "message"]
    assert said_of(losses) == [("messages[1].parts[0]", "dropped")]


def test_tagged_thoughts_that_a_client_sends_back_are_those_of_their_family() -> None:
    items = [
        *HELLO,
        {
            "type": "reasoning",
            "id": "rs_x",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "jf1.anthropic.SIG",
            "content": None,
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "jf1.anthropic/redacted.SEAL"},
        {
            "type": "reasoning",
            "id": "rs_y",
            "summary": [{"type": "summary_text", "text": "Open."}],
            "encrypted_content": "jf1.unsigned.words",
        },
        {"type": "message", "role": "assistant", "content": "So."},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "id": "rs_z", "summary": [], "encrypted_content": "jf1.gemini/previous.THOUGHT"},
    ]
    parts = read_request({"model": "m", "input": items}).messages[1].parts
    bare = [msgspec.structs.replace(part, extensions={}) for part in parts if isinstance(part, Thinking)]
    assert bare == [
        Thinking(text="Hm.", signature=Signature(value="SIG", family="anthropic")),
        Thinking(redacted=Signature(value="SEAL", family="anthropic")),
        Thinking(text="Open."),
    ]
    call = parts[-1]
    assert isinstance(call, ToolCall)
    assert call.signature == Signature(value="THOUGHT", family="gemini")


def test_tagged_thoughts_never_reach_openai() -> None:
    items = [
        *HELLO,
        {"type": "reasoning", "id": "rs_x", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "jf1.anthropic.SIG"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "reasoning", "id": "rs_z", "summary": [], "encrypted_content": "jf1.gemini/previous.THOUGHT"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]
    body, losses = write_request(read_request({"model": "m", "input": items}))
    assert [item.get("type") for item in body["input"]] == [None, "function_call", "function_call_output"]
    assert "jf1." not in json.dumps(body)
    assert [loss.path for loss in losses] == ["messages[1].parts[0]", "messages[1].parts[1].signature"]


def test_thoughts_that_lead_to_nothing_are_left_out_and_listed() -> None:
    body, losses = thinking(Thinking(signature=Signature(value="gAAA", family="openai")))
    assert [item["type"] for item in body["input"]] == ["message", "message"]
    assert [(loss.what, "alone" in loss.why) for loss in losses] == [("dropped", True)]


# --------------------------------------------------------------------------------------------------- tools

FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": True}


def test_tools_of_every_type() -> None:
    tools = [
        FUNCTION,
        {"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "custom", "name": "free", "description": "d", "format": {"type": "text"}},
        {"type": "namespace", "name": "multi", "description": "Several", "tools": [FUNCTION, {"type": "custom", "name": "exec"}]},
        {"type": "web_search", "external_web_access": True, "filters": {"allowed_domains": ["a.example"]}},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://a.example"},
        {"type": "image_generation"}, {"type": "local_shell"}, {"type": "shell"}, {"type": "apply_patch"},
        {"type": "tool_search", "execution": "client"},
    ]  # fmt: skip
    request = same({"model": "m", "input": "x", "tools": tools})
    by_name = {tool.name: tool for tool in request.tools if tool.namespace is None}
    assert (by_name["f"].strict, by_name["g"].strict) == (True, None)
    assert (by_name["apply_patch"].grammar, by_name["apply_patch"].grammar_syntax) in (("start: x", "lark"), (None, None))
    assert [(tool.namespace, tool.name, tool.kind) for tool in request.tools if tool.namespace] == [
        ("multi", "f", "function"), ("multi", "exec", "custom"),
    ]  # fmt: skip
    assert by_name["web_search"].search == WebSearch(allowed_domains=("a.example",))
    assert all(tool.dialect == "openai.responses" for tool in request.tools if tool.kind == "hosted")


def test_a_function_of_another_dialect_is_strict_only_if_it_says_so() -> None:
    tools = (Tool(name="f", parameters={"type": "object", "properties": {}}), Tool(name="g", strict=True), Tool(name="h", namespace="n"))
    body, losses = written(Message(role="user", parts=(Text(text="x"),)), tools=tools)
    f, g, n = body["tools"]
    assert (f["strict"], g["strict"]) == (False, True)
    assert g["parameters"]["type"] == "object"
    assert (n["type"], n["name"], [tool["name"] for tool in n["tools"]]) == ("namespace", "n", ["h"])
    assert n["description"]
    assert not losses


def test_schemas_of_strict_functions_are_fitted_and_what_changes_is_listed() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    body, losses = written(Message(role="user", parts=(Text(text="x"),)), tools=(Tool(name="f", parameters=parameters, strict=True),))
    fitted = body["tools"][0]["parameters"]
    assert fitted["additionalProperties"] is False
    assert fitted["required"] == ["a"]
    assert losses


def test_hosted_tools_of_other_dialects() -> None:
    search = WebSearch(allowed_domains=("a.example",), max_uses=3, context="low", location={"city": "Paris"})
    tools = (
        Tool(name="web_search_20250305", kind="hosted", dialect="anthropic.messages", search=search),
        Tool(name="code_execution_20250825", kind="hosted", dialect="anthropic.messages"),
        Tool(name="google_maps", kind="hosted", dialect="gemini.generate"),
    )
    body, losses = written(Message(role="user", parts=(Text(text="x"),)), tools=tools)
    assert body["tools"] == [
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["a.example"]},
            "user_location": {"type": "approximate", "city": "Paris"},
            "search_context_size": "low",
        },
        {"type": "code_interpreter", "container": {"type": "auto"}},
    ]
    assert said_of(losses) == [("tools[0].max_uses", "dropped"), ("tools[1]", "changed"), ("tools[2]", "dropped")]


@pytest.mark.parametrize(
    ("name", "dialect"),
    [("bash_20250124", "anthropic.messages"), ("memory_20250818", "anthropic.messages"), ("googleMaps", "gemini.generate")],
)
def test_why_a_tool_of_other_models_is_left_out_says_nothing_of_who_runs_it(name: str, dialect: str) -> None:
    tool = Tool(name=name, kind="hosted", dialect=dialect)
    _, losses = written(Message(role="user", parts=(Text(text="x"),)), tools=(tool,))
    assert losses == [Loss("tools[0]", "dropped", f"the tool {name} is known to models of {dialect} alone")]


def test_tools_that_come_as_an_item_are_the_requests_and_go_back_to_their_place() -> None:
    items = [
        {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [
            {"type": "namespace", "name": "functions", "description": "d", "tools": [{"type": "custom", "name": "exec"}, FUNCTION]},
            {"type": "namespace", "name": "collaboration", "description": "d", "tools": [FUNCTION]},
        ]},
        *HELLO,
        {"type": "additional_tools", "role": "developer", "tools": [FUNCTION]},
    ]  # fmt: skip
    request = same({"model": "m", "input": items})
    assert [(tool.namespace, tool.name) for tool in request.tools] == [
        ("functions", "exec"), ("functions", "f"), ("collaboration", "f"), (None, "f"),
    ]  # fmt: skip
    plain = msgspec.structs.replace(request, extensions={})
    assert len(write_request(plain)[0]["tools"]) == 3


@pytest.mark.parametrize(
    ("choice", "canonical"),
    [
        ("auto", ToolChoice(mode="auto")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="named", names=("f",))),
        ({"type": "custom", "name": "f"}, ToolChoice(mode="named", names=("f",), kind="custom")),
        ({"type": "web_search"}, ToolChoice(mode="named", names=("web_search",), kind="hosted")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]},
            ToolChoice(mode="allowed", names=("f", "g"), required=True),
        ),
    ],
    ids=str,
)
def test_the_choice_of_tools(choice: Any, canonical: ToolChoice) -> None:
    assert same({"model": "m", "input": "x", "tool_choice": choice}).tool_choice == canonical


def test_choices_that_only_this_dialect_has_come_back() -> None:
    same({"model": "m", "input": "x", "tool_choice": {"type": "mcp", "server_label": "s", "name": "n"}})
    mixed = [{"type": "function", "name": "f"}, {"type": "mcp", "server_label": "s"}, {"type": "image_generation"}]
    same({"model": "m", "input": "x", "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": mixed}})


# ------------------------------------------------------------------------------------------------- settings


def test_everything_else_that_a_request_can_say_comes_back() -> None:
    request = same(
        {
            "model": "gpt-5", "input": "x", "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100, "top_logprobs": 2,
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "parallel_tool_calls": False,
            "reasoning": {"effort": "high", "summary": "auto", "context": "all_turns"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
            "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "prompt_cache_retention": "24h",
            "service_tier": "flex", "store": False, "stream": True, "stream_options": {"include_obfuscation": False},
            "max_tool_calls": 3, "truncation": "auto", "background": False, "prompt": {"id": "p"}, "client_metadata": {"x": "y"},
            "previous_response_id": "resp_0", "conversation": {"id": "c"}, "context_management": [{"type": "compaction"}],
        }
    )  # fmt: skip
    assert request.sampling == Sampling(temperature=0.5, top_p=0.9, max_tokens=100, top_logprobs=2, logprobs=True)
    assert request.thinking == ThinkingConfig(effort="high", summary="auto")
    assert (request.output.format, request.output.name, request.output.strict, request.output.verbosity) == (
        "json_schema",
        "n",
        True,
        "low",
    )
    assert (request.user, request.cache_key, request.cache_retention, request.service_tier) == ("u", "k", "24h", "flex")
    assert (request.store, request.stream, request.parallel_tools, request.previous) == (False, True, False, "resp_0")


def test_a_safety_identifier_is_the_user_where_there_is_no_other() -> None:
    assert same({"model": "m", "input": "x", "safety_identifier": "s"}).user == "s"


def test_a_changed_configuration_counts_from_there_on() -> None:
    body = {
        "model": "m", "reasoning": {"effort": "low"},
        "input": [*HELLO, {"type": "configuration_update", "reasoning": {"effort": "high"}}],
    }  # fmt: skip
    assert same(body).thinking.effort == "high"


@pytest.mark.parametrize(
    ("config", "wire", "losses"),
    [
        (ThinkingConfig(mode="off"), {"effort": "none"}, []),
        (ThinkingConfig(mode="on", budget=8192), {"effort": "medium"}, [("thinking.budget", "changed")]),
        (ThinkingConfig(effort="xhigh", summary="detailed"), {"effort": "xhigh", "summary": "detailed"}, []),
        (ThinkingConfig(mode="auto"), None, []),
        (ThinkingConfig(summary="none"), None, []),
    ],
    ids=str,
)
def test_how_much_to_think(config: ThinkingConfig, wire: Any, losses: Any) -> None:
    body, told = written(Message(role="user", parts=(Text(text="x"),)), thinking=config)
    assert body.get("reasoning") == wire
    assert said_of(told) == losses


def test_a_request_of_another_dialect_stores_nothing_and_asks_for_thoughts_that_can_be_sent_back() -> None:
    user = Message(role="user", parts=(Text(text="x"),))
    for model, config, asked in (
        ("gpt-5.1", ThinkingConfig(), True),
        ("gpt-5-chat-latest", ThinkingConfig(), False),
        ("o4-mini", ThinkingConfig(mode="off"), False),
        ("gpt-4o", ThinkingConfig(), False),
        ("grok-4", ThinkingConfig(mode="on"), True),
    ):
        body, losses = write_request(Request(model=model, messages=(user,), thinking=config))
        assert body["store"] is False
        assert ("reasoning.encrypted_content" in body.get("include", ())) is asked, model
        assert not losses
    assert written(user, store=True)[0]["store"] is True


def test_what_responses_cannot_say_is_listed() -> None:
    user = Message(role="user", parts=(Text(text="x"),), name="Ann")
    sampling = Sampling(stop=("a",), n=2, seed=1, top_k=3, frequency_penalty=0.5, logit_bias={"1": 2.0}, max_tokens=5)
    body, losses = written(user, sampling=sampling, output=Output(format="json", modalities=("text", "audio")), service_tier="batch")
    assert body["max_output_tokens"] == 16
    assert body["text"] == {"format": {"type": "json_object"}}
    assert sorted(said_of(losses)) == [
        ("messages[0].name", "dropped"), ("output.modalities", "dropped"), ("sampling.frequency_penalty", "dropped"),
        ("sampling.logit_bias", "dropped"), ("sampling.max_tokens", "changed"), ("sampling.n", "dropped"), ("sampling.seed", "dropped"),
        ("sampling.stop", "dropped"), ("sampling.top_k", "dropped"), ("service_tier", "dropped"),
    ]  # fmt: skip


def own_words(body: Any) -> set[str]:
    """Return what of a request this dialect alone knows, as those are told who cross it: notes and empty values are none."""
    kept = same({"model": "m", "input": "x", **body}).extensions["openai.responses"]
    return {key for key, value in kept.items() if not key.startswith("=") and value not in (None, "", [], {})}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"stream": False}, []),
        ({"include": []}, []),
        ({"truncation": "disabled"}, []),
        ({"truncation": "auto"}, ["truncation"]),
        ({"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}, []),
        ({"include": ["reasoning.encrypted_content", "file_search_call.results"]}, ["include"]),
        ({"top_k": 3, "seed": 1, "min_p": 0.5}, []),
        ({"temperature": None, "prompt": None, "conversation": None}, []),
        ({"conversation": "conv_1", "prompt": {"id": "pmpt_1"}}, ["conversation", "prompt"]),
        ({"reasoning": {"effort": "low"}, "text": {"verbosity": "low"}, "safety_identifier": "s"}, []),
    ],
    ids=str,
)
def test_only_what_has_no_other_word_is_kept_as_this_dialects_own(body: Any, words: list[str]) -> None:
    assert own_words(body) == set(words)


def test_what_stands_for_something_stored_is_kept_under_its_name() -> None:
    assert RESPONSES.stored == own_words({"conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1"}})


def test_a_setting_of_other_speakers_can_be_changed_and_taken_back() -> None:
    request = read_request({"model": "m", "input": "x", "top_k": 3, "seed": 1})
    changed = msgspec.structs.replace(request, sampling=Sampling(top_k=5))
    assert write_request(changed) == ({"model": "m", "input": "x", "top_k": 5}, [])


def test_logprobs_of_another_dialect_are_asked_for_by_include() -> None:
    body, _ = written(Message(role="user", parts=(Text(text="x"),)), sampling=Sampling(logprobs=True, top_logprobs=3))
    assert (body["include"], body["top_logprobs"]) == (["message.output_text.logprobs"], 3)


def test_what_a_provider_of_another_dialect_ran_is_left_out_and_listed() -> None:
    call = ServerToolCall(id="srvtoolu_1", name="web_search", arguments='{"query":"x"}')
    body, losses = thinking(call, Text(text="So."))
    assert [item["type"] for item in body["input"]] == ["message", "message", "message"]
    assert said_of(losses) == [("messages[1].parts[0]", "dropped")]


# ------------------------------------------------------------------------------- other operations, bad input


def test_operations_without_a_canonical_form_give_an_empty_request() -> None:
    assert RESPONSES.decode_request(b"not even JSON", "compact") == Request()
    assert RESPONSES.decode_request(b"", "resource") == Request()


def test_a_request_for_a_count_says_what_is_counted_and_nothing_else() -> None:
    request = Request(model="gpt-5", messages=(Message(role="user", parts=(Text(text="x"),)),), stream=True, store=True)
    body = json.loads(RESPONSES.encode_request(request, "count", []))
    assert body == {"model": "gpt-5", "input": [{"type": "message", "role": "user", "content": "x"}]}


BAD = [
    ({}, "input"),
    ({"input": 5}, "input"),
    ({"input": ["x"]}, "input[0]"),
    ({"input": [{}]}, "input[0].type"),
    ({"input": [{"type": 5}]}, "input[0].type"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "owner", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": 5, "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "input[0].content[0].input_audio.data"),
    ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": 5}]}, "input[0].output"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "refusal", "refusal": "x"}]}]}, "input[0].output[0]"),
    ({"input": [{"type": "reasoning", "encrypted_content": 5}]}, "input[0].encrypted_content"),
    ({"input": [{"type": "additional_tools", "tools": [{"type": "function"}]}]}, "input[0].tools[0].name"),
    ({"input": "x", "instructions": 5}, "instructions"),
    ({"input": "x", "tools": [{}]}, "tools[0].type"),
    ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
    ({"input": "x", "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "custom"}]}]}, "tools[0].tools[0].name"),
    ({"input": "x", "tool_choice": "any"}, "tool_choice"),
    ({"input": "x", "tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"input": "x", "temperature": "hot"}, "temperature"),
    ({"input": "x", "max_output_tokens": 1.5}, "max_output_tokens"),
    ({"input": "x", "include": "all"}, "include"),
    ({"input": "x", "reasoning": "high"}, "reasoning"),
    ({"input": "x", "reasoning": {"effort": 5}}, "reasoning.effort"),
    ({"input": "x", "text": {"format": {}}}, "text.format.type"),
    ({"input": "x", "text": {"format": {"type": "json_schema", "schema": []}}}, "text.format.schema"),
    ({"input": "x", "metadata": {"a": 1}}, "metadata.a"),
    ({"input": "x", "stream": "yes"}, "stream"),
    ({"input": "x", "previous_response_id": 5}, "previous_response_id"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param"), BAD, ids=[param for _, param in BAD])
def test_a_bad_field_is_named(body: Any, param: str) -> None:
    with pytest.raises(BadRequest) as fault:
        read_request({"model": "m", **body})
    assert fault.value.param == param
    assert param.rpartition(".")[2].split("[")[0] in fault.value.message


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'{"a":' * 5000, b'{"input":' + b"[" * 100_000, b"\xff\xfe"])
def test_what_is_no_request_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        RESPONSES.decode_request(raw, "generate")


def test_odd_characters_survive() -> None:
    text = "NUL \x00, lines \u2028\u2029\x85, \U0001f600"
    body, _ = write_request(read_request({"model": "m", "input": text}))
    assert body["input"] == text
