"""Tools and the choice of tools.

Source: OpenAI's API reference, "Create a response": tools of the types function, custom and namespace, and those that
OpenAI runs. A function without `strict` is strict here, other than in chat completions: where nobody asked for that, `strict` is
written as false.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from jackfield.api import BadRequest, Loss
from jackfield.api.canonical import Tool, ToolChoice, WebSearch
from jackfield.api.canonical.codec import Fields, Memo, load, overlay, to_json, wrong_type
from jackfield.api.canonical.schemas import fit_schema
from jackfield_openai.responses.extras import NAME, Losses, below, extra, kept, lost, replay
from jackfield_openai.responses.schemas import subset

ADDED: Final = "=added"
"""The key under which a tool keeps the number of the input item that it came in."""

_NAMESPACE: Final = "=namespace"
"""The key under which the first tool of a namespace keeps what that says besides its name and tools."""

_MODES: Final = ("auto", "none", "required")

Wire = dict[str, Any]

_read: Final = Memo[tuple[Tool, ...]]()
_written: Final = Memo[tuple[Tool, msgspec.Raw, tuple[Loss, ...]]]()


# ---------------------------------------------------------------------------------------------- reading


def decode_tools(fields: Fields) -> tuple[Tool, ...]:
    """Take `tools`, or recall them: each turn of a conversation repeats them. Raises `BadRequest` with the path of what is wrong."""
    raw = fields.rest.get("tools")
    if not isinstance(raw, msgspec.Raw):
        return _read_tools(fields)
    key = bytes(raw)
    known = _read.get(key)
    if known is not None:
        del fields.rest["tools"]
        return known
    fields.rest["tools"] = load(key)
    found = _read_tools(fields)
    return _read.put(key, found, len(key)) if found else found


def _read_tools(fields: Fields) -> tuple[Tool, ...]:
    values = fields.items("tools")
    if values == []:
        fields.rest["tools"] = []
    return tuple(decode_tool_list(values or [], "tools", {}))


def decode_tool_list(values: Sequence[Any], path: str, note: Wire) -> list[Tool]:
    """Read a list of tools; `note` is kept with each."""
    return [tool for at, value in enumerate(values) for tool in _decode_tool(value, f"{path}[{at}]", note)]


def _decode_tool(value: Any, path: str, note: Wire) -> list[Tool]:
    fields = Fields(value, path)
    type_ = fields.needed_text("type")
    if type_ == "namespace" and fields.rest.get("tools"):
        return _decode_namespace(fields, note)
    if type_ == "function":
        return [_function(fields, note)]
    if type_ == "custom":
        return [_custom(fields, note)]
    search = _read_search(fields.rest) if _SEARCHES.fullmatch(type_) else None
    return [Tool(name=type_, kind="hosted", dialect=NAME, config=fields.rest, search=search, extensions=kept(note))]


def _decode_namespace(fields: Fields, note: Wire) -> list[Tool]:
    name, values = fields.needed_text("name"), fields.items("tools") or []
    tools = decode_tool_list(values, fields.at("tools"), note)
    first = msgspec.structs.replace(tools[0], extensions=kept({**extra(tools[0].extensions), _NAMESPACE: fields.rest}))
    return [msgspec.structs.replace(tool, namespace=name) for tool in (first, *tools[1:])]


def _function(fields: Fields, note: Wire) -> Tool:
    name, description = fields.needed_text("name"), fields.text("description")
    parameters, strict = fields.object("parameters"), fields.flag("strict")
    # Empty texts tell that these were not said.
    absent = {"parameters": "" if parameters is None else None, "strict": "" if strict is None else None}
    rest = {**fields.rest, **absent, **note}
    return Tool(name=name, description=description, parameters=parameters, strict=strict, extensions=kept(rest))


def _custom(fields: Fields, note: Wire) -> Tool:
    name, description = fields.needed_text("name"), fields.text("description")
    format_ = fields.rest.get("format")
    grammar = syntax = None
    if isinstance(format_, dict) and format_.keys() == {"type", "syntax", "definition"} and format_["type"] == "grammar":
        grammar, syntax = format_["definition"], format_["syntax"]
        if isinstance(grammar, str) and isinstance(syntax, str):
            del fields.rest["format"]
        else:
            grammar = syntax = None
    return Tool(
        name=name,
        kind="custom",
        description=description,
        grammar=grammar,
        grammar_syntax=syntax,
        extensions=kept({**fields.rest, **note}),
    )


def decode_choice(fields: Fields) -> ToolChoice | None:
    """Take `tool_choice`. A form that nobody here knows remains."""
    value = fields.rest.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODES:
            raise BadRequest(f"'tool_choice' must be one of auto, none, required, not {value!r}", "tool_choice", "invalid_value")
        del fields.rest["tool_choice"]
        return ToolChoice(mode=value)  # type: ignore[arg-type]  # checked above
    if not isinstance(value, dict):
        raise wrong_type("tool_choice", "a word or an object", value)
    choice = _decode_named(Fields(value, "tool_choice"))
    if choice is not None:
        del fields.rest["tool_choice"]
    return choice


def _decode_named(fields: Fields) -> ToolChoice | None:
    type_ = fields.needed_text("type")
    if type_ == "allowed_tools":
        return _decode_allowed(fields)
    if type_ in ("function", "custom"):
        kind: Literal["function", "custom"] = type_  # type: ignore[assignment]  # checked above
        return ToolChoice(mode="named", names=(fields.needed_text("name"),), kind=kind, extensions=kept(fields.rest))
    return ToolChoice(mode="named", names=(type_,), kind="hosted", extensions=kept(fields.rest))


def _decode_allowed(fields: Fields) -> ToolChoice | None:
    mode, values = fields.text("mode"), fields.items("tools") or []
    if mode not in ("auto", "required") or not all(isinstance(value, dict) for value in values):
        return None
    names = [value.get("name") if value.get("name") is not None else value.get("type") for value in values]
    if not all(isinstance(name, str) for name in names):
        return None
    # What an entry says besides a function's name is kept, in the order of the names.
    rest = [{key: item for key, item in value.items() if key != "name" and (key, item) != ("type", "function")} for value in values]
    if any(rest):
        fields.rest["tools"] = rest
    return ToolChoice(mode="allowed", names=tuple(names), required=mode == "required", extensions=kept(fields.rest))


# ---------------------------------------------------------------------------------------------- writing


def write_tools(body: Wire, tools: Sequence[Tool], rest: Wire, losses: Losses, *, own: bool) -> None:
    """Write the tools that did not come in an input item; what is used of `rest` is taken out of it.

    Schemas that came from this dialect are `own` and left as they are.
    """
    empty = rest.pop("tools", None) == []
    numbers = range(len(rest.get("=additional_tools", ())))
    listed = [(tool, f"tools[{at}]") for at, tool in enumerate(tools) if extra(tool.extensions).get(ADDED) not in numbers]
    wire = encode_tool_list(listed, losses, fit=not own)
    if wire or empty:
        body["tools"] = wire


def encode_tool_list(tools: Sequence[tuple[Tool, str]], losses: Losses, *, fit: bool) -> list[Any]:
    """Write tools, each with its path; those of one namespace that stand in a row stand in it together."""
    wire: list[Any] = []
    before: str | None = None
    for tool, path in tools:
        item = _recalled(tool, path, losses, fit=fit)
        if item is None:
            continue
        begins = extra(tool.extensions).get(_NAMESPACE)
        if tool.namespace is None:
            wire.append(item)
        elif tool.namespace == before and begins is None:
            wire[-1]["tools"].append(item)
        else:
            said = begins if isinstance(begins, dict) else {"description": f"The tools of {tool.namespace}."}
            wire.append({"type": "namespace", "name": tool.namespace, **said, "tools": [item]})
        before = tool.namespace
    return wire


def _recalled(tool: Tool, path: str, losses: Losses, *, fit: bool) -> Any:
    """Write a tool, or recall how it was written: one of the caller's own is remembered by its identity, as JSON."""
    known = _written.get((id(tool), fit))
    if known is not None:
        replay(losses, known[2], path)
        return known[1]
    before = len(losses)
    wire = _encode_tool(tool, path, losses, fit=fit)
    if wire is None or tool.kind == "hosted":
        return wire
    said = to_json(wire)
    noted, made = below(losses, before, path), msgspec.Raw(said)
    return made if noted is None else _written.put((id(tool), fit), (tool, made, noted), len(said))[1]


