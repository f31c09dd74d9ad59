"""What was said before: a request's `instructions` and `input`.

Source: OpenAI's API reference, "Create a response". Items on the model's side that stand in a row become one message, and so do
results of tools in a row. `instructions` become the first system message. Items that hold tools become tools of the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from jackfield.api import BadRequest, Loss
from jackfield.api.canonical import Message, Opaque, Part, Text, Tool, ToolResult
from jackfield.api.canonical.codec import Fields, Memo, load, missing, overlay, to_json, unknown_value, wrong_type
from jackfield_openai.responses import calls
from jackfield_openai.responses.content import encode_content, is_bare, take_content
from jackfield_openai.responses.extras import Losses, below, extra, kept, lost, replay
from jackfield_openai.responses.items import SHORT, decode_item, encode_items, opaque, take_carried
from jackfield_openai.responses.tools import ADDED, decode_tool_list, encode_tool_list

SPEAKERS: Final = ("user", "assistant", "system", "developer")

_PLAIN: Final = ("user", "assistant", "developer")

PLACED: Final = "=input"
"""The key under which a first system message keeps that it stood among the items, not as `instructions`."""

ADDITIONAL: Final = "=additional_tools"
"""The key under which a request keeps where items with tools stood, and what they said besides."""

_TOOLS: Final = "additional_tools"
_CONFIGURED: Final = "configuration_update"

_CALLERS: Final = frozenset(
    {
        "computer_call_output", "local_shell_call_output", "shell_call_output", "apply_patch_call_output", "mcp_approval_response",
        "program_output", _CONFIGURED, "compaction_trigger",
    }
)  # fmt: skip
"""Item types on the caller's side that are kept as they are."""


class _Read(NamedTuple):
    """What an item says that hangs on nothing before it: a message, or parts of a turn."""

    role: Literal["assistant", "tool", ""]
    parts: tuple[Part, ...]
    message: Message | None


class _Item(NamedTuple):
    """An item as it is written, and what the items around it must know of it."""

    raw: bytes
    thinks: bool
    models: bool
    """It is on the model's side."""


_read: Final = Memo[_Read]()
_signed: Final = Memo[tuple[Part, Part]]()
"""Parts with the signature that an item after them carried, by the identity of the part without it, which is held too."""
_turns: Final = Memo[Message]()
_instructions: Final = Memo[Message]()
_written: Final = Memo[tuple[Message, tuple[_Item, ...], tuple[Loss, ...]]]()


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
        self._size: int | None = 0
        """From how many bytes the parts were read; None if one of them will not be recalled."""

    def instruct(self, text: str) -> None:
        """Begin with instructions."""
        known = _instructions.get(text)
        self.messages.append(known or _instructions.put(text, Message(role="system", parts=(Text(text=text),)), len(text)))

    def read(self, items: Sequence[msgspec.Raw]) -> None:
        """Read all items, or recall them: a conversation repeats its past. Raises `BadRequest` with the path of what is wrong."""
        raws = list(map(bytes, items))
        for at, known in enumerate(_read.all(raws)):
            said = known if known is not None else self._read(raws[at], at)
            if said is None:
                continue
            if said.message is None:
                self._add(said.role, said.parts, len(raws[at]))
            else:
                self.flush()
                self.messages.append(said.message)
        self.flush()

    def _read(self, raw: bytes, at: int) -> _Read | None:
        """Return what an item says; None for one that hangs on those before it, or says more: it has been seen to."""
        first = not self.messages and not self._parts
        known = _read.get((raw, first))
        if known is not None:
            return known
        value = load(raw)
        said = _read_plain(value) or self._read_item(value, at, first=first)
        if said is None:
            return None
        placed = said.message is not None and said.message.role == "system"
        return _read.put((raw, first) if placed else raw, said, len(raw))

    def _read_item(self, value: Any, at: int, *, first: bool) -> _Read | None:
        path = f"input[{at}]"
        fields = Fields(value, path)
        type_, role = fields.rest.get("type"), fields.rest.get("role")
        if type_ is None and "role" not in fields.rest:
            if isinstance(fields.rest.get("id"), str):
                return _parts("assistant", [opaque(value, "item_reference")])
            raise missing(fields.at("type"))
        if not isinstance(type_, str | None):
            raise wrong_type(fields.at("type"), "a text", type_)
        if type_ in (None, "message"):
            return _message(fields, value, role, first=first)
        if type_ in calls.OUTPUTS:
            return _parts("tool", [calls.decode_output(fields, calls.OUTPUTS[type_])])
        if type_ == _TOOLS:
            self._take_tools(fields, at)
        elif type_ == _CONFIGURED:
            self._configure(value)
        elif type_ in _CALLERS:
            return _parts("tool", [opaque(value, type_)])
        elif not self._carry(value):
            return _parts("assistant", decode_item(value, path, answer=False))
        return None

    def _carry(self, value: Any) -> bool:
        """Give the part before it the signature that an item carries for it, or recall that part; tell whether the item was such."""
        before = self._parts[-1] if self._parts else None
        if not take_carried(self._parts, value):
            return False
        if before is not None and self._parts[-1] is not before:
            key, size = (id(before), value["encrypted_content"]), len(value["encrypted_content"])
            known = _signed.get(key) or _signed.put(key, (before, self._parts[-1]), size)
            self._parts[-1] = known[1]
            self._size = None if self._size is None else self._size + size
        return True

    def _add(self, role: Literal["assistant", "tool", ""], parts: Sequence[Part], size: int | None) -> None:
        if self._role != role:
            self.flush()
        self._role = role
        self._parts += parts
        self._size = None if size is None or self._size is None else self._size + size

    def flush(self) -> None:
        """End the turn that is being read."""
        if self._parts:
            self.messages.append(self._turn())
        self._role, self._parts, self._size = "", [], 0

    def _turn(self) -> Message:
        """Return the message of a turn. One of parts that were read before is recalled by their identity: it holds them."""
        if self._size is None:
            return self._said()
        key = self._role, tuple(map(id, self._parts))
        known = _turns.get(key)
        return known if known is not None else _turns.put(key, self._said(), self._size)

    def _said(self) -> Message:
        role: Any = self._role or "assistant"
        if role == "tool" and not any(isinstance(part, ToolResult) for part in self._parts):
            role = "user"  # what no tool gave is the caller's
        return Message(role=role, parts=tuple(self._parts))

    def _configure(self, value: Any) -> None:
        self._add("tool", [opaque(value, _CONFIGURED)], None)
        said = value.get("reasoning")
        if isinstance(said, dict) and isinstance(said.get("effort"), str):
            self.effort = said["effort"]

    def _take_tools(self, fields: Fields, at: int) -> None:
        tools = fields.items("tools") or []
        del fields.rest["type"]
        self.tools += decode_tool_list(tools, fields.at("tools"), {ADDED: len(self.additional)})
        self.additional.append([at, fields.rest])


