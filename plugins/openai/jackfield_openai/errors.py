"""Errors: the bodies in which OpenAI and those who speak its protocol write them, read and written.

Source: OpenAI's guide "Error codes" and answers of its API for types and codes. Other shapes read here: `{"detail": ...}`
(Mistral, FastAPI), `{"code": ..., "error": "text"}` (xAI), integer codes (OpenRouter, Perplexity), `{"object": "error",
"message": ...}` (vLLM), `{"message": ...}` (gateways), a list of one error (Google).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from jackfield.api import Error, Headers, seconds_until
from jackfield.api.canonical.codec import to_json
from jackfield_openai.chat.extras import NAME, extra

_STATUSES: Final = {
    400: (
        "invalid_request_error", "invalid_prompt", "context_length_exceeded", "string_above_max_length", "previous_response_not_found",
        "invalid_encrypted_content", "content_policy_violation", "content_filter", "cyber_policy", "bio_policy",
    ),
    401: ("authentication_error", "invalid_api_key", "token_expired"),
    403: ("permission_error", "permission_denied"),
    404: ("not_found", "not_found_error", "model_not_found"),
    429: (
        "rate_limit_exceeded", "rate_limit_error", "too_many_requests", "insufficient_quota", "credit_balance_exhausted",
        "organization_spend_limit_exceeded", "organization_usage_limit_exceeded", "project_spend_limit_exceeded",
        "usage_limit_reached", "usage_not_included",
    ),
    503: (
        "server_is_overloaded", "slow_down", "overloaded", "overloaded_error", "engine_overloaded_error", "service_unavailable",
        "service_unavailable_error",
    ),
}  # fmt: skip
_STATUS_OF: Final = {word: status for status, words in _STATUSES.items() for word in words}
"""The status for which a code or a type stands where an error has no other: in a stream, and in an answer of status 200.
OpenAI's guide "Error codes" and what its Codex reads in `response.failed` (openai/codex, codex-api/src/sse/responses.rs)."""

_AROUND: Final = "=around"
"""The key under which an error keeps what its body said beside it."""

_WAITS: Final = ("resets_in_seconds", "resets_at", "retry_after", "retry_after_seconds", "retryDelay")
"""Members that say how long to wait, or until when: those of OpenAI for ChatGPT's accounts, then those of others."""

_SHOWN: Final = 500
"""Characters of a body that is no JSON that are kept as the message."""

_TYPES: Final = {429: "rate_limit_error", 503: "service_unavailable_error"}
_CODES: Final = {401: "invalid_api_key", 429: "rate_limit_exceeded", 503: "server_is_overloaded"}
_QUOTA: Final = ("insufficient_quota", "quota", "billing", "credit")


def decode_error(status: int, headers: Headers, raw: bytes) -> Error:
    """Read an upstream's error answer, whatever it is: JSON of any of the shapes, a page of HTML, nothing."""
    value = _loads(raw)
    error = read_error(value, status) if value is not None else None
    if error is None:
        text = raw[: 4 * _SHOWN].decode(errors="replace").strip()[:_SHOWN]
        error = Error(status=status, message=text or f"the provider answered {status} without a word")
    after = _retry_after(headers)
    return error if after is None else msgspec.structs.replace(error, retry_after=after)


def _loads(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def _retry_after(headers: Headers) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        seconds = seconds_until(value) if value is not None else None
        if seconds is not None:
            return seconds / unit
    return None


def read_error(value: Any, status: int = 500) -> Error | None:
    """Read an error out of decoded JSON; None where there is none.

    `status` counts where the error itself names none. An error that stands in an answer of status 200 may name its own.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return Error(status=status, message=value[:_SHOWN]) if isinstance(value, str) and value else None
    inner = value.get("error")
    response = value.get("response")
    if not inner and isinstance(response, dict) and response.get("error"):
        return read_error({"error": response["error"]}, status)  # the last event of a response that failed
    if isinstance(inner, dict) and inner:
        return _from_object(inner, status, {key: item for key, item in value.items() if key in ("user_id", "request_id")})
    if isinstance(inner, str) and inner:
        rest = {key: item for key, item in value.items() if key != "error"}
        return _from_object({"message": inner, **rest}, status, {})
    message = value.get("message")
    if isinstance(message, str) and message and "choices" not in value:
        return _from_object(value, status, {})
    detail = value.get("detail")
    return Error(status=status, message=_detail(detail)) if detail else None


def with_status(error: Error, otherwise: int = 502) -> Error:
    """Return an error that came inside of an answer with the status for which its code or type stands.

    The status that the error itself names stands; one that says nothing of the kind is the provider's own trouble.
    """
    if error.status != 500:
        return error
    status = _STATUS_OF.get(error.code or "") or _STATUS_OF.get(error.type or "") or otherwise
    return msgspec.structs.replace(error, status=status)


def _from_object(inner: Mapping[str, Any], status: int, around: dict[str, Any]) -> Error:
    rest = dict(inner)
    code, type_, param = rest.pop("code", None), rest.pop("type", None), rest.pop("param", None)
    message = rest.pop("message", None)
    rest.pop("object", None)
    number = rest.get("status_code", code)
    if isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
        status = number if status < 400 or status == 500 else status
    kept = {key: item for key, item in rest.items() if item is not None}
    if isinstance(code, int) and not isinstance(code, bool):
        kept["code"] = code
    return Error(
        status=status,
        message=message if isinstance(message, str) and message else to_json(inner).decode()[:_SHOWN],
        type=type_ if isinstance(type_, str) and type_ else None,
        code=str(code) if isinstance(code, str | int) and code != "" and not isinstance(code, bool) else None,
        param=param if isinstance(param, str) else None,
        retry_after=next((s for key in _WAITS if (s := seconds_until(str(rest.get(key)))) is not None), None),
        extensions={NAME: {**kept, **({_AROUND: around} if around else {})}} if kept or around else {},
    )


def _detail(detail: Any) -> str:
    """Turn a `detail` into words: a text, or FastAPI's list of `{"loc": [...], "msg": ...}`."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        lines = [_line(item) for item in detail]
        return "; ".join(line for line in lines if line)
    return to_json(detail).decode()[:_SHOWN]


def _line(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    where = item.get("loc")
    path = ".".join(map(str, where)) if isinstance(where, list) else ""
    said = str(item.get("msg", "")) or to_json(item).decode()
    return f"{path}: {said}" if path else said


def encode_error(error: Error) -> bytes:
    """Write an error answer's body: `{"error": {"message", "type", "param", "code"}}`, all four always there."""
    rest = dict(extra(error.extensions))
    around = rest.pop(_AROUND, {})
    inner = {"message": error.message, "type": error.type or _type(error), "param": error.param, "code": _code(error), **rest}
    return to_json({"error": inner, **around})


def _is_quota(error: Error) -> bool:
    return error.code is not None and any(word in error.code for word in _QUOTA)


def _type(error: Error) -> str:
    """Return OpenAI's type for a status. It sends 401 as `invalid_request_error` too."""
    if error.status == 429 and _is_quota(error):
        return "insufficient_quota"
    return _TYPES.get(error.status) or ("server_error" if error.status >= 500 else "invalid_request_error")


def _code(error: Error) -> str | None:
    """Return an error's code. One without code or type is the host's own and gets what OpenAI says with that status."""
    return _CODES.get(error.status) if error.code is None and error.type is None else error.code
