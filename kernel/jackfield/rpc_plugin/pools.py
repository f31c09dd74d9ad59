"""The pools that a scheduler sees in a process of its own: a table that is kept, and what changes in it. The inverse of `pools`."""

from collections.abc import Mapping, Sequence

from jackfield.api import Candidate, Delegate, Deny, Pick, Pool
from jackfield.rpc import wire
from jackfield.rpc_plugin.forms import SentCandidate


class SentPool(Pool):
    """A pool as of the latest message. Of more than 64 eligible candidates it has a sample that holds the least busy one."""

    def __init__(self, said: wire.Pool, known: Mapping[str, SentCandidate], everybody: Sequence[Candidate], turn: int) -> None:
        self.model, self.direct, self.tried, self.probed, self.revision = said.model, False, frozenset(said.tried), 0.0, said.revision
        self.all, self._by_id, self._turn = everybody, known, turn  # type: ignore[assignment]
        self._eligible = [known[live.id] for live in said.live]

    @property
    def eligible(self) -> list[Candidate]:
        """Those that may be picked now."""
        return self._eligible

    def why(self, candidate_id: str) -> str:
        """Return why a candidate is not eligible; `''` when it is."""
        if (known := self._by_id.get(candidate_id)) is None:
            return "it is not a candidate for this model"
        if known in self._eligible:
            return ""
        if candidate_id in self.tried:
            return "it was tried in this round"
        return known.health if known.health != "ok" else "it is passed over, or its tier waits until no higher one is eligible"


class Pools:
    """What this process knows of each pool."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, SentCandidate]] = {}
        self._all: dict[str, Sequence[Candidate]] = {}
        self._latest: dict[str, SentPool] = {}

    def see(self, said: wire.Pool) -> SentPool:
        """Return a pool, after what has changed. Has to be called with all messages in their order. One that is as it was is the same."""
        known = self._known.setdefault(said.model, {})
        for row in said.rows:
            if row.id in known:
                known[row.id].take(row)
            else:
                known[row.id] = SentCandidate(row)
        for name in said.gone:
            known.pop(name, None)
        if said.rows or said.gone or said.model not in self._all:
            self._all[said.model] = list(known.values())
        for live in said.live:
            figures = known[live.id].account
            figures.in_flight, figures.latency, figures.last_used = live.in_flight, live.latency, live.last_used
        latest = self._latest.get(said.model)
        if latest is not None and latest.revision == said.revision and said.many == len(latest.eligible):
            return latest
        pool = SentPool(said, known, self._all[said.model], latest._turn if latest is not None else 0)
        if not said.tried:
            self._latest[said.model] = pool
        return pool


def pick_said(answer: Pick) -> wire.Pick | None:
    """Return whom a scheduler picked."""
    if answer is None:
        return None
    if isinstance(answer, Delegate):
        return wire.Pick(delegate=answer.scheduler)
    if isinstance(answer, Deny):
        return wire.Pick(deny=answer.reason, retry_after=answer.retry_after)
    return wire.Pick(candidate=answer.id)
