"""Conversations over several turns: signatures, ids and names come back to the upstream that gave them, and to no other."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import pytest

from jackfield.api import Loss, Request, Response, Usage
from jackfield.api.canonical import Choice, Delta, Message, ToolCall, assemble
from jackfield.api.canonical.fitting import fit
from jackfield.cli.translate import events_of, translated_request, translated_response, translated_stream
from tests.translation import meanings as m
from tests.translation.dialects import CHAT, GENERATE, MESSAGES, RESPONSES, SHORT, pairs, spoken, there
from tests.translation.matrix import STREAMING, assembled
from tests.translation.players import PLAYERS
from tests.translation.turns import calls, following
from tests.translation.wires import call_a, call_c, call_g, call_r, candidate, completion, message, response

SIGNED: Final = "c2lnbmVkIHRob3VnaHRz"
SEALED: Final = "c2VhbGVkIHRob3VnaHRz"

THOUGHTFUL: Final[dict[str, Any]] = {
    CHAT: completion(
        {
            "content": None,
            "reasoning": "Look it up.",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Look it up.", "signature": SIGNED, "format": "anthropic-claude-v1", "index": 0}
            ],
            "tool_calls": [call_c("call_abc")],
        },
        "tool_calls",
    ),
    RESPONSES: response(
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look it up."}], "encrypted_content": SIGNED},
        call_r("call_abc"),
    ),
    MESSAGES: message({"type": "thinking", "thinking": "Look it up.", "signature": SIGNED}, call_a("call_abc"), stop="tool_use"),
    GENERATE: candidate({"text": "Look it up.", "thought": True}, {**call_g("call_abc"), "thoughtSignature": SIGNED}),
}
"""An answer of each upstream with signed thoughts and a call."""

HIDDEN: Final[dict[str, Any]] = {
    CHAT: completion(
        {
            "content": "Sunny.",
            "reasoning_details": [
                {"type": "reasoning.encrypted", "data": SEALED, "format": "openai-responses-v1", "id": "rs_1", "index": 0}
            ],
        }
    ),
    RESPONSES: response(
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Sunny.", "annotations": [], "logprobs": []}],
        },
    ),
    MESSAGES: message({"type": "redacted_thinking", "data": SEALED}, {"type": "text", "text": "Sunny.", "citations": None}),
}
"""An answer of each upstream with thoughts that nobody can read."""

WAYS = [pytest.param(client, upstream, id=f"{SHORT[client]}-{SHORT[upstream]}") for client, upstream in pairs()]
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def shown(client: str, upstream: str, answer: Any, stream: bool) -> Any:
    """Return an upstream's answer as its client has it in the end, whole or out of a stream."""
    source, target, losses = spoken()[upstream], spoken()[client], list[Loss]()
    if not stream:
        return json.loads(translated_response(source, target, json.dumps(answer).encode(), Request(), losses))
    wire = translated_stream(source, target, PLAYERS[upstream](answer), STREAMING, losses)
    return json.loads(target.encode_response(assembled(client, wire), losses))


def asked(client: str, upstream: str, body: Any) -> tuple[bytes, list[Loss]]:
    losses: list[Loss] = []
    return translated_request(spoken()[client], spoken()[upstream], json.dumps(body).encode(), losses), losses


@STREAMED
@pytest.mark.parametrize(("client", "upstream"), WAYS)
def test_signed_thoughts_and_calls_come_back_to_whoever_gave_them(client: str, upstream: str, stream: bool) -> None:
    answer = shown(client, upstream, THOUGHTFUL[upstream], stream)
    assert calls(client, answer) == [("call_abc", "weather", {"city": "Paris"})]
    wire, losses = asked(client, upstream, following(client, answer))
    again = spoken()[upstream].decode_request(wire, "generate")
    family = "anthropic" if upstream == CHAT else spoken()[upstream].family
    assert m.signatures(again) == [(family, SIGNED)] or listed(client, upstream, losses)
    assert b"jf1." not in wire
    assert m.calls(again) == [("function", None, "weather", "call_abc", {"city": "Paris"})]
    assert m.results(again) == [("call_abc", ["sunny"])]


@STREAMED
@pytest.mark.parametrize(("client", "upstream"), [way for way in WAYS if way.values[1] in HIDDEN])
def test_encrypted_thoughts_come_back_to_whoever_gave_them(client: str, upstream: str, stream: bool) -> None:
    answer = shown(client, upstream, HIDDEN[upstream], stream)
    assert SEALED not in str(visible(client, answer))
    wire, losses = asked(client, upstream, following(client, answer))
    again = spoken()[upstream].decode_request(wire, "generate")
    family = "openai" if upstream in (CHAT, RESPONSES) else spoken()[upstream].family
    assert m.signatures(again) == [(family, SEALED)] or listed(client, upstream, losses)
    assert b"jf1." not in wire


