"""Tools and the choice of tools in a request.

Source: OpenAI's API reference, "Create chat completion": tools of the types function and custom, the older `functions`
and `function_call`, `tool_choice` with `allowed_tools`. Mistral says `any` for `required`; other speakers have
hosted tools of types of their own, such as OpenRouter's `openrouter:web_search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from jackfield.api import BadRequest
from jackfield.api.canonical import Tool, ToolChoice, WebSearch
from jackfield.api.canonical.codec import Fields, Memo, load, overlay, to_json, wrong_type
from jackfield.api.canonical.schemas import fit_schema
from jackfield_openai.chat.content import Losses, lost, take_cache, write_cache
from jackfield_openai.chat.extras import NAME, extra, kept
from jackfield_openai.responses.schemas import subset

SEARCH: Final = "web_search_options"
"""The member of a request by which models that search the web are told how; here a hosted tool of this name."""

PLACE: Final = ("city", "region", "country", "timezone")
"""What is said of where a user is."""

OLD_FORM: Final = "=functions"
"""The key under which a tool keeps that it stood in the older list `functions`."""

OLD_CHOICE: Final = "=function_call"
"""The key under which a choice keeps that it had the older form, `function_call`."""

_ANY: Final = "=any"
"""The key under which a choice keeps that `any` was the word for `required`."""

_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}

_read: Final = Memo[tuple[Tool, ...]]()
_written: Final = Memo[tuple[Tool, msgspec.Raw]]()


# ---------------------------------------------------------------------------------------------- reading


def decode_tools(fields: Fields) -> tuple[Tool, ...]:
    """Take `tools` and the older `functions`. Raises `BadRequest` with the path of what is wrong."""
    known = _recalled(fields.rest.pop("tools")) if isinstance(fields.rest.get("tools"), msgspec.Raw) else None
    if known and fields.rest.keys().isdisjoint(("functions", SEARCH)):
        return known
    tools = list(known if known is not None else _decode_list(fields.items("tools") or []))
    empty = known == ()
    for at, value in enumerate(fields.items("functions") or []):
        inner = Fields(value, f"functions[{at}]")
        tool = _function(inner)
        tools.append(Tool(**tool, extensions=kept({OLD_FORM: inner.rest})))
    if empty:
        fields.rest["tools"] = []
    if (search := fields.object(SEARCH)) is not None:
        tools.append(Tool(name=SEARCH, kind="hosted", dialect=NAME, config=search, search=_read_search(search)))
    return tuple(tools)


def _recalled(raw: msgspec.Raw) -> tuple[Tool, ...]:
    """Read a list of tools, or recall what it said when it came before: agents send the same with each request."""
    said = bytes(raw)
    known = _read.get(said)
    return known if known is not None else _read.put(said, _decode_list(load(said)), len(said))


def _decode_list(values: list[Any]) -> tuple[Tool, ...]:
    return tuple(_decode_tool(Fields(value, f"tools[{at}]")) for at, value in enumerate(values))


def _decode_tool(fields: Fields) -> Tool:
    type_ = fields.text("type")
    if type_ == "custom":
        return _custom(fields)
    if type_ is None or type_ == "function":
        inner = fields.inner("function")
        said = _function(inner)
        if inner.rest:
            fields.rest["function"] = inner.rest
        if type_ is None:
            fields.rest["type"] = ""
        return Tool(**said, cache=take_cache(fields), extensions=kept(fields.rest))
    cache = take_cache(fields)
    marker = {"cache_control": fields.rest.pop("cache_control")} if cache is not None else {}
    return Tool(name=type_, kind="hosted", dialect=NAME, config=fields.rest, cache=cache, extensions=kept(marker))


def _function(inner: Fields) -> dict[str, Any]:
    return {
        "name": inner.needed_text("name"),
        "description": inner.text("description"),
        "parameters": inner.object("parameters"),
        "strict": inner.flag("strict"),
    }


def _custom(fields: Fields) -> Tool:
    inner = fields.inner("custom")
    name, description = inner.needed_text("name"), inner.text("description")
    format_ = inner.object("format")
    grammar = syntax = None
    if format_ is not None:
        said = format_.get("grammar")
        if format_.get("type") == "grammar" and isinstance(said, dict) and said.keys() == {"syntax", "definition"}:
            grammar, syntax = said["definition"], said["syntax"]
        if not (isinstance(grammar, str) and isinstance(syntax, str)):
            grammar = syntax = None
            inner.rest["format"] = format_
    if inner.rest:
        fields.rest["custom"] = inner.rest
    return Tool(
        name=name,
        kind="custom",
        description=description,
        grammar=grammar,
        grammar_syntax=syntax,
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )


def decode_choice(fields: Fields) -> ToolChoice | None:
    """Take `tool_choice` or the older `function_call`. A form that nobody here knows remains."""
    value = fields.rest.get("tool_choice")
    if value is None:
        return _decode_old_choice(fields)
    if isinstance(value, str):
        del fields.rest["tool_choice"]
        if value not in _MODES:
            raise BadRequest(f"'tool_choice' must be one of auto, none, required, not {value!r}", "tool_choice", "invalid_value")
        return ToolChoice(mode=_MODES[value], extensions=kept({_ANY: True} if value == "any" else {}))
    if not isinstance(value, dict):
        raise wrong_type("tool_choice", "a word or an object", value)
    choice = _decode_named(Fields(value, "tool_choice"))
    if choice is not None:
        del fields.rest["tool_choice"]
    return choice


def _decode_old_choice(fields: Fields) -> ToolChoice | None:
    value = fields.rest.pop("function_call", None)
    if value is None:
        return None
    if isinstance(value, str) and value in ("auto", "none"):
        return ToolChoice(mode=_MODES[value], extensions=kept({OLD_CHOICE: ""}))
    if not isinstance(value, dict):
        raise wrong_type("function_call", "auto, none or an object", value)
    return ToolChoice(mode="named", names=(Fields(value, "function_call").needed_text("name"),), extensions=kept({OLD_CHOICE: ""}))


def _decode_named(fields: Fields) -> ToolChoice | None:
    type_ = fields.text("type")
    if type_ == "allowed_tools":
        return _decode_allowed(fields)
    kind: Literal["function", "custom"] = "custom" if type_ == "custom" else "function"
    if type_ not in (None, kind) or not isinstance(fields.rest.get(kind), dict | type(None)):
        return None
    inner = fields.inner(kind)
    name = inner.needed_text("name")
    if inner.rest:
        fields.rest[kind] = inner.rest
    if type_ is None:
        fields.rest["type"] = ""
    return ToolChoice(mode="named", names=(name,), kind=kind, extensions=kept(fields.rest))


def _decode_allowed(fields: Fields) -> ToolChoice | None:
    inner = fields.inner("allowed_tools")
    names = []
    for tool in inner.items("tools") or []:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        name = function.get("name") if isinstance(function, dict) and len(tool) == 2 and len(function) == 1 else None
        if not isinstance(name, str):
            return None
        names.append(name)
    mode = inner.text("mode")
    if mode not in ("auto", "required") or inner.rest or fields.rest:
        return None
    return ToolChoice(mode="allowed", names=tuple(names), required=mode == "required")


# ---------------------------------------------------------------------------------------------- writing


def write_tools(body: dict[str, Any], tools: Sequence[Tool], rest: dict[str, Any], losses: Losses, *, own: bool) -> None:
    """Write the tools that chat completions know; hosted ones of other dialects are lost.

    Schemas that came in this dialect are `own` and left as they are, others fitted to what OpenAI accepts.
    """
    empty = rest.pop("tools", None) == []
    new: list[Any] = []
    old: list[dict[str, Any]] = []
    for at, tool in enumerate(tools):
        known = _written.get((id(tool), own))
        if known is not None:
            new.append(known[1])
            continue
        path, lost_before = f"tools[{at}]", len(losses)
        if tool.namespace is not None:
            lost(losses, f"{path}.namespace", "chat completions have no namespaces of tools")
        if tool.kind == "hosted" and (tool.name, tool.dialect) == (SEARCH, NAME):
            body[SEARCH] = tool.config
        elif tool.search is not None and "search" in body["model"]:
            body[SEARCH] = _written_search(tool.search, path, losses)
        elif tool.kind == "hosted":
            wire = _encode_hosted(tool, path, losses)
            new += [wire] if wire is not None else []
        elif OLD_FORM in extra(tool.extensions):
            old.append({**_wire_function(tool, path, losses, own=own), **extra(tool.extensions)[OLD_FORM]})
        else:
            wire = _encode_tool(tool, path, losses, own=own)
            new.append(wire if len(losses) > lost_before else _remembered(tool, wire, own=own))
    if new or (empty and not old):
        body["tools"] = new
    if old:
        body["functions"] = old


def _remembered(tool: Tool, wire: dict[str, Any], *, own: bool) -> msgspec.Raw:
    """Return a tool as it is written, known again by its identity: the tool is remembered with it."""
    said = to_json(wire)
    return _written.put((id(tool), own), (tool, msgspec.Raw(said)), len(said))[1]


def has_tools(body: dict[str, Any], tools: Sequence[Tool]) -> bool:
    """Tell whether a choice among `tools` can be written: not where none of another dialect's was, as OpenAI refuses one among none."""
    return not body.keys().isdisjoint(("tools", "functions")) or all(tool.dialect == NAME for tool in tools)


