"""Whole answers: an upstream's body to the canonical form, and the canonical form to a client's body.

Source: OpenAI's API reference, "The chat completion object". `images` in a message is OpenRouter's.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, Loss, Response
from jackfield.api.canonical import (
    Audio,
    Choice,
    Image,
    Message,
    Opaque,
    Part,
    Refusal,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
)
from jackfield.api.canonical.codec import Fields, overlay, to_json
from jackfield_openai.chat import calls
from jackfield_openai.chat.annotations import decode_annotation, encode_annotations
from jackfield_openai.chat.content import decode_part, encode_part, lost
from jackfield_openai.chat.extras import NAME, extra, kept
from jackfield_openai.chat.finish import decode_finish, word_for, word_kept
from jackfield_openai.chat.logprobs import decode_logprobs, encode_logprobs
from jackfield_openai.chat.reasoning import DETAILS, sign, take_text_signature, take_thinking, text_signature, write_thinking
from jackfield_openai.chat.tiers import note_tier, write_tier
from jackfield_openai.chat.usage import decode_usage, encode_usage

CHUNK: Final = "=chunk"
"""The key under which a stream's deltas keep what their chunk said besides; whole answers have no use for it."""

_NULL: Final = "=null"
"""The key under which a message without anything keeps that its content was null, not an empty text."""


def made_id() -> str:
    """Return an id for an answer that has none."""
    return f"chatcmpl-{uuid.uuid4().hex}"


# ---------------------------------------------------------------------------------------------- reading


