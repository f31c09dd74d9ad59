"""How likely the tokens of an answer were (OpenAI's API reference, `choices[].logprobs`)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api.canonical import Logprobs, TokenChance, TokenLogprob
from jackfield.api.canonical.codec import overlay
from jackfield_openai.chat.extras import extra, kept


class _Chance(msgspec.Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top_logprobs: tuple[_Chance, ...] | None = None


class _Tokens(msgspec.Struct):
    content: tuple[_Token, ...] | None = None
    refusal: tuple[_Token, ...] | None = None


_KEYS: Final = ("content", "refusal")


def decode_logprobs(value: Any) -> Logprobs | None:
    """Read `logprobs`; None for null and for forms that are not OpenAI's."""
    if not isinstance(value, dict):
        return None
    try:
        said = msgspec.convert(value, _Tokens)
    except msgspec.ValidationError:
        return None
    rest = {key: item for key, item in value.items() if key not in _KEYS}
    return Logprobs(content=_tokens(said.content), refusal=_tokens(said.refusal), extensions=kept(rest))


def _tokens(said: tuple[_Token, ...] | None) -> tuple[TokenLogprob, ...] | None:
    if said is None:
        return None
    return tuple(
        TokenLogprob(
            token=token.token,
            logprob=token.logprob,
            bytes=token.bytes,
            top=tuple(TokenChance(token=c.token, logprob=c.logprob, bytes=c.bytes) for c in token.top_logprobs or ()),
        )
        for token in said
    )


def encode_logprobs(logprobs: Logprobs) -> dict[str, Any]:
    """Write `logprobs` as OpenAI does, with all members."""
    wire = {"content": _encode_tokens(logprobs.content), "refusal": _encode_tokens(logprobs.refusal)}
    return overlay(wire, extra(logprobs.extensions))


def _encode_tokens(tokens: tuple[TokenLogprob, ...] | None) -> list[dict[str, Any]] | None:
    if tokens is None:
        return None
    return [{**_encode_chance(token), "top_logprobs": [_encode_chance(chance) for chance in token.top]} for token in tokens]


def _encode_chance(chance: TokenLogprob | TokenChance) -> dict[str, Any]:
    return {"token": chance.token, "logprob": chance.logprob, "bytes": list(chance.bytes) if chance.bytes is not None else None}
