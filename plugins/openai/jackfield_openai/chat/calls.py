"""Tool calls in assistant messages, of requests and of answers.

Source: OpenAI's API reference, "Create chat completion" (`tool_calls` of the types function and custom, and the older
`function_call`); Google's guide "OpenAI compatibility" for the thought signature in `extra_content.google`.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest
from jackfield.api.canonical import Signature, ToolCall, read_signature
from jackfield.api.canonical.codec import Fields, overlay, to_json, wrong_type
from jackfield_openai.chat.content import Losses, lost
from jackfield_openai.chat.extras import extra, kept
from jackfield_openai.chat.signing import is_tagged, tagged

OLD_FORM: Final = "=function_call"
"""The key under which a call keeps that it had the older form, `function_call`, which has no id."""


def made_id(*seed: object) -> str:
    """Return an id for a call that has none: the same one for the same place."""
    return "call_" + hashlib.sha256("\x00".join(map(str, seed)).encode(errors="replace")).hexdigest()[:24]


# ---------------------------------------------------------------------------------------------- reading


def decode_calls(values: list[Any], path: str, seed: str) -> list[ToolCall]:
    """Read `tool_calls`. A call with an empty id gets one made from `seed`. Raises `BadRequest`."""
    return [decode_call(Fields(value, f"{path}[{at}]"), f"{seed}:{at}") for at, value in enumerate(values)]


def decode_call(fields: Fields, seed: str) -> ToolCall:
    """Read one call."""
    call_id = fields.needed_text("id")
    type_ = fields.text("type")
    custom = type_ == "custom"
    inner = fields.inner("custom" if custom else "function")
    name = inner.needed_text("name")
    arguments = _arguments(inner, "input" if custom else "arguments")
    rest = fields.rest
    if type_ != ("custom" if custom else "function"):
        rest["type"] = type_ or ""
    if not call_id:
        rest["id"] = ""
    if inner.rest:
        rest["custom" if custom else "function"] = inner.rest
    return ToolCall(
        id=call_id or made_id(seed, name),
        name=name,
        arguments=arguments,
        kind="custom" if custom else "function",
        signature=take_signature(rest),
        extensions=kept(rest),
    )


def _arguments(inner: Fields, key: str) -> str:
    value = inner.take(key)
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner.rest[key] = {}
        return to_json(value).decode()
    if value is None:
        inner.rest[key] = None
        return ""
    raise wrong_type(inner.at(key), "a text", value)


def take_signature(rest: dict[str, Any]) -> Signature | None:
    """Take a thought signature out of a call's members; that it stood there remains, unless another dialect's upstream gave it."""
    content = rest.get("extra_content")
    value = _google(content).get("thought_signature")
    if not isinstance(content, dict) or not isinstance(value, str) or not value:
        return None
    signature, _ = read_signature(value, "gemini")
    if not is_tagged(value):
        rest["extra_content"] = {**content, "google": {**_google(content), "thought_signature": ""}}
    elif content == {"google": {"thought_signature": value}}:
        del rest["extra_content"]
    else:
        google = {key: item for key, item in _google(content).items() if key != "thought_signature"}
        rest["extra_content"] = {**content, "google": google}
    return signature


def decode_function_call(fields: Fields, seed: str) -> ToolCall:
    """Read a call of the older form."""
    name = fields.needed_text("name")
    arguments = _arguments(fields, "arguments")
    return ToolCall(id=made_id(seed, name), name=name, arguments=arguments, extensions=kept({OLD_FORM: fields.rest}))


# ---------------------------------------------------------------------------------------------- writing


def write_calls(wire: dict[str, Any], calls: list[tuple[ToolCall, str]], losses: Losses, *, answer: bool) -> None:
    """Write calls into an assistant message; each comes with its path for `losses`.

    `answer` tells that a client reads it, which may keep a signature for its next request.
    """
    new = []
    for call, path in calls:
        if OLD_FORM in extra(call.extensions):
            wire["function_call"] = {**extra(call.extensions)[OLD_FORM], "name": call.name, "arguments": call.arguments}
        else:
            new.append(encode_call(call, path, losses, answer=answer))
    if new:
        wire["tool_calls"] = new


def encode_call(call: ToolCall, path: str, losses: Losses, *, answer: bool) -> dict[str, Any]:
    """Write one call."""
    rest = dict(extra(call.extensions))
    if call.namespace is not None:
        lost(losses, f"{path}.namespace", "chat completions have no namespaces of tools")
    if call.cache is not None:
        lost(losses, f"{path}.cache", "chat completions have no cache markers on calls")
    place, key = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
    inner: dict[str, Any] = {"name": call.name, key: call.arguments}
    if isinstance(rest.get(place), dict) and key in rest[place]:
        form = rest[place][key]
        rest[place] = {name: value for name, value in rest[place].items() if name != key}
        if form == {}:
            inner[key] = _as_object(call.arguments)
        elif not call.arguments:
            del inner[key]
    wire: dict[str, Any] = {"id": call.id, "type": call.kind, place: inner}
    if rest.get("type") == "":
        del rest["type"], wire["type"]
    write_signature(wire, rest, call.signature, path, losses, answer=answer)
    return overlay(wire, rest)


def _as_object(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments, type=dict[str, Any])
    except (ValueError, RecursionError):
        return arguments


def write_signature(
    wire: dict[str, Any], rest: dict[str, Any], signature: Signature | None, path: str, losses: Losses, *, answer: bool
) -> None:
    """Write a call's signature where Google puts it: if it stood there, or, tagged, for a client that may send it back."""
    content = rest.pop("extra_content", None)
    if signature is None:
        if content is not None and _google(content).get("thought_signature") != "":
            wire["extra_content"] = content
        return
    stood = _google(content).get("thought_signature") == "" and signature.family == "gemini"
    if not (answer or stood):
        lost(losses, f"{path}.signature", f"a signature of the family {signature.family} has no place in chat completions")
        if content is not None:
            wire["extra_content"] = content
        return
    value = signature.value if stood else tagged(signature)
    wire["extra_content"] = {**(content or {}), "google": {**_google(content), "thought_signature": value}}


def _google(content: Any) -> dict[str, Any]:
    inner = content.get("google") if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else {}


def lenient_calls(values: Any, seed: str) -> list[ToolCall] | None:
    """Read `tool_calls` of an upstream's answer; None where they have a form that cannot be understood."""
    try:
        return decode_calls([{**value, "id": value.get("id") or ""} for value in values], "tool_calls", seed)
    except (BadRequest, TypeError, AttributeError):
        return None
