"""The conversation of a request: `contents` and `systemInstruction`.

Sources: Gemini API reference, `Content`; guides "Function calling" (all results of one step stand together, right after
their calls) and "Thought signatures".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec.structs import replace

from jackfield.api import BadRequest, Loss
from jackfield.api.canonical import Message, Part, Text, ToolCall, ToolResult
from jackfield.api.canonical.codec import Fields, missing, unknown_value
from jackfield_gemini.generate import carried, signing
from jackfield_gemini.generate.extras import extra, kept
from jackfield_gemini.generate.ids import Pairing
from jackfield_gemini.generate.models import Manners
from jackfield_gemini.generate.names import fields, listed
from jackfield_gemini.generate.parts import decode_part, encode_part
from jackfield_gemini.generate.results import encode_result

_APART: Final = "=apart"
"""The key under which a message keeps that it stood so: after one of the same speaker, or as the model's at the start."""
_ROLES: Final[dict[str, Literal["user", "assistant"]]] = {"user": "user", "model": "assistant", "function": "user", "tool": "user"}
"""Who may speak; `function` was the speaker of results in the API's first version."""
_START: Final = " "
"""What the user is made to say where the model speaks first."""


# ---------------------------------------------------------------------------------------------- reading


def decode_contents(values: list[Any], path: str) -> tuple[Message, ...]:
    """Read all contents. Raises `BadRequest` with the path of what is wrong."""
    if not values:
        raise BadRequest(f"{path!r} must hold at least one content", path, "empty_array")
    pairing, messages, before = Pairing(), list[Message](), "assistant"
    for at, value in enumerate(values):
        message = _decode_plain(value, before) or _decode_content(fields(value, f"{path}[{at}]"), pairing, before)
        before = "assistant" if message.role == "assistant" else "user"
        messages.append(message)
    return tuple(messages)


def _decode_plain(value: Any, before: str) -> Message | None:
    """Read a content that is nothing but a role and words, as most are; None for all others."""
    if type(value) is dict and len(value) == 2:
        said, parts = value.get("role"), value.get("parts")
        role = "user" if said == "user" else "assistant" if said == "model" else ""
        if role and role != before and type(parts) is list and len(parts) == 1:
            part = parts[0]
            if type(part) is dict and len(part) == 1 and type(part.get("text")) is str:
                return Message(role=role, parts=(Text(text=part["text"]),))  # type: ignore[arg-type]
    return None


def _decode_content(found: Fields, pairing: Pairing, before: str) -> Message:
    said = found.text("role")
    role = _ROLES.get(said or "user")
    if role is None:
        raise unknown_value(found.at("role"), said or "", ("user", "model"))
    if said not in ("user", "model"):
        found.rest["=role"] = said or ""
    parts = decode_parts(found, pairing)
    if role == before:
        found.rest[_APART] = True
    results = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
    return Message(role="tool" if results else role, parts=parts, extensions=kept(found.rest))


def decode_parts(found: Fields, pairing: Pairing) -> tuple[Part, ...]:
    """Take the parts of a content."""
    values = listed(found, "parts")
    if values is None:
        raise missing(found.at("parts"))
    path, parts = found.at("parts"), list[Part]()
    for at, value in enumerate(values):
        one = fields(value, f"{path}[{at}]")
        carried.put(parts, carried.take(one.rest))
        parts.append(decode_part(one, pairing))
        carried.join(parts)
    return tuple(parts)


def decode_system(value: Any, path: str) -> Message:
    """Read `systemInstruction`: a content, or a text alone."""
    if isinstance(value, str):
        return Message(role="system", parts=(Text(text=value),), extensions=kept({"=text": True}))
    found = fields(value, path)
    return Message(role="system", parts=decode_parts(found, Pairing()), extensions=kept(found.rest))


# ---------------------------------------------------------------------------------------------- writing


