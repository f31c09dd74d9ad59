"""Typed partial decodes, for what is looked at without being read whole."""

from __future__ import annotations

from typing import Any, Final

import msgspec


class PlainFunction(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """More of a function's arguments."""

    arguments: str


class PlainPiece(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """More of a tool call."""

    index: int
    function: PlainFunction


class PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A delta that may say nothing but words, thoughts or arguments."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[PlainPiece] | None = None
    refusal: None = None
    function_call: None = None


class PlainChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A choice with such a delta alone."""

    delta: PlainDelta
    index: int = 0
    finish_reason: None = None
    native_finish_reason: None = None
    logprobs: None = None


class PlainChunk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A chunk in the middle of an answer, from a server that adds nothing of its own."""

    id: str
    model: str
    choices: tuple[PlainChoice, ...]
    object: str = ""
    created: int | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    provider: str | None = None
    usage: None = None
    obfuscation: str | None = None
    p: str | None = None


plain_chunk: Final = msgspec.json.Decoder(PlainChunk).decode
"""Reads a plain chunk; raises `ValueError` for all others."""


class Function(msgspec.Struct, gc=False):
    """A piece of a function's call."""

    name: str | None = None
    arguments: str | None = None


class Custom(msgspec.Struct, gc=False):
    """A piece of a custom tool's call."""

    name: str | None = None
    input: str | None = None


class CallPiece(msgspec.Struct, gc=False):
    """A piece of a tool call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class SeenDelta(msgspec.Struct, gc=False):
    """What a delta may add to an answer."""

    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[CallPiece] | None = None


class SeenChoice(msgspec.Struct, gc=False):
    """What a chunk says of one choice."""

    index: int = 0
    delta: SeenDelta | None = None
    finish_reason: str | None = None


class SeenChunk(msgspec.Struct, gc=False):
    """What a chunk says, to an eye that knows none of those before it."""

    choices: list[SeenChoice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


seen_chunk: Final = msgspec.json.Decoder(SeenChunk).decode
"""Reads what a chunk says; raises `ValueError` for one of an unusual form."""


class FollowedChunk(msgspec.Struct, gc=False):
    """What a follower keeps of a chunk."""

    id: str = ""
    model: str = ""
    created: Any = None
    choices: list[SeenChoice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


followed_chunk: Final = msgspec.json.Decoder(FollowedChunk).decode
"""Reads what a follower keeps; raises `ValueError` for a chunk of an unusual form."""


class _Nothing(msgspec.Struct, gc=False):
    """An object of which nothing is wanted."""


class PromptDetails(msgspec.Struct, gc=False):
    """Of the input tokens."""

    cached_tokens: int | None = None
    audio_tokens: int | None = None
    cache_write_tokens: int | None = None


class CompletionDetails(msgspec.Struct, gc=False):
    """Of the output tokens."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Counts(msgspec.Struct, gc=False):
    """Token counts as nearly all speakers write them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    cached_tokens: int | None = None
    num_cached_tokens: int | None = None


class Glanced(msgspec.Struct, gc=False):
    """What one look at a whole answer shows."""

    choices: list[_Nothing] | None = None
    data: list[_Nothing] | None = None
    usage: Counts | None = None


glanced: Final = msgspec.json.Decoder(Glanced).decode
"""Reads what one look shows; raises `ValueError` for what is no JSON, or has counts of an unusual form."""
