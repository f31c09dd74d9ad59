"""Tests in a time of their own: it stands still while anybody has something to do, and leaps when all wait.

    @in_virtual_time
    async def test_a_rest_ends_by_itself(clock):
        await asyncio.sleep(3600)  # takes a millisecond

Clients, host and upstream run in one process and on one event loop, over real sockets. A loopback hands over what was written
before the write returns, so that all wait for the time alone when no socket is ready. What happens then is the same on a quick
machine and on a busy one.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

NOON = 1_800_014_400.0
"""When the virtual time begins, as a Unix time: a noon in UTC."""
_A_MOMENT = 0.001
"""Real seconds without any event after which it is certain that nobody has anything to do."""


class Clock:
    """The steady time of the event loop, and the time of day beside it."""

    def __init__(self) -> None:
        self.steady, self._apart = 1000.0, NOON - 1000.0

    @property
    def wall(self) -> float:
        """The time of day, as a Unix time."""
        return self.steady + self._apart

    def set(self, seconds: float) -> None:
        """Put the time of day forward, as after the machine's sleep, or back. The steady time does not notice."""
        self._apart += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock, self._busy = clock, True

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0) if timeout is not None else super().select(None)
        if not ready and timeout is not None and timeout > 0:
            ready = super().select(_A_MOMENT) if self._busy else []
            self._clock.steady += 0 if ready else timeout
            self._busy = False
        self._busy = self._busy or bool(ready)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock

    def time(self) -> float:
        return self._clock.steady


@contextmanager
def virtual_time() -> Iterator[tuple[Clock, asyncio.Runner]]:
    """Let the process go by a virtual clock; hand over what runs coroutines in it."""
    clock = Clock()
    steady, wall = lambda: clock.steady, lambda: clock.wall
    with (
        patch.object(time, "monotonic", steady),
        patch.object(time, "perf_counter", steady),
        patch.object(time, "time", wall),
        patch("aiohttp.connector.monotonic", steady),
        asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner,
    ):
        yield clock, runner


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in virtual time; its first argument is the `Clock`. A task that it leaves behind fails it."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with virtual_time() as (clock, runner):
            runner.run(_leaving_no_task(test(clock, *args, **kwargs)))

    signature = inspect.signature(test)
    run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


async def _leaving_no_task(test: Coroutine[Any, Any, None]) -> None:
    before = asyncio.all_tasks()
    await test
    for _ in range(10):  # what is being cancelled gets its turns
        await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert not left, f"the test leaked tasks: {left}"
