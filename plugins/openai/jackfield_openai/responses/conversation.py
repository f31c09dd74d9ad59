"""What was said before: a request's `instructions` and `input`.

Source: OpenAI's API reference, "Create a response". Items on the model's side that stand in a row become one message, and so do
results of tools in a row. `instructions` become the first system message. Items that hold tools become tools of the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from jackfield.api import BadRequest
from jackfield.api.canonical import Message, Opaque, Part, Text, Tool, ToolResult
from jackfield.api.canonical.codec import Fields, missing, overlay, unknown_value, wrong_type
from jackfield_openai.responses import calls
from jackfield_openai.responses.content import encode_content, is_bare, take_content
from jackfield_openai.responses.extras import Losses, extra, kept, lost
from jackfield_openai.responses.items import SHORT, decode_item, encode_items, opaque, take_carried
from jackfield_openai.responses.tools import ADDED, decode_tool_list, encode_tool_list

SPEAKERS: Final = ("user", "assistant", "system", "developer")

_PLAIN: Final = ("user", "assistant", "developer")

PLACED: Final = "=input"
"""The key under which a first system message keeps that it stood among the items, not as `instructions`."""

ADDITIONAL: Final = "=additional_tools"
"""The key under which a request keeps where items with tools stood, and what they said besides."""

_TOOLS: Final = "additional_tools"

_CALLERS: Final = frozenset(
    {
        "computer_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output", "mcp_approval_response",
        "program_output", "configuration_update", "compaction_trigger",
    }
)  # fmt: skip
"""Item types on the caller's side that are kept as they are."""


# ---------------------------------------------------------------------------------------------- reading


