"""The messages of a request.

Source: OpenAI's API reference, "Create chat completion": roles developer, system, user, assistant, tool and function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, Loss
from jackfield.api.canonical import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from jackfield.api.canonical.codec import Fields, load, missing, overlay, to_json, unknown_value, wrong_type
from jackfield.api.canonical.memo import Memo, Runs
from jackfield_openai.chat import calls
from jackfield_openai.chat.annotations import decode_annotation, encode_annotations
from jackfield_openai.chat.content import Losses, decode_part, encode_part, lost, take_cache, write_cache
from jackfield_openai.chat.extras import extra, kept
from jackfield_openai.chat.order import last_results, ordered, torn, unanswered
from jackfield_openai.chat.reasoning import is_own, sign, take_text_signature, take_thinking, write_thinking

ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")
"""Who may speak; `function` is the older form of `tool`."""

_SPEAKERS: Final = ("user", "assistant", "system", "developer")
_Media = Image | Document | Audio | Video
_read: Final = Memo[Message]()
_written: Final = Memo[tuple[Message, bytes]]()
_runs: Final = Runs[bytes]()
_Placed = list[tuple[Part, str]]
"""Parts with their paths, for what is noted of them."""


# ---------------------------------------------------------------------------------------------- reading


def decode_messages(values: Sequence[msgspec.Raw]) -> tuple[Message, ...]:
    """Read all messages. Raises `BadRequest` with the path of what is wrong.

    What a message said when it came before is recalled: a conversation repeats its past at each turn.
    """
    if not values:
        raise BadRequest("'messages' must hold at least one message", "messages", "empty_array")
    pending: dict[str, str] = {}
    raws = list(map(bytes, values))
    known = _read.all(raws)
    return tuple([_decode_raw(raws[at], at, pending) if message is None else message for at, message in enumerate(known)])


def _decode_raw(raw: bytes, at: int, pending: dict[str, str]) -> Message:
    value = load(raw)
    if (plain := _decode_plain(value)) is not None:
        return _read.put(raw, plain, len(raw))
    message = _decode_message(Fields(value, f"messages[{at}]"), pending)
    # What an older call or one without an id is called hangs on its place.
    placed = message.role in ("assistant", "tool") and (b"function" in raw and not _tells_ids(message))
    return message if placed else _read.put(raw, message, len(raw))


def _tells_ids(message: Message) -> bool:
    """Tell whether all calls and results of a message have ids of their own."""
    return not any(
        calls.OLD_FORM in extra(part.extensions) or {"id", "role"} & extra(part.extensions).keys()
        for part in message.parts
        if isinstance(part, ToolCall | ToolResult)
    )


def _decode_plain(value: Any) -> Message | None:
    """Read a message that is nothing but a role and words, as most are; None for all others."""
    if type(value) is dict and len(value) == 2:
        role, content = value.get("role"), value.get("content")
        if type(content) is str and content and role in _SPEAKERS:
            return Message(role=role, parts=(Text(text=content),))
    return None


def _decode_message(fields: Fields, pending: dict[str, str]) -> Message:
    """Read one message. `pending` holds the ids of older calls that wait for their result, by the function's name."""
    role = fields.needed_text("role")
    match role:
        case "assistant":
            return _decode_assistant(fields, pending)
        case "tool" | "function":
            return _decode_result(fields, role, pending)
        case "system" | "developer" | "user":
            if fields.rest.get("content") is None:
                raise missing(fields.at("content"))
            parts = take_content(fields)
            return Message(role=role, parts=parts, name=fields.text("name"), extensions=kept(fields.rest))
    raise unknown_value(fields.at("role"), role, ROLES)


def take_content(fields: Fields) -> tuple[Part, ...]:
    """Take `content`: a text or a list of parts; that it was a list of one text, or empty, is kept."""
    value, path = fields.take("content"), fields.at("content")
    if value is None:
        return ()
    if isinstance(value, str):
        if value:
            return (Text(text=value),)
        fields.rest["content"] = ""
        return ()
    if not isinstance(value, list):
        raise wrong_type(path, "a text or a list of parts", value)
    parts = tuple(decode_part(item, f"{path}[{at}]") for at, item in enumerate(value))
    if not parts or (len(parts) == 1 and is_bare(parts[0])):
        fields.rest["content"] = []
    return parts


