"""What only this dialect knows of a thing: how it is kept beside the canonical structs and written back.

`extensions["openai.responses"]` of a struct holds those members of its wire object that the struct does not say. They
are written over what the encoder writes. An empty text or list under the key of a place tells in which form
a canonical value stood there, or that nothing stood there although the encoder would write something. Keys that begin
with `=` are no members of the wire but notes of this codec.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final

from jackfield.api import Loss
from jackfield.api.canonical.codec import Extras

NAME: Final = "openai.responses"
"""The dialect's name."""

FAMILY: Final = "openai"
"""The models whose signatures it carries."""

ITEM: Final = "=item"
"""The key under which a text keeps that a message item begins with it, and what that item says besides."""

Losses = list[Loss]
"""What an encoder adds to."""

_own: Final = Extras(NAME)
extra: Final = _own.of
kept: Final = _own.keep


def lost(losses: Losses, path: str, why: str) -> None:
    """Note that something cannot be said in this dialect."""
    losses.append(Loss(path, "dropped", why))


def below(losses: Losses, start: int, path: str) -> tuple[Loss, ...] | None:
    """Return the losses from `start` on with their paths below `path`; None where one is of something else."""
    if len(losses) == start:
        return ()
    noted = losses[start:]
    if not all(loss.path.startswith(path) for loss in noted):
        return None
    return tuple([Loss(loss.path[len(path) :], loss.what, loss.why) for loss in noted])


def replay(losses: Losses, noted: Iterable[Loss], path: str) -> None:
    """Add losses of a thing that is recalled, and stands at `path` now."""
    losses += [Loss(path + loss.path, loss.what, loss.why) for loss in noted]


def made_id(prefix: str) -> str:
    """Return a new id of one of OpenAI's kinds: `resp`, `msg`, `rs`, `fc` ..."""
    return f"{prefix}_{uuid.uuid4().hex}"
