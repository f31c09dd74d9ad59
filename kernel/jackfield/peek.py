"""Stage 2: read model and stream flag with a partial decode. The rest of the body is judged by whoever reads it."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from jackfield.api import Endpoint, Path, members
from jackfield.api.canonical.codec import json_fault, plain_members
from jackfield.exchange import Refused

Kind = TypeVar("Kind")

MAX_MODEL_NAME: Final = 512
"""Characters of a model's name: longer ones are no names, and patterns need not be run on them."""
_TEXT: Final = (msgspec.json.Decoder(str | None), "a text")
_FLAG: Final = (msgspec.json.Decoder(bool | None), "true or false")
_KINDS: Final = {b'"': "a text", b"[": "a list", b"{": "an object", b"t": "true", b"f": "false"}


def peek(raw: bytes, endpoint: Endpoint, params: Mapping[str, str]) -> tuple[str, bool]:
    """Return the model's name and the stream flag. Raises `Refused` with 400 for a body in which they cannot be told."""
    try:
        values = plain_members(raw) or _unambiguous(raw, endpoint)
        model = params.get("model") if endpoint.model is None else _value(values, endpoint.model, _TEXT)
        stream = endpoint.stream if isinstance(endpoint.stream, bool) else _value(values, endpoint.stream, _FLAG)
    except RecursionError:
        raise Refused(400, "the body is nested too deeply", code="invalid_json") from None
    except msgspec.ValidationError:
        raise Refused(400, "the body must be a JSON object", code="invalid_json") from None
    except ValueError as fault:
        raise Refused(400, f"the body is not valid JSON: {json_fault(raw[:], fault)}", code="invalid_json") from None
    if not model:
        raise Refused(400, "you must name a model", code="missing_model", param="model")
    if len(model) > MAX_MODEL_NAME:
        raise Refused(400, f"the model's name is longer than {MAX_MODEL_NAME} characters", code="invalid_model", param="model")
    return model, bool(stream)


def _unambiguous(raw: bytes, endpoint: Endpoint) -> Mapping[str, bytes]:
    """Return by key the members that are peeked at. Raises `Refused` where one that is peeked at is doubled or written with escapes."""
    named = {path[0] for path in (endpoint.model, endpoint.stream) if isinstance(path, tuple)}
    values: dict[str, bytes] = {}
    for member in members(raw):
        if member.key in named and (member.key in values or member.escaped):
            how, code = ("stands twice", "doubled_key") if member.key in values else ("is written with escapes", "escaped_key")
            raise Refused(400, f"the key {member.key!r} {how}", code=code, param=member.key)
        if member.key in named:
            values[member.key] = raw[slice(*member.value)]
    return values


def _value(values: Mapping[str, bytes], path: Path, kind: tuple[msgspec.json.Decoder[Kind], str]) -> Kind:
    """Return a member that is peeked at; None where it is not there or null."""
    key = str(path[0])
    value = values.get(key, b"null")
    try:
        return kind[0].decode(value)
    except msgspec.ValidationError:
        expected, said = kind[1], _KINDS.get(bytes(value)[:1], "a number")
        raise Refused(400, f"{key!r} must be {expected}, not {said}", code="invalid_type", param=key) from None
