"""What went wrong with an attempt, whose fault it is, and what may help.

Executors fill one taxonomy from their providers' errors, as data: a list of `Rule`. The kernel
decides from the resulting `Failure` alone whether another credential is tried, what cools and what
the client is told.
"""

import math
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

from jackfield.api.canonical import Error
from jackfield.api.headers import Headers

Cause = Literal[
    "caller", "credential", "account_action", "quota", "rate", "overload",
    "upstream", "network", "content", "unsupported", "plugin", "unknown",
]  # fmt: skip
"""Why an attempt failed: the caller's own mistake; a refused credential; an account whose owner must act (verify,
pay); a spent quota; a rate limit; an overloaded provider; a fault of the provider; of the way to it; content that it
refuses; something that it cannot do; a plugin's fault; unknown."""

Blame = Literal["request", "credential", "credential_model", "provider", "plugin"]
"""What is at fault and may cool: the request (nothing cools), the credential, the credential for this model, the
whole provider, or a plugin."""

Help = Literal["another", "same_later", "none"]
"""What may help: another credential, the same one later, or nothing (the request itself must change)."""

_BLAME: dict[Cause, Blame] = {
    "caller": "request", "content": "request", "unsupported": "request", "credential": "credential",
    "account_action": "credential", "quota": "credential_model", "rate": "credential_model", "overload": "credential_model",
    "upstream": "provider", "network": "provider", "plugin": "plugin", "unknown": "credential_model",
}  # fmt: skip
_HELP: dict[Cause, Help] = {"caller": "none", "content": "none", "unsupported": "another", "plugin": "none"}
_SHOWN: dict[Cause, int] = {
    "caller": 400, "content": 400, "unsupported": 400, "quota": 429, "rate": 429,
    "credential": 503, "account_action": 503, "overload": 503, "plugin": 503,
}  # fmt: skip

_BY_STATUS: dict[int, Cause] = {
    400: "caller", 401: "credential", 402: "quota", 403: "credential", 404: "caller", 405: "unsupported", 408: "upstream",
    409: "caller", 410: "unsupported", 411: "caller", 413: "caller", 414: "caller", 415: "caller", 422: "caller",
    424: "upstream", 425: "overload", 429: "rate", 431: "caller", 451: "content", 501: "unsupported", 503: "overload", 529: "overload",
}  # fmt: skip


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt, or the reason why a call got no answer."""

    cause: Cause
    blame: Blame
    help: Help = "another"
    message: str
    """One line for the client. Never holds upstream text unless the caller caused the failure."""
    status: int = 0
    """The upstream's HTTP status, 0 when there was none."""
    code: str | None = None
    """A short machine-readable code; the provider's own where it gave one."""
    param: str | None = None
    """The field of the request at fault, where known."""
    retry_after: float | None = None
    """Seconds until it is worth trying again, where the provider said so."""
    safe_after_first_byte: bool = False
    """The failure may be retried even after part of the answer was sent."""
    detail: str = ""
    """What the upstream said, for the log and the explanation, not for the client."""

    @property
    def shown_status(self) -> int:
        """The HTTP status that a client is answered with.

        Failures of the caller keep the upstream's status. 401 and 403 are never shown for a provider's
        credential: to a client they would mean its own key.
        """
        own_fault = self.cause in ("caller", "content", "unsupported") and 400 <= self.status < 500
        return self.status if own_fault else _SHOWN.get(self.cause, 502)


def failure(cause: Cause, message: str, **fields: object) -> Failure:
    """Make a `Failure` whose blame and help follow from its cause unless they are given."""
    follows = {"blame": _BLAME[cause], "help": _HELP.get(cause, "another")}
    return Failure(cause=cause, message=message, **(follows | fields))  # type: ignore[arg-type]


class CallError(Exception):
    """Raised by an executor, an auth method or the host's own calls: the attempt or call failed, and `failure` says how.

    `status`, `body` and `headers` hold what the upstream or a nested call answered, where there was
    an answer.
    """

    def __init__(self, failure: Failure, *, body: bytes = b"", headers: Headers | None = None) -> None:
        super().__init__(failure.message)
        self.failure, self.body, self.headers = failure, body, headers if headers is not None else Headers()


