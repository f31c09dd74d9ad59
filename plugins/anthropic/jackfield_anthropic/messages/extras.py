"""What only this dialect knows of a thing: how it is kept beside the canonical structs and written back.

`extensions["anthropic.messages"]` of a struct holds those members of its wire object that the struct does not say. Where
the wire has two forms for one value, such as a text or a list of one text, the entry under the member's own key says
which was used. Keys that begin with `=` are no members of the wire but notes of this codec.
"""

from __future__ import annotations

from typing import Final

from jackfield.api.canonical.codec import Extras

NAME: Final = "anthropic.messages"
"""The dialect's name."""

FAMILY: Final = "anthropic"
"""The models whose signatures it carries."""

ATTRIBUTION: Final = "x-anthropic-billing-header:"
"""How the line begins in which Claude Code names itself and signs its request, at the head of what the system says."""

_own: Final = Extras(NAME)
extra: Final = _own.of
kept: Final = _own.keep
