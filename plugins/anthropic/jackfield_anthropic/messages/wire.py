"""Typed partial decodes, for what is looked at without being read whole."""

from __future__ import annotations

from typing import Any, Final

import msgspec

DELTA: Final = b"event: content_block_delta\ndata: "
"""What the events begin with that most of a stream consists of."""


class PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A delta that may say nothing but words, thoughts or arguments."""

    type: str
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class PlainEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An event that adds to a block."""

    type: str
    index: int
    delta: PlainDelta


plain_event: Final = msgspec.json.Decoder(PlainEvent).decode
"""Reads such an event; raises `ValueError` for all others."""


class SeenBlock(msgspec.Struct, gc=False):
    """Which block begins."""

    type: str = ""


class SeenDelta(msgspec.Struct, gc=False):
    """What is added, or why the answer ends."""

    type: str | None = None
    stop_reason: str | None = None


class SeenMessage(msgspec.Struct, gc=False):
    """The answer that begins."""

    id: str = ""
    model: str = ""
    usage: dict[str, Any] | None = None
    content: list[Any] = []
    stop_reason: str | None = None


class SeenEvent(msgspec.Struct, gc=False):
    """What an event does to the blocks of a stream."""

    type: str = ""
    index: int = 0
    content_block: SeenBlock | None = None
    delta: SeenDelta | None = None
    message: SeenMessage | None = None
    usage: dict[str, Any] | None = None


seen_event: Final = msgspec.json.Decoder(SeenEvent).decode
"""Reads what a follower must know; raises `ValueError` for what has another form."""


class Details(msgspec.Struct, gc=False):
    """What the output was spent on."""

    thinking_tokens: int | None = None


class Counts(msgspec.Struct, gc=False):
    """Token counts."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: Details | None = None


class Started(msgspec.Struct, gc=False):
    """The counts of an answer that begins."""

    usage: Counts | None = None


class Glanced(msgspec.Struct, gc=False):
    """What a whole answer or an event says of its costs."""

    type: str = ""
    usage: Counts | None = None
    message: Started | None = None
    input_tokens: int | None = None


glanced: Final = msgspec.json.Decoder(Glanced).decode
"""Reads counts wherever they stand; raises `ValueError` for those of an unusual form."""
