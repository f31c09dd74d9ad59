"""What Responses refuses beyond wrong members and types; sources: see `responses`.

How it words that a reasoning item lacks what followed it, that an output has no call, that encrypted content is not its own,
that an item is not stored: as users report it, for instance in openai/openai-agents-python#1660, openai/codex#8128,
openai/openai-python#2561.
"""

from __future__ import annotations

from typing import Any

from tests.upstreams.chat_rules import TOOL_NAME, between, check_file, check_image, check_metadata, check_sampling
from tests.upstreams.mint import Mint
from tests.upstreams.provider import Json, check_base64, fits, unique
from tests.upstreams.refusal import Path, Refused
from tests.upstreams.schema_rules import check_openai_parameters, check_openai_strict

PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc", "web_search_call": "ws"}
"""How the ids of items begin."""
OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
_SPOKEN = {"user": ("input_text", "input_image", "input_file", "input_audio"), "assistant": ("output_text", "refusal")}


def items(body: Json) -> list[Json]:
    """Return the input of a request as a list of items that all have a type."""
    given = body.get("input") or []
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return [{"type": "message", **item} if isinstance(item, dict) else item for item in given]


def check(body: Json, history: list[Json], mint: Mint, stored: set[str]) -> None:
    """Refuse a request that breaks a rule."""
    between(body, "temperature", 0, 2)
    between(body, "top_p", 0, 1)
    between(body, "top_logprobs", 0, 20)
    between(body, "max_output_tokens", 16, 10**9)
    check_sampling(body, (body.get("reasoning") or {}).get("effort"))
    check_metadata(body)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused(("stream_options",), "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    if not body.get("input") and not body.get("previous_response_id") and not body.get("prompt") and not body.get("conversation"):
        raise Refused(
            (),
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.",
            code="missing_required_parameter",
        )
    _check_tools(body)
    _check_format(body)
    known = stored if body.get("store") is not False or body.get("previous_response_id") else set()
    check_items(items(body), mint, known)
    _check_calls(history, items(body))


def _check_tools(body: Json) -> None:
    names = _all_names(body.get("tools") or [], ("tools",))
    for number, item in enumerate(items(body)):
        if item["type"] == "additional_tools":
            names += _all_names(item["tools"], ("input", number, "tools"))
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] in ("function", "custom") and choice["name"] not in names:
        raise Refused(("tool_choice",), f"Tool choice '{choice['name']}' not found in 'tools' parameter.")
    if choice == "required" and not names and not body.get("tools"):
        raise Refused(("tool_choice",), "Tool choice 'required' must be specified with 'tools' parameter.")


def _all_names(tools: list[Json], path: Path) -> list[str]:
    names = [name for number, tool in enumerate(tools) for name in _tool_names(tool, (*path, number))]
    unique(names, path, "the names of tools")
    return names


def _tool_names(tool: Json, path: Path) -> list[str]:
    if tool["type"] == "namespace":
        fits(tool["name"], TOOL_NAME, (*path, "name"))
        return [f"{tool['name']}.{name}" for n, inner in enumerate(tool["tools"]) for name in _tool_names(inner, (*path, "tools", n))]
    if tool["type"] not in ("function", "custom"):
        return []
    fits(tool["name"], TOOL_NAME, (*path, "name"))
    if tool["type"] == "function":
        check_openai_parameters(tool["name"], tool.get("parameters") or {}, tool.get("strict") is True, (*path, "parameters"))
    return [str(tool["name"])]


def _check_format(body: Json) -> None:
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        fits(form["name"], TOOL_NAME, ("text", "format", "name"))
        if form.get("strict"):
            check_openai_strict(f"response_format {form['name']!r}", form["schema"], ("text", "format", "schema"))
    if form.get("type") == "json_object" and "json" not in str(body.get("input")).lower():
        message = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'."
        raise Refused(("input",), message)