def _read_search(said: dict[str, Any]) -> WebSearch:
    size, where = said.get("search_context_size"), said.get("user_location")
    place = where.get("approximate") if isinstance(where, dict) else None
    known = {key: value for key, value in place.items() if key in PLACE and isinstance(value, str)} if isinstance(place, dict) else {}
    return WebSearch(context=size if isinstance(size, str) else None, location=known)


def _written_search(search: WebSearch, path: str, losses: Losses) -> dict[str, Any]:
    """Write a search that another dialect asks for, for models that search (API reference, `web_search_options`)."""
    for name in ("allowed_domains", "blocked_domains", "max_uses"):
        if getattr(search, name):
            lost(losses, f"{path}.{name}", "the web search of chat completions has no such limit")
    said: dict[str, Any] = {} if search.context is None else {"search_context_size": search.context}
    if search.location:
        said["user_location"] = {"type": "approximate", "approximate": dict(search.location)}
    return said


def _wire_function(tool: Tool, path: str, losses: Losses, *, own: bool) -> dict[str, Any]:
    schema = tool.parameters
    if schema is not None and not own:
        schema = fit_schema(schema, subset(tool.strict), losses, f"{path}.parameters")
    said = {"name": tool.name, "description": tool.description, "parameters": schema, "strict": tool.strict}
    return {key: value for key, value in said.items() if value is not None}


