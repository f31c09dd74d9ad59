"""The items on the model's side of a conversation: an answer's `output`, and what of it comes back in a request's `input`.

A message item becomes a text or refusal for each of its parts; the first keeps, under `=item`, what the item said besides. Each
other item becomes a part of its own. Items of types that nobody here knows are kept as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest
from jackfield.api.canonical import (
    Extensions,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    ServerToolCall,
    ServerToolResult,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
)
from jackfield.api.canonical.codec import Fields, overlay, to_json
from jackfield_openai.responses import calls, hosted
from jackfield_openai.responses.content import LOGPROBS, encode_content, encode_refusal, encode_text, take_content, take_tokens
from jackfield_openai.responses.extras import ITEM, NAME, Losses, extra, kept, lost, made_id
from jackfield_openai.responses.reasoning import carried, carrier, decode_reasoning, encode_reasoning

Placed = Sequence[tuple[Part, str]]
"""Parts with their paths, for what is noted of them."""

SHORT: Final[Extensions] = {NAME: {ITEM: {}}}
"""The extensions of a text that was a message in its short form, a role and words."""

NOTHING: Final = "=none"
"""The key under which an empty text keeps that its message item had no content at all."""

_WORDS: Final = (Text, Refusal, Opaque)


# ---------------------------------------------------------------------------------------------- reading


def decode_item(value: Any, path: str, *, answer: bool) -> list[Part]:
    """Read one item. Raises `BadRequest`."""
    fields = Fields(value, path)
    type_ = fields.rest.get("type")
    if type_ == "message" or (type_ is None and "role" in fields.rest):
        return decode_message(fields, answer=answer)
    if type_ == "reasoning":
        del fields.rest["type"]
        return [decode_reasoning(fields)]
    kind = calls.kind_of(fields.rest)
    if kind is not None:
        return [calls.decode_call(fields, kind, answer=answer)]
    name = fields.needed_text("type")
    found = hosted.decode_hosted(name, value) if hosted.is_hosted(name) else None
    return found if found is not None else [opaque(value, name)]


def opaque(value: Any, name: str) -> Opaque:
    """Return an item that is kept as it is."""
    return Opaque(dialect=NAME, kind=name, value=to_json(value).decode())


def lenient_item(value: Any, at: int) -> list[Part]:
    """Read one item of an upstream's answer; one that cannot be read is kept as it is."""
    try:
        return decode_item(value, f"output[{at}]", answer=True)
    except BadRequest:
        name = value.get("type") if isinstance(value, dict) else None
        return [opaque(value, name if isinstance(name, str) else "unknown")]


def decode_message(fields: Fields, *, answer: bool) -> list[Part]:
    """Read an assistant's message item. One with parts that are no words is kept as it is."""
    whole, content = dict(fields.rest), fields.rest.get("content")
    parts = list(take_content(fields, "content", "output_text"))
    if not all(isinstance(part, Text | Refusal) for part in parts):
        return [opaque(whole, "message")]
    mark = {key: item for key, item in fields.rest.items() if item is not None and key not in ("role", "content")}
    if not isinstance(mark.get("id"), str):
        mark.pop("id", None)
    for key, default in message_defaults(mark, answer=answer).items():
        if mark.get(key) == default:
            del mark[key]
        elif key not in mark:
            mark[key] = ""
    listed = is_listed(mark, answer=answer)
    if content == "" or (isinstance(content, str) and listed):
        mark["content"] = ""
    elif isinstance(content, list) and not listed and len(parts) <= 1:
        mark["content"] = []
    nothing = not parts
    first = parts[0] if parts else Text(text="")
    note = {**extra(first.extensions), ITEM: mark, **({NOTHING: True} if nothing else {})}  # type: ignore[union-attr]  # checked above
    return [msgspec.structs.replace(first, extensions={NAME: note}), *parts[1:]]


def is_listed(mark: dict[str, Any], *, answer: bool) -> bool:
    """Tell whether the content of a message item is a list by default."""
    return answer or bool(mark.get("id"))


def message_defaults(mark: dict[str, Any], *, answer: bool) -> dict[str, Any]:
    """Return what a message item says by default: one with an id is an item of an answer, others are the short form."""
    return {"type": "message", "status": "completed"} if answer or mark.get("id") else {}


