"""Rules: what a provider's errors mean, as data, and how an error answer is read by them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from jackfield.api.canonical.hints import LONGEST, QuotaHeaders, link_in, seconds_to_turn, seconds_to_wait, seconds_until
from jackfield.api.canonical.response import Error
from jackfield.api.canonical.splice import locate
from jackfield.api.dialect import Dialect
from jackfield.api.failure import BLAME, HELP, Blame, Cause, Failure, Help
from jackfield.api.headers import Headers
from jackfield.api.units import Seconds

if TYPE_CHECKING:
    from jackfield.api.call import Attempt

_BY_STATUS: dict[int, Cause] = {
    400: "caller", 401: "credential", 402: "quota", 403: "credential", 404: "caller", 405: "unsupported", 408: "upstream",
    409: "caller", 410: "unsupported", 411: "caller", 413: "caller", 414: "caller", 415: "caller", 422: "caller",
    424: "upstream", 425: "overload", 429: "rate", 431: "caller", 451: "content", 501: "unsupported", 503: "overload", 529: "overload",
}  # fmt: skip


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of a provider's table of failures. A rule fits when everything that it names fits; the first that fits decides.

    A user may add rules in the configuration; they stand before the provider's own. Of what says until when the cause lasts, the
    field that is named first here goes before the rest; where none says anything, `Retry-After`, the words of the body and the
    limits of the answer do.
    """

    cause: Cause
    status: int | tuple[int, ...] | None = None
    """HTTP statuses to which the rule applies; None for any."""
    code: str | None = None
    """Regular expression that must match the error's whole code or its whole type, as the dialect reads them."""
    match: str | None = None
    """Regular expression to be found anywhere in the error body's text, without regard to case."""
    headers: dict[str, str] = {}
    """Regular expressions to be found in response headers, by their names."""
    blame: Blame | None = None
    help: Help | None = None
    until_header: str | None = None
    """Response header that says when the cause ends: seconds, a duration such as `6m0s`, or a date."""
    until_match: str | None = None
    """Regular expression whose one group finds the same in the error body: `"resets_at": *(\\d+)`."""
    resets: str | None = None
    """The turn of the calendar at which the cause ends: `daily 00:00 America/Los_Angeles`, `monthly 00:00 UTC`."""
    retry_after: Seconds | None = None
    """How long the cause lasts, where nothing before says it."""
    link: str | None = None
    """Regular expression whose one group finds in the error body where an account's owner must go. None: the first link in it."""

    def __post_init__(self) -> None:
        for name in ("code", "match", "until_match", "link"):
            _check(getattr(self, name), name, grouped=name in ("until_match", "link"))
        for name, pattern in self.headers.items():
            _check(pattern, f"headers.{name}")
        if self.resets is not None:
            seconds_to_turn(self.resets)

    def fits(self, error: Error, headers: Headers, text: str) -> bool:
        """Tell whether the rule applies to an error answer, whose body is `text`."""
        statuses = (self.status,) if isinstance(self.status, int) else self.status
        return (
            (statuses is None or error.status in statuses)
            and (self.code is None or any(re.fullmatch(self.code, c, re.IGNORECASE) for c in (error.code, error.type) if c is not None))
            and (self.match is None or re.search(self.match, text, re.IGNORECASE) is not None)
            and all(re.search(pattern, headers.get(name) or "", re.IGNORECASE) for name, pattern in self.headers.items())
        )

    def seconds(self, headers: Headers, text: str) -> float | None:
        """Return until when it says that the cause of an error answer lasts; None where it says nothing."""
        said = [headers.get(self.until_header)] if self.until_header is not None else []
        if self.until_match is not None and (found := re.search(self.until_match, text, re.IGNORECASE)) is not None:
            said.append(found[1])
        until = next((seconds for value in said if value and (seconds := seconds_until(value)) is not None), None)
        if until is None and self.resets is not None:
            until = seconds_to_turn(self.resets)
        return self.retry_after if until is None else until


def _check(pattern: str | None, name: str, *, grouped: bool = False) -> None:
    """Raise `ValueError`, with the field's name, for what is no regular expression, or has not the one group that it needs."""
    try:
        groups = re.compile(pattern).groups if pattern is not None else 1
    except re.error as fault:
        raise ValueError(f"{name}: {pattern!r} is no regular expression: {fault}") from None
    if grouped and groups != 1:
        raise ValueError(f"{name}: {pattern!r} needs one group, in parentheses, around what is to be read")


def classify(rules: Iterable[Rule], error: Error, headers: Headers, text: str, quota: Sequence[QuotaHeaders] = ()) -> Failure:
    """Turn an upstream's error answer into a `Failure`: by the first rule that fits, else by its status alone.

    `error` is what the dialect read in the answer, `text` its body, cut to a bounded length; `quota` says which headers tell of
    limits. A caller's failure keeps the upstream's message; every other message is the kernel's own. A code that speaks of a key
    or an account stays in `detail` alone: a client would take it to speak of its own.
    """
    status, rule = error.status, next((r for r in rules if r.fits(error, headers, text)), None)
    cause = rule.cause if rule else _BY_STATUS.get(status) or ("upstream" if status >= 500 or status < 400 else "unknown")
    if rule is None and cause == "credential" and text.lstrip()[:1] == "<":
        cause = "network"  # a page: something on the way answered, not the one who knows keys
    own_fault, wait = cause in ("caller", "content", "unsupported"), rule.seconds(headers, text) if rule else None
    if wait is None:
        wait = seconds_to_wait(headers, error.retry_after, "" if own_fault else text, quota)
    return Failure(
        cause=cause,
        blame=(rule and rule.blame) or BLAME[cause],
        help=(rule and rule.help) or HELP.get(cause, "another"),
        message=(error.message or text[:300]) if own_fault else f"the provider answered {status} ({cause})",
        status=status,
        code=None if cause in ("credential", "account_action") else error.code,
        param=error.param,
        retry_after=None if wait is None else min(wait, LONGEST),
        link=link_in(text, rule.link if rule else None) if cause == "account_action" else None,
        detail=text[:2000],
    )


def read_error(dialect: Dialect, status: int, headers: Headers, body: bytes) -> tuple[Error, Headers, str]:
    """Return what `classify` wants of an error answer: the error in it, its headers, its text."""
    error = msgspec.structs.replace(dialect.decode_error(status, headers, body), status=status)
    return error, headers, _about_it(body)[:65536].decode(errors="replace")


def _about_it(body: bytes) -> bytes:
    """Return what an answer says of its error: without the instructions and the like that an event may repeat beside it."""
    with suppress(ValueError, RecursionError):
        span = locate(body, ("response", "error")) if body.find(b'"response"') >= 0 else None
        return body if span is None else body[slice(*span)]
    return body


def judge(attempt: Attempt, status: int, headers: Headers, body: bytes) -> Failure:
    """Say what an error answer means: by the operator's own rules where one fits, else as the provider says."""
    if attempt.rulings:
        seen = read_error(attempt.dialect, status, headers, body)
        if any(rule.fits(*seen) for rule in attempt.rulings):
            return classify(attempt.rulings, *seen, attempt.provider.quota)
    return attempt.provider.classify(attempt.dialect, status, headers, body)
