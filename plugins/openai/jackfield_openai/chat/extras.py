"""What only this dialect knows of a thing: how it is kept beside the canonical structs and written back.

`extensions["openai.chat"]` of a struct holds those members of its wire object that the struct does not say. They
are written over what the encoder writes; null takes a member away that it would write by default. Where the wire has
several places or forms for one canonical value, the entry under the place's own key says which was used; the value
is then always the canonical one. Keys that begin with `=` are no members of the wire but notes of this codec.
"""

from __future__ import annotations

from typing import Final

from jackfield.api.canonical.codec import Extras

NAME: Final = "openai.chat"
"""The dialect's name."""

_own: Final = Extras(NAME)
extra: Final = _own.of
kept: Final = _own.keep