def begins_item(part: Part, before: Part | None) -> bool:
    """Tell whether a message item begins with a text or refusal."""
    return ITEM in extra(part.extensions) if isinstance(part, Text | Refusal) and isinstance(before, Text | Refusal) else True


# ---------------------------------------------------------------------------------------------- writing


def encode_items(parts: Placed, losses: Losses, *, answer: bool, tokens: Sequence[TokenLogprob] = ()) -> list[dict[str, Any]]:
    """Write the parts of one turn. `tokens` are those of the words of an answer."""
    wire: list[dict[str, Any]] = []
    left, at = list(tokens), 0
    while at < len(parts):
        part, path = parts[at]
        if isinstance(part, Text | Refusal):
            end = _message_end(parts, at)
            wire.append(_encode_message(parts[at:end], losses, answer=answer, tokens=left))
            wire += [carrier(p.signature) for p, _ in parts[at:end] if answer and isinstance(p, Text) and p.signature is not None]
            at = end
            continue
        joined = at + 1 < len(parts) and hosted.joins(part, parts[at + 1][0])
        item = encode_item(part, path, losses, answer=answer)
        if item is not None:
            if joined:
                hosted.join(item, part, parts[at + 1][0])  # type: ignore[arg-type]  # `joins` says that they are
            wire.append(item)
            if answer and isinstance(part, ToolCall) and part.signature is not None:
                wire.append(carrier(part.signature))
        at += 1 + joined
    return wire


def _message_end(parts: Placed, start: int) -> int:
    """Return where the message item ends that begins at `start`: at a signed text, for its signature follows it, or before another item."""
    for at in range(start + 1, len(parts)):
        part, before = parts[at][0], parts[at - 1][0]
        if not isinstance(part, Text | Refusal) or begins_item(part, before) or (isinstance(before, Text) and before.signature is not None):
            return at
    return len(parts)


def encode_item(part: Part, path: str, losses: Losses, *, answer: bool) -> Any:
    """Write a part that is an item of its own; None for one that has no form; why is added to `losses`."""
    match part:
        case Thinking():
            return encode_reasoning(part, path, losses, answer=answer)
        case ToolCall():
            return calls.encode_call(part, path, losses, answer=answer)
        case Image():
            return hosted.encode_image(part, path, losses, answer=answer)
        case ServerToolCall():
            return hosted.encode_call(part, path, losses, answer=answer)
        case ServerToolResult():
            return hosted.encode_result(part, path, losses)
        case Opaque(dialect=dialect, value=value) if dialect == NAME:
            return msgspec.json.decode(value)
        case Opaque(dialect=dialect, kind=name):
            lost(losses, path, f"{name} is understood by {dialect} alone")
        case _:
            lost(losses, path, f"{type(part).__name__} has no place in the model's turn of Responses")
    return None


