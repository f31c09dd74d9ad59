"""One look a second at everything that waits: time limits without a timer for each read."""

import asyncio
import math
import time
from typing import Any, Final, Protocol

from jackfield.api import CallError, failure
from jackfield.exchange import Refused
from jackfield.settings import ENDLESS, Limit


class Waiting(Protocol):
    """Something that is looked at once a second."""

    def look(self, now: float) -> None:
        """Do what is due at `now`, a monotonic time in seconds."""


class Sweeper:
    """Looks at all that wait, once an interval."""

    def __init__(self) -> None:
        self.waiting: set[Waiting] = set()
        """What is looked at."""
        self.shortest = math.inf
        """The shortest limit of those that are configured: below four seconds it is looked at more often."""
        self._timer: asyncio.Handle = asyncio.get_running_loop().call_soon(self._sweep)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _sweep(self) -> None:
        for waiting in list(self.waiting):
            waiting.look(time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(min(1.0, max(0.05, self.shortest / 4)), self._sweep)


_SAYS: Final = {
    "first_byte": "the provider sent no answer within {:g} s ({})",
    "idle": "the provider's answer stood still for {:g} s ({})",
    "client_body": "the request body stood still for {:g} s ({})",
    "total": "the answer took longer than {:g} s ({})",
}


class Watch:
    """Cancels a task that waits too long, and tells afterwards that it did."""

    task: asyncio.Task[object] | None = None
    """The task that waits."""
    since: float | None = None
    """When its wait began; None while it waits for nothing. Whoever begins to wait sets 0.0 and the sweeper the time, at its next
    look: to ask for the time at each read would cost more than the rest of the watch."""
    idle = ENDLESS
    """How long each read of what it watches may take, once that has begun."""
    _limit: Limit
    _what, _fired = "", False

    def __init__(self, sweeper: Sweeper, total: Limit = ENDLESS) -> None:
        """`total` bounds all of its waiting."""
        sweeper.waiting.add(self)
        self._sweeper, self._total = sweeper, total
        self._end = time.monotonic() + total[0]

    def arm(self, limit: Limit, what: str) -> None:
        """Allow the current task to wait for so long."""
        self.task, self.since = asyncio.current_task(), 0.0
        self._limit, self._what = limit, what

    def close(self) -> None:
        """Nothing will wait any more."""
        self._sweeper.waiting.discard(self)

    def look(self, now: float) -> None:
        """Cancel the task when its time is up."""
        if self.since is None or self.task is None:
            return
        self.since = self.since or now
        if now >= self._end:
            self._limit, self._what = self._total, "total"
        if now >= self._end or now - self.since >= self._limit[0]:
            self._fired, self.since = True, None
            self.task.cancel()

    def settle(self) -> None:
        """Raise `CallError` if this watch cancelled the current task; return if somebody else did."""
        if self._fired and self.task is not None and self.task.uncancel() == 0:
            says, code = _SAYS[self._what].format(*self._limit), f"{self._what}_timeout"
            blame = "request" if self._limit[1].startswith("Nested") else "provider"  # nobody else is to blame for a call's own hurry
            told = failure("network", says, code=code, blame=blame)
            raise Refused(408, says, code=code) if self._what == "client_body" else CallError(told)


async def end_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
