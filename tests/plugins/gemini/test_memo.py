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
from jackfield.api.canonical import Image, Message, Source, Text, ToolCall, ToolResult
from jackfield.api.canonical.memo import Memo
from tests.plugins.gemini.gemini_wire import GEMINI

PICTURE = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
CALL = {"functionCall": {"name": "clock", "args": {}}}
RESULT = {"functionResponse": {"name": "clock", "response": {"output": "12:00"}}}
FORMS: list[Any] = [
    {"role": "user", "parts": [{"text": "a"}]},
    {"role": "user", "parts": [{"text": "a"}, PICTURE]},
    {"role": "model", "parts": [{"text": "b"}]},
    {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "b", "thoughtSignature": "c2ln"}]},
    {"parts": {"text": "a"}, "kept": 1},
    {"role": "model", "parts": [CALL]},
    {"role": "model", "parts": [CALL, {**CALL, "thoughtSignature": "c2ln"}]},
    {"role": "model", "parts": [{"functionCall": {"name": "clock", "id": "c1", "args": {"zone": "\u2028"}}}]},
    {"role": "model", "parts": [{"functionCall": {"name": "other", "id": "c1"}, "text": "both"}]},
    {"role": "function", "parts": [RESULT]},
    {"role": "user", "parts": [RESULT, RESULT]},
    {"role": "user", "parts": [{"functionResponse": {"name": "clock", "id": "c1", "response": {"result": 1}, "parts": [PICTURE]}}]},
    {"role": "user"},
    {"role": "model", "parts": [{"text": 1}]},
    {"role": "nobody", "parts": [{"text": "a"}]},
]
TOOLS: list[Any] = [
    {"functionDeclarations": [{"name": "clock", "parametersJsonSchema": {"type": "object", "not": {"required": ["a"]}}}]},
    {"functionDeclarations": [{"name": "other", "parameters": {"type": "OBJECT"}}, {"name": "third", "behavior": "BLOCKING"}]},
    {"googleSearch": {}},
    {"function_declarations": [{"description": "has no name"}]},
]
MODELS = ("gemini-2.5-pro", "gemini-3-pro", "other")
GOOD = FORMS[:-3]
BODIES = st.fixed_dictionaries(
    {
        "model": st.sampled_from(MODELS),
        "contents": st.lists(st.sampled_from(FORMS), min_size=1, max_size=6) | st.lists(st.sampled_from(GOOD), min_size=6, max_size=30),
    },
    optional={
        "tools": st.lists(st.sampled_from(TOOLS), max_size=3),
        "systemInstruction": st.sampled_from(["be brief", {"parts": [{"text": "be brief"}]}, {"parts": [CALL]}]),
    },
)


