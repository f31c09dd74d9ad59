"""One look a second at everything that waits: time limits without a timer for each read."""

import asyncio
import math
import time
from typing import Protocol, Self

from jackfield.api import CallError, failure
from jackfield.exchange import Refused


class Waiting(Protocol):
    """Something that is looked at once a second."""

    def look(self, now: float) -> None:
        """Do what is due at `now`, a monotonic time in seconds."""


class Sweeper:
    """Looks at all that wait, once an interval."""

    def __init__(self, *limits: float) -> None:
        self._interval = min(1.0, max(0.05, min((limit for limit in limits if limit > 0), default=60.0) / 4))
        self._waiting: set[Waiting] = set()
        self._sweep()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def watch(self, total: float | None = None) -> "Watch":
        """Return a new watch over one task's waiting; `total` bounds all of it."""
        watch = Watch(self, total)
        self._waiting.add(watch)
        return watch

    def add(self, waiting: Waiting) -> None:
        """Look at something from now on."""
        self._waiting.add(waiting)

    def discard(self, waiting: Waiting) -> None:
        """Look at it no more."""
        self._waiting.discard(waiting)

    def _sweep(self) -> None:
        for waiting in list(self._waiting):
            waiting.look(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._sweep)


_SAYS = {
    "first_byte": "the provider sent no answer within {:g} s (timeouts.first_byte)",
    "idle": "the provider's answer stood still for {:g} s (timeouts.idle)",
    "client_body": "the request body stood still for {:g} s (timeouts.client_body)",
    "total": "the call took longer than {:g} s",
}


class Watch:
    """Cancels a task that waits too long, and tells afterwards that it did."""

    def __init__(self, sweeper: Sweeper, total: float | None) -> None:
        self._sweeper = sweeper
        self._deadline, self._end = math.inf, math.inf if total is None else time.monotonic() + total
        self._seconds, self._what = total or 0.0, "total"
        self._task: asyncio.Task[object] | None = None
        self._fired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def arm(self, seconds: float, what: str) -> None:
        """Allow the current task to wait for so many seconds."""
        self._task, self._seconds, self._what = asyncio.current_task(), seconds, what
        self._deadline = min(time.monotonic() + seconds, self._end)

    def disarm(self) -> None:
        """The wait is over."""
        self._deadline = math.inf

    def close(self) -> None:
        """Nothing will wait any more."""
        self._sweeper.discard(self)

    def look(self, now: float) -> None:
        """Cancel the task when its time is up."""
        if now >= self._deadline and self._task is not None:
            self._fired, self._deadline = True, math.inf
            self._task.cancel()

    def settle(self) -> None:
        """Raise `CallError` if this watch cancelled the current task; return if somebody else did."""
        if self._fired and self._task is not None and self._task.uncancel() == 0:
            says, code = _SAYS[self._what].format(self._seconds), f"{self._what}_timeout"
            raise Refused(408, says, code=code) if self._what == "client_body" else CallError(failure("network", says, code=code))