def is_bare(part: Part) -> bool:
    """Tell whether a part is a text that says no more than its words."""
    return isinstance(part, Text) and not extra(part.extensions)


def _decode_assistant(fields: Fields, pending: dict[str, str]) -> Message:
    signature = take_text_signature(fields.rest)
    content = sign(_cite(list(take_content(fields)), fields), signature)
    parts: list[Part] = [*take_thinking(fields.rest), *content]
    if refusal := fields.text("refusal"):
        parts.append(Refusal(text=refusal))
    parts += _take_audio(fields)
    parts += calls.decode_calls(fields.items("tool_calls") or [], fields.at("tool_calls"), fields.path)
    if fields.rest.get("function_call") is not None:
        call = calls.decode_function_call(fields.inner("function_call"), fields.path)
        pending[call.name] = call.id
        parts.append(call)
    return Message(role="assistant", parts=tuple(parts), name=fields.text("name"), extensions=kept(fields.rest))


def _cite(parts: list[Part], fields: Fields) -> list[Part]:
    """Put annotations where they belong: on the message's only text. Elsewhere they remain."""
    values = fields.rest.get("annotations")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        return parts
    if values and [isinstance(part, Text) for part in parts] != [True]:
        return parts
    fields.rest["annotations"] = []
    if values:
        parts[0] = msgspec.structs.replace(parts[0], citations=tuple(map(decode_annotation, values)))
    return parts


def _take_audio(fields: Fields) -> list[Part]:
    value = fields.take_if("audio", dict)
    if value is None:
        return []
    inner = Fields(value, fields.at("audio"))
    audio_id = inner.needed_text("id")
    if inner.rest:
        fields.rest["audio"] = inner.rest
    return [Audio(id=audio_id)]


def _decode_result(fields: Fields, role: str, pending: dict[str, str]) -> Message:
    name = fields.text("name")
    if role == "tool":
        call_id = fields.needed_text("tool_call_id")
    else:
        call_id = pending.pop(name or "", "") or calls.made_id(fields.path, name)
        fields.rest["role"] = role
    parts = take_content(fields)
    plain = all(isinstance(part, Text) for part in parts)
    if not plain:
        fields.rest["content"] = []
    for at, part in enumerate(parts):
        if not isinstance(part, Text | Opaque | _Media):
            path = f"{fields.at('content')}[{at}]"
            raise BadRequest(f"{path!r} must be a text or media: a tool has no thoughts and refuses nothing", path, "invalid_value")
    result = ToolResult(
        call_id=call_id,
        name=name,
        parts=parts,  # type: ignore[arg-type]  # checked above
        cache=take_cache(fields),
        extensions=kept(fields.rest),
    )
    return Message(role="tool", parts=(result,))


# ---------------------------------------------------------------------------------------------- writing


def encode_messages(messages: tuple[Message, ...], losses: Losses, *, own: bool = False) -> list[bytes]:
    """Write all messages: pieces of JSON that commas join. One that holds tool results and other parts becomes several.

    Pictures in tool results move to a user's message after the results: tool messages hold texts alone. Calls without a
    result get an empty one, unless `own` tells that a client of this dialect left it out.
    """
    moved: list[dict[str, Any]] = []
    waiting = frozenset[str]() if own else unanswered(messages)
    latest = {part.id for part in messages[-1].parts if isinstance(part, ToolCall)} if messages else set[str]()
    if waiting - latest or torn(messages):
        said = []
        last = last_results(messages)
        for at, message in ordered(messages):
            said.append(_encode_one(message, at, moved, losses))
            said += _invent(message, at, last, losses) if waiting else ()
    else:
        said, at = [], 0
        for run, known in _runs.of(messages):
            said.append(_encode_run(run, at, moved, losses) if known is None or moved else known)
            at += len(run)
        said += _invent(messages[-1], at - 1, {}, losses) if waiting else ()
    if moved:
        said.append(to_json({"role": "user", "content": moved}))
    return said


