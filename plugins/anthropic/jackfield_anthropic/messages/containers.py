"""Containers, in which Anthropic runs code: their ids stand in answers, and later requests may name them.

API reference, "Create a Message" and "Code execution tool": `container` of an answer and of `message_delta` in a stream has an
id; a request names one by its id, or by an object with it and with skills. Signatures of thoughts are "compatible across
platforms" (guide "Extended thinking"), so that it does not matter which account they come from.
"""

from __future__ import annotations

from typing import Final

import msgspec

from jackfield.api import Ids
from jackfield.api.canonical.splice import raw_members

NEEDLE: Final = b'"container"'
"""Stands in all answers and events with one."""


class _Container(msgspec.Struct, gc=False):
    id: str | None = None


class _Answer(msgspec.Struct, gc=False):
    """An answer, or an event with one or with what changes in it."""

    container: _Container | None = None
    message: _Answer | None = None
    delta: _Answer | None = None


_answer: Final = msgspec.json.Decoder(_Answer).decode
_named: Final = msgspec.json.Decoder(str | _Container | None).decode


def minted(raw: bytes) -> Ids:
    """Return the container of a whole answer, or of what an event carries."""
    if raw.find(NEEDLE) < 0:
        return Ids()
    try:
        seen = _answer(raw)
    except (ValueError, RecursionError):
        return Ids()
    return _of((seen.message or seen.delta or seen).container)


def named(raw: bytes) -> Ids:
    """Return the container that a request names."""
    try:
        said = raw_members(raw).get("container")
        return _of(_named(said)) if said is not None else Ids()
    except (ValueError, RecursionError):  # whoever reads the body will say what is wrong with it
        return Ids()


def _of(one: str | _Container | None) -> Ids:
    name = one.id if isinstance(one, _Container) else one
    return Ids(stored=(name,)) if name else Ids()
