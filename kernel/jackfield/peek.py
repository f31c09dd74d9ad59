"""Stage 2: read model and stream flag with a partial decode. The rest of the body is judged by whoever reads it."""

import json
from collections.abc import Mapping
from typing import Final

import msgspec

from jackfield.api import Endpoint, members
from jackfield.api.splice import Member
from jackfield.exchange import Refused

MAX_MODEL_NAME: Final = 512
"""Characters of a model's name: longer ones are no names, and patterns need not be run on them."""


def peek(raw: bytes, endpoint: Endpoint, params: Mapping[str, str]) -> tuple[str, bool]:
    """Return the model's name and the stream flag. Raises `Refused` with 400 for a body in which they cannot be told."""
    found = _members(raw)
    model = params.get("model") if endpoint.model is None else _text(raw, found, str(endpoint.model[0]))
    stream = endpoint.stream if isinstance(endpoint.stream, bool) else _flag(raw, found, str(endpoint.stream[0]))
    if not model:
        raise Refused(400, "you must name a model", code="missing_model", param="model")
    if len(model) > MAX_MODEL_NAME:
        raise Refused(400, f"the model's name is longer than {MAX_MODEL_NAME} characters", code="invalid_model", param="model")
    return model, stream


def _members(raw: bytes) -> list[Member]:
    try:
        return members(raw)
    except RecursionError:
        raise Refused(400, "the body is nested too deeply", code="invalid_json") from None
    except msgspec.ValidationError:
        raise Refused(400, "the body must be a JSON object", code="invalid_json") from None
    except (ValueError, UnicodeDecodeError) as fault:
        raise Refused(400, f"the body is not valid JSON: {_reason(raw, fault)}", code="invalid_json") from None


def _reason(raw: bytes, fault: Exception) -> str:
    """Say what is wrong with JSON text, in better words than the fast decoder's where there are any."""
    if not raw.strip():
        return "it is empty"
    if isinstance(fault, UnicodeDecodeError):
        return "it is not UTF-8"
    text = str(fault).removeprefix("JSON is malformed: ")
    if "truncated" in text:
        try:
            json.loads(raw)
        except (ValueError, RecursionError):
            return "it ends too early"
        return "a \\u escape is half of a surrogate pair"
    return text


def _one(raw: bytes, found: list[Member], key: str) -> bytes | None:
    same = [member for member in found if member.key == key]
    if len(same) > 1:
        raise Refused(400, f"the key {key!r} stands twice", code="doubled_key", param=key)
    if same and same[0].escaped:
        raise Refused(400, f"the key {key!r} is written with escapes", code="escaped_key", param=key)
    return raw[slice(*same[0].value)] if same else None


def _text(raw: bytes, found: list[Member], key: str) -> str | None:
    value = _one(raw, found, key)
    if value is None or value == b"null":
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.ValidationError:
        raise Refused(400, f"{key!r} must be a text, not {_kind(value)}", code="invalid_type", param=key) from None


def _flag(raw: bytes, found: list[Member], key: str) -> bool:
    value = _one(raw, found, key)
    if value in (None, b"null", b"false"):
        return False
    if value == b"true":
        return True
    raise Refused(400, f"{key!r} must be true or false, not {_kind(value or b'')}", code="invalid_type", param=key)


def _kind(value: bytes) -> str:
    return {b'"': "a text", b"[": "a list", b"{": "an object", b"t": "true", b"f": "false", b"n": "null"}.get(value[:1], "a number")
