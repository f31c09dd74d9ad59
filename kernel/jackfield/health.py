"""What is at fault and rests for a while: credentials, or credentials for one model. Outlives generations.

A failure cools what it blames and nothing else: for as long as the upstream said, else twice as long with each failure in
a row, that is without an answer between. Whoever cools is not eligible. Success heals, and so does time; a long rest is
shortened by probing: one live call an interval may try who rests, with everybody else to fall back on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextvars import Context
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jackfield.api import Candidate, Cause, Cooldown, CredentialState, Failure, Pool, Rest, Seconds
from jackfield.api.canonical.hints import LONGEST
from jackfield.settings import Cooldowns, Probe

if TYPE_CHECKING:
    from jackfield.credentials import Account

ALL_MODELS: Final = ""
"""Stands where a model's name would, for what concerns a credential whatever the model."""
OWN_LIMIT: Final = "*"
"""Stands there for a limit that the operator set."""
_KINDS: Final[dict[Cause, str]] = {
    "overload": "transient", "upstream": "transient", "network": "transient", "unknown": "transient", "rate": "rate",
    "quota": "quota", "credential": "credential", "account_action": "account_action", "unsupported": "refused",
}  # fmt: skip
"""Which length of the configuration holds for a cause; others cool nothing."""
_NOT_PROBED: Final[frozenset[Cause]] = frozenset({"credential", "account_action", "unsupported"})
"""Causes that end when somebody acts: to try them with a live call would only cost that call time."""
NEVER: Final = 1e18
"""A Unix time that does not come."""
SAYS: Final[dict[Cause, str]] = {
    "overload": "overloaded", "upstream": "failing", "network": "not reached", "unknown": "failing", "rate": "rate-limited",
    "quota": "quota used up", "credential": "key refused", "account_action": "account needs its owner", "unsupported": "model refused",
}  # fmt: skip
_LENGTHS: Final = Cooldown(
    transient=Seconds(1), rate=Seconds(1), quota=Seconds(60), credential=Seconds(300), account_action=Seconds(1800), refused=Seconds(1800)
)
_MOST_DOUBLED: Final = 32
_IN_A_ROW: Final = 600.0
"""Seconds after a rest in which another failure, without an answer between, still follows the one before: one that took long, too."""
_TOOK_ITS_TIME: Final[frozenset[str | None]] = frozenset({"connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"})
"""Codes of failures for which a call has waited long enough."""
_MOST_ROWS: Final = 256
"""Models of one credential that rest."""
_REMEMBERED: Final = 1024
"""Latest changes by which pools find out whether they are concerned."""
_LOOKS_APART: Final = 1.0
"""Seconds between two looks through one pool for somebody to probe."""
_LEAP: Final = 2.0
"""Seconds by which the wall clock may run apart from the steady one between two looks."""

_AT_ONCE: Final = 20.0
"""Repeated attempts that may be made at once, whatever the calls have brought."""
_A_SECOND: Final = 0.5
"""Those that each second brings."""


class Cooling(msgspec.Struct):
    """Why a credential rests, for one model or for all."""

    cause: Cause
    until: float
    """Unix time; `since` likewise."""
    since: float
    times: int = 1
    """Failures in a row."""
    told: bool = False
    """The upstream, or a limit, said how long."""
    probe_at: float = NEVER
    """When a live call may try it."""
    message: str = ""


