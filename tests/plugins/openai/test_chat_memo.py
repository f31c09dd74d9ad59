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
from jackfield.api.canonical.memo import Memo, Runs
from tests.plugins.openai.chat_wire import CHAT

CALL = {"id": "call_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.example/p.png"}}
FORMS: list[Any] = [
    {"role": "user", "content": "a"},
    {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, PICTURE]},
    {"role": "system", "content": "b", "name": "n"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": "c", "tool_calls": [{**CALL, "id": ""}]},
    {"role": "assistant", "content": "c", "reasoning_content": "hm", "annotations": []},
    {"role": "assistant", "content": None, "function_call": {"name": "clock", "arguments": "{}"}},
    {"role": "assistant", "content": None, "function_call": {"name": "other", "arguments": "{}"}},
    {"role": "function", "name": "clock", "content": "12:00"},
    {"role": "function", "name": "other", "content": "12:00"},
    {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "a"}, PICTURE]},
    {"role": "user"},
    {"role": "assistant", "content": 1},
    {"role": "nobody", "content": "a"},
]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
    {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}},
    {"type": "openrouter:web_search", "engine": "exa"},
    {"type": "function", "function": {"description": "has no name"}},
]
LONG = st.lists(st.sampled_from(FORMS[:-3]), min_size=Runs.LENGTH, max_size=2 * Runs.LENGTH + 2)
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(st.sampled_from(FORMS), min_size=1, max_size=6) | LONG},
    optional={
        "tools": st.lists(st.sampled_from(TOOLS), max_size=3),
        "functions": st.just([{"name": "clock"}]),
        "web_search_options": st.just({}),
    },
)


@contextmanager
def forgetful() -> Iterator[None]:
    """Let nothing be recalled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memo, "get", lambda _, key: None)
        patch.setattr(Memo, "put", lambda _, key, value, size: value)
        patch.setattr(Memo, "all", lambda _, keys: [None] * len(keys))
        yield


def read(body: Any) -> Request | tuple[str, str | None]:
    """Return what a body says, or what is wrong with it."""
    try:
        return CHAT.decode_request(json.dumps(body).encode(), "generate")
    except BadRequest as fault:
        return str(fault), fault.param


def written(request: Any) -> tuple[bytes, list[Loss]]:
    losses: list[Loss] = []
    return CHAT.encode_request(request, "generate", losses), losses


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
            with forgetful():
                wanted = written(foreign)
            assert written(foreign) == wanted
            assert written(foreign) == wanted


def bare(value: Any) -> Any:
    """Return a thing without the extensions of its parts."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if key != "extensions"}
    return [bare(item) for item in value] if isinstance(value, list | tuple) else value


def test_what_an_older_call_is_called_hangs_on_its_place() -> None:
    call = {"role": "assistant", "content": None, "function_call": {"name": "clock", "arguments": "{}"}}
    result = {"role": "function", "name": "clock", "content": "12:00"}
    said = read({"model": "m", "messages": [call, result, call, result]})
    assert isinstance(said, Request)
    ids = [part.id if part.type == "call" else part.call_id for part in map(_called, said.messages)]
    assert ids[0] == ids[1] != ids[2] == ids[3]


class _Called(msgspec.Struct):
    type: str
    id: str = ""
    call_id: str = ""


def _called(message: Any) -> _Called:
    part = message.parts[-1]
    return _Called(type="call", id=part.id) if hasattr(part, "arguments") else _Called(type="result", call_id=part.call_id)


def test_a_fault_in_a_message_that_came_before_names_the_place_where_it_is_now() -> None:
    good, bad = {"role": "user", "content": "a"}, {"role": "user", "content": 1}
    assert read({"model": "m", "messages": [bad]})[1] == "messages[0].content"  # type: ignore[index]
    assert read({"model": "m", "messages": [good, good, bad]})[1] == "messages[2].content"  # type: ignore[index]


def test_messages_that_were_sent_before_are_the_same_objects() -> None:
    body = {"model": "m", "messages": FORMS[:4], "tools": TOOLS[:2]}
    first, second = read(body), read({**body, "messages": [*FORMS[:4], {"role": "user", "content": "and then?"}]})
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert all(one is other for one, other in zip(first.messages, second.messages[:4], strict=True))
    assert first.tools is second.tools
