"""Tools of a request: functions, and what Google runs; and which of them may or must be used.

Source: Gemini API reference, `Tool`, `FunctionDeclaration` and `ToolConfig`; guide "Combine built-in tools and function
calling".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import Tool, ToolChoice, WebSearch
from jackfield.api.canonical.codec import Fields, Memo, load, to_json, unknown_value
from jackfield.api.canonical.schemas import fit_schema
from jackfield_gemini.generate.extras import NAME, extra, kept
from jackfield_gemini.generate.losses import below, replay
from jackfield_gemini.generate.media import lost
from jackfield_gemini.generate.models import Manners
from jackfield_gemini.generate.names import camel, fields, listed, texts
from jackfield_gemini.generate.schemas import SUBSET, is_upper, to_json_schema, to_open_api

_ENTRY: Final = "=entry"
"""The key under which tools keep in which of the wire's objects they stood, where it is not the usual one."""
_FORM: Final = "=form"
"""The key under which a function keeps how its schema was spelled: `parameters`, `PARAMETERS` for types in upper case."""
_FUNCTIONS: Final = "functionDeclarations"
_COMBINE: Final = "includeServerSideToolInvocations"
_MODES: Final = ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")

_SEARCHES: Final = ("googleSearch", "googleSearchRetrieval")
"""Searches of the web; the second is that of the oldest models."""
_KIN: Final = (
    ("web_search", "googleSearch"), ("web_fetch", "urlContext"), ("code_execution", "codeExecution"),
    ("code_interpreter", "codeExecution"),
)  # fmt: skip
"""Tools that other providers run, by the beginning of their names, and what comes near them here."""
_read: Final = Memo[tuple[Tool, ...]]()
_written: Final = Memo[tuple[Tool, dict[str, Any], tuple[Loss, ...]]]()


# ---------------------------------------------------------------------------------------------- reading


def decode_tools(found: Fields) -> tuple[Tool, ...]:
    """Take all tools, or recall them: each turn of a conversation repeats them."""
    raw = found.rest.get("tools")
    if not isinstance(raw, msgspec.Raw):
        return _read_tools(found)
    key = bytes(raw)
    known = _read.get(key)
    if known is not None:
        del found.rest["tools"]
        return known
    found.rest["tools"] = load(key)
    return _read.put(key, _read_tools(found), len(key))


def _read_tools(found: Fields) -> tuple[Tool, ...]:
    placed: list[tuple[int, Tool]] = []
    for at, value in enumerate(listed(found, "tools") or ()):
        entry = fields(value, f"tools[{at}]")
        declared = listed(entry, _FUNCTIONS)
        for place, one in enumerate(declared or ()):
            placed.append((at, _decode_function(fields(one, f"{entry.at(_FUNCTIONS)}[{place}]"))))
        placed += [(at, _decode_hosted(name, config)) for name, config in entry.rest.items() if config is not None]
    usual = _entries(tool for _, tool in placed)
    if usual == [at for at, _ in placed]:
        return tuple(tool for _, tool in placed)
    return tuple(_noted(tool, at) for at, tool in placed)


def _noted(tool: Tool, at: int) -> Tool:
    return msgspec.structs.replace(tool, extensions={NAME: {**extra(tool.extensions), _ENTRY: at}})


def _entries(tools: Iterable[Tool]) -> list[int]:
    """Return in which object each tool stands by default: all functions in one, each other tool in one of its own."""
    numbers, functions, count = list[int](), -1, 0
    for tool in tools:
        if tool.kind == "hosted" or functions < 0:
            number, count = count, count + 1
            functions = number if tool.kind != "hosted" else functions
        else:
            number = functions
        numbers.append(number)
    return numbers


def _decode_function(found: Fields) -> Tool:
    name, description = found.needed_text("name"), found.text("description")
    schema, older = found.object("parametersJsonSchema"), found.object("parameters")
    parameters = schema
    if older is not None and schema is None:
        parameters, upper = to_json_schema(older), is_upper(older)
        found.rest[_FORM] = "PARAMETERS" if upper else "parameters"
    elif schema is not None and is_upper(schema):
        parameters = to_json_schema(schema)
        found.rest[_FORM] = "SCHEMA"
    if older is not None and schema is not None:
        found.rest["parameters"] = older
    return Tool(name=name, description=description, parameters=parameters, extensions=kept(found.rest))


