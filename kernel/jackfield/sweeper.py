"""One look a second at everything that waits: time limits without a timer for each read."""

import asyncio
import math
import time
from typing import Any, Protocol

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
        self.waiting: set[Waiting] = set()
        """What is looked at."""
        self._sweep()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _sweep(self) -> None:
        for waiting in list(self.waiting):
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

    task: asyncio.Task[object] | None = None
    """The task that waits."""
    since: float | None = None
    """When its wait began; None while it waits for nothing. Whoever begins to wait sets 0.0 and the sweeper the time, at its next
    look: to ask for the time at each read would cost more than the rest of the watch."""
    _seconds, _what, _fired = 0.0, "", False

    def __init__(self, sweeper: Sweeper, total: float | None = None) -> None:
        """`total` bounds all of its waiting, in seconds."""
        sweeper.waiting.add(self)
        self._sweeper, self._total = sweeper, total
        self._end = math.inf if total is None else time.monotonic() + total

    def arm(self, seconds: float, what: str) -> None:
        """Allow the current task to wait for so many seconds."""
        self.task, self.since = asyncio.current_task(), 0.0
        self._seconds, self._what = seconds, what

    def close(self) -> None:
        """Nothing will wait any more."""
        self._sweeper.waiting.discard(self)

    def look(self, now: float) -> None:
        """Cancel the task when its time is up."""
        if self.since is None or self.task is None:
            return
        self.since = self.since or now
        if now >= self._end:
            self._seconds, self._what = self._total or 0.0, "total"
        if now >= self._end or now - self.since >= self._seconds:
            self._fired, self.since = True, None
            self.task.cancel()

    def settle(self) -> None:
        """Raise `CallError` if this watch cancelled the current task; return if somebody else did."""
        if self._fired and self.task is not None and self.task.uncancel() == 0:
            says, code = _SAYS[self._what].format(self._seconds), f"{self._what}_timeout"
            raise Refused(408, says, code=code) if self._what == "client_body" else CallError(failure("network", says, code=code))


async def end_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
