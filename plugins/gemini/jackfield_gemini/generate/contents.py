"""The conversation of a request: `contents` and `systemInstruction`.

Sources: Gemini API reference, `Content`; guides "Function calling" (all results of one step stand together, right after
their calls) and "Thought signatures".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from jackfield.api import BadRequest, Loss
from jackfield.api.canonical import Message, Part, Text, ToolCall, ToolResult
from jackfield.api.canonical.codec import Fields, Memo, load, missing, to_json, unknown_value
from jackfield_gemini.generate import carried, pieces
from jackfield_gemini.generate.extras import extra, kept
from jackfield_gemini.generate.ids import Pairing
from jackfield_gemini.generate.losses import below, replay
from jackfield_gemini.generate.models import Manners
from jackfield_gemini.generate.names import fields, listed
from jackfield_gemini.generate.parts import decode_part, encode_part
from jackfield_gemini.generate.pieces import Content, Piece, Said
from jackfield_gemini.generate.results import encode_result

_APART: Final = "=apart"
"""The key under which a message keeps that it stood so: after one of the same speaker, or as the model's at the start."""
_ROLES: Final[dict[str, Literal["user", "assistant"]]] = {"user": "user", "model": "assistant", "function": "user", "tool": "user"}
"""Who may speak; `function` was the speaker of results in the API's first version."""
_START: Final = " "
"""What the user is made to say where the model speaks first."""
_MOST_WAITING: Final = 16
"""How many calls may wait for their result where a content is remembered with them."""
_read: Final = Memo[Message]()
_read_placed: Final = Memo[tuple[Message, tuple[tuple[str, str], ...]]]()
_written: Final = Memo[Said]()


# ---------------------------------------------------------------------------------------------- reading


def decode_contents(values: list[Any], path: str) -> tuple[Message, ...]:
    """Read all contents. Raises `BadRequest` with the path of what is wrong.

    One that is a `msgspec.Raw` is recalled if it came before: a conversation repeats its past at each turn.
    """
    if not values:
        raise BadRequest(f"{path!r} must hold at least one content", path, "empty_array")
    pairing, messages, before = Pairing(), list[Message](), "assistant"
    for at, value in enumerate(values):
        if type(value) is msgspec.Raw:
            message = _recalled(bytes(value), f"{path}[{at}]", pairing, before)
        else:
            message = _decode(value, f"{path}[{at}]", pairing, before)
        before = "assistant" if message.role == "assistant" else "user"
        messages.append(message)
    return tuple(messages)


def _recalled(raw: bytes, path: str, pairing: Pairing, before: str) -> Message:
    """Read a content, or recall what it said. What calls and results are called hangs on their place and on those before them."""
    known = _read.get((raw, before))
    if known is not None:
        return known
    state = pairing.state()
    placed = _read_placed.get((raw, before, path, state))
    if placed is not None:
        pairing.resume(placed[1])
        return placed[0]
    message = _decode(load(raw), path, pairing, before)
    if not any(isinstance(part, ToolCall | ToolResult) for part in message.parts):
        return _read.put((raw, before), message, len(raw))
    if len(state) <= _MOST_WAITING:
        _read_placed.put((raw, before, path, state), (message, pairing.state()), len(raw))
    return message


def _decode(value: Any, path: str, pairing: Pairing, before: str) -> Message:
    return _decode_plain(value, before) or _decode_content(fields(value, path), pairing, before)


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
    """Read `systemInstruction`, a content, or a text alone; or recall it."""
    raw = to_json(value)
    known = _read.get((raw, path))
    return known if known is not None else _read.put((raw, path), _decode_system(value, path), len(raw))


def _decode_system(value: Any, path: str) -> Message:
    if isinstance(value, str):
        return Message(role="system", parts=(Text(text=value),), extensions=kept({"=text": True}))
    found = fields(value, path)
    return Message(role="system", parts=decode_parts(found, Pairing()), extensions=kept(found.rest))


# ---------------------------------------------------------------------------------------------- writing


