"""Whole answers: an upstream's body to the canonical form, and the canonical form to a client's body.

Source: OpenAI's API reference, "The response object". An answer repeats the settings of its request; what of them is not as it
mostly is stands in `extensions`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jackfield.api import Error, Loss, Request, Response
from jackfield.api.canonical import Choice, FinishReason, Logprobs, Message, Part, Refusal, ToolCall, Usage
from jackfield.api.canonical.codec import difference, overlay, to_json
from jackfield_openai.errors import read_error, with_status
from jackfield_openai.responses.extras import NAME, Losses, extra, lost, made_id
from jackfield_openai.responses.items import collect_tokens, encode_items, lenient_item, take_carried, take_id, with_id
from jackfield_openai.responses.settings import TIERS, encode_format
from jackfield_openai.responses.tools import encode_tool_list, write_choice
from jackfield_openai.responses.usage import decode_usage, encode_usage

OBJECT: Final = "response"

STATUS: Final = "=status"
"""The key under which an answer keeps a status that says nothing of an end: `queued`, `in_progress`, `cancelled`."""

ANSWER_TIERS: Final = TIERS | {"ultrafast"}

_INCOMPLETE: Final[dict[str, FinishReason]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_WORDS: Final[dict[FinishReason, str]] = {
    "length": "max_output_tokens",
    "context_length": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
CUT: Final[frozenset[FinishReason]] = frozenset({"length", "content_filter"})
"""Reasons for which the last message is not whole."""
_CHANGED: Final[frozenset[FinishReason]] = frozenset({"pause", "other", "refusal", "context_length", "stop_sequence"})
"""Reasons that are told in the words of others."""

_NO_PICTURES: Final = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "total_tokens": 0,
}
_NO_TOOLS_USED: Final = {"image_gen": _NO_PICTURES, "web_search": {"num_requests": 0}}
"""What newer answers say of the cost of tools that were not used; kept as an empty object."""


def echo() -> dict[str, Any]:
    """Return the settings that an answer repeats, as they mostly are, in the order in which OpenAI writes them."""
    return {
        "background": False,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
        "metadata": {},
    }


# ---------------------------------------------------------------------------------------------- reading


def decode_response(raw: bytes) -> Response:
    """Read an upstream's whole answer. Raises `ValueError` for what is none."""
    try:
        return _decode(msgspec.json.decode(raw))
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def _decode(body: Any) -> Response:
    if not isinstance(body, dict) or not isinstance(body.get("output"), list):
        raise ValueError("the answer has no output")  # noqa: TRY004 (the contract of decoders)
    parts: list[Part] = []
    for at, item in enumerate(body["output"]):
        if not take_carried(parts, item):
            parts += lenient_item(item, at)
    made, tokens = collect_tokens(parts)
    usage = body.get("usage")
    head = take_head(body)
    finish, rest = decode_finish(body, made)
    return Response(
        id=head["id"],
        model=head["model"],
        created=head["created"],
        choices=(choice_of(made, finish, tokens),),
        usage=decode_usage(usage) if isinstance(usage, dict) else None,
        service_tier=head["service_tier"],
        extensions=kept_echo({**head["rest"], **rest}),
    )


def choice_of(parts: list[Part], finish: FinishReason | None, tokens: Any) -> Choice:
    """Return the one choice of an answer."""
    logprobs = Logprobs(content=tokens) if tokens else None
    parts, message_id = take_id(parts)
    return Choice(message=Message(role="assistant", parts=tuple(parts), id=message_id), finish=finish, logprobs=logprobs)