def _parts(role: Literal["assistant", "tool"], parts: Sequence[Part]) -> _Read:
    return _Read(role, tuple(parts), None)


def _whole(message: Message) -> _Read:
    return _Read("", (), message)


def _message(fields: Fields, value: Any, role: Any, *, first: bool) -> _Read:
    """Read a message; how the system's is written hangs on whether it is the first."""
    if not isinstance(role, str):
        raise missing(fields.at("role")) if role is None else wrong_type(fields.at("role"), "a text", role)
    if role not in SPEAKERS:
        raise unknown_value(fields.at("role"), role, SPEAKERS)
    if fields.rest.get("content") is None:
        raise missing(fields.at("content"))
    if role == "assistant":
        return _parts("assistant", decode_item(value, fields.path, answer=False))
    del fields.rest["role"]
    parts = take_content(fields, "content", "input_text")
    if role == "system" and first:
        fields.rest[PLACED] = True
    return _whole(Message(role=role, parts=parts, id=fields.text("id"), extensions=kept(fields.rest)))  # type: ignore[arg-type]


def _read_plain(value: Any) -> _Read | None:
    """Read a message that is nothing but a role and words, as most are; None for all others."""
    if type(value) is dict and len(value) == 2:
        role, words = value.get("role"), value.get("content")
        if type(words) is str and words and role in _PLAIN:
            if role == "assistant":
                return _parts("assistant", (Text(text=words, extensions=SHORT),))
            return _whole(Message(role=role, parts=(Text(text=words),)))
    return None


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
    items: list[_Item] = []
    for at, message in enumerate(messages[begun:], begun):
        items += _items(message, f"messages[{at}]", losses, own=own)
    items = _anchored(items, losses)
    _restore_tools(items, tools, rest.pop(ADDITIONAL, ()), losses)
    if items or form == [] or not any(rest.get(key) for key in ("prompt", "conversation")):
        body["input"] = msgspec.Raw(b"[%b]" % b",".join([item.raw for item in items]))


def _items(message: Message, path: str, losses: Losses, *, own: bool) -> tuple[_Item, ...]:
    """Write the items of a message, or recall them: it is known by its identity, and remembered with them."""
    known = _written.get((id(message), own))
    if known is not None:
        if known[2]:
            replay(losses, known[2], path)
        return known[1]
    before, plain = len(losses), _encode_plain(message, own=own)
    wire = [plain] if plain is not None else encode_message(message, path, losses, own=own)
    items, noted = tuple(map(_item, wire)), below(losses, before, path)
    if noted is not None:
        _written.put((id(message), own), (message, items, noted), sum([len(item.raw) for item in items]))
    return items


def _item(wire: dict[str, Any]) -> _Item:
    return _Item(to_json(wire), wire.get("type") == "reasoning", _is_models(wire))


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


def _anchored(items: list[_Item], losses: Losses) -> list[_Item]:
    """Leave out thoughts that nothing of the same turn follows: OpenAI refuses an item of reasoning without the item it led to."""
    kept_items: list[_Item] = []
    follows = False
    for item in reversed(items):
        if item.thinks and not follows:
            lost(losses, "input", "thoughts that led to nothing cannot be sent back: OpenAI refuses them alone")
            continue
        follows = follows if item.thinks else item.models
        kept_items.append(item)
    return kept_items[::-1]


def _is_models(item: dict[str, Any]) -> bool:
    type_ = str(item.get("type") or "message")
    if type_ == "message":
        return item.get("role") == "assistant"
    return not (type_ in calls.OUTPUTS or type_ in _CALLERS or type_ == _TOOLS)


def _restore_tools(items: list[_Item], tools: Sequence[Tool], places: Any, losses: Losses) -> None:
    """Put items with tools back to where they stood."""
    for number, (at, said) in enumerate(places):
        listed = [(tool, f"tools[{place}]") for place, tool in enumerate(tools) if extra(tool.extensions).get(ADDED) == number]
        if listed:
            items.insert(at, _item({"type": _TOOLS, **said, "tools": encode_tool_list(listed, losses, fit=False)}))
