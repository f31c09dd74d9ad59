"""Errors: `{"error": {"code", "message", "status", "details"}}`, read and written.

Sources: Google's API improvement proposal 193 (errors; details such as ErrorInfo, RetryInfo, QuotaFailure, BadRequest) and
the Gemini API's guide "Troubleshooting". Read besides: the list of one error that streams without `alt=sse` answer, plain
texts, and pages of HTML.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from jackfield.api import Error, Headers, seconds_until
from jackfield.api.canonical.codec import to_json
from jackfield_gemini.generate.extras import NAME, extra

_SHOWN: Final = 500
"""Characters of a body that is no JSON that are kept as the message."""
_WORDS: Final = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
}  # fmt: skip
"""The canonical code of Google's services for an HTTP status (google.rpc.Code)."""
_TYPE: Final = "type.googleapis.com/google.rpc."


def decode_error(status: int, headers: Headers, raw: bytes) -> Error:
    """Read an upstream's error answer, whatever it is."""
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        value = None
    error = read_error(value, status)
    if error is None:
        text = raw[: 4 * _SHOWN].decode(errors="replace").strip()[:_SHOWN]
        error = Error(status=status, message=text or f"the provider answered {status} without a word")
    after = seconds_until(headers.get("retry-after") or "")
    return error if after is None else msgspec.structs.replace(error, retry_after=after)


def read_error(value: Any, status: int = 500) -> Error | None:
    """Read an error out of decoded JSON; None where there is none. `status` counts where the error names none."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    inner = value.get("error") if isinstance(value, dict) else None
    if isinstance(inner, str) and inner:
        return Error(status=status, message=inner)
    if not isinstance(inner, dict):
        return None
    rest = dict(inner)
    code, message, word = rest.pop("code", None), rest.pop("message", None), rest.pop("status", None)
    details = [one for one in rest.get("details") or () if isinstance(one, dict)] if isinstance(rest.get("details"), list) else []
    if isinstance(code, int) and 400 <= code < 600:
        status = code
    return Error(
        status=status,
        message=message if isinstance(message, str) and message else to_json(inner).decode()[:_SHOWN],
        type=word if isinstance(word, str) else None,
        code=_first(details, "ErrorInfo", "reason"),
        param=_param(details),
        retry_after=_delay(details),
        extensions={NAME: rest} if rest else {},
    )


def _first(details: list[dict[str, Any]], kind: str, key: str) -> str | None:
    found = (one.get(key) for one in details if str(one.get("@type", "")).endswith(f".{kind}"))
    return next((value for value in found if isinstance(value, str) and value), None)


def _param(details: list[dict[str, Any]]) -> str | None:
    for one in details:
        violations = one.get("fieldViolations")
        for violation in violations if isinstance(violations, list) else ():
            if isinstance(violation, dict) and isinstance(violation.get("field"), str):
                return violation["field"] or None
    return None


def _delay(details: list[dict[str, Any]]) -> float | None:
    """Read how long to wait, such as `48s` or `3.5s`."""
    value = _first(details, "RetryInfo", "retryDelay")
    return seconds_until(value) if value is not None else None


def encode_error(error: Error) -> bytes:
    """Write an error answer's body; also the data of an error in a stream."""
    rest = extra(error.extensions)
    word = error.type or _WORDS.get(error.status) or ("INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    details = [] if "details" in rest else _details(error)
    wire: dict[str, Any] = {"code": error.status, "message": error.message, "status": word, **rest}
    if details:
        wire["details"] = details
    return to_json({"error": wire})


def _details(error: Error) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if error.code is not None:
        details.append({"@type": f"{_TYPE}ErrorInfo", "reason": error.code.upper()})
    if error.retry_after is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{error.retry_after:g}s"})
    return details
