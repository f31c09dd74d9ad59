"""What only this dialect knows of a thing: how it is kept beside the canonical structs and written back.

`extensions["openai.chat"]` of a struct holds those members of its wire object that the struct does not say. They
are written over what the encoder writes; null takes a member away that it would write by default. Where the wire has
several places or forms for one canonical value, the entry under the place's own key says which was used; the value
is then always the canonical one. Keys that begin with `=` are no members of the wire but notes of this codec.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jackfield.api.canonical import Extensions

NAME: Final = "openai.chat"
"""The dialect's name."""

_LINE_ENDS: Final = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)
_encode: Final = msgspec.json.Encoder().encode


def extra(extensions: Extensions) -> dict[str, Any]:
    """Return what this dialect kept; not to be changed in place."""
    return extensions.get(NAME, _NOTHING) if extensions else _NOTHING


_NOTHING: Final[dict[str, Any]] = {}


def kept(rest: dict[str, Any]) -> Extensions:
    """Return extensions that keep `rest`, nulls left out: to this dialect null says nothing."""
    if not rest:
        return {}
    said = {key: value for key, value in rest.items() if value is not None}
    return {NAME: said} if said else {}


def overlay(base: dict[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Write `rest` over `base`, objects member by member, and return `base`. Null takes a member away."""
    for key, value in rest.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            overlay(base[key], value)
        else:
            base[key] = value
    return base


def difference(base: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `overlay` must write over `base` to make `value` of it, up to nulls, which say nothing."""
    rest: dict[str, Any] = {}
    for key, item in value.items():
        if item is None:
            continue
        before = base.get(key)
        if isinstance(item, dict) and isinstance(before, dict):
            inner = difference(before, item)
            if inner:
                rest[key] = inner
        elif before != item or before is None:
            rest[key] = item
    for key, item in base.items():
        if item is not None and value.get(key) is None:
            rest[key] = None
    return rest


def to_json(value: Any) -> bytes:
    """Encode as JSON in which the characters U+2028, U+2029 and U+0085 are escaped.

    Clients that split a stream by Python's `str.splitlines` take these for line ends.
    """
    data = _encode(value)
    if data.isascii():
        return data
    for raw, escaped in _LINE_ENDS:
        data = data.replace(raw, escaped)
    return data


def kind(value: object) -> str:
    """Name the JSON type of a decoded value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
