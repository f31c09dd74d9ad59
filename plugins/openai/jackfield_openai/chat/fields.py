"""Reading a client's JSON object member by member, with errors that name the offending path."""

from __future__ import annotations

from typing import Any

import msgspec

from jackfield.api import BadRequest
from jackfield_openai.chat.extras import kind


def load(raw: bytes) -> Any:
    """Decode a client's JSON. Raises `BadRequest` for what is none."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError) as fault:
        raise BadRequest(f"the body is not valid JSON: {fault}", code="invalid_json") from None


class Fields:
    """One JSON object of a request: what is taken is checked, what remains in `rest` is nobody's but this dialect's.

    Members that are null count as absent. Every method that takes raises `BadRequest` for a value of another type.
    """

    __slots__ = ("path", "rest")

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        self.path = path
        self.rest: dict[str, Any] = dict(value)

    def at(self, key: str) -> str:
        """Return a member's path as OpenAI's users write it: `messages[0].role`."""
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
