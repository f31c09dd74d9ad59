"""Requests made sayable in a dialect that knows less, and their answers turned back."""

from __future__ import annotations

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackfield.api import Loss, Request, Response
from jackfield.api.canonical import (
    ArgumentsDelta,
    Choice,
    Message,
    PartEnd,
    PartStart,
    TextDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    assemble,
)
from jackfield.api.canonical.fitting import fit, free_text
from jackfield.canonical_dialect import CanonicalDialect


class Narrow(CanonicalDialect):
    tool_name = r"[a-z][a-z0-9_]{0,19}"
    tool_id = r"[a-z0-9]{9}"
    custom_tools = namespaces = False


class Wide(CanonicalDialect):
    tool_name = r"[\w.-]{1,64}"
    custom_tools = True
    namespaces = True


def called(*parts: ToolCall) -> Response:
    return Response(choices=(Choice(message=Message(role="assistant", parts=parts), finish="tool_calls"),))


def test_a_request_that_can_be_said_as_it_is_stays_the_same() -> None:
    losses: list[Loss] = []
    messages = (Message(role="assistant", parts=(ToolCall(id="abcdefghi", name="clock"),)),)
    request = Request(tools=(Tool(name="clock"),), tool_choice=ToolChoice(mode="named", names=("clock",)), messages=messages)
    fitting = fit(request, Narrow(), losses)
    assert fitting.request == request
    assert fitting.restore_stream() is None
    assert losses == []


def test_names_that_a_dialect_does_not_take_are_replaced_everywhere_and_told() -> None:
    losses: list[Loss] = []
    name = "Read-The.File"
    history = (
        Message(role="assistant", parts=(ToolCall(id="123456789", name=name),)),
        Message(role="tool", parts=(ToolResult(call_id="123456789", name=name),)),
    )
    request = Request(tools=(Tool(name=name),), tool_choice=ToolChoice(mode="named", names=(name,)), messages=history)
    fitting = fit(request, Narrow(), losses)
    (tool,) = fitting.request.tools
    assert Narrow.tool_name
    assert tool.name != name
    assert tool.name.islower()
    assert fitting.request.messages[0].parts[0].name == tool.name  # type: ignore[union-attr]
    assert fitting.request.messages[1].parts[0].name == tool.name  # type: ignore[union-attr]
    assert fitting.request.tool_choice is not None
    assert fitting.request.tool_choice.names == (tool.name,)
    assert [(loss.path, loss.what) for loss in losses] == [("tools[0].name", "changed")]
    assert fitting.restore(called(ToolCall(id="x", name=tool.name))).tool_calls[0].name == name


def test_names_that_would_become_the_same_stay_apart() -> None:
    fitting = fit(Request(tools=(Tool(name="a.b"), Tool(name="a/b"), Tool(name="a_b"))), Narrow(), [])
    assert len({tool.name for tool in fitting.request.tools}) == 3


def test_ids_are_replaced_in_calls_and_results_alike() -> None:
    losses: list[Loss] = []
    history = (
        Message(role="assistant", parts=(ToolCall(id="call_LONG", name="clock"),)),
        Message(role="tool", parts=(ToolResult(call_id="call_LONG"),)),
    )
    fitted = fit(Request(messages=history), Narrow(), losses).request.messages
    assert fitted[0].parts[0].id == fitted[1].parts[0].call_id  # type: ignore[union-attr]
    assert len(fitted[0].parts[0].id) == 9  # type: ignore[union-attr]
    assert [loss.what for loss in losses] == ["changed"]


def test_a_namespace_becomes_part_of_the_name_and_comes_back() -> None:
    request = Request(tools=(Tool(name="exec", namespace="functions"), Tool(name="exec", namespace="other")))
    fitting = fit(request, Narrow(), [])
    first, second = fitting.request.tools
    assert (first.name, first.namespace) == ("functions__exec", None)
    assert second.name == "other__exec"
    (back,) = fitting.restore(called(ToolCall(id="x", name="other__exec", arguments="{}"))).tool_calls
    assert (back.namespace, back.name) == ("other", "exec")
    assert fit(request, Wide(), []).request == request