class Health:
    """All that rests, by credential and model."""

    def __init__(self) -> None:
        self.cooldown, self.probe = Cooldowns(), Probe()
        """What the latest generation's configuration says."""
        self.revision = 0
        """Grows with every change."""
        self.news = set[str]()
        """Credentials, by their ids, of which something has changed that others do not know yet; `''`: what is switched off has."""
        self.off = set[str]()
        """Credentials by id, and providers by key, that were switched off."""
        self.next_probe = NEVER
        """Unix time before which nobody need be probed."""
        self.resting: dict[str, dict[str, Cooling]] = {}
        """Rows by credential's id, then by model."""
        self._latest: deque[int] = deque(maxlen=_REMEMBERED)
        self._apart = time.time() - time.monotonic()

    # ------------------------------------------------------------------------------------------- told

    def failed(self, account: Account, model: str, failure: Failure) -> None:
        """Let what a failure blames rest."""
        kind = _KINDS.get(failure.cause)
        if kind is None or failure.blame in ("request", "plugin"):
            return
        place, now, length = ALL_MODELS if failure.blame == "credential" else model, time.time(), self._length(account, kind)
        row = account.resting.get(place)
        active = row is not None and now < row.until
        recent = row is not None and now < row.until + max(_IN_A_ROW, 2 * (row.until - row.since))
        times = row.times + (not active) if row is not None and recent else 1
        told = failure.retry_after is not None
        seconds = failure.retry_after if failure.retry_after is not None else length * min(2 ** (times - 1), _MOST_DOUBLED)
        until = now + min(seconds, LONGEST)
        said = row is not None and active and row.told and not told and row.until > until  # the upstream's word stands
        if length > 0 and seconds > 0 and not said:
            first, again = now + self.probe.after, now + self.probe.interval
            probe_at = NEVER if failure.cause in _NOT_PROBED else max(row.probe_at, again) if row is not None and active else first
            says = failure.message if failure.link is None else f"{failure.message}; its owner must go to {failure.link}"
            self.rest(account, place, Cooling(failure.cause, until, now, times, told, probe_at, says))

    def rest(self, account: Account, place: str, row: Cooling) -> None:
        """Let a credential rest, for a model or for all."""
        self.news.add(account.credential.id)
        held = account.resting
        held[place] = row
        if len(held) > _MOST_ROWS:  # callers can make up names of models
            for over in sorted(held, key=lambda name: held[name].until)[: _MOST_ROWS // 2]:
                del held[over]
        self.next_probe = min(self.next_probe, row.probe_at)
        self._note(account)
        self._await_end(account, row)

    def _await_end(self, account: Account | None, row: Cooling) -> None:
        """Take down when a rest is over, by the wall clock: that may run a little slower than the timers."""
        if (left := row.until - time.time()) > 0:
            # Of a context of its own: that of a call would hold the call until then.
            asyncio.get_running_loop().call_later(left + 0.001, self._await_end, account, row, context=Context())
        else:
            self._note(account)

    def answered(self, account: Account, model: str, began: float) -> None:
        """Take note of an answer to an attempt that began at a Unix time: what rested before is healed."""
        for place in (ALL_MODELS, model):
            if (row := account.resting.get(place)) is not None and row.since < began:
                del account.resting[place]
                self.news.add(account.credential.id)
                self._note(account)

    def forget(self, account: Account, *causes: Cause) -> None:
        """Let an account rest for these causes no longer."""
        for place in [place for place, row in account.resting.items() if row.cause in causes]:
            del account.resting[place]
            self.news.add(account.credential.id)
        self._note(account)

    def reset(self, credential: str | None = None) -> None:
        """Forget why a credential rests, or all of them."""
        for name in list(self.resting) if credential is None else [credential]:
            self.resting.get(name, {}).clear()
            self.news.add(name)
        self._note(None)

    def switch(self, name: str, on: bool) -> None:
        """Switch a credential (by its id) or a provider (by its key) on or off."""
        (self.off.discard if on else self.off.add)(name)
        self.news.add("")
        self._note(None)

    def _length(self, account: Account, kind: str) -> float:
        said = (account.credential.cooldown, self.cooldown.providers.get(account.provider.key), self.cooldown, _LENGTHS)
        return next(float(length) for lengths in said if lengths is not None and (length := getattr(lengths, kind)) is not None)

    def _note(self, account: Account | None) -> None:
        """Take down that an account has changed; None: all may have."""
        if account is None:
            self.revision += _REMEMBERED
            self._latest.clear()
        self.revision += 1
        self._latest.append(id(account))

    # ------------------------------------------------------------------------------------------- asked

    def touched(self, accounts: frozenset[int], since: int) -> bool:
        """Tell whether one of some accounts (by their `id()`) may have changed since a revision."""
        behind = self.revision - since
        return behind > len(self._latest) or not accounts.isdisjoint(islice(reversed(self._latest), behind))

    @staticmethod
    def rows(candidate: Candidate) -> list[Cooling]:
        """Return why a candidate rests now."""
        if not (held := candidate.account.resting):
            return []
        now, places = time.time(), (ALL_MODELS, OWN_LIMIT, candidate.model)
        return [held[place] for place in places if place in held and held[place].until > now]

    def _left(self, pool: Pool) -> Iterator[tuple[Candidate, list[Cooling]]]:
        """Yield who was not tried and is switched on, and why each rests now."""
        return ((c, self.rows(c)) for c in pool.all if c.id not in pool.tried and not c.account.off)

    def due(self, pool: Pool) -> Candidate | None:
        """Return a candidate that a live call may try although it rests; it is not due again for an interval."""
        now = time.time()
        if now < self.next_probe or now < pool.probed + _LOOKS_APART:
            return None
        pool.probed = now
        due, rows = next(((c, rows) for c, rows in self._left(pool) if rows and all(row.probe_at <= now for row in rows)), (None, []))
        for row in rows:
            row.probe_at = now + self.probe.interval
        self._schedule_probe(now)
        return due

    def _schedule_probe(self, now: float) -> None:
        every = (row for rows in self.resting.values() for row in rows.values())
        self.next_probe = min((row.probe_at for row in every if row.until > now), default=NEVER)

    def last_resort(self, pool: Pool) -> Candidate | None:
        """Return who may be tried although all rest: a guess of ours decides whom to prefer, never that nobody is asked.

        What an upstream said, a limit and an account whose owner must act are no guesses.
        """
        guessed = [(rows, c) for c, rows in self._left(pool) if not any(row.told or row.cause == "account_action" for row in rows)]
        # Without rows its rest is over, although nobody has taken that down yet. Calls at the same time try different ones.
        ranked = [((bool(rows) and rows[0].cause in _NOT_PROBED, c.in_flight, rows[0].until if rows else 0.0), c) for rows, c in guessed]
        return min(ranked, key=itemgetter(0))[1] if ranked else None

    def soonest(self, candidates: Iterable[Candidate]) -> float | None:
        """Return in how many seconds the first of some candidates rests no longer; None when nobody will be there."""
        untils = [max((row.until for row in self.rows(c)), default=0.0) for c in candidates if not c.account.off]
        return max(0.0, min(untils) - time.time()) if untils else None

    def reasons(self, candidates: Sequence[Candidate]) -> str:
        """Say why candidates are passed over, and how many for which reason: `2 rate-limited until 12:31:05, 1 switched off`."""
        ends: dict[str, list[str]] = {}
        rested = [(c, next(iter(self.rows(c)), None)) for c in candidates]
        for until, what in sorted(
            (0.0, "switched off") if c.account.off or row is None else (row.until, SAYS[row.cause]) for c, row in rested
        ):
            ends.setdefault(what, []).append(until_when(until))
        said = [(len(all_), what, all_[0] + " or later" * (all_[0] != all_[-1])) for what, all_ in ends.items()]
        return ", ".join(f"{n} {what}{until}" if len(candidates) > 1 else f"{what}{until}" for n, what, until in sorted(said, reverse=True))

    def look(self, now: float) -> None:
        """Mind leaps of the wall clock: rests end by it after a sleep, and are not longer because it was set back."""
        apart = time.time() - now
        if abs(leap := apart - self._apart) > _LEAP:
            for row in (row for rows in self.resting.values() for row in rows.values() if leap < 0):
                row.until, row.since, row.probe_at = row.until + leap, row.since + leap, row.probe_at + leap
            self._note(None)
        self._apart = apart

    # --------------------------------------------------------------------------------------------- told

    def tell(self, name: str) -> bytes:
        """Return why a credential rests, or under `''` what is switched off, to be taken over by other processes or later ones."""
        now = time.time()
        rows = {p: row for p, row in self.resting.get(name, {}).items() if row.until > now}
        return msgspec.json.encode(_Told(now, rows, sorted(self.off) if not name else []))

    def take_over(self, name: str, told: bytes, account: Account | None = None) -> None:
        """Take over what another process told: of what both know, the later counts. Raises `ValueError` for what it did not tell."""
        said = msgspec.json.decode(told, type=_Told)
        if not name:
            self.off.clear()
            self.off.update(said.off)
        held, now = self.resting.setdefault(name, {}), time.time()
        for place in [place for place, row in held.items() if row.since <= said.at and place not in said.rows]:
            del held[place]
        for place, row in said.rows.items():
            if row.until > now and (place not in held or held[place].since <= row.since):
                held[place] = row
                self._await_end(account, row)
        self._schedule_probe(now)
        self._note(account)

    @staticmethod
    def state(account: Account) -> CredentialState:
        """Return how an account is."""
        said, held = Rest.__struct_fields__[1:], [(place, row) for place, row in account.resting.items() if row.until > time.time()]
        rows = tuple(Rest(model=place, **{name: getattr(row, name) for name in said}) for place, row in held)
        return CredentialState(
            id=account.credential.id,
            state="off" if account.off else "resting" if rows else "ok",
            resting=rows,
            quota=tuple(account.quota),
            in_flight=account.in_flight,
            last_used=account.last_used,
            latency=account.latency,
        )

    @classmethod
    def describe(cls, account: Account) -> dict[str, Any]:
        """Return what there is to know of an account, as plain data without secrets."""
        shown = {name: getattr(account.credential, name) for name in ("id", "provider", "label", "kind", "origin")}
        return shown | dict(msgspec.to_builtins(cls.state(account)))


class _Told(msgspec.Struct):
    at: float
    """Unix time."""
    rows: dict[str, Cooling]
    off: list[str] = []


def passes(failed: Failure | None) -> bool:
    """Tell whether the same attempt, in the same call, may soon succeed although nobody does anything; also without a failure."""
    return failed is None or (failed.cause in _KINDS and failed.cause not in _NOT_PROBED and failed.code not in _TOOK_ITS_TIME)


class RetryBudget:
    """What repeated attempts are paid from: each call brings a share of one, so that in an outage they stay a share of the calls."""

    calls = 0
    """Calls that have brought their share, and are not counted yet."""

    def __init__(self) -> None:
        self._left, self._since = _AT_ONCE, time.monotonic()

    def spend(self, share: float) -> bool:
        """Pay for one repeated attempt; tell whether what the calls brought, each a share, is enough."""
        now = time.monotonic()
        earned = self.calls * share + (now - self._since) * _A_SECOND
        self._left, self._since, self.calls = min(_AT_ONCE * max(1.0, share), self._left + earned), now, 0
        paid = self._left >= 1
        self._left -= paid
        return paid


def until_when(until: float) -> str:
    """Say until when, as the end of a sentence: nothing for a rest that ends when somebody acts."""
    return f" until {clock(until)}" if until and until - time.time() < LONGEST - 86400 else ""


def clock(until: float) -> str:
    """Return a Unix time as an operator reads it: the time of day, with the date when it is another day's."""
    local = time.localtime(until)
    return time.strftime("%H:%M:%S" if until - time.time() < 86400 else "%Y-%m-%d %H:%M:%S", local)
