"""Whole answers: an upstream's body to the canonical form, and the canonical form to a client's body.

Source: Gemini API reference, `GenerateContentResponse`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from jackfield.api import BadRequest, Loss, Response
from jackfield.api.canonical import Choice, Message, Part, Thinking, ToolCall, Usage
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_gemini.generate import carried, grounding, signing
from jackfield_gemini.generate.extras import extra, kept
from jackfield_gemini.generate.finish import CHANGED, decode_finish, finish_kept, word_for
from jackfield_gemini.generate.ids import Pairing
from jackfield_gemini.generate.logprobs import decode_logprobs, encode_logprobs
from jackfield_gemini.generate.names import fields, spelled
from jackfield_gemini.generate.parts import decode_part, encode_part
from jackfield_gemini.generate.settings import TIERS, shared_tier
from jackfield_gemini.generate.usage import TIER, decode_usage, encode_usage

BLOCKED: Final = "promptFeedback"
"""What an answer has instead of candidates where the prompt was refused."""
_CONTENT: Final = "=content"
"""The key under which a candidate keeps what its content said besides parts and its usual speaker."""
_EMBEDDINGS: Final = ("embedding", "embeddings", "totalTokens")


def made_id() -> str:
    """Return an id for an answer that has none."""
    return uuid.uuid4().hex[:23]


# ---------------------------------------------------------------------------------------------- reading


def decode_response(raw: bytes) -> Response:
    """Read an upstream's whole answer. Raises `ValueError` for what is no answer."""
    try:
        return decode_body(msgspec.json.decode(raw))
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    except BadRequest as fault:
        raise ValueError(f"the answer cannot be read: {fault}") from None


