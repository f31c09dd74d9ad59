"""Pools of candidates for tests of schedulers, whose eligible ones the test chooses, and calls to go with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

from jackfield.api import Body, Call, Candidate, Credential, Delegate, Headers, HostInfo, Pairs, Principal
from jackfield.api.canonical.crossing import request_codec
from tests.kernel.toy import ToyDialect

_REVISIONS = count(1)


def candidate(label: str, *, model: str = "m", provider: str = "toy", weight: float = 1.0, tier: int = 0) -> Candidate:
    """Return a candidate whose figures the test sets on its `account`."""
    held = Credential(provider=provider, id=label, label=label, weight=weight, priority=tier)
    return Candidate(SimpleNamespace(credential=held, in_flight=0, latency=None, last_used=0.0, quota=()), model)


class Pooled:
    """A pool as the contract describes it: `eligible` is another list whenever it has changed."""

    direct = False

    def __init__(self, *everybody: Candidate, model: str = "m") -> None:
        self.model, self.all = model, list(everybody)
        self.eligible = list(everybody)
        self.revision = next(_REVISIONS)

    def only(self, eligible: Callable[[Candidate], bool] = lambda candidate: True) -> Pooled:
        """Let some of them be eligible from now on."""
        self.eligible, self.revision = [one for one in self.all if eligible(one)], next(_REVISIONS)
        return self

    def cool(self, *labels: str) -> Pooled:
        """Let all be eligible but some."""
        return self.only(lambda one: one.label not in labels)

    def replace(self, *everybody: Candidate) -> Pooled:
        """Take other candidates, as after an edit of the credentials."""
        self.all = list(everybody)
        return self.only()

    def without(self, *labels: str) -> Pooled:
        """Return what a call sees that has tried some."""
        view = Pooled(*self.all, model=self.model)
        eligible = {id(one) for one in self.eligible}
        return view.only(lambda one: id(one) in eligible and one.label not in labels)

    def why(self, candidate_id: str) -> str:
        """Say why one is not eligible."""
        return "" if any(one.id == candidate_id for one in self.eligible) else "it cools"

    def least_busy(self) -> Candidate | None:
        """Return the one with the least to do."""
        return min(self.eligible, key=lambda one: one.in_flight, default=None)

    def sample(self, n: int) -> Sequence[Candidate]:
        """Return the first ones."""
        return self.eligible[:n]


def pool(*labels: str, model: str = "m", weights: Sequence[float] = ()) -> Pooled:
    """Return a pool of candidates with these labels."""
    weighed = zip(labels, weights or [1.0] * len(labels), strict=True)
    return Pooled(*(candidate(label, model=model, weight=weight) for label, weight in weighed), model=model)


def call(body: bytes = b'{"model":"m","say":[]}', *, model: str = "m", principal: str = "alice", **headers: str) -> Call:
    """Return a client's call in the toy dialect; underscores in a header's name stand for dashes."""
    dialect = ToyDialect()
    named = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    made = Call("1", dialect, dialect.endpoints[0], named, Pairs())
    made.body, made.model, made.principal = Body(body, codec=request_codec(dialect, "generate")), model, Principal(name=principal)
    return made


def picks(plugin: Any, many: int, among: Any) -> str:
    """Return the labels of those that a scheduler picks in a row, a call each."""
    picked = [plugin.pick_credential(call(), among) for _ in range(many)]
    return " ".join("-" if one is None else one.scheduler if isinstance(one, Delegate) else one.label for one in picked)


class Store:
    """A state store that notes what is written, can be away, and goes by the test's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.away, self.asked = clock, False, 0
        self.values: dict[str, tuple[bytes, float]] = {}
        self.writes: list[tuple[str, bytes]] = []

    @property
    def bound(self) -> list[str]:
        """The candidates to which sessions were bound, in turn."""
        return [value.decode() for _, value in self.writes if b"/" in value]

    async def get(self, key: str) -> bytes | None:
        """Return a value that has not expired."""
        self.asked += 1
        if self.away:
            raise OSError("nobody answers")
        value, until = self.values.get(key, (None, 0.0))
        return value if until > self.clock() else None

    async def set(self, key: str, value: bytes, *, ttl: float | None = None, if_absent: bool = False) -> bool:
        """Set a value."""
        if if_absent and await self.get(key) is not None:
            return False
        if self.away:
            raise OSError("nobody answers")
        self.writes.append((key, value))
        self.values[key] = value, self.clock() + (ttl or 1e9)
        return True


def host(store: Any, clock: Callable[[], float], plugin: str = "sticky") -> Any:
    """Return a host as a plugin sees it."""
    return SimpleNamespace(
        state=store, clock=clock, log=logging.getLogger(f"jackfield.plugins.{plugin}"), info=HostInfo(version="0", plugin=plugin)
    )
