"""Whole answers: an upstream's body to the canonical form, and the canonical form to a client's body.

Source: OpenAI's API reference, "The completion object".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield.api import Loss, Response
from jackfield.api.canonical import Choice, FinishReason, Logprobs, Message, Part, Refusal, Text, TokenChance, TokenLogprob
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_openai.chat.finish import decode_finish
from jackfield_openai.chat.usage import decode_usage, encode_usage
from jackfield_openai.completions.extras import NAME, Losses, extra, kept, lost

OBJECT: Final = "text_completion"
_WORDS: Final[dict[FinishReason, str]] = {"length": "length", "context_length": "length", "content_filter": "content_filter"}
_PLAIN: Final = frozenset({"stop", "length", "content_filter"})


def made_id() -> str:
    """Return an id for an answer that has none."""
    return f"cmpl-{uuid.uuid4().hex}"


# ---------------------------------------------------------------------------------------------- reading


def decode_response(raw: bytes) -> Response:
    """Read an upstream's whole answer. Raises `ValueError` for what is none."""
    try:
        body = msgspec.json.decode(raw)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise ValueError("the answer has no choices")  # noqa: TRY004 (the contract of decoders)
    usage = body.get("usage")
    head = take_head(body)
    return Response(
        id=head["id"],
        model=head["model"],
        created=head["created"],
        choices=tuple(_decode_choice(choice, at) for at, choice in enumerate(body["choices"]) if isinstance(choice, dict)),
        usage=decode_usage(usage) if isinstance(usage, dict) else None,
        extensions=kept(head["rest"]),
    )


def take_head(body: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer says of itself, and under `rest` what else stands beside choices and counts."""
    rest = {key: value for key, value in body.items() if key not in ("choices", "usage") and value is not None}
    if rest.get("object") == OBJECT:
        del rest["object"]
    created = rest.pop("created") if isinstance(rest.get("created"), int) and not isinstance(rest["created"], bool) else None
    said = {key: rest.pop(key) if isinstance(rest.get(key), str) else "" for key in ("id", "model")}
    return {**said, "created": created, "rest": rest}


def take_choice(choice: dict[str, Any], at: int) -> dict[str, Any]:
    """Return what a choice says: its number, words, ending and chances, and under `rest` what else."""
    rest = {key: value for key, value in choice.items() if value is not None}
    index = rest.pop("index", at)
    text, word = rest.pop("text", ""), rest.pop("finish_reason", None)
    reason = decode_finish(word)
    if reason is not None and finish_word(reason) != word:
        rest["finish_reason"] = word
    logprobs = _decode_logprobs(rest.get("logprobs"))
    if logprobs is not None:
        del rest["logprobs"]
    return {
        "index": index if isinstance(index, int) and not isinstance(index, bool) else at,
        "text": text if isinstance(text, str) else "",
        "finish": reason,
        "logprobs": logprobs,
        "rest": rest,
    }


def _decode_choice(choice: dict[str, Any], at: int) -> Choice:
    said = take_choice(choice, at)
    message = Message(role="assistant", parts=(Text(text=said["text"]),) if said["text"] else ())
    return Choice(message=message, index=said["index"], finish=said["finish"], logprobs=said["logprobs"], extensions=kept(said["rest"]))


class _Chances(msgspec.Struct, forbid_unknown_fields=True):
    tokens: tuple[str, ...]
    token_logprobs: tuple[float | None, ...]
    top_logprobs: tuple[dict[str, float] | None, ...] | None = None
    text_offset: tuple[int, ...] | None = None


def _decode_logprobs(value: Any) -> Logprobs | None:
    """Read `logprobs`; None for null and for forms that are not OpenAI's, which remain."""
    try:
        said = msgspec.convert(value, _Chances)
    except msgspec.ValidationError:
        return None
    top = said.top_logprobs or (None,) * len(said.tokens)
    if not len(said.tokens) == len(said.token_logprobs) == len(top) or None in said.token_logprobs:
        return None
    tokens = tuple(
        TokenLogprob(token=token, logprob=chance or 0.0, top=tuple(TokenChance(token=t, logprob=c) for t, c in (others or {}).items()))
        for token, chance, others in zip(said.tokens, said.token_logprobs, top, strict=True)
    )
    where = {"text_offset": list(said.text_offset)} if said.text_offset is not None else {}
    return Logprobs(content=tokens, extensions={NAME: where} if where else {})


# ---------------------------------------------------------------------------------------------- writing


def encode_response(response: Response, losses: list[Loss]) -> bytes:
    """Write a whole answer for a client, with every member that OpenAI's own clients require."""
    wire = header(response.id, response.model, response.created)
    wire["choices"] = [_encode_choice(choice, f"choices[{at}]", losses) for at, choice in enumerate(response.choices)]
    if response.usage is not None and response.usage.source != "absent":
        wire["usage"] = encode_usage(response.usage)
    return to_json(overlay(wire, extra(response.extensions)))


def header(response_id: str, model: str, created: int | None) -> dict[str, Any]:
    """Return what an answer, and every chunk of a streamed one, says of itself."""
    return {
        "id": response_id or made_id(),
        "object": OBJECT,
        "created": created if created is not None else int(time.time()),
        "model": model,
    }


def _encode_choice(choice: Choice, path: str, losses: Losses) -> dict[str, Any]:
    text = "".join(words_of(part, f"{path}.parts[{at}]", losses) for at, part in enumerate(choice.message.parts))
    wire = choice_wire(choice.index, text, choice.finish or "stop", extra(choice.extensions), losses)
    return {**wire, "logprobs": encode_logprobs(choice.logprobs)} if choice.logprobs is not None else wire


def choice_wire(index: int, text: str, reason: FinishReason, rest: dict[str, Any], losses: Losses) -> dict[str, Any]:
    """Write a choice; `rest` is written over it if it still means the same."""
    rest = {key: value for key, value in rest.items() if key != "finish_reason" or decode_finish(value) == reason}
    if reason not in _PLAIN and "finish_reason" not in rest:
        losses.append(Loss(f"choices[{index}].finish", "changed", f"completions have no word for an end by {reason!r}"))
    return overlay({"text": text, "index": index, "logprobs": None, "finish_reason": finish_word(reason)}, rest)


def finish_word(reason: FinishReason) -> str:
    """Return the word for a finish reason: of those that clients accept the nearest."""
    return _WORDS.get(reason, "stop")


def words_of(part: Part, path: str, losses: Losses) -> str:
    """Return the words of a part; what is none is lost."""
    if isinstance(part, Text | Refusal):
        return part.text
    lost(losses, path, f"completions have no place for {type(part).__name__}")
    return ""


def encode_logprobs(logprobs: Logprobs | None) -> dict[str, Any] | None:
    """Write `logprobs`."""
    if logprobs is None or not logprobs.content:
        return None
    tokens: Sequence[TokenLogprob] = logprobs.content
    offsets, at = [], 0
    for token in tokens:
        offsets.append(at)
        at += len(token.token)
    wire = {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{chance.token: chance.logprob for chance in token.top} for token in tokens],
        "text_offset": offsets,
    }
    return {**wire, **extra(logprobs.extensions)}