def _decode_hosted(name: str, config: Any) -> Tool:
    search = WebSearch() if name in _SEARCHES else None
    if isinstance(config, dict):
        return Tool(name=name, kind="hosted", dialect=NAME, config={camel(key): value for key, value in config.items()}, search=search)
    return Tool(name=name, kind="hosted", dialect=NAME, search=search, extensions=kept({"=config": config}))


def decode_choice(found: Fields) -> ToolChoice | None:
    """Take which tools may or must be used; what there is no canonical word for remains in `toolConfig`."""
    config = found.object("toolConfig")
    if config is None:
        return None
    outer = fields(config, "toolConfig")
    value = outer.object("functionCallingConfig")
    if value is None:
        found.rest["toolConfig"] = outer.rest
        return None
    inner = fields(value, outer.at("functionCallingConfig"))
    word, names = inner.text("mode"), texts(inner, "allowedFunctionNames")
    if word and word.upper() not in _MODES:
        raise unknown_value(inner.at("mode"), word, _MODES)
    choice = _choice(word, names, inner.rest)
    if inner.rest:
        outer.rest["functionCallingConfig"] = inner.rest
    if outer.rest:
        found.rest["toolConfig"] = outer.rest
    return choice


def _choice(word: str | None, names: tuple[str, ...], rest: dict[str, Any]) -> ToolChoice:
    """Return the canonical choice; a mode that would be written otherwise is kept."""
    mode = (word or "AUTO").upper()
    match mode:
        case "ANY" if len(names) == 1:
            choice = ToolChoice(mode="named", names=names)
        case "ANY" if names:
            choice = ToolChoice(mode="allowed", names=names, required=True)
        case "ANY":
            choice = ToolChoice(mode="required")
        case "NONE":
            choice = ToolChoice(mode="none")
        case _ if names:
            choice = ToolChoice(mode="allowed", names=names)
        case _:
            choice = ToolChoice(mode="auto")
    if _mode(choice) != word:
        rest["mode"] = word if word is not None else ""
    if names and choice.mode == "none":
        rest["allowedFunctionNames"] = list(names)
    return choice


def _mode(choice: ToolChoice) -> str:
    match choice.mode:
        case "required" | "named":
            return "ANY"
        case "allowed":
            return "ANY" if choice.required else "VALIDATED"
        case "none":
            return "NONE"
    return "AUTO"


# ---------------------------------------------------------------------------------------------- writing


def write_tools(body: dict[str, Any], tools: Sequence[Tool], manners: Manners, rest: dict[str, Any], losses: list[Loss]) -> None:
    """Write all tools, and what a combination of them needs."""
    said = [(tool, _recalled(tool, f"tools[{at}]", losses), at) for at, tool in enumerate(tools)]
    written = [(tool, wire, at) for tool, wire, at in said if wire is not None]
    functions = any(_FUNCTIONS in wire for _, wire, _ in written)
    hosted = [(tool, at) for tool, wire, at in written if _FUNCTIONS not in wire]
    if functions and hosted and not manners.combines_tools:
        for tool, at in hosted:
            lost(losses, f"tools[{at}]", f"this model takes no functions beside {tool.name!r}")
        written = [(tool, wire, at) for tool, wire, at in written if _FUNCTIONS in wire]
    elif functions and hosted and manners.must_allow_combining:
        _allow_combining(body, rest, losses)
    places = [extra(tool.extensions).get(_ENTRY) for tool, _, _ in written]
    numbers: list[Any] = _entries(tool for tool, _, _ in written) if None in places else places
    entries: dict[int, dict[str, Any]] = {}
    for (_, wire, _), number in zip(written, numbers, strict=True):
        entry = entries.setdefault(number, {})
        for key, value in wire.items():
            entry[key] = [*entry.get(key, ()), *value] if key == _FUNCTIONS else value
    if entries:
        body["tools"] = [entry for _, entry in sorted(entries.items())]


def _allow_combining(body: dict[str, Any], rest: dict[str, Any], losses: list[Loss]) -> None:
    config = rest.get("toolConfig")
    if isinstance(config, dict) and _COMBINE in config:
        return
    body.setdefault("toolConfig", {})[_COMBINE] = True
    losses.append(Loss("tools", "invented", f"this model takes functions beside tools of Google's with {_COMBINE} alone"))


