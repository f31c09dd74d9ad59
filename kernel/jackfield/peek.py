"""Stage 2: read model and stream flag with a partial decode. The rest of the body is judged by whoever reads it."""

import json
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from jackfield.api import Endpoint, Path, members
from jackfield.api.splice import Member
from jackfield.exchange import Refused

Kind = TypeVar("Kind")

MAX_MODEL_NAME: Final = 512
"""Characters of a model's name: longer ones are no names, and patterns need not be run on them."""
_KINDS: Final = {b'"': "a text", b"[": "a list", b"{": "an object", b"t": "true", b"f": "false"}


def peek(raw: bytes, endpoint: Endpoint, params: Mapping[str, str]) -> tuple[str, bool]:
    """Return the model's name and the stream flag. Raises `Refused` with 400 for a body in which they cannot be told."""
    try:
        found = members(raw)
        model = params.get("model") if endpoint.model is None else _value(raw, found, endpoint.model, str, "a text")
        stream = endpoint.stream if isinstance(endpoint.stream, bool) else _value(raw, found, endpoint.stream, bool, "true or false")
    except RecursionError:
        raise Refused(400, "the body is nested too deeply", code="invalid_json") from None
    except msgspec.ValidationError:
        raise Refused(400, "the body must be a JSON object", code="invalid_json") from None
    except ValueError as fault:
        raise Refused(400, f"the body is not valid JSON: {_reason(raw[:], fault)}", code="invalid_json") from None
    if not model:
        raise Refused(400, "you must name a model", code="missing_model", param="model")
    if len(model) > MAX_MODEL_NAME:
        raise Refused(400, f"the model's name is longer than {MAX_MODEL_NAME} characters", code="invalid_model", param="model")
    return model, bool(stream)


def _reason(raw: bytes, fault: Exception) -> str:
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


def _value(raw: bytes, found: list[Member], path: Path, kind: type[Kind], expected: str) -> Kind | None:
    """Return a member that is peeked at; None where it is not there or null."""
    key = str(path[0])
    same = [member for member in found if member.key == key]
    if len(same) > 1 or (same and same[0].escaped):
        how, code = ("stands twice", "doubled_key") if len(same) > 1 else ("is written with escapes", "escaped_key")
        raise Refused(400, f"the key {key!r} {how}", code=code, param=key)
    value = raw[slice(*same[0].value)] if same else b"null"
    try:
        return msgspec.json.decode(value, type=kind) if value != b"null" else None
    except msgspec.ValidationError:
        raise Refused(400, f"{key!r} must be {expected}, not {_KINDS.get(value[:1], 'a number')}", code="invalid_type", param=key) from None
