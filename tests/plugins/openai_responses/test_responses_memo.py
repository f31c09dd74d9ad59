"""What a request says does not hang on what was said in requests before it: recalled or read anew, it is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jackfield.api import BadRequest, Loss, Request
from jackfield.api.canonical import Message, Signature, Text, Thinking, ToolCall
from jackfield.api.canonical.memo import Memo
from jackfield_openai.responses.reasoning import carrier
from tests.plugins.openai_responses.responses_wire import RESPONSES

PICTURE = {"type": "input_image", "image_url": "https://a.example/p.png", "detail": "auto"}
CALL = {"type": "function_call", "call_id": "c1", "name": "clock", "arguments": "{}", "id": "fc_1", "status": "completed"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "12:00"}
SEAL = Signature(value="x", family="gemini")
CARRIER = carrier(SEAL)
FORMS: list[Any] = [
    {"role": "user", "content": "a"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a\u2028"}, PICTURE]},
    {"role": "system", "content": "b"},
    {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "b"}], "id": "msg_0"},
    {"role": "developer", "content": "c"},
    {"role": "assistant", "content": "d"},
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "e"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "seal"},
    CARRIER,
    CALL,
    {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "x"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    OUTPUT,
    {**OUTPUT, "output": [{"type": "input_text", "text": "a"}, PICTURE]},
    {"id": "msg_1"},
    {"type": "configuration_update", "reasoning": {"effort": "high"}},
    {"type": "additional_tools", "tools": [{"type": "function", "name": "later"}]},
    {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
    {"role": "user"},
    {"type": "function_call", "name": "clock", "arguments": "{}"},
    {"role": "nobody", "content": "a"},
]
GOOD = FORMS[:-3]
TOOLS: list[Any] = [
    {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {"a": {"type": "array"}}}},
    {"type": "function", "name": "strict", "parameters": {"type": "object", "properties": {"a": {"minLength": 1}}}, "strict": True},
    {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
    {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "one"}, {"type": "function", "name": "two"}]},
    {"type": "web_search", "search_context_size": "low"},
    {"type": "function", "description": "has no name"},
]
BODIES = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "input": st.lists(st.sampled_from(FORMS), max_size=6) | st.lists(st.sampled_from(GOOD), min_size=6, max_size=30) | st.just("a"),
    },
    optional={"tools": st.lists(st.sampled_from(TOOLS), max_size=3), "instructions": st.sampled_from(["be brief", ""])},
)


@contextmanager
def forgetful() -> Iterator[None]:
    """Let nothing be recalled, and nothing be kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memo, "get", lambda _, key: None)
        patch.setattr(Memo, "put", lambda _, key, value, size: value)
        patch.setattr(Memo, "all", lambda _, keys: [None] * len(keys))
        yield


def read(body: Any) -> Request | tuple[str, str | None]:
    """Return what a body says, or what is wrong with it."""
    try:
        return RESPONSES.decode_request(json.dumps(body).encode(), "generate")
    except BadRequest as fault:
        return str(fault), fault.param


def written(request: Any) -> tuple[bytes, list[Loss]]:
    losses: list[Loss] = []
    return RESPONSES.encode_request(request, "generate", losses), losses


