"""What only this dialect knows of a thing: how it is kept beside the canonical structs and written back.

`extensions["gemini.generate"]` of a struct holds those members of its wire object that the struct does not say, under
their names in camel case. They are written over what the encoder writes; null takes a member away that it would write
by default. Keys that begin with `=` are no members of the wire but notes of this codec: which of several forms was used.
"""

from __future__ import annotations

from typing import Final

from jackfield.api.canonical.codec import Extras

NAME: Final = "gemini.generate"
"""The dialect's name."""
FAMILY: Final = "gemini"
"""The models whose signatures it carries."""

_own: Final = Extras(NAME)
extra: Final = _own.of
kept: Final = _own.keep