class Contents:
    """The contents of a request while messages are written into them."""

    def __init__(self, manners: Manners, losses: list[Loss], *, settled: bool) -> None:
        self._manners, self._losses, self._settled = manners, losses, settled
        self._said: list[Content] = []
        self._names: dict[str, str] = {}
        """The functions that were called so far, by the ids of the calls."""

    def add(self, message: Message, path: str) -> None:
        """Write one message, or add it to the one before where the same one speaks."""
        said = self._pieces(message, path)
        if not said and message.parts:
            return
        rest = dict(extra(message.extensions)) if message.extensions else {}
        apart, role = rest.pop(_APART, False), "model" if message.role == "assistant" else "user"
        if self._said and self._said[-1].role == role and not apart:
            if said:
                self._said[-1].pieces += said
                self._order(role)
            return
        if not self._said and role == "model" and not apart:
            self._losses.append(Loss(path, "invented", "the user must speak first: a blank text stands before"))
            self._said.append(Content("user", [pieces.of({"text": _START}, None)], {}))
        self._said.append(Content(role, said, rest))

    def _pieces(self, message: Message, path: str) -> Sequence[Piece]:
        """Write the parts of a message, or recall them."""
        key = (id(message), self._manners.takes_media_results)
        known = _written.get(key)
        if known is not None and (not known.names or all(self._names.get(call) == name for call, name in known.names)):
            if known.calls:
                self._names.update(known.calls)
            if known.losses:
                replay(self._losses, known.losses, path)
            return known.pieces
        unnamed = [part.call_id for part in message.parts if isinstance(part, ToolResult) and part.name is None]
        names = tuple([(call, self._names.get(call)) for call in unnamed])
        before = len(self._losses)
        said = tuple(self._parts(message, path))
        calls = tuple([(part.id, part.name) for part in message.parts if isinstance(part, ToolCall)])
        noted = below(self._losses, before, path)
        if noted is not None and not (calls and names):
            _written.put(key, Said(message, said, calls, names, noted), sum(len(piece.raw) for piece in said))
        return said

    def _parts(self, message: Message, path: str) -> list[Piece]:
        wire: list[Piece] = []
        beside: list[Piece] = []
        for at, part in enumerate(message.parts):
            where = f"{path}.parts[{at}]"
            if isinstance(part, ToolResult):
                named = part if part.name is not None else replace(part, name=self._names.get(part.call_id))
                said, media = encode_result(named, where, self._losses, media=self._manners.takes_media_results)
                beside += [pieces.of(one, None) for one in media]
                wire.append(pieces.of(said, part.call_id))
                continue
            if message.role in ("system", "developer") and isinstance(part, Text):
                wire.append(pieces.of({"text": f"<system-reminder>\n{part.text}\n</system-reminder>"}, None))
                continue
            made = encode_part(part, where, self._losses, answer=False)
            if made is not None:
                wire.append(pieces.of(made, part.id if isinstance(part, ToolCall) else None))
            if isinstance(part, ToolCall):
                self._names[part.id] = part.name
        return [*wire, *beside]

    def _order(self, role: str) -> None:
        """Put results into the order of their calls, and before other parts, where a content came from several messages."""
        if role != "user" or len(self._said) < 2:
            return
        places = {piece.call: at for at, piece in enumerate(self._said[-2].pieces) if piece.calls}
        last = len(places)

        def place(piece: Piece) -> int:
            return places.get(piece.call, last) if piece.answers else last + 1

        self._said[-1].pieces.sort(key=place)

    def finished(self) -> msgspec.Raw:
        """Return the contents, results and signatures put in where the model wants one."""
        if not self._settled:
            for at in range(1, len(self._said)):
                if self._said[at].role == "user" and self._said[at - 1].role == "model":
                    self._settle(self._said[at - 1], self._said[at], at)
        if self._manners.wants_signatures:
            for at, content in enumerate(self._said):
                if content.role == "model":
                    self._sign(content, at)
        return msgspec.Raw(b"[%b]" % b",".join([content.written() for content in self._said]))

    def _settle(self, asked: Content, content: Content, at: int) -> None:
        """Invent the results that calls have not: after its calls the model takes as many results, and nothing before them."""
        calls = [piece.call for piece in asked.pieces if piece.calls and piece.call is not None]
        found = {piece.call: piece for piece in content.pieces if piece.answers}
        if all(call in found for call in calls):
            return
        for call in calls:
            if call not in found:
                result = ToolResult(call_id=call, name=self._names.get(call), parts=(Text(text="No result."),), is_error=True)
                found[call] = pieces.of(encode_result(result, "", [], media=False)[0], call)
                self._losses.append(Loss(f"contents[{at}]", "invented", f"the call {call} has no result and must have one"))
        own = [found[call] for call in dict.fromkeys(calls)]
        content.pieces[:] = [*own, *(piece for piece in content.pieces if piece not in own)]

    def _sign(self, content: Content, at: int) -> None:
        place = next((place for place, piece in enumerate(content.pieces) if piece.calls), None)
        if place is not None and not content.pieces[place].signed:
            content.pieces[place] = pieces.signed(content.pieces[place])
            why = "this model wants a signature on the first call of a step: a placeholder stands there"
            self._losses.append(Loss(f"contents[{at}].thoughtSignature", "invented", why))


def unanswered(messages: Sequence[Message]) -> bool:
    """Tell whether a call has no result in the message after its own."""
    for message, after in pairwise(messages):
        if message.role == "assistant" and after.role != "assistant":
            calls = {part.id for part in message.parts if isinstance(part, ToolCall)}
            if calls and calls - {part.call_id for part in after.parts if isinstance(part, ToolResult)}:
                return True
    return False


def encode_messages(
    messages: Sequence[Message], manners: Manners, losses: list[Loss], *, settled: bool = False
) -> tuple[dict[str, Any] | None, msgspec.Raw]:
    """Write all messages: the system's text, and the contents as JSON; `settled` tells that no call lacks its result unasked."""
    leading = next((at for at, message in enumerate(messages) if message.role not in ("system", "developer")), len(messages))
    contents = Contents(manners, losses, settled=settled)
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
