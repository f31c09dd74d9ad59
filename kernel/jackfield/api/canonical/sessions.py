"""Sessions: where clients say which requests belong together, and where providers want to be told.

A session is no more than a text that is the same in each of its requests. It is looked for without decoding the body.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

import msgspec

from jackfield.api.canonical.splice import Path, locate, raw_members
from jackfield.api.headers import Headers

LONGEST: Final = 256
"""Characters of a name; what is longer is none."""
_text: Final = msgspec.json.Decoder(str)


class SessionSignals(msgspec.Struct, frozen=True, kw_only=True):
    """What tells that requests belong to one session: headers go first, then fields of the body, then the name of a cache."""

    headers: tuple[str, ...] = ()
    body: tuple[Path, ...] = ()
    part: str = "(.+)"
    """Regular expression whose first group is the session in the text of a field; a text in which it finds nothing names none."""
    cache: tuple[Path, ...] = ()
    """Fields that say by which name the provider is to find what it has cached of the prompt."""

    def find(self, headers: Headers, raw: bytes) -> str | None:
        """Return the session that a request names; None where it names none."""
        texts = (text for path in self.body if (text := text_at(raw, path)) is not None)
        said = (found[1] for text in texts if (found := re.search(self.part, text)) is not None)
        named = chain((headers.get(name) or "" for name in self.headers), said)
        return next(filter(_is_name, named), None) or self.cached(raw)

    def cached(self, raw: bytes) -> str | None:
        """Return the name of a cache that a body says; None where it says none."""
        return next((text for path in self.cache if (text := text_at(raw, path)) is not None and _is_name(text)), None)


class Continuity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a provider is told that requests continue one another, so that they get to where their prompts are cached."""

    dialects: tuple[str, ...]
    """The upstream dialects in which that can be said."""
    body: tuple[Path, ...] = ()
    """Fields of the body for it."""
    headers: tuple[str, ...] = ()
    """Headers for it."""
    source: str = ""
    """Where the provider says so: a URL."""


def text_at(raw: bytes, path: Path) -> str | None:
    """Return the text at a path of a JSON document, which begins with a key; None where there is none."""
    key = str(path[0])
    if raw.find(b'"%b"' % key.encode()) < 0:
        return None  # cheaper than to look at all members, and most requests have none of this
    try:
        value = bytes(raw_members(raw).get(key, b"null"))
        span = locate(value, path[1:])
        return None if span is None else _text.decode(value[slice(*span)])
    except (ValueError, RecursionError):
        return None  # something else stands there, or it is no JSON: whoever reads the body will say so


def _is_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST and text.isprintable() and not text.isspace()