class NotDecoded(Exception):
    """The body is over the limit up to which JSON is parsed (`limits.json`), so it has no decoded form."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a provider's table of failures. A rule fits when everything that it names fits; the first that fits decides.

    A user may add rules in the configuration; they stand before the provider's own.
    """

    cause: Cause
    status: int | tuple[int, ...] | None = None
    """HTTP statuses to which the rule applies; None for any."""
    code: str | None = None
    """Regular expression that must match the error's whole code or type, as the dialect reads it."""
    match: str | None = None
    """Regular expression to be found anywhere in the error body's text, without regard to case."""
    blame: Blame | None = None
    help: Help | None = None
    until_header: str | None = None
    """Response header that says when the cause ends: seconds, a duration such as `6m0s`, or a date."""

    def fits(self, status: int, code: str | None, text: str) -> bool:
        """Tell whether the rule applies to an error answer."""
        statuses = (self.status,) if isinstance(self.status, int) else self.status
        return (
            (statuses is None or status in statuses)
            and (self.code is None or (code is not None and re.fullmatch(self.code, code, re.IGNORECASE) is not None))
            and (self.match is None or re.search(self.match, text, re.IGNORECASE) is not None)
        )


def classify(rules: Iterable[Rule], error: Error, headers: Headers, text: str) -> Failure:
    """Turn an upstream's error answer into a `Failure`: by the first rule that fits, else by its status alone.

    `error` is what the dialect read in the answer, `text` its body, cut to a bounded length. A caller's failure keeps the
    upstream's message; every other message is the kernel's own. A code that speaks of a key or an account stays in `detail`
    alone: a client would take it to speak of its own.
    """
    status = error.status
    rule = next((r for r in rules if r.fits(status, error.code or error.type, text)), None)
    cause = rule.cause if rule else _BY_STATUS.get(status) or ("upstream" if status >= 500 or status < 400 else "unknown")
    own_fault = cause in ("caller", "content", "unsupported")
    return Failure(
        cause=cause,
        blame=(rule and rule.blame) or _BLAME[cause],
        help=(rule and rule.help) or _HELP.get(cause, "another"),
        message=(error.message or text[:300]) if own_fault else f"the provider answered {status} ({cause})",
        status=status,
        code=None if cause in ("credential", "account_action") else error.code,
        param=error.param,
        retry_after=_reset_after(headers, rule.until_header if rule else None, error.retry_after),
        detail=text[:2000],
    )


def _reset_after(headers: Headers, until_header: str | None, otherwise: float | None) -> float | None:
    for name in filter(None, (until_header, "retry-after-ms", "retry-after")):
        if (seconds := seconds_until(headers.get(name) or "")) is not None:
            return seconds / 1000 if name == "retry-after-ms" else seconds
    return otherwise


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_SIZES, _EPOCH_FLOOR = (86400, 3600, 60, 1, 0.001), 1_000_000_000
"""Seconds in each part of a duration; a plain number above the last figure is a point in time."""


def seconds_until(value: str) -> float | None:
    """Read a header that says how long to wait: seconds, a duration such as `1h2m3.5s`, a Unix time or a date.

    Dates may be of HTTP (RFC 9110, section 5.6.7) or ISO 8601. Returns None for what is none of these;
    a time that has passed gives 0.
    """
    text = value.strip()
    try:
        number = float(text)
    except ValueError:
        return _from_words(text)
    number = number / 1000 if number > 100 * _EPOCH_FLOOR else number  # a Unix time in milliseconds
    return max(0.0, number - time.time() if number > _EPOCH_FLOOR else number) if math.isfinite(number) else None


def _from_words(text: str) -> float | None:
    found = _DURATION.fullmatch(text)
    if found and any(found.groups()):
        return sum(float(part) * size for part, size in zip(found.groups(), _SIZES, strict=True) if part)
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError):
            return max(0.0, read(text).timestamp() - time.time())
    return None