def decode_body(body: Any) -> Response:
    """Read an answer's decoded JSON. Raises `ValueError` or `BadRequest`."""
    if not isinstance(body, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 (the contract of decoders)
    rest = spelled(body)
    if not any(key in rest for key in ("candidates", BLOCKED, "usageMetadata", *_EMBEDDINGS)):
        raise ValueError("the answer has no candidates")
    head = take_head(rest)
    values = rest.get("candidates")
    candidates = [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    if candidates or values is None:
        rest.pop("candidates", None)
    choices = tuple(_decode_candidate(value, at, head["id"]) for at, value in enumerate(candidates))
    if not choices and BLOCKED in rest:
        choices = (Choice(finish="content_filter"),)
    usage = rest.pop("usageMetadata", None)
    said = decode_usage(usage) if isinstance(usage, dict) else None
    return Response(**head, choices=choices, usage=said, service_tier=tier_of(usage), extensions=kept(rest))


def take_head(rest: dict[str, Any]) -> dict[str, Any]:
    """Take an answer's id, model and time of creation; the time remains, for it is finer than the canonical one."""
    said = {
        name: rest.pop(key) if isinstance(rest.get(key), str) else "" for key, name in (("responseId", "id"), ("modelVersion", "model"))
    }
    return {**said, "created": _seconds(rest.get("createTime"))}


def _seconds(value: Any) -> int | None:
    try:
        return int(msgspec.convert(value, datetime, strict=False).timestamp()) if isinstance(value, str) else None
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None


def tier_of(usage: Any) -> str | None:
    """Return the service tier, which stands among the token counts."""
    value = spelled(usage).get(TIER) if isinstance(usage, dict) else None
    return shared_tier(value) if isinstance(value, str) else None


def _decode_candidate(value: dict[str, Any], at: int, seed: str) -> Choice:
    rest = spelled(value)
    index = rest.pop("index") if type(rest.get("index")) is int else None
    parts, form = take_content(rest, f"{seed}:{index or at}", Pairing())
    word = rest.pop("finishReason", None)
    reason = decode_finish(word, calls=any(isinstance(part, ToolCall) for part in parts))
    logprobs = decode_logprobs(rest.get("logprobsResult"))
    if logprobs is not None:
        del rest["logprobsResult"]
    cited = grounding.cite(parts, rest)
    rest.update(finish_kept(word, reason), **form)
    if index is None and at == 0:
        rest["=index"] = True
    return Choice(
        message=Message(role="assistant", parts=tuple(cited)),
        index=at if index is None else index,
        finish=reason,
        logprobs=logprobs,
        extensions=kept(rest),
    )


def take_content(rest: dict[str, Any], seed: str, pairing: Pairing) -> tuple[list[Part], dict[str, Any]]:
    """Take a candidate's parts; return what its content said besides."""
    content = rest.pop("content", None)
    if not isinstance(content, dict):
        return [], {_CONTENT: ""}
    said = spelled(content)
    values = said.pop("parts", None)
    parts: list[Part] = []
    for place, value in enumerate(values or ()):
        if isinstance(value, dict):
            one = fields(value, f"{seed}:{place}")
            carried.put(parts, carried.take(one.rest))
            parts.append(decode_part(one, pairing))
    if said.get("role") == "model":
        del said["role"]
    else:
        said.setdefault("role", "")
    if values is None:
        said["parts"] = ""
    return parts, {_CONTENT: said} if said else {}


# ---------------------------------------------------------------------------------------------- writing


def encode_response(response: Response, losses: list[Loss]) -> bytes:
    """Write a whole answer for a client; what this protocol cannot say is added to `losses`."""
    rest = dict(extra(response.extensions))
    blocked = BLOCKED in rest and all(not choice.message.parts for choice in response.choices)
    candidates = [] if blocked else [encode_candidate(choice, losses) for choice in response.choices]
    body: dict[str, Any] = {"candidates": candidates} if candidates else {}
    if response.usage is not None:
        body["usageMetadata"] = encode_counts(response.usage, response.service_tier, losses)
    return to_json(overlay({**body, **encode_head(response.id, response.model, response.created, rest)}, rest))


def encode_head(id_: str, model: str, created: int | None, rest: dict[str, Any]) -> dict[str, Any]:
    """Write an answer's id, model and time of creation; the time that was kept stands if it is still the same."""
    kept_time = rest.pop("createTime", None)
    head: dict[str, Any] = {"modelVersion": model} if model else {}
    if kept_time is not None and _seconds(kept_time) == created:
        head["createTime"] = kept_time
    elif created is not None:
        with suppress(ValueError, OverflowError, OSError):  # some upstreams give milliseconds, which are no time of ours
            head["createTime"] = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if id_:
        head["responseId"] = id_
    return head


def encode_counts(usage: Usage, tier: str | None, losses: list[Loss]) -> dict[str, Any]:
    """Write token counts, the service tier among them as Google names it."""
    if tier not in (None, "auto") and tier not in TIERS:
        losses.append(Loss("service_tier", "dropped", f"Google has no service tier {tier!r}"))
    if usage.cache_write:
        losses.append(Loss("usage.cache_write", "dropped", "what was written to a cache is not counted"))
    return encode_usage(usage, TIERS.get(tier or ""))


def encode_candidate(choice: Choice, losses: list[Loss]) -> dict[str, Any]:
    """Write one of the answers."""
    rest = dict(extra(choice.extensions))
    path, form = f"choices[{choice.index}]", rest.pop(_CONTENT, {})
    said = [(encode_part(part, f"{path}.parts[{at}]", losses, answer=True), part) for at, part in enumerate(choice.message.parts)]
    written = [(wire, part) for wire, part in said if wire is not None]
    _carry(written)
    candidate: dict[str, Any] = {}
    if form != "" or written:
        candidate["content"] = _content([wire for wire, _ in written], form or {})
    if choice.finish is not None:
        note_finish(choice, rest, losses)
        candidate["finishReason"] = word_for(choice.finish, rest, calls=_calls(choice.message.parts))
    if rest.pop("=index", None) is None or choice.index:
        candidate["index"] = choice.index
    if choice.logprobs is not None:
        candidate["logprobsResult"] = encode_logprobs(choice.logprobs)
    grounding.write_all(candidate, [part for _, part in written], rest)
    return overlay(candidate, rest)


def _carry(written: Sequence[tuple[dict[str, Any], Part]]) -> None:
    """Put the thoughts of another family on the first call, for clients that send back nothing else of them."""
    at = next((at for at, (wire, _) in enumerate(written) if "functionCall" in wire), 0)
    thoughts = [part for _, part in written[:at] if isinstance(part, Thinking) and carried.foreign(part)]
    if thoughts and signing.KEY not in written[at][0]:
        written[at][0][signing.KEY] = carried.write(thoughts)


def _content(parts: list[dict[str, Any]], form: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"parts": parts, "role": "model", **{key: value for key, value in form.items() if key != "parts"}}
    if form.get("parts") == "" and not parts:
        del content["parts"]
    if not content["role"]:
        del content["role"]
    return content


def _calls(parts: Sequence[Part]) -> bool:
    return any(isinstance(part, ToolCall) for part in parts)


def note_finish(choice: Choice, rest: dict[str, Any], losses: list[Loss]) -> None:
    """Note it where Google's words say less than why an answer ended."""
    if choice.finish in CHANGED and "finishReason" not in rest:
        losses.append(Loss(f"choices[{choice.index}].finish", "changed", f"there is no word for an end by {choice.finish!r}"))
    if choice.stop_sequence is not None:
        losses.append(Loss(f"choices[{choice.index}].stop_sequence", "dropped", "the stop sequence is not named"))