def listed(client: str, upstream: str, losses: list[Loss]) -> bool:
    """Tell whether signatures were listed as dropped where they may be.

    A speaker of chat completions that signs does so for models of another family, and its signatures are told from those
    of that family's own provider in chat completions alone.
    """
    return upstream == CHAT != client and any(loss.path.startswith("messages[1]") and loss.what == "dropped" for loss in losses)


def visible(client: str, answer: Any) -> Any:
    """Return the words that a client would show."""
    return m.words(spoken()[client].decode_response(json.dumps(answer).encode()))


SWITCHES = [
    pytest.param(client, before, after, id=f"{SHORT[client]}-{SHORT[before]}-{SHORT[after]}")
    for client in there()
    for before in there()
    for after in there()
    if after != before and CHAT not in (before, after)
]
"""A conversation whose provider is another in the second turn. Chat completions carry the signatures of several families."""


@pytest.mark.parametrize(("client", "before", "after"), SWITCHES)
def test_another_upstream_gets_no_signature_of_the_first_and_that_is_listed(client: str, before: str, after: str) -> None:
    answer = shown(client, before, THOUGHTFUL[before], stream=False)
    wire, losses = asked(client, after, following(client, answer))
    again = spoken()[after].decode_request(wire, "generate")
    assert SIGNED.encode() not in wire
    assert b"jf1." not in wire
    assert m.signatures(again) == []
    assert any(loss.path.startswith("messages[1]") and loss.what == "dropped" for loss in losses)
    assert [name for _, _, name, _, _ in m.calls(again)] == ["weather"]
    assert [said for _, said in m.results(again)] == [["sunny"]]
    assert {call_id for call_id, _ in m.results(again)} == {call_id for _, _, _, call_id, _ in m.calls(again)}


# ------------------------------------------------------------------------------- names that were changed come back

NAMES: Final = {
    "dotted": {"name": "files.read", "parameters": {"type": "object", "properties": {}}},
    "long": {"name": "mcp__" + "very_" * 20 + "long", "parameters": {"type": "object", "properties": {}}},
    "free text": {"name": "patch", "kind": "custom"},
    "in a namespace": {"name": "read", "namespace": "files", "parameters": {"type": "object", "properties": {}}},
}


@STREAMED
@pytest.mark.parametrize("tool", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("upstream", there())
def test_a_tool_that_had_to_be_changed_is_called_by_its_own_name(upstream: str, tool: dict[str, Any], stream: bool) -> None:
    """The upstream calls the tool as it was told of it; the client is asked for the tool that it has."""
    dialect = spoken()[upstream]
    request = msgspec.convert({"messages": [{"role": "user", "parts": [{"type": "text", "text": "Go."}]}], "tools": [tool]}, Request)
    fitting = fit(request, dialect, losses := list[Loss]())
    told = dialect.decode_request(dialect.encode_request(fitting.request, "generate", losses), "generate").tools[0]
    custom = told.kind == "custom"
    called = ToolCall(
        id="call_1",
        name=told.name,
        namespace=told.namespace,
        kind="custom" if custom else "function",
        arguments='+ "a line"' if custom else json.dumps({"input": '+ "a line"'}),
    )
    choice = Choice(message=Message(role="assistant", parts=(called,)), finish="tool_calls")
    said = Response(id="r", model="m", choices=(choice,), usage=Usage(input=1, output=1))
    raw = dialect.encode_response(said, [])
    if stream:
        restore = fitting.restore_stream()
        deltas = decoded(upstream, PLAYERS[upstream](json.loads(raw)))
        back = assemble(restore(deltas) if restore else deltas)
    else:
        back = fitting.restore(dialect.decode_response(raw))
    (call,) = back.tool_calls
    assert (call.name, call.namespace) == (tool["name"], tool.get("namespace"))
    assert call.kind == tool.get("kind", "function")
    assert call.arguments == '+ "a line"' if call.kind == "custom" else json.loads(call.arguments) == {"input": '+ "a line"'}


def decoded(dialect: str, raw: bytes) -> list[Delta]:
    decoder = spoken()[dialect].decode_stream()
    deltas = [delta for event in events_of(spoken()[dialect], raw) for delta in decoder.feed(event)]
    return [*deltas, *decoder.close()]
