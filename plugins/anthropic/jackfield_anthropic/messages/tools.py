"""The tools of a request, and which of them may or must be used.

Source: Anthropic's guides "Tool use", "Strict tool use" and "Server tools". A tool without a type, or of the type `custom`, is the
caller's own; all others have a schema or a server that Anthropic's models know (`web_search_20250305`, `bash_20250124`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api.canonical import Request, Tool, ToolChoice
from jackfield.api.canonical.codec import Fields, Memo, overlay, unknown_value
from jackfield.api.canonical.request import WebSearch
from jackfield.api.canonical.schemas import SchemaSubset, fit_schema
from jackfield_anthropic.messages.cache import take_cache, write_cache
from jackfield_anthropic.messages.extras import NAME, extra, kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped

INPUT_SCHEMA: Final = SchemaSubset(root_object=True, nulls="type")
"""What is accepted as `input_schema`: all of JSON Schema (draft 2020-12), but an object without unions at its root."""

STRICT_SCHEMA: Final = SchemaSubset(
    keywords=frozenset(
        {
            "$ref", "$defs", "definitions", "title", "description", "type", "enum", "const", "default", "format", "pattern", "properties",
            "required", "additionalProperties", "items", "minItems", "anyOf",
        }
    ),
    formats=frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}),
    enum_types=frozenset({"string", "number", "integer", "boolean", "null"}),
    refs="acyclic",
    ref_siblings=False,
    union_siblings="notes",
    booleans=False,
    nulls="type",
    at_most=(("minItems", 1),),
    closed=True,
    anything=("string", "number", "boolean", "null"),
    hints=True,
)  # fmt: skip
"""What is accepted as a schema that must be followed to the letter (guide "Structured outputs", "JSON Schema limitations"). `allOf`
may not hold references there, so it is merged."""

_EMPTY: Final = {"type": "object", "properties": {}}
_FREE: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_read: Final = Memo[tuple[Tool, ...]]()
_SEARCH: Final = "web_search_"
_TYPED: Final = "=type"
"""The key under which a tool of the caller's keeps that it was said to be one."""
_PLACES: Final = ("city", "region", "country", "timezone")
_MODES: Final[dict[str, Any]] = {"auto": "auto", "none": "none", "any": "required"}
_WORDS: Final = {"auto": "auto", "none": "none", "required": "any"}


# ---------------------------------------------------------------------------------------------- reading


def decode_tools(fields: Fields) -> tuple[Tool, ...]:
    """Take the tools, or recall them: each turn of a conversation repeats them. Raises `BadRequest`."""
    raw = fields.rest.get("tools")
    if not isinstance(raw, msgspec.Raw):
        return _read_tools(fields)
    key = bytes(raw)
    known = _read.get(key)
    if known is not None:
        del fields.rest["tools"]
        return known
    fields.rest["tools"] = msgspec.json.decode(key)
    found = _read_tools(fields)
    return _read.put(key, found, len(key)) if found else found


def _read_tools(fields: Fields) -> tuple[Tool, ...]:
    values = fields.items("tools")
    if values is None:
        return ()
    if not values:
        fields.rest["tools"] = []
    return tuple([_decode_tool(Fields(value, f"tools[{at}]")) for at, value in enumerate(values)])


def _decode_tool(fields: Fields) -> Tool:
    kind, cache = fields.text("type"), take_cache(fields)
    if kind not in (None, "custom"):
        search = _search(fields.rest) if kind.startswith(_SEARCH) else None
        return Tool(name=kind, kind="hosted", dialect=NAME, config=fields.rest, search=search, cache=cache)
    if kind is not None:
        fields.rest[_TYPED] = True
    return Tool(
        name=fields.needed_text("name"),
        description=fields.text("description"),
        parameters=fields.object("input_schema"),
        strict=fields.flag("strict"),
        cache=cache,
        extensions=kept(fields.rest),
    )


def _search(config: dict[str, Any]) -> WebSearch:
    """Return what is asked of a search of the web."""
    uses, location = config.get("max_uses"), config.get("user_location")
    known = {key: location.get(key) for key in _PLACES} if isinstance(location, dict) else {}
    return WebSearch(
        allowed_domains=_texts(config.get("allowed_domains")),
        blocked_domains=_texts(config.get("blocked_domains")),
        max_uses=uses if isinstance(uses, int) and not isinstance(uses, bool) else None,
        location={key: value for key, value in known.items() if isinstance(value, str)},
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


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
    found = [_offered(tool, f"tools[{at}]", request.tool_choice, losses) for at, tool in enumerate(request.tools)]
    wire = [said for said in found if said is not None]
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


def _offered(tool: Tool, path: str, choice: ToolChoice | None, losses: Losses) -> dict[str, Any] | None:
    """Write a tool; a choice among some leaves out the others."""
    if choice is not None and choice.mode == "allowed" and tool.name not in choice.names:
        dropped(losses, path, "it is not among the tools that may be used")
        return None
    return _encode_tool(tool, path, losses)


def _encode_tool(tool: Tool, path: str, losses: Losses) -> dict[str, Any] | None:
    if tool.namespace is not None:
        dropped(losses, f"{path}.namespace", "there are no namespaces of tools")
    if tool.kind == "hosted":
        return _encode_hosted(tool, path, losses)
    rest = dict(extra(tool.extensions))
    wire: dict[str, Any] = {"type": "custom", "name": tool.name} if rest.pop(_TYPED, False) else {"name": tool.name}
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
    if tool.dialect != NAME and tool.search is not None:
        return _encode_search(tool.search, f"{path}.search", losses)
    if tool.dialect != NAME:
        dropped(losses, path, f"the tool {tool.name} is known to models of {tool.dialect or 'another dialect'} alone")
        return None
    rest = dict(tool.config)
    wire: dict[str, Any] = {"type": tool.name}
    write_cache(wire, rest, tool.cache)
    return {**wire, **rest}


def _encode_search(search: WebSearch, path: str, losses: Losses) -> dict[str, Any]:
    """Write Anthropic's own search of the web for another dialect's."""
    wire: dict[str, Any] = {"type": _SEARCH + "20250305", "name": "web_search"}
    if search.max_uses is not None:
        wire["max_uses"] = search.max_uses
    if search.allowed_domains:
        wire["allowed_domains"] = list(search.allowed_domains)
    if search.blocked_domains and search.allowed_domains:
        changed(losses, f"{path}.blocked_domains", "domains are allowed or blocked, not both")
    elif search.blocked_domains:
        wire["blocked_domains"] = list(search.blocked_domains)
    if search.location:
        wire["user_location"] = {"type": "approximate", **{key: value for key, value in search.location.items() if key in _PLACES}}
    if search.context is not None:
        changed(losses, f"{path}.context", "how much of what is found the model is shown cannot be said")
    return wire


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
