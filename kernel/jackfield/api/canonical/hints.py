"""Hints: what an answer says of when something ends, and of what is left of an account's quota.

Providers say such things in many ways: in seconds, in words, as a time of some calendar, in a header or in the middle of a
sentence. The readers here know the ways; which header, member or sentence means what is data of the providers (`Rule`,
`QuotaHeaders`).
"""

import math
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from jackfield.api.headers import Headers

# ------------------------------------------------------------------------------------------------- times

_FIGURE: Final = r"(\d+(?:\.\d+)?)\s*"
_UNITS: Final = ("d(?:ays?)?", "h(?:ours?|rs?)?", "m(?:in(?:ute)?s?)?", "s(?:ec(?:ond)?s?)?", "(?:ms|milliseconds?)")
_SIZES: Final = (86400, 3600, 60, 1, 0.001)
"""Seconds in each of them."""
_DURATION: Final = re.compile("".join(rf"(?:{_FIGURE}{unit}(?![a-z])(?:[\s,]|and)*)?" for unit in _UNITS), re.IGNORECASE)
_ASKED: Final = re.compile(
    rf"(?:try(?:ing)? again|retry(?:ing)?|wait|resets?)\s+(?:\w+\s+)?(?:in|after|for|until)?\s*"
    rf"((?:\d+(?:\.\d+)?\s*(?:{'|'.join(reversed(_UNITS))})(?![a-z])(?:[\s,]|and)*)+)",
    re.IGNORECASE,
)
"""Finds in a sentence how long one is asked to wait; a figure without a unit says too little."""
LONGEST: Final = 31 * 86400.0
"""Seconds that are believed of who asks one to wait."""
_EPOCH_FLOOR: Final = 1_000_000_000
"""A plain number above it is a point in time."""


def seconds_until(value: str) -> float | None:
    """Read what says how long to wait: seconds, a duration such as `1h2m3.5s` or `2 minutes`, a Unix time or a date.

    Dates may be of HTTP (RFC 9110, section 5.6.7) or ISO 8601; one without a zone is taken to be of UTC. Returns None for what
    is none of these; a time that has passed gives 0.
    """
    text = value.strip()
    try:
        number = float(text)
    except ValueError:
        return _from_words(text)
    number = number / 1000 if number > 100 * _EPOCH_FLOOR else number  # a Unix time in milliseconds
    return max(0.0, number - time.time() if number > _EPOCH_FLOOR else number) if math.isfinite(number) else None


@lru_cache(1024)
def _duration(text: str) -> float | None:
    found = _DURATION.fullmatch(text)
    parts = zip(found.groups(), _SIZES, strict=True) if found and any(found.groups()) else None
    return None if parts is None else sum(float(part) * size for part, size in parts if part)


def _from_words(text: str) -> float | None:
    if (seconds := _duration(text)) is not None:
        return seconds
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError):
            at = read(text.replace(" at ", " ").replace(" UTC", "Z"))
            return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
    return None


def asked_to_wait(text: str) -> float | None:
    """Read out of a sentence how long it asks one to wait: `Please try again in 6.5s`. None where it does not."""
    found = _ASKED.search(text)
    return _from_words(found[1].strip(" \t\r\n,")) if found else None


_TURN: Final = re.compile(r"(daily|monthly) ([01]\d|2[0-3]):([0-5]\d) (\S+)")


def seconds_to_turn(turn: str) -> float | None:
    """Return how long it is until a period of the calendar turns: `daily 00:00 America/Los_Angeles`, `monthly 00:00 UTC`.

    Raises `ValueError` for what is none; returns None where this machine knows no time zones.
    """
    found = _TURN.fullmatch(turn)
    if found is None:
        raise ValueError(f"{turn!r} is no turn of the calendar such as 'daily 00:00 America/Los_Angeles' or 'monthly 00:00 UTC'")
    try:
        zone = UTC if found[4] == "UTC" else ZoneInfo(found[4])
    except (KeyError, ValueError):
        if not available_timezones():
            return None
        raise ValueError(f"there is no time zone {found[4]!r}") from None
    now = datetime.fromtimestamp(time.time(), zone)
    at = now.replace(hour=int(found[2]), minute=int(found[3]), second=0, microsecond=0)
    if found[1] == "monthly":
        at = at.replace(day=1)
        at = at if at > now else (at + timedelta(days=31)).replace(day=1)
    elif at <= now:
        at += timedelta(days=1)
    return at.timestamp() - now.timestamp()


_LINK: Final = re.compile(r"https://[^\s\"'<>\\]+")


def link_in(text: str, pattern: str | None = None) -> str | None:
    """Return where an error body sends the owner of an account: what `pattern` finds, else the first link."""
    found = re.search(pattern, text) if pattern is not None else None
    link = _LINK.search(found[1] if found is not None else text)
    return link[0].rstrip(".,;:)") if link is not None else None


def seconds_to_wait(headers: Headers, said: float | None, text: str, quota: Sequence["QuotaHeaders"] = ()) -> float | None:
    """Return how long an answer asks one to wait, by what every provider may say.

    That is `Retry-After`, then what its dialect read in the body (`said`), then the words of the body, then the reset of a limit
    of which nothing is left: of several the latest, for all of them hold.
    """
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        if (seconds := seconds_until(headers.get(name) or "")) is not None:
            return seconds / unit
    if said is None and (said := asked_to_wait(text)) is None:
        spent = [w.resets_at for w in windows(quota, headers) if w.resets_at is not None and w.used is not None and w.used >= 1]
        said = max(0.0, max(spent) - time.time()) if spent else None
    return said