def _encode_tool(tool: Tool, path: str, losses: Losses, *, own: bool) -> dict[str, Any]:
    rest = dict(extra(tool.extensions))
    wire: dict[str, Any]
    if tool.kind == "custom":
        inner: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            inner["description"] = tool.description
        if tool.grammar is not None:
            grammar = {"syntax": tool.grammar_syntax or "lark", "definition": tool.grammar}
            inner["format"] = {"type": "grammar", "grammar": grammar}
        wire = {"type": "custom", "custom": inner}
    else:
        wire = {"type": "function", "function": _wire_function(tool, path, losses, own=own)}
        if rest.get("type") == "":
            del rest["type"], wire["type"]
    write_cache(wire, rest, tool.cache, path, losses)
    return overlay(wire, rest)


def _encode_hosted(tool: Tool, path: str, losses: Losses) -> dict[str, Any] | None:
    if tool.dialect != NAME:
        lost(losses, path, f"the tool {tool.name} is known to models of {tool.dialect or 'another dialect'} alone")
        return None
    wire = {"type": tool.name, **tool.config}
    write_cache(wire, dict(extra(tool.extensions)), tool.cache, path, losses)
    return wire


def write_choice(body: dict[str, Any], choice: ToolChoice | None, losses: Losses) -> None:
    """Write which tools may or must be used."""
    if choice is None:
        return
    rest = dict(extra(choice.extensions))
    if OLD_CHOICE in rest:
        body["function_call"] = {"name": choice.names[0]} if choice.mode == "named" and choice.names else choice.mode
    elif choice.mode == "allowed":
        tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
        mode = "required" if choice.required else "auto"
        body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}
    elif choice.mode != "named":
        body["tool_choice"] = "any" if choice.mode == "required" and _ANY in rest else choice.mode
    elif choice.kind == "hosted" or not choice.names:
        lost(losses, "tool_choice", "chat completions cannot demand a tool of the provider's own")
    else:
        wire: dict[str, Any] = {"type": choice.kind, choice.kind: {"name": choice.names[0]}}
        if rest.get("type") == "":
            del rest["type"], wire["type"]
        body["tool_choice"] = overlay(wire, rest)
