"""Typed partial decodes, for what is looked at without being read whole."""

from __future__ import annotations

from typing import Any, Final

import msgspec


class PlainPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A part that is nothing but words or thoughts."""

    text: str
    thought: bool = False


class PlainContent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A content with one such part."""

    parts: tuple[PlainPart]
    role: str = ""


class PlainCandidate(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A candidate that goes on."""

    content: PlainContent
    index: int = 0


class PlainChunk(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A chunk in the middle of an answer."""

    candidates: tuple[PlainCandidate]
    usageMetadata: msgspec.Raw = msgspec.Raw()  # noqa: N815 (the wire's name)
    modelVersion: str = ""  # noqa: N815
    responseId: str = ""  # noqa: N815
    createTime: str = ""  # noqa: N815


plain_chunk: Final = msgspec.json.Decoder(PlainChunk).decode
"""Reads a plain chunk; raises `ValueError` for all others."""


class SeenContent(msgspec.Struct, gc=False):
    """A content of which the parts are looked at."""

    parts: list[dict[str, Any]] | None = None


class SeenCandidate(msgspec.Struct, gc=False):
    """What a chunk says of one candidate."""

    content: SeenContent | None = None
    finishReason: Any = None  # noqa: N815
    index: int = 0


class SeenChunk(msgspec.Struct, gc=False):
    """What a chunk or a whole answer shows."""

    candidates: list[SeenCandidate] | None = None
    promptFeedback: dict[str, Any] | None = None  # noqa: N815
    usageMetadata: dict[str, Any] | None = None  # noqa: N815
    modelVersion: str = ""  # noqa: N815
    responseId: str = ""  # noqa: N815
    error: Any = None
    embedding: Any = None
    embeddings: Any = None
    totalTokens: Any = None  # noqa: N815


seen_chunk: Final = msgspec.json.Decoder(SeenChunk).decode
"""Reads what a chunk shows; raises `ValueError` for what is no JSON, or of an unusual form."""


class _Counted(msgspec.Struct, gc=False):
    usageMetadata: dict[str, Any] | None = None  # noqa: N815


counted: Final = msgspec.json.Decoder(_Counted).decode
"""Reads the token counts of a chunk alone."""