def test_a_tool_of_free_text_becomes_a_function_and_its_calls_come_back() -> None:
    losses: list[Loss] = []
    tool = Tool(name="patch", kind="custom", description="Patches.", grammar="start: X", grammar_syntax="lark")
    history = (Message(role="assistant", parts=(ToolCall(id="123456789", name="patch", kind="custom", arguments='a "b"\n'),)),)
    fitting = fit(Request(tools=(tool,), messages=history), Narrow(), losses)
    (function,) = fitting.request.tools
    assert function.kind == "function"
    assert function.parameters is not None
    assert "start: X" in (function.description or "")
    (call,) = fitting.request.messages[0].parts
    assert isinstance(call, ToolCall)
    assert (call.kind, json.loads(call.arguments)) == ("function", {"input": 'a "b"\n'})
    (back,) = fitting.restore(called(ToolCall(id="x", name="patch", arguments='{"input":"*** Begin\\n"}'))).tool_calls
    assert (back.kind, back.arguments) == ("custom", "*** Begin\n")
    assert [(loss.path, loss.what) for loss in losses] == [("tools[0]", "changed")]


@pytest.mark.parametrize("arguments", ["no JSON", '["a"]', '{"other":"x"}', '{"input":1}', ""])
def test_what_a_model_wrote_otherwise_is_passed_on_as_it_is(arguments: str) -> None:
    fitting = fit(Request(tools=(Tool(name="patch", kind="custom"),)), Narrow(), [])
    (back,) = fitting.restore(called(ToolCall(id="x", name="patch", arguments=arguments))).tool_calls
    assert back.arguments == arguments
    assert streamed(arguments, [len(arguments)]) == arguments


def streamed(arguments: str, cuts: list[int]) -> str:
    fitting = fit(Request(tools=(Tool(name="patch", kind="custom"),)), Narrow(), [])
    restore = fitting.restore_stream()
    assert restore is not None
    edges = sorted({0, len(arguments), *(cut for cut in cuts if cut <= len(arguments))})
    pieces = [arguments[a:b] for a, b in pairwise(edges)]
    deltas = restore([PartStart(index=0, part=ToolCall(id="x", name="patch"))])
    for piece in pieces:
        deltas += restore([ArgumentsDelta(index=0, text=piece)])
    deltas += restore([PartEnd(index=0)])
    (call,) = assemble(deltas).tool_calls
    assert call.kind == "custom"
    return call.arguments


@given(st.text(), st.lists(st.integers(0, 400)), st.booleans())
def test_free_text_is_the_same_streamed_in_any_pieces(text: str, cuts: list[int], plain: bool) -> None:
    text = text.encode("utf-16", "replace").decode("utf-16")
    arguments = json.dumps({"input": text}, ensure_ascii=plain)
    assert streamed(arguments, cuts) == text == free_text(arguments)


def test_free_text_is_given_out_while_it_comes() -> None:
    restore = fit(Request(tools=(Tool(name="patch", kind="custom"),)), Narrow(), []).restore_stream()
    assert restore is not None
    restore([PartStart(index=0, part=ToolCall(id="x", name="patch"))])
    assert restore([ArgumentsDelta(index=0, text='{"inp')]) == []
    assert restore([ArgumentsDelta(index=0, text='ut": "ab\\')]) == [ArgumentsDelta(index=0, text="ab")]
    assert restore([ArgumentsDelta(index=0, text='n"}')]) == [ArgumentsDelta(index=0, text="\n")]
    assert restore([TextDelta(index=1, text="x")]) == [TextDelta(index=1, text="x")]


@given(st.lists(st.tuples(st.one_of(st.none(), st.text(max_size=90)), st.text(min_size=1, max_size=90)), unique=True, max_size=12))
def test_every_tool_gets_a_name_of_its_own_that_the_dialect_takes(named: list[tuple[str | None, str]]) -> None:
    tools = tuple(Tool(name=name, namespace=namespace) for namespace, name in named)
    fitting = fit(Request(tools=tools), Narrow(), [])
    names = [tool.name for tool in fitting.request.tools]
    assert len(set(names)) == len(names)
    for tool, fitted in zip(tools, fitting.request.tools, strict=True):
        (back,) = fitting.restore(called(ToolCall(id="x", name=fitted.name))).tool_calls
        assert (back.namespace, back.name) == (tool.namespace, tool.name)
    assert all(msgspec.json.encode(name) for name in names)