# ------------------------------------------------------------------------------------------------ quotas

_WINDOW: Final = "{window}"
Scope = Literal["credential", "credential_model"]
"""What a window counts for: all that a credential is used for, or one model alone."""


class QuotaWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One window of an account's quota. Provisional."""

    name: str
    used: float | None = None
    """Share, 0 to 1; more where a provider lets one go on."""
    resets_at: float | None = None
    """Unix time."""
    spent: bool = False
    """Nothing goes through before it resets."""
    of: Scope = "credential"


class QuotaHeaders(msgspec.Struct, frozen=True, kw_only=True, eq=False, forbid_unknown_fields=True):
    """The response headers in which a provider tells of windows of a quota, as data. Provisional.

    Names are in lower case and stand without their `prefix`. `{window}` stands for what tells one window from another.
    """

    prefix: str
    """What all of the names begin with; answers without such a header cost nothing."""
    used: str | None = None
    """Says the share that is used."""
    full: float = 1.0
    """What it says of a window that is used up: 100 where it counts in per cent."""
    limit: str | None = None
    remaining: str | None = None
    """Say the same in two figures."""
    reset: str | tuple[str, ...] = ()
    """Say when the window begins anew: seconds, a duration, a Unix time or a date. The first that is there counts."""
    minutes: str | None = None
    """Says how long the window is: it is named by that, `5h`, where it is known."""
    state: str | None = None
    """Says whether anything goes through, in the words of `rejected`."""
    rejected: str = "rejected"
    refills: bool = False
    """It fills up again little by little: the reset is when it is full, and there is more before. Never `spent`."""
    only: tuple[str, ...] = ()
    """The windows that are meant; none for any."""
    name: str = "{window}"
    """What a window is called, where its length is not known."""
    of: Scope = "credential"


def windows(quota: Sequence[QuotaHeaders], headers: Headers) -> tuple[QuotaWindow, ...]:
    """Return the windows of a quota of which an answer's headers tell, each once: as the first of `quota` that fits says it."""
    if not quota:
        return ()
    prefixes = tuple([rule.prefix for rule in quota])
    there = {low: value for name, value in headers if (low := name.lower()).startswith(prefixes)}
    if not there:
        return ()
    found: dict[str, QuotaWindow] = {}
    for place in _places(tuple(quota), tuple(there)):
        if (window := place.read(there)) is not None:
            found.setdefault(window.name, window)
    return tuple(found.values())


class _Place(msgspec.Struct, frozen=True):
    """Where the headers of one provider's answers tell of one window: the names, whole."""

    rule: QuotaHeaders
    name: str
    figures: tuple[str, str, str]
    resets: tuple[str, ...]
    minutes: str
    state: str

    def read(self, there: dict[str, str]) -> QuotaWindow | None:
        """Return the window; None where there is none."""
        until = next((seconds for name in self.resets if (seconds := seconds_until(there.get(name, ""))) is not None), None)
        used = _share(self.rule, *[_number(there.get(name)) for name in self.figures])
        length, state = _number(there.get(self.minutes)), there.get(self.state)
        if not used and until is None and not length:
            return None  # a place that is kept for a window which this account does not have
        spent = state == self.rule.rejected if state else used is not None and used >= 1
        return QuotaWindow(
            name=_length(length) if length else self.name,
            used=used,
            resets_at=None if until is None else time.time() + until,
            spent=spent and not self.rule.refills,
            of=self.rule.of,
        )


@lru_cache(256)
def _places(quota: tuple[QuotaHeaders, ...], there: tuple[str, ...]) -> tuple[_Place, ...]:
    """Return the places in which headers of these names tell of windows. A provider's answers have the same names each time."""
    places, free = list[_Place](), list(there)
    for rule in quota:
        key = rule.prefix + (rule.used or rule.remaining or _several(rule.reset)[0])
        pattern = re.compile(re.escape(key).replace(re.escape(_WINDOW), "(?P<window>.+)"))
        for found in [match for name in free if (match := pattern.fullmatch(name)) is not None]:
            window = found.groupdict().get("window", "")
            if not rule.only or window in rule.only:
                free.remove(found[0])
                places.append(_place(rule, window))
    return tuple(places)


def _place(rule: QuotaHeaders, window: str) -> _Place:
    def _whole(name: str | None) -> str:
        return rule.prefix + name.replace(_WINDOW, window) if name is not None else ""

    return _Place(
        rule,
        name=rule.name.replace(_WINDOW, window),
        figures=(_whole(rule.used), _whole(rule.limit), _whole(rule.remaining)),
        resets=tuple(map(_whole, _several(rule.reset))),
        minutes=_whole(rule.minutes),
        state=_whole(rule.state),
    )


def _several(said: str | tuple[str, ...]) -> tuple[str, ...]:
    return (said,) if isinstance(said, str) else said


def _share(rule: QuotaHeaders, used: float | None, limit: float | None, remaining: float | None) -> float | None:
    if used is not None:
        return max(0.0, used / rule.full)
    if remaining is None:
        return None
    return max(0.0, 1 - remaining / limit) if limit else 1.0 if remaining <= 0 else None


def _number(text: str | None) -> float | None:
    with suppress(ValueError):
        number = float(text or "nan")
        return number if math.isfinite(number) else None
    return None


def _length(minutes: float) -> str:
    """Name a window by its length: `5h`, `7d`."""
    for unit, size in (("d", 1440), ("h", 60)):
        if minutes >= size and minutes % size == 0:
            return f"{minutes / size:g}{unit}"
    return f"{minutes:g}m"
