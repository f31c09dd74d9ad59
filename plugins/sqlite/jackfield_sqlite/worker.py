"""The store's thread. What is asked while it is busy is done together afterwards: many small writes cost little more than one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from jackfield_sqlite.file import StateFile

MOST_TOGETHER: Final = 500
"""Operations in one transaction; other processes wait for its end."""
PURGE_EVERY: Final = 60.0
"""Seconds between two looks for values that have expired and that nobody asked for again."""
PURGE_MOST: Final = 1000
"""Expired values deleted in one transaction."""
PURGE_ON: Final = 0.1
"""Seconds to the next look, where there were more."""

Job = tuple[str, tuple[Any, ...], "asyncio.Future[Any]"]
"""An operation, its arguments, and who waits for it. The operation `close` is the last."""


class Worker:
    """Does the operations in the order in which they were asked for."""

    def __init__(self, path: Path, jobs: SimpleQueue[Job], clock: Callable[[], float]) -> None:
        self._path, self._jobs, self._clock = path, jobs, clock
        self._file: StateFile | None = None
        self._purge_at = 0.0

    def run(self) -> None:
        """Work until the store is closed."""
        last: Job | None = None
        while last is None:
            jobs = self._next()
            last = jobs.pop() if jobs and jobs[-1][0] == "close" else None
            for (_, _, waiting), outcome in zip(jobs, self._outcomes(jobs), strict=True):
                _tell(waiting, outcome)
        self._let_go()
        _tell(last[2], None)

    def _next(self) -> list[Job]:
        """Return the operations that wait; none when there were none for a while."""
        jobs = list[Job]()
        with contextlib.suppress(Empty):
            due = self._file is not None and self._clock() >= self._purge_at
            jobs.append(self._jobs.get(timeout=PURGE_ON if due else PURGE_EVERY))
            while len(jobs) < MOST_TOGETHER and jobs[-1][0] != "close":
                jobs.append(self._jobs.get_nowait())
        return jobs

    def _outcomes(self, jobs: Sequence[Job]) -> Sequence[object]:
        """Do operations in one transaction; return what each answers or raises."""
        try:
            if self._file is None and jobs:
                self._file = StateFile(self._path)
            if self._file is None:
                return ()
            writes = not jobs or any(operation != "get" for operation, _, _ in jobs)  # who only reads waits for nobody
            with self._file.transaction(writes=writes):
                now = self._clock()  # after the wait for other processes
                outcomes = [_outcome(self._file, job, now) for job in jobs]
                if writes and now >= self._purge_at and self._file.purge(now, PURGE_MOST) < PURGE_MOST:
                    self._purge_at = now + PURGE_EVERY
            return outcomes
        except Exception as fault:  # noqa: BLE001 (whatever it is: who waits must be told, and the next may fare better)
            self._let_go()
            return [OSError(str(fault)) for _ in jobs]

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _outcome(file: StateFile, job: Job, now: float) -> object:
    operation, arguments, waiting = job
    if waiting.cancelled():  # nobody wants it any more
        return None
    try:
        return getattr(file, operation)(now, *arguments)
    except (ValueError, TypeError) as fault:  # of the one that asks: it changed nothing, the others' operations go on
        return fault


def _tell(waiting: asyncio.Future[Any], outcome: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has been closed
        waiting.get_loop().call_soon_threadsafe(_settle, waiting, outcome)


def _settle(waiting: asyncio.Future[Any], outcome: object) -> None:
    if waiting.cancelled():
        return
    if isinstance(outcome, Exception):
        waiting.set_exception(outcome)
    else:
        waiting.set_result(outcome)