class Contents:
    """The contents of a request while messages are written into them."""

    def __init__(self, manners: Manners, losses: list[Loss]) -> None:
        self._manners, self._losses = manners, losses
        self.wire: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}
        """The functions that were called so far, by the ids of the calls."""

    def add(self, message: Message, path: str) -> None:
        """Write one message, or add it to the one before where the same one speaks."""
        if len(message.parts) == 1 and self._add_plain(message, message.parts[0]):
            return
        rest = dict(extra(message.extensions))
        apart, role = rest.pop(_APART, False), "model" if message.role == "assistant" else "user"
        named = rest.pop("=role", None)
        parts = self._parts(message, path)
        if not parts and message.parts:
            return
        if self.wire and self.wire[-1]["role"] == role and not apart:
            if parts:
                self.wire[-1]["parts"] += parts
                self._order(role)
            return
        if not self.wire and role == "model" and not apart:
            self._losses.append(Loss(path, "invented", "the user must speak first: a blank text stands before"))
            self.wire.append({"role": "user", "parts": [{"text": _START}]})
        content = {"role": role, "parts": parts, **rest}
        if named is not None:
            content["=role"] = named
        self.wire.append(content)

    def _add_plain(self, message: Message, part: Part) -> bool:
        """Write a message that is nothing but words, as most are, where somebody else spoke before; tell whether it is such."""
        if type(part) is not Text or part.extensions or part.citations or part.signature is not None or part.cache is not None:
            return False
        role = "model" if message.role == "assistant" else message.role
        before = self.wire[-1]["role"] if self.wire else "model"
        if message.extensions or role not in ("user", "model") or role == before:
            return False
        self.wire.append({"role": role, "parts": [{"text": part.text}]})
        return True

    def _parts(self, message: Message, path: str) -> list[dict[str, Any]]:
        wire: list[dict[str, Any]] = []
        beside: list[dict[str, Any]] = []
        for at, part in enumerate(message.parts):
            where = f"{path}.parts[{at}]"
            if isinstance(part, ToolResult):
                named = part if part.name is not None else replace(part, name=self._names.get(part.call_id))
                said, media = encode_result(named, where, self._losses, media=self._manners.takes_media_results)
                said["=call"] = part.call_id
                beside += media
                wire.append(said)
                continue
            if message.role in ("system", "developer") and isinstance(part, Text):
                wire.append({"text": f"<system-reminder>\n{part.text}\n</system-reminder>"})
                continue
            made = encode_part(part, where, self._losses, answer=False)
            if made is not None:
                wire.append(made)
                if isinstance(part, ToolCall):
                    made["=call"] = part.id
                    self._names[part.id] = part.name
        return [*wire, *beside]

    def _order(self, role: str) -> None:
        """Put results into the order of their calls, and before other parts, where a content came from several messages."""
        if role != "user" or len(self.wire) < 2:
            return
        places = {part.get("=call"): at for at, part in enumerate(self.wire[-2]["parts"]) if "functionCall" in part}
        last = len(places)

        def place(part: dict[str, Any]) -> int:
            return places.get(part.get("=call"), last) if "functionResponse" in part else last + 1

        self.wire[-1]["parts"].sort(key=place)

    def finished(self) -> list[dict[str, Any]]:
        """Return the contents, signatures put in where the model wants one."""
        for at, content in enumerate(self.wire):
            if content["role"] == "model" and self._manners.wants_signatures:
                self._sign(content, at)
            for part in content["parts"]:
                part.pop("=call", None)
            if "=role" in content:
                named = content.pop("=role")
                content["role"] = named
                if not named:
                    del content["role"]
        return self.wire

    def _sign(self, content: dict[str, Any], at: int) -> None:
        call = next((part for part in content["parts"] if "functionCall" in part), None)
        if call is not None and signing.KEY not in call:
            call[signing.KEY] = signing.PLACEHOLDER
            why = "this model wants a signature on the first call of a step: a placeholder stands there"
            self._losses.append(Loss(f"contents[{at}].thoughtSignature", "invented", why))


def encode_messages(
    messages: Sequence[Message], manners: Manners, losses: list[Loss]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Write all messages: the system's text, and the contents."""
    leading = next((at for at, message in enumerate(messages) if message.role not in ("system", "developer")), len(messages))
    contents = Contents(manners, losses)
    if leading == len(messages) and messages:
        losses.append(Loss("messages", "changed", "there must be something besides the system's text: it is said by the user"))
        for at, message in enumerate(messages):
            parts = tuple(part for part in message.parts if isinstance(part, Text))
            contents.add(Message(role="user", parts=parts), f"messages[{at}]")
        return None, contents.finished()
    for at, message in enumerate(messages[leading:], leading):
        if message.role in ("system", "developer"):
            losses.append(
                Loss(f"messages[{at}]", "changed", "the system speaks at the start alone: the user says it, marked as a reminder")
            )
        contents.add(message, f"messages[{at}]")
    return _encode_system(messages[:leading], losses), contents.finished()


def _encode_system(messages: Sequence[Message], losses: list[Loss]) -> dict[str, Any] | None:
    if not messages:
        return None
    parts: list[dict[str, Any]] = []
    rest: dict[str, Any] = {}
    for at, message in enumerate(messages):
        rest = {**rest, **extra(message.extensions)}
        for place, part in enumerate(message.parts):
            made = encode_part(part, f"messages[{at}].parts[{place}]", losses, answer=False)
            if made is not None:
                parts.append(made)
    rest.pop("=text", None)
    return {"parts": parts, **rest}