def check_items(given: list[Json], mint: Mint, stored: set[str]) -> None:
    """Refuse an item that may not be as it is, or where it is."""
    for number, item in enumerate(given):
        path: Path = ("input", number)
        prefix, name = PREFIXES.get(item["type"]), item.get("id")
        if prefix and name is not None and not name.startswith(prefix) and item.get("role") in (None, "assistant"):
            message = f"Invalid '{path[0]}[{number}].id': '{name}'. Expected an ID that begins with '{prefix}'."
            raise Refused((*path, "id"), message, code="invalid_value")
        if item["type"] == "message":
            _check_message(item, path)
        elif item["type"] == "reasoning":
            _check_reasoning(item, path, mint, stored)
            if (
                number + 1 == len(given)
                or given[number + 1]["type"] in OUTPUTS
                or given[number + 1].get("role") in ("user", "system", "developer")
            ):
                raise Refused(path, f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item.")
        elif item["type"] == "item_reference" and item["id"] not in stored:
            raise _not_found(item["id"], path)
        elif item["type"] in OUTPUTS:
            _check_output(item, path)
        if item.get("call_id") is not None:
            fits(item["call_id"], r".{1,64}", (*path, "call_id"))


def _check_message(item: Json, path: Path) -> None:
    content = item["content"]
    spoken = _SPOKEN["assistant" if item["role"] == "assistant" else "user"]
    for number, part in enumerate(content if isinstance(content, list) else ()):
        where = (*path, "content", number)
        if part["type"] not in spoken:
            raise Refused(where, f"Invalid value: '{part['type']}'. Supported values are: {', '.join(spoken)}.", code="invalid_value")
        _check_media(part, where)


def _check_media(part: Json, path: Path) -> None:
    if part["type"] == "input_image" and part.get("image_url"):
        check_image(part["image_url"], (*path, "image_url"))
    elif part["type"] == "input_file" and part.get("file_data"):
        check_file(part, path)
    elif part["type"] == "input_audio":
        check_base64(part["input_audio"]["data"], (*path, "input_audio", "data"))


def _check_output(item: Json, path: Path) -> None:
    for number, part in enumerate(item["output"] if isinstance(item["output"], list) else ()):
        _check_media(part, (*path, "output", number))


def _check_reasoning(item: Json, path: Path, mint: Mint, stored: set[str]) -> None:
    if item.get("content"):  # only models of others show their thoughts as they are (musistudio/claude-code-router#1783)
        count = len(item["content"])
        message = f"array too long. Expected an array with maximum length 0, but got an array with length {count} instead"
        raise Refused((*path, "content"), message, "value")
    encrypted = item.get("encrypted_content")
    if encrypted is None and item.get("id") not in stored:
        raise _not_found(str(item.get("id")), path)
    if encrypted is not None and encrypted not in mint.known:
        message = f"The encrypted content {encrypted[:4]}...{encrypted[-4:]} could not be verified."
        raise Refused((), message, code="invalid_encrypted_content")


def _not_found(name: str, path: Path) -> Refused:
    hint = "Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input."
    return Refused(path, f"Item with id '{name}' not found. {hint}", status=404)


def _check_calls(history: list[Json], given: list[Json]) -> None:
    """Each call has its output somewhere behind it, and each output its call somewhere before it."""
    calls: dict[Any, str] = {}
    answered: set[Any] = set()
    for number, item in enumerate([*history, *given], -len(history)):
        if item["type"] in OUTPUTS.values():
            calls[item["call_id"]] = item["type"]
        elif item["type"] in OUTPUTS:
            wanted = OUTPUTS[item["type"]]
            if calls.get(item["call_id"]) != wanted:
                what = "function call output" if wanted == "function_call" else "custom tool call output"
                raise Refused(("input", number), f"No tool call found for {what} with call_id {item['call_id']}.")
            answered.add(item["call_id"])
    if left := [call for call in calls if call not in answered]:
        what = "function call" if calls[left[0]] == "function_call" else "custom tool call"
        raise Refused(("input",), f"No tool output found for {what} {left[0]}.")