class Conversation:
    """The messages of a request, while its items are read."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tools: list[Tool] = []
        self.additional: list[list[Any]] = []
        """Where items with tools stood, and what they said besides."""
        self.effort: str | None = None
        """How much to think from here on, by the last item that said so."""
        self._role: Literal["assistant", "tool", ""] = ""
        self._parts: list[Part] = []

    def instruct(self, text: str) -> None:
        """Begin with instructions."""
        self.messages.append(Message(role="system", parts=(Text(text=text),)))

    def read(self, items: list[Any]) -> None:
        """Read all items. Raises `BadRequest` with the path of what is wrong."""
        for at, value in enumerate(items):
            self._read(value, at)
        self.flush()

    def _read(self, value: Any, at: int) -> None:
        if not self._read_plain(value):
            self._read_item(value, at)

    def _read_plain(self, value: Any) -> bool:
        """Read a message that is nothing but a role and words, as most are; False for all others."""
        if type(value) is not dict or len(value) != 2:
            return False
        role, words = value.get("role"), value.get("content")
        if type(words) is not str or not words or (role not in _PLAIN and not (role == "system" and self.messages)):
            return False
        if role == "assistant":
            self._add("assistant", (Text(text=words, extensions=SHORT),))
        else:
            self.flush()
            self.messages.append(Message(role=role, parts=(Text(text=words),)))
        return True

    def _read_item(self, value: Any, at: int) -> None:
        path = f"input[{at}]"
        fields = Fields(value, path)
        type_, role = fields.rest.get("type"), fields.rest.get("role")
        if type_ is None and "role" not in fields.rest:
            if isinstance(fields.rest.get("id"), str):
                self._add("assistant", [opaque(value, "item_reference")])
                return
            raise missing(fields.at("type"))
        if not isinstance(type_, str | None):
            raise wrong_type(fields.at("type"), "a text", type_)
        if type_ in (None, "message"):
            self._message(fields, value, role)
        elif type_ in calls.OUTPUTS:
            self._add("tool", [calls.decode_output(fields, calls.OUTPUTS[type_])])
        elif type_ == _TOOLS:
            self._take_tools(fields, at)
        elif type_ in _CALLERS:
            self._note(type_, fields)
            self._add("tool", [opaque(value, type_)])
        elif not take_carried(self._parts, value):
            self._add("assistant", decode_item(value, path, answer=False))

    def _add(self, role: Literal["assistant", "tool"], parts: Sequence[Part]) -> None:
        if self._role != role:
            self.flush()
        self._role = role
        self._parts += parts

    def flush(self) -> None:
        """End the turn that is being read."""
        if self._parts:
            role = self._role or "assistant"
            if role == "tool" and not any(isinstance(part, ToolResult) for part in self._parts):
                role = "user"  # type: ignore[assignment]  # what no tool gave is the caller's
            self.messages.append(Message(role=role, parts=tuple(self._parts)))
        self._role, self._parts = "", []

    def _message(self, fields: Fields, value: Any, role: Any) -> None:
        if not isinstance(role, str):
            raise missing(fields.at("role")) if role is None else wrong_type(fields.at("role"), "a text", role)
        if role not in SPEAKERS:
            raise unknown_value(fields.at("role"), role, SPEAKERS)
        if fields.rest.get("content") is None:
            raise missing(fields.at("content"))
        if role == "assistant":
            self._add("assistant", decode_item(value, fields.path, answer=False))
            return
        self.flush()
        del fields.rest["role"]
        parts = take_content(fields, "content", "input_text")
        if role == "system" and not self.messages:
            fields.rest[PLACED] = True
        self.messages.append(Message(role=role, parts=parts, id=fields.text("id"), extensions=kept(fields.rest)))  # type: ignore[arg-type]

    def _take_tools(self, fields: Fields, at: int) -> None:
        tools = fields.items("tools") or []
        del fields.rest["type"]
        self.tools += decode_tool_list(tools, fields.at("tools"), {ADDED: len(self.additional)})
        self.additional.append([at, fields.rest])

    def _note(self, type_: str, fields: Fields) -> None:
        said = fields.rest.get("reasoning")
        if type_ == "configuration_update" and isinstance(said, dict) and isinstance(said.get("effort"), str):
            self.effort = said["effort"]


def decode_input(fields: Fields) -> Conversation:
    """Take `instructions` and `input`. Raises `BadRequest` with the path of what is wrong."""
    found, value = Conversation(), fields.rest.get("input")
    instructions = fields.rest.get("instructions")
    if isinstance(instructions, str):
        if instructions:
            del fields.rest["instructions"]
            found.instruct(instructions)
        else:
            fields.rest["instructions"] = ""
    elif instructions is not None:
        raise wrong_type("instructions", "a text", instructions)
    if isinstance(value, str):
        fields.rest["input"] = ""
        found.messages.append(Message(role="user", parts=(Text(text=value),) if value else ()))
    elif isinstance(value, list):
        del fields.rest["input"]
        found.read(value)
        if not value:
            fields.rest["input"] = []
    elif value is not None:
        raise wrong_type("input", "a text or a list of items", value)
    elif not any(fields.rest.get(key) for key in ("previous_response_id", "prompt", "conversation")):
        raise BadRequest("'input' is missing", "input", "missing_required_parameter")
    if found.additional:
        fields.rest[ADDITIONAL] = found.additional
    return found


# ---------------------------------------------------------------------------------------------- writing


def write_input(
    body: dict[str, Any], messages: Sequence[Message], tools: Sequence[Tool], rest: dict[str, Any], losses: Losses, *, own: bool
) -> None:
    """Write `instructions` and `input`; what is used of `rest` is taken out of it."""
    form, begun = rest.pop("input", None), 0
    if messages and _instructs(messages[0]):
        body["instructions"] = "\n\n".join(part.text for part in messages[0].parts if isinstance(part, Text))
        _note_caches(messages[0], losses)
        begun = 1
    if form == "" and len(messages) == begun + 1 and _is_plain(messages[begun]):
        body["input"] = messages[begun].text
        return
    wire: list[dict[str, Any]] = []
    for at, message in enumerate(messages[begun:], begun):
        plain = _encode_plain(message, own=own)
        if plain is not None:
            wire.append(plain)
        else:
            wire += encode_message(message, f"messages[{at}]", losses, own=own)
    wire = _anchored(wire, losses)
    _restore_tools(wire, tools, rest.pop(ADDITIONAL, ()), losses)
    if wire or form == [] or not any(rest.get(key) for key in ("prompt", "conversation")):
        body["input"] = wire


def _instructs(message: Message) -> bool:
    """Tell whether a first message can stand as `instructions`."""
    said = extra(message.extensions)
    return message.role == "system" and PLACED not in said and bool(message.parts) and all(isinstance(p, Text) for p in message.parts)


def _note_caches(message: Message, losses: Losses) -> None:
    for at, part in enumerate(message.parts):
        if isinstance(part, Text) and part.cache is not None:
            lost(
                losses,
                f"messages[0].parts[{at}].cache",
                "cache markers of other dialects are not written: OpenAI caches without being asked",
            )


def _is_plain(message: Message) -> bool:
    return message.role == "user" and len(message.parts) <= 1 and all(map(is_bare, message.parts)) and not message.extensions


def _encode_plain(message: Message, *, own: bool) -> dict[str, Any] | None:
    """Write a message that is nothing but a role and words; None for all others."""
    parts, role = message.parts, message.role
    if len(parts) != 1 or role == "tool" or message.extensions or message.name is not None or message.id is not None:
        return None
    part = parts[0]
    if type(part) is not Text or part.citations or part.cache is not None or part.signature is not None:
        return None
    if role == "assistant":
        if part.extensions:
            return {"role": role, "content": part.text} if part.extensions == SHORT else None
        return {"type": "message", "role": role, "content": part.text}
    if part.extensions:
        return None
    return {"role": role, "content": part.text} if own else {"type": "message", "role": role, "content": part.text}


def encode_message(message: Message, path: str, losses: Losses, *, own: bool) -> list[dict[str, Any]]:
    """Write the items of one message: results of tools first, as they must follow their calls."""
    placed = [(part, f"{path}.parts[{at}]") for at, part in enumerate(message.parts)]
    if message.name is not None:
        lost(losses, f"{path}.name", "messages of Responses do not name their speaker")
    if message.role == "assistant":
        return encode_items(placed, losses, answer=False)
    wire: list[dict[str, Any]] = []
    others = []
    for part, where in placed:
        if isinstance(part, ToolResult):
            wire.append(calls.encode_output(part, where, losses))
        elif isinstance(part, Opaque) and part.kind in _CALLERS:
            wire += encode_items([(part, where)], losses, answer=False)
        else:
            others.append((part, where))
    rest = {key: item for key, item in extra(message.extensions).items() if key != PLACED}
    form = rest.pop("content", None)
    if others or (not placed and (form is not None or message.id is not None or not wire)):
        content = encode_content(others, form, "input_text", losses)
        if content or not others:
            wire.append(_frame(message, content, rest, own=own))
    return wire


def _frame(message: Message, content: Any, rest: dict[str, Any], *, own: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {"id": message.id} if message.id is not None and own else {}
    if not own:
        wire["type"] = "message"
    wire["role"] = "user" if message.role == "tool" else message.role
    wire["content"] = content
    return overlay(wire, rest)


def _anchored(items: list[dict[str, Any]], losses: Losses) -> list[dict[str, Any]]:
    """Leave out thoughts that nothing of the same turn follows: OpenAI refuses an item of reasoning without the item it led to."""
    kept_items: list[dict[str, Any]] = []
    follows = False
    for item in reversed(items):
        type_ = item.get("type")
        if type_ == "reasoning" and not follows:
            lost(losses, "input", "thoughts that led to nothing cannot be sent back: OpenAI refuses them alone")
            continue
        follows = follows if type_ == "reasoning" else _is_models(item)
        kept_items.append(item)
    return kept_items[::-1]


def _is_models(item: dict[str, Any]) -> bool:
    type_ = str(item.get("type") or "message")
    if type_ == "message":
        return item.get("role") == "assistant"
    return not (type_ in calls.OUTPUTS or type_ in _CALLERS or type_ == _TOOLS)


def _restore_tools(wire: list[dict[str, Any]], tools: Sequence[Tool], places: Any, losses: Losses) -> None:
    """Put items with tools back to where they stood."""
    for number, (at, said) in enumerate(places):
        listed = [(tool, f"tools[{place}]") for place, tool in enumerate(tools) if extra(tool.extensions).get(ADDED) == number]
        if listed:
            wire.insert(at, {"type": _TOOLS, **said, "tools": encode_tool_list(listed, losses, fit=False)})
