"""What only this dialect knows of a thing: how it is kept beside the canonical structs and written back."""

from __future__ import annotations

from typing import Final

from jackfield.api import Loss
from jackfield.api.canonical.codec import Extras

NAME: Final = "openai.completions"
"""The dialect's name."""

Losses = list[Loss]
"""What an encoder adds to."""

_own: Final = Extras(NAME)
extra: Final = _own.of
kept: Final = _own.keep


def lost(losses: Losses, path: str, why: str) -> None:
    """Note that something cannot be said in this dialect."""
    losses.append(Loss(path, "dropped", why))
