"""The tools of a request, and which of them may or must be used.

Source: Anthropic's guides "Tool use", "Strict tool use" and "Server tools". A tool without a type, or of the type `custom`, is the
caller's own; all others have a schema or a server that Anthropic's models know (`web_search_20250305`, `bash_20250124`).
"""

from __future__ import annotations

from typing import Any, Final

from jackfield.api.canonical import Request, Tool, ToolChoice
from jackfield.api.canonical.codec import Fields, overlay, unknown_value
from jackfield.api.canonical.schemas import SchemaSubset, fit_schema
from jackfield_anthropic.messages.cache import take_cache, write_cache
from jackfield_anthropic.messages.extras import NAME, extra, kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped

INPUT_SCHEMA: Final = SchemaSubset(root_object=True)
"""What is accepted as `input_schema`: all of JSON Schema (draft 2020-12), but an object without unions at its root."""

STRICT_SCHEMA: Final = SchemaSubset(
    keywords=frozenset(
        {
            "$schema", "$id", "$ref", "$defs", "definitions", "$comment", "title", "description", "type", "enum", "const", "default",
            "examples", "format", "pattern", "properties", "required", "additionalProperties", "items", "minItems", "anyOf", "allOf",
        }
    ),
    refs="acyclic",
    formats=frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}),
    enum_types=frozenset({"string", "number", "integer", "boolean", "null"}),
    at_most=(("minItems", 1),),
    closed=True,
)  # fmt: skip
"""What is accepted as a schema that must be followed to the letter (guide "Structured outputs", "JSON Schema limitations")."""

_EMPTY: Final = {"type": "object", "properties": {}}
_FREE: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_MODES: Final[dict[str, Any]] = {"auto": "auto", "none": "none", "any": "required"}
_WORDS: Final = {"auto": "auto", "none": "none", "required": "any"}


# ---------------------------------------------------------------------------------------------- reading


def decode_tools(fields: Fields) -> tuple[Tool, ...]:
    """Take the tools. Raises `BadRequest`."""
    values = fields.items("tools")
    if values is None:
        return ()
    if not values:
        fields.rest["tools"] = []
    return tuple([_decode_tool(Fields(value, f"tools[{at}]")) for at, value in enumerate(values)])


def _decode_tool(fields: Fields) -> Tool:
    kind, cache = fields.text("type"), take_cache(fields)
    if kind not in (None, "custom"):
        return Tool(name=kind, kind="hosted", dialect=NAME, config=fields.rest, cache=cache)
    if kind is not None:
        fields.rest["type"] = kind
    return Tool(
        name=fields.needed_text("name"),
        description=fields.text("description"),
        parameters=fields.object("input_schema"),
        strict=fields.flag("strict"),
        cache=cache,
        extensions=kept(fields.rest),
    )


def decode_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    """Take which tools may be used, and whether several at once."""
    value = fields.object("tool_choice")
    if value is None:
        return None, None
    inner = Fields(value, "tool_choice")
    kind, single = inner.needed_text("type"), inner.flag("disable_parallel_tool_use")
    parallel = None if single is None else not single
    if kind == "tool":
        return ToolChoice(mode="named", names=(inner.needed_text("name"),), extensions=kept(inner.rest)), parallel
    if kind not in _MODES:
        raise unknown_value("tool_choice.type", kind, ("auto", "any", "tool", "none"))
    return ToolChoice(mode=_MODES[kind], extensions=kept(inner.rest)), parallel


# ---------------------------------------------------------------------------------------------- writing


def write_tools(body: dict[str, Any], request: Request, rest: dict[str, Any], losses: Losses) -> None:
    """Write the tools that Anthropic's models know, and the choice among them; hosted ones of other dialects are lost."""
    empty = rest.pop("tools", None) == []
    found = [(tool, _encode_tool(tool, f"tools[{at}]", losses)) for at, tool in enumerate(request.tools) if _allowed(tool, request)]
    wire = [said for _, said in found if said is not None]
    if wire or (empty and not request.tools):
        body["tools"] = wire
    choice = request.tool_choice
    if choice is not None and request.tools and not wire:
        dropped(losses, "tool_choice", "no tools are left to choose from")
    elif choice is not None:
        body["tool_choice"] = _encode_choice(choice, losses)
    if request.parallel_tools is not None and wire:
        _write_parallel(body, request.parallel_tools)


def _write_parallel(body: dict[str, Any], parallel: bool) -> None:
    choice = body.setdefault("tool_choice", {"type": "auto"})
    if choice["type"] != "none":
        choice["disable_parallel_tool_use"] = not parallel


def _allowed(tool: Tool, request: Request) -> bool:
    """Tell whether a tool may be offered: a choice among some leaves out the others."""
    choice = request.tool_choice
    return choice is None or choice.mode != "allowed" or tool.name in choice.names


def _encode_tool(tool: Tool, path: str, losses: Losses) -> dict[str, Any] | None:
    if tool.namespace is not None:
        dropped(losses, f"{path}.namespace", "there are no namespaces of tools")
    if tool.kind == "hosted":
        return _encode_hosted(tool, path, losses)
    rest = dict(extra(tool.extensions))
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.kind == "custom":
        changed(losses, path, "tools take objects: the free text of this one is the member `input`")
        wire["input_schema"] = _FREE
    else:
        wire["input_schema"] = _schema(tool, f"{path}.parameters", losses)
    if tool.strict is not None:
        wire["strict"] = tool.strict
    write_cache(wire, rest, tool.cache)
    return overlay(wire, rest)


def _schema(tool: Tool, path: str, losses: Losses) -> dict[str, Any]:
    if tool.parameters is None or not tool.parameters:
        return _EMPTY
    fitted = fit_schema(tool.parameters, INPUT_SCHEMA, losses, path)
    if tool.strict:
        fitted = fit_schema(fitted, STRICT_SCHEMA, losses, path)
    return fitted if "type" in fitted else {"type": "object", **fitted}


def _encode_hosted(tool: Tool, path: str, losses: Losses) -> dict[str, Any] | None:
    if tool.dialect != NAME:
        dropped(losses, path, f"the tool {tool.name} is run by providers of {tool.dialect or 'another dialect'} alone")
        return None
    rest = dict(tool.config)
    wire: dict[str, Any] = {"type": tool.name}
    write_cache(wire, rest, tool.cache)
    return {**wire, **rest}


def _encode_choice(choice: ToolChoice, losses: Losses) -> dict[str, Any]:
    wire: dict[str, Any]
    if choice.mode == "allowed":
        changed(losses, "tool_choice", "the tools that may not be used are left out")
        wire = {"type": "any" if choice.required else "auto"}
    elif choice.mode == "named" and choice.names:
        wire = {"type": "tool", "name": choice.names[0]}
    else:
        wire = {"type": _WORDS.get(choice.mode, "any")}
    return overlay(wire, extra(choice.extensions))


def forces(choice: dict[str, Any] | None) -> bool:
    """Tell whether a written choice makes the model use a tool."""
    return choice is not None and choice["type"] in ("any", "tool")