def _invent(message: Message, at: int, last: dict[str, int], losses: Losses) -> list[bytes]:
    """Write a result for each call of the message at `at` that has none behind it."""
    wanting = [part for part in message.parts if isinstance(part, ToolCall) and last.get(part.id, -1) <= at]
    for call in wanting:
        losses.append(Loss(f"messages[{at}]", "invented", f"the call {call.id} has no result and must have one"))
    return [to_json({"role": "tool", "tool_call_id": call.id, "content": ""}) for call in wanting]


def _encode_run(run: tuple[Message, ...], at: int, moved: list[dict[str, Any]], losses: Losses) -> bytes:
    """Write a run of messages, the first of which stands at `at`, and remember it if that hangs on these messages alone."""
    alone, lost_before = not moved, len(losses)
    said = b",".join([_encode_one(message, at + place, moved, losses) for place, message in enumerate(run)])
    return _runs.keep(run, said) if alone and not moved and len(losses) == lost_before else said


def _encode_one(message: Message, at: int, moved: list[dict[str, Any]], losses: Losses) -> bytes:
    known = _written.get(id(message)) if not moved else None
    return _encode_anew(message, at, moved, losses) if known is None else known[1]


def _encode_anew(message: Message, at: int, moved: list[dict[str, Any]], losses: Losses) -> bytes:
    """Write what becomes of a message, and remember it if that hangs on the message alone.

    It is remembered by its identity, which is nobody else's as long as the message is remembered with it.
    """
    alone, lost_before = not moved, len(losses)
    wire: list[Any] = []
    _write_message(message, at, wire, moved, losses)
    said = b",".join(map(to_json, wire))
    if alone and not moved and len(losses) == lost_before:
        _written.put(id(message), (message, said), len(said))
    return said


def _write_message(message: Message, at: int, wire: list[Any], moved: list[dict[str, Any]], losses: Losses) -> None:
    plain = _encode_plain(message) if not moved else None
    if plain is not None:
        wire.append(plain)
        return
    path = f"messages[{at}]"
    placed = [(part, f"{path}.parts[{place}]") for place, part in enumerate(message.parts)]
    results = [(part, where) for part, where in placed if isinstance(part, ToolResult)]
    for result, where in results:
        wire.append(_encode_result(result, where, moved, losses))
    others: _Placed = [(part, where) for part, where in placed if not isinstance(part, ToolResult)]
    if others or not results:
        if moved:
            wire.append({"role": "user", "content": moved[:]})
            moved.clear()
        wire.append(_encode_message(message, others, path, losses))


def _encode_plain(message: Message) -> dict[str, Any] | None:
    """Write a message that is nothing but a role and words; None for all others."""
    parts = message.parts
    if len(parts) != 1 or message.role == "tool" or message.name is not None or message.extensions:
        return None
    part = parts[0]
    if type(part) is not Text or part.extensions or part.citations or has_losses(part):
        return None
    return {"role": message.role, "content": part.text}


def has_losses(part: Text) -> bool:
    """Tell whether a text carries what a bare one in this dialect cannot."""
    return part.cache is not None or part.signature is not None


def _encode_message(message: Message, parts: _Placed, path: str, losses: Losses) -> dict[str, Any]:
    rest = dict(extra(message.extensions))
    if message.role == "assistant":
        wire = encode_assistant(parts, rest, path, losses, answer=False)
    else:
        role = "user" if message.role == "tool" else message.role
        wire = {"role": role, "content": encode_content(parts, rest.pop("content", None), losses)}
    if message.name is not None:
        wire["name"] = message.name
    return overlay(wire, rest)


def encode_content(parts: _Placed, form: Any, losses: Losses) -> Any:
    """Write `content`: a text where the parts are one bare text and `form` says nothing else, else a list."""
    bare = [part for part, _ in parts if isinstance(part, Text)]
    if len(parts) == 1 and bare and is_bare(bare[0]) and form != []:
        if has_losses(bare[0]):
            encode_part(bare[0], parts[0][1], losses)
        return bare[0].text
    wire = [said for said in (encode_part(part, path, losses) for part, path in parts) if said is not None]
    return wire if wire or form == [] else ""