def decode_response(raw: bytes) -> Response:
    """Read an upstream's whole answer. Raises `ValueError` for what is neither a completion nor an embedding."""
    try:
        return _decode(msgspec.json.decode(raw))
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def _decode(body: Any) -> Response:
    if not isinstance(body, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 (the contract of decoders)
    rest = dict(body)
    choices = rest.get("choices")
    if not isinstance(choices, list):
        if "data" not in rest:
            raise ValueError("the answer has neither choices nor data")
        choices = []
    else:
        del rest["choices"]
    response_id, model = take_text(rest, "id"), take_text(rest, "model")
    if not response_id and body.get("id") == "":
        rest["id"] = ""
    if rest.get("object") == "chat.completion":
        del rest["object"]
    usage = rest.pop("usage", None)
    tier = note_tier(take_text(rest, "service_tier") or None, rest)
    return Response(
        id=response_id,
        model=model,
        created=take_created(rest),
        choices=tuple(_decode_choice(choice, at, response_id) for at, choice in enumerate(choices) if isinstance(choice, dict)),
        usage=decode_usage(usage) if isinstance(usage, dict) else None,
        service_tier=tier,
        extensions=kept(rest),
    )


def take_text(rest: dict[str, Any], key: str) -> str:
    """Take a text; what is none remains, and so does the empty one."""
    return rest.pop(key) if isinstance(rest.get(key), str) and rest[key] else ""


def take_created(rest: dict[str, Any]) -> int | None:
    """Take the time of creation, in seconds; what is no integer remains."""
    value = rest.get("created")
    return rest.pop("created") if isinstance(value, int) and not isinstance(value, bool) else None


def _decode_choice(choice: dict[str, Any], at: int, seed: str) -> Choice:
    rest = dict(choice)
    index = rest.pop("index") if isinstance(rest.get("index"), int) else at
    word = rest.pop("finish_reason", None)
    logprobs = decode_logprobs(rest.get("logprobs"))
    if logprobs is not None:
        del rest["logprobs"]
    message = rest.pop("message", None)
    stop = rest.get("stop_reason")
    return Choice(
        message=_decode_message(message if isinstance(message, dict) else {}, f"{seed}:{index}"),
        index=index,
        finish=decode_finish(word),
        stop_sequence=stop if isinstance(stop, str) else None,
        logprobs=logprobs,
        extensions=kept({**rest, **word_kept(word)}),
    )


def _decode_message(message: dict[str, Any], seed: str) -> Message:
    rest = dict(message)
    if rest.get("role") == "assistant":
        del rest["role"]
    signature = take_text_signature(rest)
    thinking: list[Part] = [*take_thinking(rest)]
    parts = [*thinking, *sign(_cited(take_content(rest), rest), signature)]
    if refusal := take_text(rest, "refusal"):
        parts.append(Refusal(text=refusal))
    parts += take_audio(rest)
    parts += take_images(rest)
    parts += _take_calls(rest, seed)
    if not parts and rest.get("content") is None:
        rest[_NULL] = True
    return Message(role="assistant", parts=tuple(parts), extensions=kept(rest))


def take_content(rest: dict[str, Any]) -> list[Part]:
    """Take an answer's `content`, a text or a list of parts; the empty text remains."""
    value = rest.get("content")
    if isinstance(value, list):
        rest["content"] = []
        return [part_of_answer(item) for item in value]
    if not isinstance(value, str) or not value:
        return []
    del rest["content"]
    return [Text(text=value)]


def part_of_answer(item: Any) -> Part:
    """Read one part of an answer's content; what cannot be read is kept as it is."""
    try:
        part = decode_part(item, "content")
    except BadRequest:
        kind = item.get("type") if isinstance(item, dict) else None
        return Opaque(dialect=NAME, kind=kind if isinstance(kind, str) else "unknown", value=to_json(item).decode())
    return part


def _cited(parts: list[Part], rest: dict[str, Any]) -> list[Part]:
    values = rest.get("annotations")
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        return parts
    if not values:
        del rest["annotations"]
    elif [isinstance(part, Text) for part in parts] == [True]:
        del rest["annotations"]
        return [msgspec.structs.replace(parts[0], citations=tuple(map(decode_annotation, values)))]
    return parts


def take_audio(rest: dict[str, Any]) -> list[Part]:
    """Take the sound of an answer; an object in which all is empty remains."""
    value = rest.get("audio")
    if not isinstance(value, dict) or not any(value.values()):
        return []
    inner = dict(rest.pop("audio"))
    data, expires = take_text(inner, "data"), inner.get("expires_at")
    if isinstance(expires, int):
        del inner["expires_at"]
    audio = Audio(
        source=Source(data=data) if data else None,
        transcript=take_text(inner, "transcript") or None,
        id=take_text(inner, "id") or None,
        expires_at=expires if isinstance(expires, int) else None,
        extensions=kept(inner),
    )
    return [audio]


def take_images(rest: dict[str, Any]) -> list[Part]:
    """Take the pictures of an answer, if each of them can be read."""
    values = rest.get("images")
    if not isinstance(values, list) or not values:
        return []
    parts = [part_of_answer(value) for value in values]
    if not all(isinstance(part, Image) for part in parts):
        return []
    del rest["images"]
    return parts


def _take_calls(rest: dict[str, Any], seed: str) -> list[Part]:
    found: list[Part] = []
    values = rest.get("tool_calls")
    said = calls.lenient_calls(values, seed) if isinstance(values, list) else None
    if said is not None:
        del rest["tool_calls"]
        found += said
    old = rest.get("function_call")
    if isinstance(old, dict) and isinstance(old.get("name"), str) and old["name"] and isinstance(old.get("arguments"), str):
        del rest["function_call"]
        found.append(calls.decode_function_call(Fields(old, "function_call"), seed))
    return found


# ---------------------------------------------------------------------------------------------- writing


def encode_response(response: Response, losses: list[Loss]) -> bytes:
    """Write a whole answer for a client, with every member that OpenAI's own clients require."""
    rest = {key: value for key, value in extra(response.extensions).items() if key != CHUNK}
    wire: dict[str, Any] = {
        "id": response.id or made_id(),
        "object": "chat.completion",
        "created": response.created if response.created is not None else int(time.time()),
        "model": response.model,
    }
    if response.choices or "data" not in rest:
        wire["choices"] = [_encode_choice(choice, f"choices[{at}]", losses) for at, choice in enumerate(response.choices)]
    else:
        del wire["id"], wire["created"]
    if response.usage is not None and response.usage.source != "absent":
        wire["usage"] = encode_usage(response.usage)
    write_tier(wire, response.service_tier, rest, losses)
    return to_json(overlay(wire, rest))


def _encode_choice(choice: Choice, path: str, losses: list[Loss]) -> dict[str, Any]:
    rest = {key: value for key, value in extra(choice.extensions).items() if key != CHUNK}
    finish = choice.finish
    if finish is None:
        word = "tool_calls" if any(isinstance(part, ToolCall) for part in choice.message.parts) else "stop"
    else:
        refused = any(isinstance(part, Refusal) for part in choice.message.parts)
        word = word_for(finish, rest, path, losses, refused=refused)
    if choice.stop_sequence is not None and "stop_reason" not in rest:
        lost(losses, f"{path}.stop_sequence", "chat completions do not name the stop sequence")
    wire: dict[str, Any] = {
        "index": choice.index,
        "message": encode_message(choice.message, f"{path}.message", losses),
        "logprobs": encode_logprobs(choice.logprobs) if choice.logprobs is not None else None,
        "finish_reason": word,
    }
    return overlay(wire, rest)


def encode_message(message: Message, path: str, losses: list[Loss]) -> dict[str, Any]:
    """Write an answer's message."""
    rest = dict(extra(message.extensions))
    words: list[tuple[Part, str]] = []
    thinking: list[Thinking] = []
    signed: list[tuple[Text, str]] = []
    tools: list[tuple[ToolCall, str]] = []
    wire: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for at, part in enumerate(message.parts):
        where = f"{path}.parts[{at}]"
        match part:
            case Thinking() if extra(part.extensions).get("type") != "thinking":
                thinking.append(part)
            case ToolCall():
                tools.append((part, where))
            case Refusal(text=text) if "type" not in extra(part.extensions):
                wire["refusal"] = (wire["refusal"] or "") + text
            case Audio():
                wire["audio"] = encode_audio(part)
            case Image():
                _write_image(wire, part, where, losses)
            case Text(signature=Signature()):
                signed.append((part, where))
                words.append((msgspec.structs.replace(part, signature=None), where))
            case _:
                words.append((part, where))
    form = rest.pop("content", None)
    wire["content"] = _encode_words(words, form, losses)
    if not rest.pop(_NULL, False) and wire["content"] is None and not message.parts:
        # An answer without anything is an empty text; null stands for one that says something else than words.
        wire["content"] = ""
    write_thinking(wire, thinking)
    _write_signatures(wire, signed, losses)
    calls.write_calls(wire, tools, losses, answer=True)
    annotations = encode_annotations([(part, where) for part, where in words if isinstance(part, Text)], losses)
    if annotations:
        wire["annotations"] = annotations
    return overlay(wire, rest)


def _write_signatures(wire: dict[str, Any], signed: Sequence[tuple[Text, str]], losses: list[Loss]) -> None:
    """Write the signature of the last text that has one: all texts are one `content`."""
    for _, where in signed[:-1]:
        lost(losses, f"{where}.signature", "of the texts of an answer of chat completions only the last can be signed")
    for part, _ in signed[-1:]:
        if part.signature is not None:
            details = wire.setdefault(DETAILS, [])
            details.append(text_signature(part.signature, len(details)))


def _encode_words(words: Sequence[tuple[Part, str]], form: Any, losses: list[Loss]) -> Any:
    """Write `content`: a text, as OpenAI's clients expect it, unless it came as a list of parts."""
    if form == [] or any(isinstance(part, Thinking) for part, _ in words):
        return [said for said in (encode_part(part, path, losses) for part, path in words) if said is not None]
    texts = []
    for part, path in words:
        if isinstance(part, Text):
            texts.append(part.text)
        else:
            lost(losses, path, f"answers of chat completions have no place for {type(part).__name__}")
    return "".join(texts) if texts else form


def _write_image(wire: dict[str, Any], part: Image, path: str, losses: list[Loss]) -> None:
    said = encode_part(part, path, losses)
    if said is not None:
        wire.setdefault("images", []).append(said)


def encode_audio(part: Audio) -> dict[str, Any]:
    """Write the sound of an answer, with every member that OpenAI's own clients require."""
    wire = {
        "id": part.id or f"audio_{uuid.uuid4().hex}",
        "data": part.source.data if part.source is not None and part.source.data is not None else "",
        "expires_at": part.expires_at if part.expires_at is not None else int(time.time()) + 3600,
        "transcript": part.transcript or "",
    }
    return overlay(wire, extra(part.extensions))
