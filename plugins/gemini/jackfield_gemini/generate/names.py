"""Reading objects whose members may be spelled in camel case or in snake case, and lists that may be a single thing.

Google's servers read JSON as protocol buffers do (ProtoJSON): both spellings name one field, and a repeated field may be
given as one value. Its clients make use of that, also within one body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from jackfield.api.canonical.codec import Fields, wrong_type

_UNDERSCORE: Final = re.compile(r"(?<=[a-zA-Z0-9])_+([a-zA-Z0-9])")


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """Return a field's name in camel case: `mime_type` becomes `mimeType`."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name)


def spelled(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its own members' names in camel case; those of inner objects stay."""
    # A name that stands in both spellings counts as the reader's servers take it: the later one.
    return {camel(key) if "_" in key else key: item for key, item in value.items()}


def fields(value: Any, path: str) -> Fields:
    """Read an object of a request, whatever the spelling. Raises `BadRequest` for what is no object."""
    found = Fields(value, path)
    found.rest = spelled(found.rest)
    return found


def listed(found: Fields, key: str) -> list[Any] | None:
    """Take a list; one object alone counts as a list of one."""
    value = found.rest.get(key)
    if isinstance(value, dict):
        found.rest[key] = [value]
    return found.items(key)


def texts(found: Fields, key: str) -> tuple[str, ...]:
    """Take a list of texts; one text alone counts as a list of one."""
    value = found.rest.get(key)
    if isinstance(value, str):
        found.rest[key] = [value]
    items = found.items(key) or []
    for at, item in enumerate(items):
        if not isinstance(item, str):
            raise wrong_type(f"{found.at(key)}[{at}]", "a text", item)
    return tuple(items)
