"""What Chat Completions refuses beyond wrong members and types; sources: see `chat`."""

from __future__ import annotations

import re
from typing import Any

from tests.upstreams.provider import Json, check_base64, fits, unique
from tests.upstreams.refusal import Path, Refused
from tests.upstreams.schema_rules import check_openai_parameters, check_openai_strict

TOOL_NAME = r"[a-zA-Z0-9_-]{1,64}"
REASONING_MODEL = re.compile(r"o[1-9](-.*)?|gpt-[5-9](?!.*chat).*")
_NOT_REASONING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


def check(body: Json) -> None:
    """Refuse a request that breaks a rule."""
    if not body["messages"]:
        raise Refused(("messages",), "empty array. Expected an array with minimum length 1", "value")
    _check_options(body)
    _check_reasoning_model(body)
    check_tools(body)
    check_metadata(body)
    _check_format(body)
    _check_dialogue(body["messages"])
    for number, message in enumerate(body["messages"]):
        _check_content(message, ("messages", number))


def _check_options(body: Json) -> None:
    between(body, "temperature", 0, 2)
    between(body, "top_p", 0, 1)
    between(body, "n", 1, 128)
    between(body, "top_logprobs", 0, 20)
    between(body, "presence_penalty", -2, 2)
    between(body, "frequency_penalty", -2, 2)
    for name in ("max_tokens", "max_completion_tokens"):
        between(body, name, 1, 10**9)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refused(("stream_options",), "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refused(("top_logprobs",), "Invalid value for 'top_logprobs': 'logprobs' must be true.")
    if isinstance(body.get("stop"), list) and not 0 < len(body["stop"]) <= 4:
        raise Refused(("stop",), "array too long. Expected an array with maximum length 4", "value")
    if None not in (body.get("max_tokens"), body.get("max_completion_tokens")):
        raise Refused(("max_tokens",), "max_tokens and max_completion_tokens cannot both be given")


def between(body: Json, name: str, low: float, high: float) -> None:
    """Refuse a number that is out of its range."""
    value = body.get(name)
    if value is not None and not low <= value <= high:
        raise Refused((name,), f"expected a value between {low} and {high}, but got {value} instead", "value")


def _check_reasoning_model(body: Json) -> None:
    if REASONING_MODEL.fullmatch(body["model"]) and body.get("max_tokens") is not None:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        raise Refused(("max_tokens",), message, code="unsupported_parameter")
    check_sampling(body, body.get("reasoning_effort"))


def _usual(model: str) -> str:
    """The models 5.1 to 5.4 do without reasoning unless they are told."""
    return "none" if re.match(r"gpt-5\.[1-4]", model) else "medium"


def check_sampling(body: Json, effort: str | None) -> None:
    """Refuse sampling by a model that reasons (guide "Latest model", on the compatibility of parameters)."""
    model = body.get("model") or ""
    if not REASONING_MODEL.fullmatch(model) or (effort or _usual(model)) == "none":
        return
    for name in _NOT_REASONING:
        if body.get(name) not in (None, 0 if name.endswith("penalty") else 1):
            message = f"Unsupported value: '{name}' does not support {body[name]} with this model. Only the default value is supported."
            raise Refused((name,), message, code="unsupported_value")


def check_tools(body: Json) -> None:
    """Refuse tools, and what is said about tools where there are none."""
    tools = body.get("tools")
    if tools is not None and not tools:
        raise Refused(("tools",), "empty array. Expected an array with minimum length 1", "value")
    if not tools:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) not in (None, "none", "auto"):
                raise Refused((name,), f"'{name}' is only allowed when 'tools' are specified.")
        return
    names = [check_tool(tool, ("tools", number)) for number, tool in enumerate(tools)]
    unique(names, ("tools",), "the names of tools")
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice["type"] in ("function", "custom") and choice[choice["type"]]["name"] not in names:
        raise Refused(("tool_choice",), f"tool {choice[choice['type']]['name']!r} not found in 'tools'", "value")


def check_tool(tool: Json, path: Path) -> str:
    """Refuse a tool of Chat Completions, and return its name."""
    kind = tool["type"]
    said = tool[kind]
    fits(said["name"], TOOL_NAME, (*path, kind, "name"))
    if kind == "function":
        check_openai_parameters(said["name"], said.get("parameters") or {}, said.get("strict") is True, (*path, kind, "parameters"))
    return str(said["name"])