def _recalled(tool: Tool, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    """Write a tool, or recall how it was written: one of the caller's own is remembered by its identity, as JSON."""
    known = _written.get(id(tool))
    if known is not None:
        replay(losses, known[2], path)
        return known[1]
    before = len(losses)
    wire = _encode(tool, path, losses)
    if wire is None or tool.kind == "hosted":
        return wire
    said = list(map(to_json, wire[_FUNCTIONS]))
    made: dict[str, Any] = {_FUNCTIONS: list(map(msgspec.Raw, said))}
    noted = below(losses, before, path)
    return made if noted is None else _written.put(id(tool), (tool, made, noted), sum(map(len, said)))[1]


def _encode(tool: Tool, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    if tool.kind == "hosted":
        return _encode_hosted(tool, path, losses)
    rest = {key: value for key, value in extra(tool.extensions).items() if key != _ENTRY}
    form = rest.pop(_FORM, None)
    wire: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.kind == "custom":
        losses.append(Loss(path, "changed", "a tool that takes free text becomes a function of one text"))
        wire["parametersJsonSchema"] = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    elif tool.parameters is not None:
        _write_schema(wire, tool.parameters, form, path, losses)
    if tool.strict:
        losses.append(Loss(f"{path}.strict", "dropped", "no single function can be bound to its schema"))
    if tool.namespace is not None:
        lost(losses, f"{path}.namespace", "functions have no namespaces here")
    if tool.cache is not None and tool.cache.ttl is not None:
        lost(losses, f"{path}.cache", "how long to cache cannot be said")
    return {_FUNCTIONS: [{**wire, **rest}]}


def _write_schema(wire: dict[str, Any], schema: dict[str, Any], form: str | None, path: str, losses: list[Loss]) -> None:
    if form in ("parameters", "PARAMETERS"):
        wire["parameters"] = to_open_api(schema, upper=form == "PARAMETERS")
    elif form == "SCHEMA":
        wire["parametersJsonSchema"] = to_open_api(schema, upper=True)
    else:
        wire["parametersJsonSchema"] = fit_schema(schema, SUBSET, losses, f"{path}.parameters")


def _encode_hosted(tool: Tool, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    if tool.dialect == NAME:
        return {tool.name: extra(tool.extensions).get("=config", tool.config)}
    if tool.search is not None:
        for name in ("allowed_domains", "blocked_domains", "max_uses", "context", "location"):
            if getattr(tool.search, name):
                lost(losses, f"{path}.{name}", "Google's search takes no such setting")
        return {_SEARCHES[0]: {}}
    kin = next((own for begin, own in _KIN if tool.name.startswith(begin)), None)
    if kin is None:
        lost(losses, path, f"{tool.name!r} is known to models of another dialect alone")
        return None
    what = f"{tool.name!r} becomes {kin!r}" + (", without its settings" if tool.config else "")
    losses.append(Loss(path, "changed", what))
    return {kin: {}}


def write_choice(body: dict[str, Any], choice: ToolChoice | None, rest: dict[str, Any], losses: list[Loss]) -> None:
    """Write which tools may or must be used; what is used of `rest` is taken out of it.

    Without functions that is refused, so a choice that makes no difference then is left out.
    """
    functions = any(_FUNCTIONS in entry for entry in body.get("tools", ()))
    outer = rest.pop("toolConfig", None)
    said = dict(outer) if isinstance(outer, dict) else {}
    inner = dict(said.pop("functionCallingConfig", None) or {})
    if choice is not None:
        if choice.kind == "hosted":
            lost(losses, "tool_choice", "a tool that Google runs cannot be asked for by name")
        elif not functions and not inner and choice.mode in ("auto", "none"):
            pass
        else:
            word = inner.pop("mode", None)
            wire = {"mode": word if word is not None and _same(word, choice) else _mode(choice)}
            if wire["mode"] == "":
                del wire["mode"]
            if choice.names and choice.mode in ("named", "allowed"):
                wire["allowedFunctionNames"] = list(choice.names)
            body.setdefault("toolConfig", {})["functionCallingConfig"] = {**wire, **inner}
    if said:
        body.setdefault("toolConfig", {}).update(said)


def _same(word: str, choice: ToolChoice) -> bool:
    """Tell whether a mode that was kept still means the choice."""
    again = _choice(word or None, choice.names, {})
    return (again.mode, again.required) == (choice.mode, choice.required)