def _encode_tool(tool: Tool, path: str, losses: Losses, *, fit: bool) -> Wire | None:
    if tool.cache is not None:
        lost(losses, f"{path}.cache", "tools have no cache markers in Responses")
    rest = {key: item for key, item in extra(tool.extensions).items() if not key.startswith("=")}
    if tool.kind == "hosted":
        return _encode_hosted(tool, path, losses)
    wire: Wire = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.kind == "custom":
        if tool.grammar is not None:
            wire["format"] = {"type": "grammar", "syntax": tool.grammar_syntax or "lark", "definition": tool.grammar}
        return overlay(wire, rest)
    unsaid = {key for key in ("parameters", "strict") if rest.pop(key, None) == ""}
    if tool.parameters is not None:
        wire["parameters"] = fit_schema(tool.parameters, subset(tool.strict), losses, f"{path}.parameters") if fit else tool.parameters
    elif "parameters" not in unsaid:
        wire["parameters"] = {"type": "object", "properties": {}}
    if tool.strict is not None or "strict" not in unsaid:
        wire["strict"] = bool(tool.strict)
    return overlay(wire, rest)


# ------------------------------------------------------------------------------- tools of other providers

_SEARCHES: Final = re.compile(r"web_search(_preview)?(_\d{4}_\d\d_\d\d)?")
_RUNS_CODE: Final = re.compile(r"code_?execution(_\d+)?", re.IGNORECASE)
_PLACE: Final = ("city", "region", "country", "timezone")


