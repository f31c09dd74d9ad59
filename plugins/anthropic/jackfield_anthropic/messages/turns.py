"""The messages of a request.

Source: Anthropic's API reference, "Create a Message", and its guides "Tool use" and "Mid-conversation system messages". The
rules that are kept here: texts of the system stand outside of the messages unless the model takes them inside, between a
user's and an assistant's; messages of one speaker in a row are one turn; the results of all tools that were called in a turn stand at the
head of the next one, each once; the last words of an answer that is to be continued do not end in blanks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec.structs import replace

from jackfield.api import BadRequest
from jackfield.api.canonical import Message, Opaque, Part, Text, ToolResult
from jackfield.api.canonical.codec import Fields, Memo, load, missing, overlay, unknown_value
from jackfield_anthropic.messages import blocks
from jackfield_anthropic.messages.abilities import abilities_of
from jackfield_anthropic.messages.extras import ATTRIBUTION, extra, kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped, invented
from jackfield_anthropic.messages.thoughts import attached

Role = Literal["user", "assistant", "system"]
ROLES: Final[tuple[str, ...]] = get_args(Role)

_SYSTEM: Final = ("system", "developer")
_SIZE: Final = 1024
"""About how many bytes a block takes while it is remembered."""
_read: Final = Memo[tuple[Message, str]]()
"""Messages that follow another speaker's."""
_apart: Final = Memo[tuple[Message, str]]()
"""Messages that follow one by the same speaker."""
_runs: Final = Memo[tuple[list[Message], str]]()
_RUN: Final = 16
"""Messages that are recalled together: a conversation that goes on begins with the same ones."""
_written: Final = Memo[tuple[Message, Sequence[Any]]]()
_INSIDE: Final = "=inside"
"""The key under which a system message keeps that it stood among the messages."""
_APART: Final = "=apart"
"""The key under which a message keeps that it stood apart from one before it by the same speaker."""

_LINE: Final = "billing line"
"""The kind of what is kept of a text's first line, if that alone is for Anthropic; one that stands by itself is `billing`."""


# ---------------------------------------------------------------------------------------------- reading


def decode_system(fields: Fields) -> list[Message]:
    """Take `system`, a text or a list of text blocks, as the first message."""
    value = fields.take("system")
    if value is None:
        return []
    inner = Fields({}, "")
    text = isinstance(value, str)
    parts = _attributed(value, blocks.take_content(value, Fields({}, "system"))) if text else _system_blocks(value, inner)
    if not parts:
        fields.rest["system"] = value
        return []
    return [Message(role="system", parts=parts, extensions=kept(inner.rest))]


def _system_blocks(value: Any, inner: Fields) -> tuple[Part, ...]:
    if not isinstance(value, list):
        raise BadRequest("'system' must be a text or a list of text blocks", "system", "invalid_type")
    decoded = [(item, blocks.decode_block(item, f"system[{at}]")) for at, item in enumerate(value)]
    parts = tuple([part for item, read in decoded for part in _attributed(item, (read,))])
    if len(value) == 1 and blocks.is_bare(parts[-1]):
        inner.rest["content"] = []
    return parts