def check_metadata(body: Json) -> None:
    """Refuse metadata with more than 16 members, or with too long names or values."""
    metadata = body.get("metadata") or {}
    if len(metadata) > 16:
        raise Refused(("metadata",), "too many properties. Expected an object with at most 16 properties", "value")
    for name, value in metadata.items():
        if len(name) > 64 or len(value) > 512:
            raise Refused(("metadata", name), "string too long", "value")


def _check_format(body: Json) -> None:
    said = body.get("response_format") or {}
    path: Path = ("response_format", "json_schema")
    if said.get("type") == "json_schema":
        schema = said["json_schema"]
        fits(schema["name"], TOOL_NAME, (*path, "name"))
        if schema.get("strict"):
            check_openai_strict(f"response_format {schema['name']!r}", schema.get("schema") or {}, (*path, "schema"))
    if said.get("type") == "json_object" and "json" not in str(body["messages"]).lower():
        message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        raise Refused(("messages",), message)


def _check_dialogue(messages: list[Json]) -> None:
    """Each call has its answer directly behind it, and each answer its call."""
    open_ids: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_ids:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise Refused(("messages", number, "role"), f"Invalid parameter: {text}")
            open_ids.remove(message["tool_call_id"])
            continue
        _none_open(open_ids, number)
        open_ids = [call["id"] for call in message.get("tool_calls") or ()]
        unique(open_ids, ("messages", number, "tool_calls"), "the ids of calls")
    _none_open(open_ids, len(messages))


def _none_open(open_ids: list[str], number: int) -> None:
    if open_ids:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
        raise Refused(
            ("messages", number, "role"), f"{text} The following tool_call_ids did not have response messages: {', '.join(open_ids)}"
        )


def _check_content(message: Json, path: Path) -> None:
    content, calls = message.get("content"), message.get("tool_calls")
    if message["role"] == "assistant" and calls is not None:
        if not calls:
            raise Refused((*path, "tool_calls"), "empty array. Expected an array with minimum length 1", "value")
        for number, call in enumerate(calls):
            fits(call["id"], r".{1,40}", (*path, "tool_calls", number, "id"))
            fits(call[call["type"]]["name"], TOOL_NAME, (*path, "tool_calls", number, call["type"], "name"))
    if content is None and not calls and not message.get("refusal") and not message.get("function_call") and not message.get("audio"):
        raise Refused((*path, "content"), "Invalid value for 'content': expected a string, got null.")
    if content == []:
        raise Refused((*path, "content"), "empty array. Expected an array with minimum length 1", "value")
    for number, part in enumerate(content if isinstance(content, list) else ()):
        _check_part(part, (*path, "content", number))


def _check_part(part: Json, path: Path) -> None:
    if part["type"] == "image_url":
        check_image(part["image_url"]["url"], (*path, "image_url", "url"))
    elif part["type"] == "input_audio":
        check_base64(part["input_audio"]["data"], (*path, "input_audio", "data"))
    elif part["type"] == "file" and "file_data" in part["file"]:
        check_file(part["file"], (*path, "file"))


def check_image(url: str, path: Path) -> None:
    """Refuse an image that is neither at an address nor a data URL of a known kind."""
    if url.startswith("data:"):
        kind, _, data = url.removeprefix("data:").partition(";base64,")
        if kind not in ("image/png", "image/jpeg", "image/gif", "image/webp"):
            raise Refused(
                path,
                "You uploaded an unsupported image. Please make sure your image has of one the following formats: png, jpeg, gif, webp.",
            )
        return check_base64(data, path)
    if not re.match(r"https?://", url):
        raise Refused(path, f"expected a valid URL, got {url[:80]!r}", "value")
    return None


def check_file(file: Any, path: Path) -> None:
    """Refuse a file without a name, or whose data is no data URL."""
    data = file["file_data"]
    if not file.get("filename"):
        raise Refused((*path, "filename"), "", "missing")
    found = re.match(r"data:[\w.+-]+/[\w.+-]+;base64,", data)
    if not found:
        raise Refused((*path, "file_data"), "Expected a base64-encoded data URL with a valid file MIME type", "value")
    check_base64(data[found.end() :], (*path, "file_data"))
