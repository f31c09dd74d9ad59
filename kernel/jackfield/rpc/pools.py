"""What a scheduler out of process is shown of a pool: whole rows each time, or a table that it keeps and what changes in it."""

from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

from jackfield.api import Candidate, Pool
from jackfield.rpc import wire
from jackfield.rpc.channel import Channel

MOST: Final = 64
"""Candidates that one pick is about."""

_Sent = tuple[Sequence[Candidate], dict[str, Candidate]]
"""What a connection was told of a pool last: the candidates, and the same by id."""


class Table:
    """What each connection knows of each pool."""

    def __init__(self) -> None:
        self._sent: WeakKeyDictionary[Channel, dict[str, _Sent]] = WeakKeyDictionary()

    def rows(self, pool: Pool) -> wire.Pool:
        """Return a pool as whole rows."""
        return _pool(pool, eligible=[_row(candidate) for candidate in _chosen(pool)])

    def changes(self, channel: Channel, pool: Pool) -> wire.Pool:
        """Return a pool as what has changed since the connection was told last, and the figures of those that may be picked."""
        sent = self._sent.setdefault(channel, {})
        told, now = sent.get(pool.model), pool.all
        rows, gone = list[wire.Row](), list[str]()
        if told is None or told[0] is not now:
            before, by_id = told[1] if told is not None else {}, {candidate.id: candidate for candidate in now}
            rows = [_row(candidate) for key, candidate in by_id.items() if before.get(key) is not candidate]
            gone = [key for key in before if key not in by_id]
            sent[pool.model] = now, by_id
        live = [wire.Live(id=c.id, in_flight=c.in_flight, latency=c.latency, last_used=c.last_used) for c in _chosen(pool)]
        return _pool(pool, live=live, rows=rows, gone=gone)

    def forget(self, pool: Pool) -> None:
        """Take it that nobody knows anything of a pool: what was told last may not have been seen."""
        for sent in self._sent.values():
            sent.pop(pool.model, None)


def _pool(pool: Pool, **shown: list[wire.Row] | list[wire.Live] | list[str]) -> wire.Pool:
    return wire.Pool(model=pool.model, revision=pool.revision, many=len(pool.eligible), tried=sorted(pool.tried), **shown)  # type: ignore[arg-type]


def _chosen(pool: Pool) -> Sequence[Candidate]:
    """Return the candidates that a pick is about: all that are eligible, or of many a sample that holds the least busy one."""
    eligible = pool.eligible
    if len(eligible) <= MOST:
        return eligible
    least, sample = pool.least_busy(), list(pool.sample(MOST))
    if least is not None and least not in sample:
        sample[0] = least
    return sample


def _row(candidate: Candidate) -> wire.Row:
    return wire.Row(
        id=candidate.id,
        provider=candidate.provider,
        credential=candidate.credential,
        label=candidate.label,
        model=candidate.model,
        tier=candidate.tier,
        weight=candidate.weight,
        health=candidate.health,
        in_flight=candidate.in_flight,
        latency=candidate.latency,
        last_used=candidate.last_used,
        quota=list(candidate.quota),
    )
