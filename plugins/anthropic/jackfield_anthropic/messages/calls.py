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
from jackfield_anthropic.messages.extras import NAME, extra, kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped

RESULT: Final = "_tool_result"
"""How the types of blocks end that hold results of server tools."""

_MCP: Final = "mcp"
_SEARCH: Final = "web_search"
_UNNAMED: Final = "search"
"""The id of a search that has none."""
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
    if part.extensions:
        return NAME in part.extensions
    call_id = part.id if isinstance(part, ServerToolCall) else part.call_id
    if call_id is None or not call_id.startswith(_OWN_IDS):
        return False
    return isinstance(part, ServerToolCall) or part.name == _MCP or _has_types(part.content)


def _has_types(content: str) -> bool:
    """Tell whether a result has the form of Anthropic's: an object that names its type, or a list of such."""
    try:
        value = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return False
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in items)


def encode_server_call(call: ServerToolCall, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write the call of a server tool; None for one of another provider's."""
    if not is_own(call):
        dropped(losses, path, f"the tool {call.name} was run by another provider")
        return None
    rest = dict(extra(call.extensions))
    wire = {"type": "server_tool_use", "id": call.id, "name": call.name, "input": input_of(call.arguments) or {}}
    write_cache(wire, rest, call.cache)
    return overlay(wire, rest)


def encode_server_result(result: ServerToolResult, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write the result of a server tool; None for one of another provider's."""
    if not is_own(result):
        dropped(losses, path, f"the tool {result.name} was run by another provider")
        return None
    rest = dict(extra(result.extensions))
    wire: dict[str, Any] = {"type": result.name + RESULT, "tool_use_id": result.call_id}
    if result.name == _MCP:
        wire["is_error"] = result.is_error
    if result.content:
        wire["content"] = msgspec.Raw(result.content.encode())
    write_cache(wire, rest, result.cache)
    return overlay(wire, rest)


# ------------------------------------------------------------------------------ searches that others made


def shown_search(part: ServerToolCall | ServerToolResult) -> dict[str, Any] | None:
    """Write another provider's search of the web as a client is shown Anthropic's; None for what is no such search.

    It can be told from Anthropic's own by its id, and does not go back to Anthropic.
    """
    if part.name != _SEARCH or is_own(part):
        return None
    if isinstance(part, ServerToolCall):
        return {"type": "server_tool_use", "id": part.id or _UNNAMED, "name": _SEARCH, "input": input_of(part.arguments) or {}}
    try:
        found = msgspec.json.decode(part.content)
    except (ValueError, RecursionError):
        found = []
    hits = [_hit(item) for item in found if isinstance(item, dict) and isinstance(item.get("url"), str)] if isinstance(found, list) else []
    return {"type": _SEARCH + RESULT, "tool_use_id": part.call_id or _UNNAMED, "content": hits}


def _hit(item: dict[str, Any]) -> dict[str, Any]:
    title = item.get("title")
    shown = title if isinstance(title, str) and title else item["url"]
    return {"type": "web_search_result", "url": item["url"], "title": shown, "encrypted_content": "", "page_age": None}
