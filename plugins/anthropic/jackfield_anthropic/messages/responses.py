"""Whole answers: an upstream's body to the canonical form, and the canonical form to a client's body.

Source: Anthropic's API reference, the `Message` object.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, Loss, Response
from jackfield.api.canonical import Choice, Message, Part, Refusal, ToolCall
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_anthropic.messages import blocks
from jackfield_anthropic.messages.extras import extra, kept
from jackfield_anthropic.messages.finish import CHANGED, decode_finish, encode_finish, word_kept
from jackfield_anthropic.messages.losses import Losses, changed, dropped
from jackfield_anthropic.messages.thoughts import attached
from jackfield_anthropic.messages.usage import TIER, decode_usage, encode_usage

_TIERS: Final = {"standard": "standard", "priority": "priority", "batch": "batch", "default": "standard", "auto": "standard"}
_ENDING: Final = ("stop_details", "container", "context_management")
"""Members that tell of the answer's end; in a stream they come with it."""


def made_id() -> str:
    """Return an id for an answer that has none."""
    return f"msg_{uuid.uuid4().hex}"


# ---------------------------------------------------------------------------------------------- reading


def decode_response(raw: bytes) -> Response:
    """Read an upstream's whole answer. Raises `ValueError` for what is none."""
    try:
        return _decode(msgspec.json.decode(raw))
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def _decode(body: Any) -> Response:
    if not isinstance(body, dict) or not isinstance(body.get("content"), list):
        raise ValueError("the answer has no content")  # noqa: TRY004 (the contract of decoders)
    rest = {key: value for key, value in body.items() if key not in ("content", "role", "type", "usage", "stop_reason", "stop_sequence")}
    usage, word, stop = body.get("usage"), body.get("stop_reason"), body.get("stop_sequence")
    ending = {key: rest.pop(key) for key in _ENDING if key in rest}
    parts = tuple(attached(map(block_of_answer, body["content"])))
    calls = any(isinstance(part, ToolCall) for part in parts)
    choice = Choice(
        message=Message(role="assistant", parts=parts),
        finish=decode_finish(word),
        stop_sequence=stop if isinstance(stop, str) else None,
        extensions=kept({**ending, **word_kept(word, calls=calls)}),
    )
    return Response(
        id=take_text(rest, "id"),
        model=take_text(rest, "model"),
        choices=(choice,),
        usage=decode_usage(usage) if isinstance(usage, dict) else None,
        service_tier=tier_of(usage),
        extensions=kept(rest),
    )


def take_text(rest: dict[str, Any], key: str) -> str:
    """Take a text; what is none remains."""
    return rest.pop(key) if isinstance(rest.get(key), str) else ""


def tier_of(usage: Any) -> str | None:
    """Return the tier that token counts name."""
    tier = usage.get(TIER) if isinstance(usage, dict) else None
    return tier if isinstance(tier, str) else None


def block_of_answer(value: Any) -> Part:
    """Read one block of an answer; what cannot be read is kept as it is."""
    try:
        return blocks.decode_block(value, "content")
    except BadRequest:
        return blocks.opaque(value, value.get("type") if isinstance(value, dict) else None)


# ---------------------------------------------------------------------------------------------- writing


def encode_response(response: Response, losses: list[Loss]) -> bytes:
    """Write a whole answer for a client, with every member that Anthropic's own clients require."""
    choice = response.choices[0] if response.choices else Choice()
    note_others(len(response.choices), losses)
    if choice.logprobs is not None:
        dropped(losses, "choices[0].logprobs", "messages tell no likelihoods")
    content = [
        block
        for at, part in enumerate(choice.message.parts)
        for block in blocks.encode_answered(part, f"choices[0].message.parts[{at}]", losses)
    ]
    wire: dict[str, Any] = {
        "id": response.id or made_id(),
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": content,
        **ending_of(choice, losses),
        "usage": encode_usage(response.usage, shown_tier(response.service_tier))
        if response.usage is not None
        else {"input_tokens": 0, "output_tokens": 0},
    }
    return to_json(overlay(wire, extra(response.extensions)))


def note_others(count: int, losses: Losses) -> None:
    """Note that of several answers one is told."""
    for at in range(1, count):
        dropped(losses, f"choices[{at}]", "there is one answer to a request")


def shown_tier(tier: str | None) -> str | None:
    """Return the tier in the dialect's words; None where it has none."""
    return _TIERS.get(tier) if tier is not None else None


def ending_of(choice: Choice, losses: Losses) -> dict[str, Any]:
    """Return what an answer says of its end."""
    parts = choice.message.parts
    return finish_wire(
        choice,
        losses,
        calls=any(isinstance(part, ToolCall) for part in parts),
        refused=any(isinstance(part, Refusal) for part in parts),
    )


def finish_wire(choice: Choice, losses: Losses, *, calls: bool, refused: bool) -> dict[str, Any]:
    """Return the members that tell why an answer ended."""
    rest = dict(extra(choice.extensions))
    word = encode_finish(choice.finish, calls=calls, refused=refused)
    if choice.finish in CHANGED and "stop_reason" not in rest:
        changed(losses, "choices[0].finish", f"there is no word for an end by {choice.finish!r}")
    if rest.get("stop_reason") is not None and decode_finish(rest["stop_reason"]) != choice.finish:
        del rest["stop_reason"]
    return {"stop_reason": word, "stop_sequence": choice.stop_sequence, **rest}
