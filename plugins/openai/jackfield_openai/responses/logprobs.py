"""How likely the tokens of an answer were: `logprobs` of an `output_text` and of its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from jackfield.api.canonical import TokenChance, TokenLogprob


class _Chance(msgspec.Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class _Token(msgspec.Struct):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top_logprobs: tuple[_Chance, ...] | None = None


def decode_logprobs(value: Any) -> tuple[TokenLogprob, ...]:
    """Read a list of tokens; nothing where it is empty or of another form."""
    if not isinstance(value, list) or not value:
        return ()
    try:
        said = msgspec.convert(value, tuple[_Token, ...])
    except msgspec.ValidationError:
        return ()
    return tuple(
        TokenLogprob(
            token=token.token,
            logprob=token.logprob,
            bytes=token.bytes,
            top=tuple(TokenChance(token=c.token, logprob=c.logprob, bytes=c.bytes) for c in token.top_logprobs or ()),
        )
        for token in said
    )


def encode_logprobs(tokens: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """Write a list of tokens with all members that OpenAI's clients require."""
    return [{**_encode(token), "top_logprobs": [_encode(chance) for chance in token.top]} for token in tokens]


def _encode(chance: TokenLogprob | TokenChance) -> dict[str, Any]:
    spelled = chance.bytes if chance.bytes is not None else chance.token.encode(errors="replace")
    return {"token": chance.token, "bytes": list(spelled), "logprob": chance.logprob}
