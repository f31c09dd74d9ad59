"""Typed partial decodes, for what is looked at without being read whole."""

from __future__ import annotations

from typing import Any, Final

import msgspec


class PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An event that adds to an open part and says nothing else."""

    type: str
    delta: str
    output_index: int
    item_id: str = ""
    content_index: int = 0
    summary_index: int | None = None
    sequence_number: int | None = None
    logprobs: tuple[()] | None = None
    obfuscation: str | None = None


plain_delta: Final = msgspec.json.Decoder(PlainDelta).decode
"""Reads such an event; raises `ValueError` for all others."""


class Seen(msgspec.Struct, gc=False):
    """What an event says, to an eye that knows none of those before it."""

    type: str = ""
    delta: Any = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    sequence_number: int | None = None
    item_id: str = ""


seen: Final = msgspec.json.Decoder(Seen).decode
"""Reads what an event says; raises `ValueError` for one of an unusual form."""


class InputDetails(msgspec.Struct, gc=False):
    """Of the input tokens."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(msgspec.Struct, gc=False):
    """Of the output tokens."""

    reasoning_tokens: int | None = None


class Counts(msgspec.Struct, gc=False):
    """Token counts."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Answer(msgspec.Struct, gc=False):
    """What one look at a whole answer shows."""

    output: msgspec.Raw = msgspec.Raw()
    usage: Counts | None = None
    status: str | None = None
    object: str | None = None


class Lifecycle(msgspec.Struct, gc=False):
    """An event that carries a whole answer."""

    type: str = ""
    response: Answer | None = None


answer: Final = msgspec.json.Decoder(Answer).decode
"""Reads what one look shows; raises `ValueError` for what is no JSON, or of an unusual form."""

lifecycle: Final = msgspec.json.Decoder(Lifecycle).decode
"""The same for an event."""
