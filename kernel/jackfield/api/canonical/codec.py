"""What writers of a dialect's codec need: JSON that no client breaks on, reading with errors that name the place, and
what a dialect keeps beside the canonical structs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jackfield.api.body import BadRequest
from jackfield.api.canonical.memo import Memo
from jackfield.api.canonical.parts import Extensions
from jackfield.api.canonical.splice import raw_members

_LINE_ENDS: Final = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)
_TO_STANDARD: Final = str.maketrans("-_", "+/")
_NOTHING: Final[dict[str, Any]] = {}
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

__all__ = [
    "Extras",
    "Fields",
    "Memo",
    "difference",
    "kind",
    "load",
    "load_apart",
    "missing",
    "overlay",
    "standard_base64",
    "to_json",
    "unknown_value",
    "wrong_type",
]


class Extras:
    """What one dialect keeps of a thing beside its canonical struct, and writes back.

    `extensions["acme.chat"]` of a struct holds those members of its wire object that the struct does not say.
    """

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect

    def of(self, extensions: Extensions) -> dict[str, Any]:
        """Return what the dialect kept; not to be changed in place."""
        return extensions.get(self._dialect, _NOTHING) if extensions else _NOTHING

    def keep(self, rest: Mapping[str, Any]) -> Extensions:
        """Return extensions that keep `rest`, nulls left out."""
        said = {key: value for key, value in rest.items() if value is not None} if rest else rest
        return {self._dialect: dict(said)} if said else {}


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


def standard_base64(data: str) -> str:
    """Return base64 in the standard alphabet with padding (RFC 4648, section 4), whatever alphabet it came in."""
    if "-" in data or "_" in data:
        data = data.translate(_TO_STANDARD)
    return data + "=" * (-len(data) % 4) if len(data) % 4 in (2, 3) else data


def json_fault(raw: bytes, fault: Exception) -> str:
    """Say what is wrong with JSON text, in better words than the fast decoder's where there are any."""
    if not raw.strip():
        return "it is empty"
    if isinstance(fault, UnicodeDecodeError):
        return "it is not UTF-8"
    if "truncated" in str(fault) or "hex escape" in str(fault):
        try:
            json.loads(raw)
        except (ValueError, RecursionError):
            return "it ends too early"
        return "a \\u escape is half of a surrogate pair"
    return str(fault).removeprefix("JSON is malformed: ")


def load(raw: bytes) -> Any:
    """Decode a client's JSON. Raises `BadRequest` for what is none."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as fault:
        raise BadRequest(f"the body is not valid JSON: {fault}", code="invalid_json") from None


def plain_members(raw: bytes) -> Mapping[str, msgspec.Raw] | None:
    """Return the members of a JSON object by key, each as JSON text; None for one with whitespace, doubled or escaped keys.

    Raises `ValueError` when `raw` is not one JSON object.
    """
    values = raw_members(raw)
    # Whatever else stands between the members makes the text longer than they need.
    needed = len("".join(values).encode()) + sum(len(memoryview(value)) for value in values.values()) + 4 * len(values) + 1
    return values if needed == len(raw) else None


def load_apart(raw: bytes, apart: str, *whole: str) -> Any:
    """Decode a client's JSON object, but of its member `apart` the items alone, each a `msgspec.Raw`, and its members `whole` not.

    Members that are no arrays are decoded. Raises `BadRequest` for what is no JSON; what is no object is returned decoded.
    """
    try:
        members = raw_members(raw).items()
        return {key: _undecoded(value, key == apart) if key == apart or key in whole else _decode(value) for key, value in members}
    except (ValueError, RecursionError):
        return load(raw)


def _undecoded(value: msgspec.Raw, items: bool) -> Any:
    if memoryview(value)[0] != ord("["):
        return _decode(value)
    return _array(value) if items else value


class Fields:
    """One JSON object of a request: what is taken is checked, what remains in `rest` is nobody's but the dialect's.

    Members that are null count as absent. Every method that takes raises `BadRequest` for a value of another type.
    """

    __slots__ = ("path", "rest")

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        self.path = path
        self.rest: dict[str, Any] = dict(value)

    def at(self, key: str) -> str:
        """Return a member's path as a dialect's users write it: `messages[0].role`."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> Any:
        """Take a member of any type."""
        return self.rest.pop(key, None)

    def take_if(self, key: str, type_: type | tuple[type, ...]) -> Any:
        """Take a member if it has the type; else it remains, and the answer is None."""
        value = self.rest.get(key)
        if isinstance(value, type_) and not (isinstance(value, bool) and type_ is not bool):
            del self.rest[key]
            return value
        return None

    def text(self, key: str) -> str | None:
        """Take a text."""
        value = self.rest.pop(key, None)
        if value is None or isinstance(value, str):
            return value
        raise wrong_type(self.at(key), "a text", value)

    def needed_text(self, key: str) -> str:
        """Take a text that must be there."""
        value = self.text(key)
        if value is None:
            raise missing(self.at(key))
        return value

    def number(self, key: str) -> float | None:
        """Take a number."""
        value = self.rest.pop(key, None)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise wrong_type(self.at(key), "a number", value)

    def integer(self, key: str) -> int | None:
        """Take an integer; `100.0` is one."""
        value = self.number(key)
        if value is None or isinstance(value, int):
            return value
        if not value.is_integer():
            raise BadRequest(f"{self.at(key)!r} must be an integer, not {value}", self.at(key), "invalid_type")
        return int(value)

    def flag(self, key: str) -> bool | None:
        """Take a truth value."""
        value = self.rest.pop(key, None)
        if value is None or isinstance(value, bool):
            return value
        raise wrong_type(self.at(key), "true or false", value)

    def items(self, key: str) -> list[Any] | None:
        """Take a list."""
        value = self.rest.pop(key, None)
        if value is None or isinstance(value, list):
            return value
        raise wrong_type(self.at(key), "a list", value)

    def object(self, key: str) -> dict[str, Any] | None:
        """Take an object."""
        value = self.rest.pop(key, None)
        if value is None or isinstance(value, dict):
            return value
        raise wrong_type(self.at(key), "an object", value)

    def inner(self, key: str) -> Fields:
        """Take an object that must be there, to be read in turn."""
        if self.rest.get(key) is None:
            raise missing(self.at(key))
        return Fields(self.rest.pop(key), self.at(key))


def wrong_type(path: str, expected: str, value: object) -> BadRequest:
    """Return the error for a value of a type that does not belong at `path`."""
    where = repr(path) if path else "the body"
    return BadRequest(f"{where} must be {expected}, not {kind(value)}", path or None, "invalid_type")


def missing(path: str) -> BadRequest:
    """Return the error for a member that must be there."""
    return BadRequest(f"{path!r} is missing", path, "missing_required_parameter")


def unknown_value(path: str, value: str, known: tuple[str, ...]) -> BadRequest:
    """Return the error for a word that is none of those known."""
    return BadRequest(f"{path!r} must be one of {', '.join(known)}, not {value!r}", path, "invalid_value")
