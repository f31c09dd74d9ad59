"""Calls of tools and their results: the caller's own, and those that Anthropic runs itself.

Source: Anthropic's guides "Tool use", "Server tools" and "MCP connector". Blocks of server tools are `server_tool_use` or
`mcp_tool_use`, and `<tool>_tool_result`; their ids are Anthropic's own (`srvtoolu_`, `mcptoolu_`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api.canonical import ServerToolCall, ServerToolResult, ToolCall
from jackfield.api.canonical.codec import Fields, overlay
from jackfield_anthropic.messages.cache import take_cache, write_cache
from jackfield_anthropic.messages.extras import extra, kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped

RESULT: Final = "_tool_result"
"""How the types of blocks end that hold results of server tools."""

_MCP: Final = "mcp"
_OWN_IDS: Final = ("srvtoolu_", "mcptoolu_")
_encode: Final = msgspec.json.Encoder().encode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


def arguments_of(value: Any) -> str:
    """Return an `input` object as the text of a call's arguments."""
    return _encode(value).decode()


def input_of(arguments: str) -> Any:
    """Return the `input` object for a call's arguments; None where they are no object."""
    if not arguments.strip():
        return {}
    try:
        _object(arguments)
    except (ValueError, RecursionError):
        return None
    return msgspec.Raw(arguments.encode())


# ---------------------------------------------------------------------------------------------- reading


def decode_call(fields: Fields) -> ToolCall:
    """Read a `tool_use`."""
    call_id, name = fields.needed_text("id"), fields.needed_text("name")
    said = fields.object("input")
    return ToolCall(
        id=call_id,
        name=name,
        arguments=arguments_of(said if said is not None else {}),
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


def decode_server_call(fields: Fields, kind: str) -> ServerToolCall:
    """Read a `server_tool_use` or an `mcp_tool_use`."""
    call_id, name = fields.needed_text("id"), fields.needed_text("name")
    said = fields.take("input")
    if kind != "server_tool_use":
        fields.rest["type"] = kind
    return ServerToolCall(
        id=call_id,
        name=name,
        arguments=arguments_of(said if said is not None else {}),
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


def decode_server_result(fields: Fields, kind: str) -> ServerToolResult:
    """Read the result of a server tool."""
    call_id, content, failed = fields.needed_text("tool_use_id"), fields.take("content"), fields.flag("is_error")
    error = content.get("type") if isinstance(content, dict) else None
    return ServerToolResult(
        call_id=call_id,
        name=kind.removesuffix(RESULT),
        content=arguments_of(content),
        is_error=bool(failed) or (isinstance(error, str) and error.endswith("_error")),
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


# ---------------------------------------------------------------------------------------------- writing


def encode_call(call: ToolCall, path: str, losses: Losses) -> dict[str, Any]:
    """Write a `tool_use`. Its signature is not written here."""
    rest = dict(extra(call.extensions))
    said = input_of(call.arguments) if call.kind == "function" else None
    if said is None:
        changed(losses, f"{path}.arguments", "arguments are an object: other text becomes its member `input`")
        said = {"input": call.arguments}
    if call.namespace is not None:
        dropped(losses, f"{path}.namespace", "there are no namespaces of tools")
    wire: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": said}
    write_cache(wire, rest, call.cache)
    return overlay(wire, rest)


def is_own(part: ServerToolCall | ServerToolResult) -> bool:
    """Tell whether a server tool is Anthropic's: blocks of others' can neither be shown as its own nor go back to it."""
    call_id = part.id if isinstance(part, ServerToolCall) else part.call_id
    return call_id is not None and call_id.startswith(_OWN_IDS)


def encode_server_call(call: ServerToolCall, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write the call of a server tool; None for one of another provider's."""
    rest = dict(extra(call.extensions))
    if not (is_own(call) or rest):
        dropped(losses, path, f"the tool {call.name} was run by another provider")
        return None
    wire = {"type": "server_tool_use", "id": call.id, "name": call.name, "input": input_of(call.arguments) or {}}
    write_cache(wire, rest, call.cache)
    return overlay(wire, rest)


def encode_server_result(result: ServerToolResult, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write the result of a server tool; None for one of another provider's."""
    rest = dict(extra(result.extensions))
    if not (is_own(result) or rest):
        dropped(losses, path, f"the tool {result.name} was run by another provider")
        return None
    wire: dict[str, Any] = {"type": result.name + RESULT, "tool_use_id": result.call_id}
    if result.name == _MCP:
        wire["is_error"] = result.is_error
    if result.content:
        wire["content"] = msgspec.Raw(result.content.encode())
    write_cache(wire, rest, result.cache)
    return overlay(wire, rest)