@given(st.lists(BODIES, min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=150)
def test_a_request_is_read_and_written_alike_whatever_came_before(bodies: list[Any], data: Any) -> None:
    with forgetful():
        fresh = [read(body) for body in bodies]
        sent = [written(said) if isinstance(said, Request) else None for said in fresh]
    turns = [*range(len(bodies)), *data.draw(st.permutations(range(len(bodies))))]
    for turn in turns:
        said = read(bodies[turn])
        assert said == fresh[turn]
        if isinstance(said, Request):
            assert written(said) == sent[turn]


@given(st.lists(BODIES, min_size=1, max_size=3))
@settings(deadline=None, max_examples=60)
def test_without_what_only_this_dialect_knows_it_is_written_alike_as_well(bodies: list[Any]) -> None:
    for body in [*bodies, *reversed(bodies)]:
        said = read(body)
        if isinstance(said, Request):
            foreign = msgspec.convert(bare(msgspec.to_builtins(said)), Request)
            # Messages of one request may come in another that was read from this dialect.
            for request in (foreign, msgspec.structs.replace(foreign, extensions=said.extensions)):
                with forgetful():
                    wanted = written(request)
                assert written(request) == wanted
                assert written(request) == wanted


def bare(value: Any) -> Any:
    """Return a thing without the extensions of its parts."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key != "extensions"}
    return [bare(item) for item in value] if isinstance(value, list | tuple) else value


@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=12), st.data())
@settings(deadline=None, max_examples=100)
def test_messages_are_written_alike_in_another_order_and_another_request(items: list[Any], data: Any) -> None:
    said = read({"model": "m", "input": items})
    assert isinstance(said, Request)
    for _ in range(2):
        messages = tuple(data.draw(st.permutations(said.messages)))[: data.draw(st.integers(0, len(items)))]
        request = msgspec.structs.replace(said, messages=messages)
        with forgetful():
            wanted = written(request)
        assert written(request) == wanted


def test_a_signature_that_an_item_carries_is_given_to_what_stands_before_it_alone() -> None:
    signed, bare_ = read({"model": "m", "input": [CALL, CARRIER, OUTPUT]}), read({"model": "m", "input": [CALL, OUTPUT]})
    again = read({"model": "m", "input": [CALL, CARRIER, OUTPUT]})
    assert [_signature(said) for said in (signed, bare_, again)] == [SEAL, None, SEAL]


def test_a_part_has_the_signature_that_is_carried_for_it_now() -> None:
    other = Signature(value="y", family="gemini")
    for seal in (SEAL, other, SEAL):
        assert _signature(read({"model": "m", "input": [CALL, carrier(seal), OUTPUT]})) == seal


def _signature(request: Any) -> Signature | None:
    call = request.messages[0].parts[0]
    assert isinstance(call, ToolCall)
    return call.signature


def test_the_systems_words_are_instructions_or_not_by_how_they_are_said_now() -> None:
    system = {"role": "system", "content": "b"}
    for said in (read({"model": "m", "input": [system, system]}), read({"model": "m", "instructions": "b", "input": [system]})):
        assert isinstance(said, Request)
    body = json.loads(written(read({"model": "m", "input": [system, {"role": "user", "content": "a"}]}))[0])
    assert "instructions" not in body
    assert body["input"][0] == system


def test_a_fault_in_an_item_that_came_before_names_the_place_where_it_is_now() -> None:
    good, bad = {"role": "user", "content": "a"}, {"role": "user", "content": 1}
    assert read({"model": "m", "input": [bad]})[1] == "input[0].content"  # type: ignore[index]
    assert read({"model": "m", "input": [good, good, bad]})[1] == "input[2].content"  # type: ignore[index]


def test_messages_that_were_sent_before_are_the_same_objects() -> None:
    body = {"model": "m", "instructions": "be brief", "input": [FORMS[at] for at in (0, 2, 7, 9, 8, 12, 5, 8)], "tools": TOOLS[:3]}
    first, second = read(body), read({**body, "input": [*body["input"], {"role": "user", "content": "and then?"}]})
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert len(second.messages) == len(first.messages) + 1
    assert all(one is other for one, other in zip(first.messages, second.messages, strict=False))
    assert first.tools is second.tools


def test_losses_of_a_message_that_was_sent_before_name_the_place_where_it_is_now() -> None:
    asked = Message(role="user", parts=(Text(text="a"),))
    thought = Message(role="assistant", parts=(Thinking(text="hm", signature=Signature(value="x", family="other")), Text(text="b")))
    assert [loss.path for loss in written(Request(messages=(asked, thought)))[1]] == ["messages[1].parts[0]"]
    assert [loss.path for loss in written(Request(messages=(asked, asked, thought)))[1]] == ["messages[2].parts[0]"]