@contextmanager
def forgetful() -> Iterator[None]:
    """Let nothing be recalled, and nothing be kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memo, "get", lambda _, key: None)
        patch.setattr(Memo, "put", lambda _, key, value, size: value)
        yield


def read(body: Any) -> Request | tuple[str, str | None]:
    """Return what a body says, or what is wrong with it."""
    try:
        return GEMINI.decode_request(json.dumps(body).encode(), "generate")
    except BadRequest as fault:
        return str(fault), fault.param


def written(request: Any) -> tuple[bytes, list[Loss]]:
    losses: list[Loss] = []
    return GEMINI.encode_request(request, "generate", losses), losses


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


@given(st.lists(BODIES, min_size=1, max_size=3), st.sampled_from(MODELS))
@settings(deadline=None, max_examples=60)
def test_without_what_only_this_dialect_knows_it_is_written_alike_as_well(bodies: list[Any], model: str) -> None:
    for body in [*bodies, *reversed(bodies)]:
        said = read(body)
        if isinstance(said, Request):
            foreign = msgspec.convert(bare(msgspec.to_builtins(said)), Request)
            for request in (foreign, msgspec.structs.replace(foreign, model=model)):
                with forgetful():
                    wanted = written(request)
                assert written(request) == wanted
                assert written(request) == wanted


def bare(value: Any) -> Any:
    """Return a thing without the extensions of its parts, and results without the names of their functions."""
    if isinstance(value, dict):
        left = {key: bare(item) for key, item in value.items() if key != "extensions"}
        return {key: item for key, item in left.items() if key != "name"} if value.get("type") == "tool_result" else left
    return [bare(item) for item in value] if isinstance(value, list | tuple) else value


@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=12), st.data())
@settings(deadline=None, max_examples=100)
def test_messages_are_written_alike_in_another_order_and_another_request(contents: list[Any], data: Any) -> None:
    said = read({"model": "m", "contents": contents})
    assert isinstance(said, Request)
    for _ in range(2):
        messages = tuple(data.draw(st.permutations(said.messages)))[: data.draw(st.integers(1, len(contents)))]
        request = msgspec.structs.replace(said, messages=messages, model=data.draw(st.sampled_from(MODELS)))
        with forgetful():
            wanted = written(request)
        assert written(request) == wanted


def test_what_a_call_without_an_id_is_called_hangs_on_its_place_and_its_results_on_the_calls_before() -> None:
    call, result = FORMS[5], FORMS[9]
    said = read({"contents": [call, result, call, result]})
    again = read({"contents": [FORMS[0], call, result, result]})
    assert isinstance(said, Request)
    assert isinstance(again, Request)
    first, second, third, fourth = map(_called, said.messages)
    assert first == second != third == fourth
    _, one, two, nobodys = map(_called, again.messages)
    assert one == two != nobodys


def _called(message: Any) -> str:
    part = message.parts[-1]
    return part.id if isinstance(part, ToolCall) else part.call_id if isinstance(part, ToolResult) else ""


def test_a_result_without_a_name_is_named_after_the_call_before_it_in_this_conversation() -> None:
    result = Message(role="tool", parts=(ToolResult(call_id="c1", parts=(Text(text="12:00"),)),))
    for name in ("clock", "other", "clock"):
        call = Message(role="assistant", parts=(ToolCall(id="c1", name=name, arguments="{}"),))
        contents = json.loads(written(Request(messages=(call, result)))[0])["contents"]
        assert contents[-1]["parts"][0]["functionResponse"]["name"] == name


def test_a_picture_in_a_result_stands_where_the_model_takes_it() -> None:
    picture = Image(source=Source(data="aGk=", media_type="image/png"))
    call = Message(role="assistant", parts=(ToolCall(id="c1", name="clock", arguments="{}"),))
    result = Message(role="tool", parts=(ToolResult(call_id="c1", name="clock", parts=(picture,)),))
    for model, inside in (("gemini-3-pro", True), ("gemini-2.5-pro", False), ("gemini-3-pro", True)):
        parts = json.loads(written(Request(model=model, messages=(call, result)))[0])["contents"][-1]["parts"]
        assert ("parts" in parts[0]["functionResponse"]) is inside


def test_a_fault_in_a_content_that_came_before_names_the_place_where_it_is_now() -> None:
    good, bad = FORMS[0], {"role": "user", "parts": [{"text": 1}]}
    assert read({"contents": [bad]})[1] == "contents[0].parts[0].text"  # type: ignore[index]
    assert read({"contents": [good, good, bad]})[1] == "contents[2].parts[0].text"  # type: ignore[index]


def test_messages_that_were_sent_before_are_the_same_objects() -> None:
    body = {"systemInstruction": {"parts": [{"text": "be brief"}]}, "contents": [*FORMS[:3], *FORMS[5:10:4]], "tools": TOOLS[:2]}
    first, second = read(body), read({**body, "contents": [*body["contents"], {"role": "model", "parts": [{"text": "and then?"}]}]})
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert len(second.messages) == len(first.messages) + 1
    assert all(one is other for one, other in zip(first.messages, second.messages, strict=False))
    assert first.tools is second.tools


def test_losses_of_a_message_that_was_sent_before_name_the_place_where_it_is_now() -> None:
    thought = {"role": "model", "parts": [{"text": "hm", "thought": True, "thoughtSignature": "YmFk"}]}
    said = read({"contents": [FORMS[0], thought]})
    assert isinstance(said, Request)
    sealed = msgspec.structs.replace(said.messages[1].parts[0], signature=None, extensions={})
    foreign = msgspec.structs.replace(sealed, redacted=msgspec.convert({"value": "x", "family": "other"}, type(_signature(said))))
    message = msgspec.structs.replace(said.messages[1], parts=(foreign,))
    asked = said.messages[0]
    one = msgspec.structs.replace(said, messages=(asked, message))
    two = msgspec.structs.replace(said, messages=(asked, said.messages[1], asked, message))
    assert [loss.path for loss in written(one)[1]] == ["messages[1].parts[0].redacted"]
    assert [loss.path for loss in written(two)[1]] == ["messages[3].parts[0].redacted"]


def _signature(request: Request) -> Any:
    return request.messages[1].parts[0].signature  # type: ignore[union-attr]  # it is a thought