def _attributed(value: Any, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Keep what Claude Code says of itself in a text's first line for Anthropic alone: it differs from request to request."""
    part = parts[0] if parts else None
    if not isinstance(part, Text) or not part.text.startswith(ATTRIBUTION):
        return parts
    line, _, rest = part.text.partition("\n")
    if not rest.strip():
        return (blocks.opaque({"type": "text", "text": value} if isinstance(value, str) else value, "billing"),)
    return (blocks.opaque({"type": "text", "text": line}, _LINE), replace(part, text=rest))


def decode_messages(fields: Fields) -> list[Message]:
    """Take `messages`. Raises `BadRequest` with the path of what is wrong."""
    values = fields.items("messages")
    if values is None:
        raise missing("messages")
    if not values:
        raise BadRequest("'messages' must hold at least one message", "messages", "empty_array")
    raws = list(map(bytes, values))
    found: list[Message] = []
    before = ""
    for at in range(0, len(raws), _RUN):
        known = _runs.get((before, *raws[at : at + _RUN]))
        messages, before = known if known is not None else _decode_run(before, raws[at : at + _RUN], at)
        found += messages
    return found


def _decode_run(speaker: str, raws: Sequence[bytes], at: int) -> tuple[list[Message], str]:
    """Read messages that stand together from `at` on, after a speaker's, and remember them if they are as many as make a run."""
    before = speaker
    found: list[Message] = []
    for place, known in enumerate(_read.all(raws)):
        message, before = known if known is not None and known[1] != before else _of_same_speaker(raws[place], at + place, before)
        found.append(message)
    return _runs.put((speaker, *raws), (found, before), sum(map(len, raws))) if len(raws) == _RUN else (found, before)


def _of_same_speaker(raw: bytes, at: int, before: str) -> tuple[Message, str]:
    """Recall a message that follows one by the same speaker, or read one that is not remembered."""
    known = _apart.get(raw)
    return known if known is not None and known[1] == before else _decode_raw(raw, at, before)


def _decode_raw(raw: bytes, at: int, before: str) -> tuple[Message, str]:
    """Read a message, and remember what it says: a conversation repeats its past at each turn."""
    value = load(raw)
    said = _decode_plain(value, before) or _decode_message(Fields(value, f"messages[{at}]"), before)
    return (_apart if said[1] == before else _read).put(raw, said, len(raw))


def _decode_plain(value: Any, before: str) -> tuple[Message, str] | None:
    """Read a message that is nothing but a speaker and words, as many are; None for all others."""
    if type(value) is dict and len(value) == 2:
        role, content = value.get("role"), value.get("content")
        if type(content) is str and content and role in ("user", "assistant") and role != before:
            return Message(role=role, parts=(Text(text=content),)), role
    return None


def _decode_message(fields: Fields, before: str) -> tuple[Message, str]:
    role = fields.needed_text("role")
    if role not in ROLES:
        raise unknown_value(fields.at("role"), role, ROLES)
    content = fields.take("content")
    if content is None and role != "system":
        raise missing(fields.at("content"))
    parts = blocks.take_content(content, fields)
    if role == "system":
        fields.rest[_INSIDE] = True
    elif role == before:
        fields.rest[_APART] = True
    if role == "assistant":
        parts = tuple(attached(parts))
    results = role == "user" and bool(parts) and all(isinstance(part, ToolResult) for part in parts)
    said: Any = "tool" if results else role
    return Message(role=said, parts=parts, extensions=kept(fields.rest)), role


# ---------------------------------------------------------------------------------------------- writing


class _Turn:
    """What one speaker says in a row."""

    __slots__ = ("blocks", "form", "path", "rest", "role")

    def __init__(self, role: Role, path: str, rest: dict[str, Any]) -> None:
        self.role, self.path, self.rest = role, path, rest
        self.form = rest.pop("content", None)
        self.blocks: list[Any] = []

    def wire(self) -> dict[str, Any] | None:
        """Return the message; None where nothing is left of it."""
        content: Any = self.blocks
        if len(content) == 1 and self.form != [] and type(content[0]) is dict and content[0].keys() == {"type", "text"}:
            content = content[0]["text"]
        if not content:
            if self.form is None and not self.rest:
                return None
            content = self.form
        wire = {"role": self.role, "content": content} if content is not None else {"role": self.role}
        return overlay(wire, self.rest) if self.rest else wire


def encode_messages(messages: Sequence[Message], model: str, losses: Losses) -> tuple[Any, list[dict[str, Any]]]:
    """Write all messages: the value of `system`, None for none, and that of `messages`."""
    start = 0
    while start < len(messages) and messages[start].role in _SYSTEM and _INSIDE not in extra(messages[start].extensions):
        start += 1
    turns = _gather(messages, start, model, losses)
    _end(turns, abilities_of(model).prefill, losses)
    _answer_calls(turns, losses)
    wire = [said for said in [turn.wire() for turn in turns] if said is not None]
    if not any(message["role"] != "system" for message in wire):
        invented(losses, "messages", "there must be something to answer")
        wire.append({"role": "user", "content": "Begin."})
    return _encode_system(messages[:start], losses), wire


def _encode_system(messages: Sequence[Message], losses: Losses) -> Any:
    if not messages:
        return None
    placed = [(part, f"messages[{at}].parts[{place}]") for at, message in enumerate(messages) for place, part in enumerate(message.parts)]
    form = extra(messages[0].extensions).get("content") if len(messages) == 1 else None
    texts = list[tuple[Part, str]]()
    for part, path in placed:
        before = texts[-1][0] if texts else None
        if isinstance(part, Text) and isinstance(before, Opaque) and before.kind == _LINE:
            texts[-1] = (replace(part, text=f"{msgspec.json.decode(before.value)['text']}\n{part.text}"), path)
        elif isinstance(part, Text | Opaque):
            texts.append((part, path))
        else:
            dropped(losses, path, "the system speaks in texts alone")
    return blocks.encode_content(texts, form, losses, speaker="system")


def _gather(messages: Sequence[Message], start: int, model: str, losses: Losses) -> list[_Turn]:
    turns: list[_Turn] = []
    for at in range(start, len(messages)):
        message, path = messages[at], f"messages[{at}]"
        while turns and not (turns[-1].blocks or turns[-1].rest or turns[-1].form is not None):
            del turns[-1]  # nothing was left of it: those around it may be one
        role, wrapped = _speaker(messages, at, turns, model)
        turn = _turn_for(message, role, path, turns)
        if message.name is not None:
            dropped(losses, f"{path}.name", "speakers have no names")
        if wrapped:
            changed(losses, path, "a later text of the system stands in the user's turn, marked as a reminder")
            turn.blocks += (
                [{"type": "text", "text": f"<system-reminder>\n{message.text}\n</system-reminder>"}] if message.text.strip() else []
            )
        else:
            turn.blocks += _blocks(message, path, role, losses)
    return turns


def _blocks(message: Message, path: str, role: Role, losses: Losses) -> Sequence[Any]:
    """Return the blocks of a message, or recall them: they are shared, and not to be changed in place."""
    known = _written.get(id(message))
    if known is not None and known[0] is message:
        return known[1]
    before = len(losses)
    said = [blocks.encode_asked(part, f"{path}.parts[{place}]", losses, speaker=role) for place, part in enumerate(message.parts)]
    made = [block for block in said if block is not None]
    return made if len(losses) > before else _written.put(id(message), (message, made), _SIZE * len(made))[1]


def _speaker(messages: Sequence[Message], at: int, turns: Sequence[_Turn], model: str) -> tuple[Role, bool]:
    """Return who says a message on the wire, and whether it must be marked as the system's."""
    message = messages[at]
    if message.role not in _SYSTEM:
        return ("assistant" if message.role == "assistant" else "user"), False
    if _INSIDE in extra(message.extensions):
        return "system", False
    after = next((one.role for one in messages[at + 1 :] if one.role not in _SYSTEM and _says_something(one)), "assistant")
    inside = abilities_of(model).system_inside and bool(turns) and turns[-1].role in ("user", "system") and after == "assistant"
    return ("system", False) if inside else ("user", True)


def _says_something(message: Message) -> bool:
    """Whether anything is left of a message on the wire."""
    return bool(extra(message.extensions) or _blocks(message, "", "assistant" if message.role == "assistant" else "user", []))


def _turn_for(message: Message, role: Role, path: str, turns: list[_Turn]) -> _Turn:
    """Return the turn in which a message stands: the one before it where the same speaker goes on."""
    own = extra(message.extensions)
    rest = {key: value for key, value in own.items() if key not in (_INSIDE, _APART)} if own else {}
    if turns and turns[-1].role == role and _APART not in own and _INSIDE not in own:
        turn = turns[-1]
        turn.form = []
        rest.pop("content", None)
        turn.rest.update(rest)
        return turn
    turns.append(_Turn(role, path, rest))
    return turns[-1]


def _ids(turn: _Turn, kind: str, key: str) -> list[str]:
    return [block[key] for block in turn.blocks if type(block) is dict and block["type"] == kind]


def _answer_calls(turns: Sequence[_Turn], losses: Losses) -> None:
    """Put results where they must stand: all those of a turn's calls, each once, at the head of the user's turn after it."""
    calls: list[str] = []
    for at, turn in enumerate(turns):
        if turn.role == "system":
            continue
        if turn.role == "assistant":
            more = _ids(turn, "tool_use", "id")
            apart = at + 1 < len(turns) and turns[at + 1].role == "assistant"
            calls = [*calls, *more] if apart else more
            continue
        results = _ids(turn, "tool_result", "tool_use_id")
        if results or (calls and turn.blocks):
            _settle(turn, calls, results, losses)
        calls = []


def _settle(turn: _Turn, calls: Sequence[str], results: Sequence[str], losses: Losses) -> None:
    """Order one user's turn."""
    wanted = set(calls)
    if list(results) == list(calls) and all(_is_result(block) for block in turn.blocks[: len(results)]):
        return
    first: dict[str, Any] = {}
    others: list[Any] = []
    for block in turn.blocks:
        if not _is_result(block):
            others.append(block)
        elif block["tool_use_id"] not in wanted:
            changed(losses, turn.path, f"the result of {block['tool_use_id']}, which was not called before it, becomes a text")
            others += _as_text(block)
        else:
            if block["tool_use_id"] in first:
                dropped(losses, turn.path, f"of two results of {block['tool_use_id']} the later one counts")
            first[block["tool_use_id"]] = block
    for call in calls:
        if call not in first:
            invented(losses, turn.path, f"the call {call} has no result and must have one")
            first[call] = {"type": "tool_result", "tool_use_id": call, "content": "No result.", "is_error": True}
    turn.blocks[:] = [*first.values(), *others]


def _is_result(block: Any) -> bool:
    return type(block) is dict and block["type"] == "tool_result"


def _as_text(block: dict[str, Any]) -> list[Any]:
    content = block.get("content", "")
    said = [{"type": "text", "text": content}] if isinstance(content, str) and content.strip() else content or []
    return [{"type": "text", "text": f"Result of tool call {block['tool_use_id']}:"}, *said]


def _end(turns: list[_Turn], prefill: bool, losses: Losses) -> None:
    """See to an answer that is to be continued: it may not end in blanks, and some models want to be asked for more."""
    last = turns[-1] if turns else None
    block = last.blocks[-1] if last is not None and last.role == "assistant" and last.blocks else None
    if last is None or type(block) is not dict or block["type"] != "text":
        return
    trimmed = block["text"].rstrip()
    if trimmed != block["text"]:
        changed(losses, last.path, "an answer that is to be continued may not end in blanks")
        last.blocks[-1] = {**block, "text": trimmed}
    if not prefill:
        invented(losses, "messages", "the model goes on with no answer of its own accord")
        turns.append(_Turn("user", last.path, {}))
        turns[-1].blocks.append({"type": "text", "text": "Go on exactly where you stopped."})
