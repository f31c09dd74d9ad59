"""Contents of a request as they are written: each part is JSON already, and is remembered so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from jackfield.api import Loss
from jackfield.api.canonical import Message
from jackfield.api.canonical.codec import to_json
from jackfield_gemini.generate import signing

_PLACEHOLDER: Final = b',"%b":%b}' % (signing.KEY.encode(), to_json(signing.PLACEHOLDER))
"""The end of a part that has no signature of its own."""


class Piece(NamedTuple):
    """A part of a content as it is written, and what its content must know of it."""

    raw: bytes
    call: str | None
    """The id of the call that it is or answers."""
    calls: bool
    answers: bool
    signed: bool


class Said(NamedTuple):
    """What a message becomes, and what that hangs on besides it. It is known by the message's identity, and so holds it."""

    message: Message
    pieces: tuple[Piece, ...]
    calls: tuple[tuple[str, str], ...]
    """The ids of its calls, and the functions they call."""
    names: tuple[tuple[str, str | None], ...]
    """The calls whose results it holds without a name, and the functions these called."""
    losses: tuple[Loss, ...]
    """With their paths below the message's."""


class Content:
    """What one speaker says in a row."""

    __slots__ = ("named", "pieces", "rest", "role")

    def __init__(self, role: str, pieces: Iterable[Piece], rest: dict[str, Any]) -> None:
        self.role, self.pieces, self.rest = role, list(pieces), rest
        self.named = rest.pop("=role", None)
        """How the speaker was called, if otherwise; empty for not at all."""

    def written(self) -> bytes:
        """Return the content as JSON."""
        role = self.role if self.named is None else self.named
        parts = b"[%b]" % b",".join([piece.raw for piece in self.pieces])
        if not self.rest and self.named is None:
            return b'{"role":"%b","parts":%b}' % (role.encode(), parts)
        return to_json({**({"role": role} if role else {}), "parts": msgspec.Raw(parts), **self.rest})


def of(wire: dict[str, Any], call: str | None) -> Piece:
    """Return a part; `call` is the id of the call that it is or answers."""
    return Piece(to_json(wire), call, "functionCall" in wire, "functionResponse" in wire, signing.KEY in wire)


def signed(piece: Piece) -> Piece:
    """Return a call without a signature with what stands for one."""
    return piece._replace(raw=piece.raw[:-1] + _PLACEHOLDER, signed=True)