def _read_search(said: Wire) -> WebSearch:
    size, where, filters = said.get("search_context_size"), said.get("user_location"), said.get("filters")
    domains = filters.get("allowed_domains") if isinstance(filters, dict) else None
    return WebSearch(
        allowed_domains=tuple(name for name in domains if isinstance(name, str)) if isinstance(domains, list) else (),
        context=size if isinstance(size, str) else None,
        location={key: where[key] for key in _PLACE if isinstance(where.get(key), str)} if isinstance(where, dict) else {},
    )


def _write_search(search: WebSearch, path: str, losses: Losses) -> Wire:
    wire: Wire = {"type": "web_search"}
    if search.allowed_domains:
        wire["filters"] = {"allowed_domains": list(search.allowed_domains)}
    if search.location:
        wire["user_location"] = {"type": "approximate", **search.location}
    if search.context is not None:
        wire["search_context_size"] = search.context
    for name in ("blocked_domains", "max_uses"):
        if getattr(search, name):
            lost(losses, f"{path}.{name}", "OpenAI's search of the web has no such limit")
    return wire


def _encode_hosted(tool: Tool, path: str, losses: Losses) -> Wire | None:
    if tool.dialect == NAME:
        return {"type": tool.name, **tool.config}
    if tool.search is not None:
        return _write_search(tool.search, path, losses)
    if _RUNS_CODE.fullmatch(tool.name):
        losses.append(Loss(path, "changed", f"the tool {tool.name} becomes OpenAI's own code_interpreter"))
        return {"type": "code_interpreter", "container": {"type": "auto"}}
    lost(losses, path, f"the tool {tool.name} is known to models of {tool.dialect or 'another dialect'} alone")
    return None


def write_choice(body: Wire, choice: ToolChoice | None, tools: Sequence[Tool], losses: Losses) -> None:
    """Write which tools may or must be used."""
    if choice is None:
        return
    rest = dict(extra(choice.extensions))
    if choice.mode == "allowed":
        body["tool_choice"] = _encode_allowed(choice, tools, rest)
    elif choice.mode != "named":
        body["tool_choice"] = choice.mode
    elif not choice.names:
        lost(losses, "tool_choice", "no tool is named")
    elif choice.kind == "hosted":
        _write_hosted_choice(body, choice.names[0], tools, rest, losses)
    else:
        body["tool_choice"] = overlay({"type": choice.kind, "name": choice.names[0]}, rest)


def _write_hosted_choice(body: Wire, name: str, tools: Sequence[Tool], rest: Wire, losses: Losses) -> None:
    """Demand a tool of the provider's own; of another provider's only the search of the web can be."""
    foreign = next((tool for tool in tools if tool.kind == "hosted" and tool.name == name and tool.dialect != NAME), None)
    if foreign is None:
        body["tool_choice"] = overlay({"type": name}, rest)
    elif foreign.search is not None:
        body["tool_choice"] = {"type": "web_search"}
    else:
        lost(losses, "tool_choice", f"the tool {name} is run by another provider")


def _encode_allowed(choice: ToolChoice, tools: Sequence[Tool], rest: Wire) -> Wire:
    forms = rest.pop("tools", None)
    kinds = {tool.name: tool.kind for tool in tools}
    entries = []
    for at, name in enumerate(choice.names):
        said = forms[at] if isinstance(forms, list) and len(forms) == len(choice.names) else {}
        type_ = kinds.get(name, "function")
        if type_ == "hosted" or (said.get("type") == name):
            entries.append({"type": name, **said})
        else:
            entries.append({"type": type_, "name": name, **said})
    return {"type": "allowed_tools", "mode": "required" if choice.required else "auto", "tools": entries, **rest}