def message_frame(part: Part, *, answer: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a message item without content for its first part, and what is to be written over it."""
    mark = dict(extra(part.extensions).get(ITEM, {})) if isinstance(part, Text | Refusal) else {}
    frame: dict[str, Any] = {}
    if answer or mark.get("id"):
        frame["id"] = mark.get("id") or made_id("msg")
    frame.update(message_defaults(mark, answer=answer))
    frame["role"] = "assistant"
    return frame, {key: item if item != "" or key == "content" else None for key, item in mark.items()}


def _encode_message(parts: Placed, losses: Losses, *, answer: bool, tokens: list[TokenLogprob]) -> dict[str, Any]:
    if not answer and ITEM not in extra(parts[0][0].extensions):  # type: ignore[union-attr]  # texts and refusals have them
        return _foreign_message(parts, losses)
    frame, mark = message_frame(parts[0][0], answer=answer)
    form = mark.pop("content", None)
    listed = form == [] or (form is None and is_listed(frame, answer=answer))
    if NOTHING in extra(parts[0][0].extensions) and not parts[0][0].text:  # type: ignore[union-attr]  # texts and refusals have them
        frame["content"] = [] if listed else ""
    elif answer:
        frame["content"] = [_content_part(part, path, losses, take_share(part, tokens)) for part, path in parts]
    else:
        bare = [(_unmarked(part), path) for part, path in parts]
        frame["content"] = encode_content(bare, [] if listed else None, "output_text", losses)
    return overlay(frame, mark)


def _foreign_message(parts: Placed, losses: Losses) -> dict[str, Any]:
    """Write what a model of another dialect said: in the short form if it is one text, else as an item of an answer, which has an id."""
    content = encode_content(parts, None, "output_text", losses)
    if isinstance(content, str):
        return {"type": "message", "role": "assistant", "content": content}
    for part in content:
        if part.get("type") == "output_text":
            part.setdefault("annotations", [])
    item_id = "msg_" + hashlib.sha256(to_json(content)).hexdigest()[:32]
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": content}


def _content_part(part: Part, path: str, losses: Losses, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return encode_refusal(part)
    return encode_text(part, path, "output_text", losses, answer=True, tokens=tokens)  # type: ignore[arg-type]  # a message has no others


def take_share(part: Part, tokens: list[TokenLogprob]) -> list[TokenLogprob]:
    """Take the tokens that are a text's own out of those that are left."""
    if not isinstance(part, Text) or not tokens:
        return []
    size = extra(part.extensions).get(LOGPROBS)
    size = size if isinstance(size, int) and not isinstance(size, bool) else len(tokens)
    share = tokens[:size]
    del tokens[:size]
    return share


def _unmarked(part: Part) -> Part:
    """Return a part without the notes of its item, so that it counts as bare if it says no more than its words."""
    rest = extra(part.extensions) if isinstance(part, Text | Refusal) else {}
    if ITEM not in rest:
        return part
    return msgspec.structs.replace(part, extensions=kept({key: value for key, value in rest.items() if not key.startswith("=")}))


def take_id(parts: list[Part]) -> tuple[list[Part], str | None]:
    """Take the id of an answer's first message item, which is that of the message."""
    at = next((at for at, part in enumerate(parts) if isinstance(part, Text | Refusal)), None)
    first = parts[at] if at is not None else None
    said = extra(first.extensions).get(ITEM) if isinstance(first, Text | Refusal) else None
    if at is None or not isinstance(first, Text | Refusal) or not isinstance(said, dict) or not isinstance(said.get("id"), str):
        return parts, None
    rest = {key: item for key, item in extra(first.extensions).items() if key != ITEM}
    mark = {key: item for key, item in said.items() if key != "id"}
    if mark or (at and isinstance(parts[at - 1], Text | Refusal)):
        rest[ITEM] = mark
    return [*parts[:at], msgspec.structs.replace(first, extensions=kept(rest)), *parts[at + 1 :]], said["id"]


def with_id(message: Message) -> Sequence[Part]:
    """Return the parts of an answer, the first text with the id of the message."""
    at = next((at for at, part in enumerate(message.parts) if isinstance(part, Text | Refusal)), None)
    first = message.parts[at] if at is not None else None
    if message.id is None or at is None or not isinstance(first, Text | Refusal) or extra(first.extensions).get(ITEM, {}).get("id"):
        return message.parts
    rest = extra(first.extensions)
    named = msgspec.structs.replace(first, extensions=kept({**rest, ITEM: {"id": message.id, **rest.get(ITEM, {})}}))
    return [*message.parts[:at], named, *message.parts[at + 1 :]]


def collect_tokens(parts: Sequence[Part]) -> tuple[list[Part], tuple[TokenLogprob, ...] | None]:
    """Take the tokens of an answer's texts, which belong to the whole answer; each of several texts keeps how many are its own."""
    made: list[Part] = []
    found: list[tuple[TokenLogprob, ...]] = []
    for part in parts:
        if isinstance(part, Text):
            bare, tokens = take_tokens(part)
            found.append(tokens)
            made.append(bare)
        else:
            made.append(part)
    whole = tuple(token for tokens in found for token in tokens)
    if whole and len(found) > 1:
        sizes = iter(map(len, found))
        made = [_sized(part, next(sizes)) if isinstance(part, Text) else part for part in made]
    return made, whole or None


def _sized(part: Text, size: int) -> Text:
    return msgspec.structs.replace(part, extensions=kept({**extra(part.extensions), LOGPROBS: size}))


def take_carried(parts: list[Part], item: Any) -> bool:
    """Give the part before it the signature that an item carries for it; tell whether the item was such."""
    sealed = item.get("encrypted_content") if isinstance(item, dict) and item.get("type") == "reasoning" else None
    signature = carried(sealed)
    if signature is None:
        return False
    before = parts[-1] if parts else None
    if isinstance(before, Text | ToolCall):
        parts[-1] = msgspec.structs.replace(before, signature=signature)
    return True
