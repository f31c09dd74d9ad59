"""Calls of the caller's tools and their results: `function_call`, `custom_tool_call` and the items of their outputs.

Source: OpenAI's guide "Function calling".
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal

from jackfield.api import BadRequest
from jackfield.api.canonical import Audio, Document, Image, Opaque, Text, ToolCall, ToolResult, Video
from jackfield.api.canonical.codec import Fields, overlay
from jackfield_openai.responses.content import encode_content, take_content
from jackfield_openai.responses.extras import Losses, extra, kept, lost, made_id

Kind = Literal["function", "custom"]
CALLS: Final[dict[str, Kind]] = {"function_call": "function", "custom_tool_call": "custom"}
"""Item types of calls."""
OUTPUTS: Final[dict[str, Kind]] = {"function_call_output": "function", "custom_tool_call_output": "custom"}
"""Item types of results."""
WORDS: Final[dict[Kind, str]] = {"function": "arguments", "custom": "input"}
"""Under which key a call has what the tool is called with."""
PREFIXES: Final[dict[Kind, str]] = {"function": "fc", "custom": "ctc"}
"""What the ids of the items begin with."""

_Media = Text | Image | Document | Audio | Video | Opaque


def kind_of(item: Any) -> Kind | None:
    """Return the kind of a call; None for what is no item of one."""
    type_ = item.get("type") if isinstance(item, dict) else None
    return CALLS.get(type_) if isinstance(type_, str) else None


def made_call_id(*seed: object) -> str:
    """Return an id for a call that has none: the same one for the same place."""
    return "call_" + hashlib.sha256("\x00".join(map(str, seed)).encode(errors="replace")).hexdigest()[:24]


# ---------------------------------------------------------------------------------------------- reading


def decode_call(fields: Fields, kind: Kind, *, answer: bool) -> ToolCall:
    """Read a call. Raises `BadRequest`."""
    call_id = fields.text("call_id")
    item_id = fields.text("id")
    if not call_id:
        if not answer:
            # Without it no result could name the call.
            fields.rest.pop("call_id", None)
            call_id = fields.needed_text("call_id")
        call_id = item_id or made_call_id(fields.path, fields.rest.get("name"))
    if answer and fields.rest.get("status") == "completed":
        del fields.rest["status"]
    fields.rest.pop("type", None)
    return ToolCall(
        id=call_id,
        name=fields.needed_text("name"),
        arguments=fields.text(WORDS[kind]) or "",
        kind=kind,
        namespace=fields.text("namespace"),
        item_id=item_id,
        extensions=kept(fields.rest),
    )


def decode_output(fields: Fields, kind: Kind) -> ToolResult:
    """Read a result. Raises `BadRequest`."""
    call_id, path = fields.needed_text("call_id"), fields.at("output")
    parts = take_content(fields, "output", "input_text")
    for at, part in enumerate(parts):
        if not isinstance(part, _Media):
            raise BadRequest(f"'{path}[{at}]' must be a text or media: a tool refuses nothing", f"{path}[{at}]", "invalid_value")
    name = fields.text("name")
    if name is not None:
        fields.rest["name"] = ""
    return ToolResult(
        call_id=call_id,
        name=name,
        parts=parts,  # type: ignore[arg-type]  # checked above
        kind=kind,
        item_id=fields.text("id"),
        extensions=kept({key: value for key, value in fields.rest.items() if key != "type"}),
    )


# ---------------------------------------------------------------------------------------------- writing


def encode_call(call: ToolCall, path: str, losses: Losses, *, answer: bool) -> dict[str, Any]:
    """Write a call; one of an answer with all members that OpenAI's clients require."""
    rest = dict(extra(call.extensions))
    if call.cache is not None:
        lost(losses, f"{path}.cache", "calls have no cache markers in Responses")
    if call.signature is not None and not answer:
        lost(losses, f"{path}.signature", f"a signature of the family {call.signature.family} has no place on a call of Responses")
    wire: dict[str, Any] = {}
    if call.item_id is not None or answer:
        wire["id"] = call.item_id or made_id(PREFIXES[call.kind])
    wire["type"] = "custom_tool_call" if call.kind == "custom" else "function_call"
    if answer:
        wire["status"] = "completed"
    wire.update({"call_id": call.id, "name": call.name, WORDS[call.kind]: call.arguments or unsaid(call)})
    if call.namespace is not None:
        wire["namespace"] = call.namespace
    return overlay(wire, rest)


def unsaid(call: ToolCall) -> str:
    """Return the arguments of a call without any: JSON for a function, unless OpenAI's own model left it out."""
    return "{}" if call.kind == "function" and call.item_id is None else ""


def encode_output(result: ToolResult, path: str, losses: Losses) -> dict[str, Any]:
    """Write a result."""
    rest = dict(extra(result.extensions))
    if result.is_error:
        lost(losses, f"{path}.is_error", "results in Responses do not tell errors")
    if result.cache is not None:
        lost(losses, f"{path}.cache", "results have no cache markers in Responses")
    placed = [(part, f"{path}.parts[{at}]") for at, part in enumerate(result.parts)]
    wire: dict[str, Any] = {"type": "custom_tool_call_output" if result.kind == "custom" else "function_call_output"}
    if result.item_id is not None:
        wire["id"] = result.item_id
    wire["call_id"] = result.call_id
    if rest.pop("name", None) == "" and result.name is not None:
        wire["name"] = result.name
    wire["output"] = encode_content(placed, rest.pop("output", None), "input_text", losses)
    return overlay(wire, rest)