def take_head(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says of itself, and the rest of its settings under `rest`."""
    rest = {key: value for key, value in body.items() if key not in ("output", "usage", "status", "error", "incomplete_details")}
    if rest.get("object") == OBJECT:
        del rest["object"]
    created = rest.get("created_at")
    if isinstance(created, int) and not isinstance(created, bool):
        del rest["created_at"]
    else:
        created = int(created) if isinstance(created, float) and abs(created) < 1e15 else None
    tier = rest.pop("service_tier") if isinstance(rest.get("service_tier"), str) else None
    said = {key: rest.pop(key) if isinstance(rest.get(key), str) else "" for key in ("id", "model")}
    return {**said, "created": created, "service_tier": tier, "rest": rest}


def kept_echo(rest: dict[str, Any]) -> Any:
    """Return extensions that keep the settings that an answer repeats, as far as they are not as they mostly are."""
    # A null takes away what would be written.
    said = difference(echo(), rest)
    if said.get("tool_usage") == _NO_TOOLS_USED:
        said["tool_usage"] = {}
    return {NAME: said} if said else {}


def decode_finish(body: Mapping[str, Any], parts: list[Part]) -> tuple[FinishReason | None, dict[str, Any]]:
    """Read why an answer ended, and what of that would not be written back by itself."""
    status, details, error = body.get("status"), body.get("incomplete_details"), body.get("error")
    if status == "incomplete":
        word = details.get("reason") if isinstance(details, dict) else None
        reason = _INCOMPLETE.get(str(word), "other")
        return reason, {STATUS: status, "incomplete_details": details} if reason == "other" else {}
    if status == "failed":
        return "error", {"error": error} if error is not None else {}
    if status in ("queued", "in_progress", "cancelled"):
        return None, {STATUS: status, **({"error": error} if error is not None else {})}
    return ("tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"), {}


def decode_failure(body: Mapping[str, Any]) -> Error:
    """Read the error of an answer that failed, with the status that its code stands for."""
    said = body.get("error")
    found = read_error({"error": said}, 500) if said else None
    if found is None:
        return Error(status=502, message="the provider's answer failed without a word", code="server_error")
    return with_status(found)


# ---------------------------------------------------------------------------------------------- writing


def encode_response(response: Response, losses: list[Loss]) -> bytes:
    """Write a whole answer for a client, with every member that OpenAI's own clients require."""
    choice = first_choice(response, losses)
    if choice.stop_sequence is not None:
        lost(losses, "choices[0].stop_sequence", "Responses do not name the stop sequence")
    placed = [(part, f"choices[0].parts[{at}]") for at, part in enumerate(with_id(choice.message))]
    tokens = choice.logprobs.content if choice.logprobs is not None and choice.logprobs.content else ()
    rest = with_tool_usage(extra(response.extensions))
    tier = known_tier(response.service_tier, losses, own=bool(rest))
    head = header(response.id, response.model, response.created, tier)
    status = rest.pop(STATUS, None)
    ending = end_of(choice.finish, choice.message.parts, losses)
    if isinstance(status, str) and (choice.finish is None or status == "incomplete"):
        ending = {"status": status}
    output = encode_items(placed, losses, answer=True, tokens=tokens)
    if not rest and choice.finish in CUT and output and output[-1]["type"] == "message":
        output[-1]["status"] = "incomplete"
    wire = {**head, **ending, **echo(), "output": output, "usage": wire_usage(response.usage)}
    return to_json(overlay(wire, {**rest, **extra(choice.extensions)}))


def with_tool_usage(rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return kept settings with what was shortened at full length."""
    return {**rest, "tool_usage": _NO_TOOLS_USED} if rest.get("tool_usage") == {} else dict(rest)


def first_choice(response: Response, losses: Losses) -> Choice:
    """Return the one choice that Responses can say."""
    if len(response.choices) > 1:
        losses.append(Loss("choices", "dropped", "Responses give one answer"))
    return response.choices[0] if response.choices else Choice(finish="stop")


def header(response_id: str, model: str, created: int | None, tier: str | None) -> dict[str, Any]:
    """Return what an answer says of itself."""
    return {
        "id": response_id or made_id("resp"),
        "object": OBJECT,
        "created_at": created if created is not None else int(time.time()),
        "model": model,
        "service_tier": tier,
    }


def known_tier(tier: str | None, losses: Losses, *, own: bool) -> str | None:
    """Return the service tier, if it is one that OpenAI's clients know."""
    if tier is None or own or tier in ANSWER_TIERS:
        return tier
    losses.append(Loss("service_tier", "dropped", f"Responses have no service tier {tier!r}"))
    return None


def end_of(reason: FinishReason | None, parts: Any, losses: Losses) -> dict[str, Any]:
    """Return the members that say why an answer ended."""
    if reason == "error":
        return {"status": "failed", "error": {"code": "server_error", "message": "the provider failed"}, "incomplete_details": None}
    refused = reason == "refusal" and any(isinstance(part, Refusal) for part in parts)
    if reason in _CHANGED:
        losses.append(Loss("choices[0].finish", "changed", f"Responses have no word for an end by {reason!r}"))
    if reason in _WORDS and not refused:
        return {"status": "incomplete", "error": None, "incomplete_details": {"reason": _WORDS[reason]}}
    return {"status": "completed", "error": None, "incomplete_details": None}


def wire_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Write token counts; nothing where nobody counted."""
    return encode_usage(usage) if usage is not None and usage.source != "absent" else None


def echo_of(request: Request) -> dict[str, Any]:
    """Return the settings that an answer to `request` repeats, as far as they differ from what is mostly so."""
    said: dict[str, Any] = {
        "instructions": None,
        "max_output_tokens": request.sampling.max_tokens,
        "parallel_tool_calls": request.parallel_tools,
        "prompt_cache_key": request.cache_key,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_logprobs": request.sampling.top_logprobs,
        "user": request.user,
        "metadata": request.metadata or None,
        "tools": encode_tool_list([(tool, "") for tool in request.tools], [], fit=False) or None,
    }
    form = encode_format(request.output, [], fit=False)
    text = {"format": form, "verbosity": request.output.verbosity}
    said["text"] = {key: value for key, value in text.items() if value is not None} or None
    reasoning = {"effort": request.thinking.effort, "summary": request.thinking.summary}
    said["reasoning"] = reasoning if any(reasoning.values()) else None
    write_choice(said, request.tool_choice, request.tools, [])
    return {key: value for key, value in said.items() if value is not None}
