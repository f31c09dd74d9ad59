"""Tools that the provider runs: the items that tell what was asked of them and what they gave back.

Source: OpenAI's API reference, "The response object", and its guides to the single tools. An item that holds both becomes a
call and a result, which are written as one item again. A picture that was made becomes an `Image`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api.canonical import Image, Part, ServerToolCall, ServerToolResult, Source
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_openai.responses.extras import Losses, extra, kept, lost, made_id

SEARCH: Final = "web_search"
"""The search of the web: what was asked is `{"query": ...}`, what was found a list of `{"url": ...}`, as in every dialect."""
_SEARCH_CALL: Final = "web_search_call"

_ASKED: Final = {
    _SEARCH_CALL: "action",
    "file_search_call": "queries",
    "code_interpreter_call": "code",
    "mcp_call": "arguments",
    "computer_call": "action",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "tool_search_call": "arguments",
}
"""Which member of an item says what was asked."""

_GAVE: Final = {"file_search_call": ("results",), "code_interpreter_call": ("outputs",), "mcp_call": ("output", "error")}
"""Which members say what came of it."""

_WRAPPED: Final = ("queries", "code")
"""Members that are no object, and stand in one as arguments."""

IMAGE: Final = "image_generation_call"
FOUND_TOOLS: Final = "tool_search_output"
OWN: Final = "=own"
"""The key under which a call keeps that it was made here: other providers have tools of the same names."""
JOINED: Final = "=joined"
"""The key under which a call keeps that its result, which follows, stood in the same item."""

_MEDIA: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


# ---------------------------------------------------------------------------------------------- reading


def is_hosted(type_: str) -> bool:
    """Tell whether an item of this type is read here."""
    return type_ in _ASKED or type_ in (IMAGE, FOUND_TOOLS)


def decode_hosted(type_: str, item: dict[str, Any]) -> list[Part] | None:
    """Read an item; None for one of an unusual form, which is kept as it is."""
    rest = {key: value for key, value in item.items() if key != "type" and value is not None}
    if type_ == IMAGE:
        return _image(rest)
    if type_ == FOUND_TOOLS:
        return _found_tools(rest)
    item_id, status = rest.pop("id", None), rest.pop("status", None)
    if not isinstance(item_id, str | None) or not isinstance(status, str | None):
        return None
    if type_ == _SEARCH_CALL and isinstance(rest.get("action"), dict):
        return _searched(item_id, status, rest)
    gave = {key: rest.pop(key) for key in _GAVE.get(type_, ()) if rest.get(key) is not None}
    arguments = _take_asked(rest, _ASKED[type_])
    name = type_.removesuffix("_call")
    call = ServerToolCall(id=item_id, name=name, arguments=arguments, status=status, extensions=kept({**rest, OWN: True}))
    if not gave:
        return [call]
    call = msgspec.structs.replace(call, extensions=kept({**rest, OWN: True, JOINED: True}))
    failed = gave.get("error") is not None
    return [call, ServerToolResult(call_id=item_id, name=name, content=to_json(gave).decode(), is_error=failed)]


def _searched(item_id: str | None, status: str | None, rest: dict[str, Any]) -> list[Part]:
    """Read a search of the web. Of what was asked only the words are canonical; its form is kept."""
    action = dict(rest["action"])
    sources = action.pop("sources", None)
    form = {"type": action.pop("type", None)}
    rest["action"] = form
    arguments = to_json(action).decode()
    call = ServerToolCall(id=item_id, name=SEARCH, arguments=arguments, status=status, extensions=kept({**rest, OWN: True}))
    if not (isinstance(sources, list) and all(isinstance(source, dict) and "url" in source for source in sources)):
        if sources is not None:
            form["sources"] = sources
        return [call]
    call = msgspec.structs.replace(call, extensions=kept({**rest, OWN: True, JOINED: True}))
    found = [{key: item for key, item in source.items() if (key, item) != ("type", "url")} for source in sources]
    return [call, ServerToolResult(call_id=item_id, name=SEARCH, content=to_json(found).decode())]


def _take_asked(rest: dict[str, Any], key: str) -> str:
    value = rest.get(key)
    if value is None:
        return ""
    del rest[key]
    if key in _WRAPPED:
        return to_json({key: value}).decode()
    if isinstance(value, str):
        rest[key] = ""
        return value
    return to_json(value).decode()


def _image(rest: dict[str, Any]) -> list[Part] | None:
    result = rest.get("result")
    if not isinstance(result, str) or not result:
        return None
    del rest["result"]
    if rest.get("status") == "completed":
        del rest["status"]
    media_type = _MEDIA.get(str(rest.get("output_format")), "image/png")
    return [Image(source=Source(data=result, media_type=media_type), extensions=kept(rest))]


def _found_tools(rest: dict[str, Any]) -> list[Part] | None:
    call_id, tools = rest.pop("call_id", None), rest.pop("tools", None)
    if not isinstance(call_id, str | None) or not isinstance(tools, list):
        return None
    content = to_json(tools).decode()
    return [ServerToolResult(call_id=call_id, name="tool_search", content=content, extensions=kept({"type": FOUND_TOOLS, **rest}))]


# ---------------------------------------------------------------------------------------------- writing


def encode_image(part: Image, path: str, losses: Losses, *, answer: bool) -> dict[str, Any] | None:
    """Write a picture that a model made; None where it can only be shown elsewhere."""
    rest = dict(extra(part.extensions))
    if part.source.data is None or not (answer or "id" in rest):
        lost(losses, path, "a model's pictures stand in Responses only as data, and in requests only where they were made")
        return None
    wire = {"id": rest.get("id") or made_id("ig"), "type": IMAGE, "status": "completed", "result": part.source.data}
    return overlay(wire, rest)


def encode_result(part: ServerToolResult, path: str, losses: Losses) -> dict[str, Any] | None:
    """Write what a tool gave back where it stands alone; None where it has no form."""
    rest = dict(extra(part.extensions))
    if rest.get("type") != FOUND_TOOLS:
        lost(losses, path, f"results of the tool {part.name} have no place in Responses beside its call")
        return None
    wire: dict[str, Any] = {"type": FOUND_TOOLS, "tools": msgspec.Raw(part.content.encode())}
    if part.call_id is not None:
        wire["call_id"] = part.call_id
    return overlay(wire, rest)


def encode_call(part: ServerToolCall, path: str, losses: Losses, *, answer: bool) -> dict[str, Any] | None:
    """Write what was asked of a tool; None where OpenAI has no such tool."""
    type_, rest = f"{part.name}_call", dict(extra(part.extensions))
    rest.pop(JOINED, None)
    if rest.pop(OWN, None) is True and type_ in _ASKED:
        return overlay(_own_call(part, type_, rest), rest)
    if answer and part.name == SEARCH:
        return _search(part)
    lost(losses, path, f"the tool {part.name} was run by another provider; Responses have no place for that")
    return None


def _own_call(part: ServerToolCall, type_: str, rest: dict[str, Any]) -> dict[str, Any]:
    wire: dict[str, Any] = {"id": part.id, "type": type_, "status": part.status}
    wire = {key: value for key, value in wire.items() if value is not None}
    key = _ASKED[type_]
    if type_ == _SEARCH_CALL and isinstance(rest.get(key), dict):
        said = _loads(part.arguments)
        wire[key] = {**rest.pop(key), **(said if isinstance(said, dict) else {})}
        return wire
    if not part.arguments and key not in rest:
        return wire
    if rest.pop(key, None) == "":
        wire[key] = part.arguments
        return wire
    value = _loads(part.arguments)
    wire[key] = value.get(key) if key in _WRAPPED and isinstance(value, dict) else value
    return wire


def _search(part: ServerToolCall) -> dict[str, Any]:
    """Write another provider's search of the web as a client of OpenAI's expects one."""
    said = _loads(part.arguments)
    query = said.get("query") if isinstance(said, dict) else None
    action = {"type": "search", "query": query if isinstance(query, str) else ""}
    return {"id": made_id("ws"), "type": "web_search_call", "status": "completed", "action": action}


def join(wire: dict[str, Any], call: ServerToolCall, result: ServerToolResult) -> None:
    """Write a result into the item of its call. Of what another provider found only the URLs have a place."""
    said = _loads(result.content)
    if wire.get("type") == _SEARCH_CALL and isinstance(said, list):
        found = [source for source in said if isinstance(source, dict) and isinstance(source.get("url"), str)]
        own = JOINED in extra(call.extensions)
        sources = [{**source, "type": "url"} if own else {"type": "url", "url": source["url"]} for source in found]
        wire["action"] = {**wire.get("action", {}), "sources": sources}
    elif isinstance(said, dict):
        wire.update(said)


def _loads(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None


def waits(call: Part) -> bool:
    """Tell whether the result of a call may stand in the call's own item."""
    return isinstance(call, ServerToolCall) and (JOINED in extra(call.extensions) or call.name == SEARCH)


def joins(call: Part, result: Part) -> bool:
    """Tell whether a result stands in the item of the call before it."""
    if not (isinstance(call, ServerToolCall) and isinstance(result, ServerToolResult) and waits(call)):
        return False
    return call.name == result.name and call.id == result.call_id
