"""Errors: the bodies in which Anthropic writes them, read and written.

Source: Anthropic's API reference, "Errors": `{"type": "error", "error": {"type", "message"}, "request_id"}`, in answers and in
streams. Speakers of its protocol answer other shapes too, which are read here: `{"error": {"message", "code"}}`,
`{"error": "text"}`, `{"message"}`, `{"detail"}`, pages of HTML, nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jackfield.api import Error, Headers, seconds_until
from jackfield.api.canonical.codec import to_json
from jackfield_anthropic.messages.extras import NAME, extra

_SHOWN: Final = 500
"""Characters of a body that is no JSON that are kept as the message."""

STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status that goes with each type: in a stream an error has no other."""

_KNOWN: Final = frozenset({*STATUSES, "memory_precondition_failed_error", "memory_path_conflict_error"})
_TYPES: Final = {**{status: type_ for type_, status in STATUSES.items()}, 408: "timeout_error", 503: "overloaded_error"}

_SIGNATURE: Final = re.compile(
    r"invalid `?(?:signature|data)`? in `?(?:redacted_)?thinking`?"
    r"|`?(?:redacted_)?thinking`? blocks.{0,80}(?:cannot be modified|must remain)"
    r"|thinking\.signature: (?:field required|input should)"
    r"|thinking block.{0,80}(?:signature|conversation check)",
    re.IGNORECASE | re.DOTALL,
)


def refuses_signature(error: Error) -> bool:
    """Tell whether an error says that a signature in the request is not valid."""
    return error.status in (400, 422) and _SIGNATURE.search(error.message) is not None


def decode_error(status: int, headers: Headers, raw: bytes) -> Error:
    """Read an upstream's error answer, whatever it is: JSON of any of the shapes, a page of HTML, nothing."""
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        value = None
    error = read_error(value, status)
    if error is None:
        text = raw[: 4 * _SHOWN].decode(errors="replace").strip()[:_SHOWN]
        error = Error(status=status, message=text or f"the provider answered {status} without a word")
    after = _retry_after(headers)
    return error if after is None else msgspec.structs.replace(error, retry_after=after)


def _retry_after(headers: Headers) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        seconds = seconds_until(value) if value is not None else None
        if seconds is not None:
            return seconds / unit
    return None


def read_error(value: Any, status: int | None = None) -> Error | None:
    """Read an error out of decoded JSON; None where there is none. Without a status its type tells one."""
    if not isinstance(value, dict):
        return Error(status=status or 500, message=value[:_SHOWN]) if isinstance(value, str) and value else None
    inner = value.get("error")
    if isinstance(inner, dict) and inner:
        return _from_object(inner, status, {key: value[key] for key in ("request_id",) if isinstance(value.get(key), str)})
    if isinstance(inner, str) and inner:
        return Error(status=status or 500, message=inner)
    if isinstance(value.get("message"), str) and value["message"]:
        return _from_object(value, status, {})
    detail = value.get("detail")
    if not detail:
        return None
    return Error(status=status or 500, message=detail if isinstance(detail, str) else to_json(detail).decode()[:_SHOWN])


def _from_object(inner: Mapping[str, Any], status: int | None, around: dict[str, Any]) -> Error:
    type_, code, message = inner.get("type"), inner.get("code"), inner.get("message")
    type_ = type_ if isinstance(type_, str) and type_ and type_ != "error" else None
    details = inner.get("details")
    named = details.get("error_code") if isinstance(details, dict) else None
    said = [item for item in (code, named) if isinstance(item, str | int) and not isinstance(item, bool) and item != ""]
    kept = {**({"details": details} if isinstance(details, dict) else {}), **around}
    return Error(
        status=status or STATUSES.get(type_ or "", 500),
        message=message if isinstance(message, str) and message else to_json(inner).decode()[:_SHOWN],
        type=type_,
        code=str(said[0]) if said else None,
        param=inner["param"] if isinstance(inner.get("param"), str) else None,
        extensions={NAME: kept} if kept else {},
    )


def encode_error(error: Error) -> bytes:
    """Write an error answer's body. The field at fault stands in the message: the shape has no place of its own for it."""
    rest = dict(extra(error.extensions))
    message = error.message
    if error.param is not None and error.param not in message:
        message = f"{error.param}: {message}"
    own = error.type if error.type in _KNOWN or rest else None  # types of other dialects mean nothing to Anthropic's clients
    inner: dict[str, Any] = {"type": own or type_of(error.status), "message": message}
    if "details" in rest:
        inner["details"] = rest["details"]
    around = {"request_id": rest["request_id"]} if "request_id" in rest else {}
    return to_json({"type": "error", "error": inner, **around})


def type_of(status: int) -> str:
    """Return Anthropic's type for a status."""
    return _TYPES.get(status) or ("api_error" if status >= 500 or status < 400 else "invalid_request_error")