def encode_assistant(parts: _Placed, rest: dict[str, Any], path: str, losses: Losses, *, answer: bool) -> dict[str, Any]:
    """Write an assistant's message of a request; what is used of `rest` is taken out of it."""
    wire: dict[str, Any] = {"role": "assistant"}
    content: _Placed = []
    thinking: list[Thinking] = []
    tools: list[tuple[ToolCall, str]] = []
    for part, where in parts:
        match part:
            case Thinking() if extra(part.extensions).get("type") != "thinking":
                if keeps(part, where, losses, answer=answer):
                    thinking.append(part)
            case ToolCall():
                tools.append((part, where))
            case Refusal(text=text) if "type" not in extra(part.extensions):
                wire["refusal"] = wire.get("refusal", "") + text
            case Audio(id=audio_id) if audio_id is not None:
                wire["audio"] = {"id": audio_id, **rest.pop("audio", {})}
            case _:
                content.append((part, where))
    _note_order(parts, path, losses)
    write_thinking(wire, thinking)
    form = rest.pop("content", None)
    if content or form is not None:
        wire["content"] = encode_content(content, form, losses)
    elif not tools and "audio" not in wire and "refusal" not in wire:
        wire["content"] = ""
    calls.write_calls(wire, tools, losses, answer=answer)
    _write_annotations(wire, rest, content, losses)
    return wire


def keeps(part: Thinking, path: str, losses: Losses, *, answer: bool) -> bool:
    """Tell whether thoughts can be said.

    In a request unsigned ones can, and those that came from this dialect. Signed or sealed ones of another
    cannot be read by whoever is asked here, and OpenAI refuses messages with members that it does not know.
    """
    if answer or is_own(part) or (part.signature is None and part.redacted is None):
        return True
    family = part.signature.family if part.signature is not None else "another dialect"
    lost(losses, path, f"thoughts signed for {family} have no place in a request of chat completions")
    return False


def _note_order(parts: _Placed, path: str, losses: Losses) -> None:
    """Note it where words come after calls, or thoughts after words: the wire has one place for each kind."""
    ranks = [0 if isinstance(part, Thinking) else 2 if isinstance(part, ToolCall) else 1 for part, _ in parts]
    mixed = any(extra(part.extensions).get("type") == "thinking" for part, _ in parts if isinstance(part, Thinking))
    if ranks != sorted(ranks) and not mixed:
        losses.append(Loss(path, "changed", "chat completions have no order between thoughts, words and tool calls"))


def _write_annotations(wire: dict[str, Any], rest: dict[str, Any], content: _Placed, losses: Losses) -> None:
    had = rest.pop("annotations", None)
    cited = [(part, where) for part, where in content if isinstance(part, Text) and part.citations]
    if had is None:
        for _, where in cited:
            lost(losses, f"{where}.citations", "requests of chat completions have no place for citations")
    else:
        texts = [(part, where) for part, where in content if isinstance(part, Text)]
        wire["annotations"] = had or encode_annotations(texts, losses)


def _encode_result(result: ToolResult, path: str, moved: list[dict[str, Any]], losses: Losses) -> dict[str, Any]:
    rest = dict(extra(result.extensions))
    if result.is_error:
        lost(losses, f"{path}.is_error", "tool messages of chat completions do not tell errors from results")
    form = rest.pop("content", None)
    staying: _Placed = []
    for at, part in enumerate(result.parts):
        where = f"{path}.parts[{at}]"
        if isinstance(part, _Media) and form != []:
            _move(part, result, where, moved, losses)
        else:
            staying.append((part, where))
    wire: dict[str, Any] = {"role": "tool", "content": encode_content(staying, form, losses)}
    if rest.get("role") != "function":
        wire["tool_call_id"] = result.call_id
    if result.name is not None:
        wire["name"] = result.name
    write_cache(wire, rest, result.cache, path, losses)
    return overlay(wire, rest)


def _move(part: _Media, result: ToolResult, path: str, moved: list[dict[str, Any]], losses: Losses) -> None:
    said = encode_part(part, path, losses)
    if said is not None:
        moved += [{"type": "text", "text": f"From the result of tool call {result.call_id}:"}, said]
        losses.append(Loss(path, "changed", "tool messages hold texts alone: it stands in a user's message after them"))
