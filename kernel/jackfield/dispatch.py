"""Call plugins: in order, within a deadline, with every failure owned by the plugin that made it.

A `Hook` is one plugin's implementation of one hook, ready to be called. A `Chain` is all of them for
one hook, in order. Coroutines are driven by hand and get a timer only when they suspend, because most
never do. What an answer means is the business of the stage that asked.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
import traceback
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any, Final, Protocol, TypeVar

from jackfield.api import HOOKS, BadRequest, Change, NotDecoded, Principal, Reject, Route
from jackfield.api.call import running
from jackfield.plugins import Implementation, Plugin
from jackfield.settings import Hooks
from jackfield.trace import Trace

log = logging.getLogger("jackfield")

Answer = TypeVar("Answer")

_EXPECTED: Final[dict[str, type | tuple[type, ...]]] = {
    "authenticate": (Principal, Reject),
    "route_model": Route,
    "intercept_request": Change,
    "intercept_attempt": Change,
    "normalize_request": Change,
    "normalize_response": (Change, Callable),  # type: ignore[dict-item]
    "intercept_response": Change,
    "intercept_stream": Callable,  # type: ignore[dict-item]
}
"""What each hook may answer besides None."""

THREADS_PER_PLUGIN: Final = 4
"""Threads for a plugin's blocking hooks. Few: a plugin that needs many should be `async`."""


class HookFailed(Exception):
    """A closed hook failed: what it guards must fail too."""

    def __init__(self, hook: Hook, reason: str) -> None:
        super().__init__(f"plugin {hook.plugin!r}: {hook.name} {reason}")
        self.plugin = hook.plugin
        self.hook = hook.name
        self.reason = reason


class Account:
    """What is known of one hook of one plugin over the life of the host: cost, failures, breaker. Outlives generations."""

    __slots__ = ("calls", "failures", "in_a_row", "longest", "open_until", "spent", "told")

    def __init__(self) -> None:
        self.calls = 0
        self.spent = 0
        """Nanoseconds, waiting included."""
        self.longest = 0
        self.failures = 0
        self.in_a_row = 0
        self.open_until = 0.0
        """Time before which the hook is passed over; 0.0 when it is not."""
        self.told = ""
        """The latest failure."""


class Hook:
    """One plugin's implementation of one hook."""

    __slots__ = ("_blocking", "_expected", "_function", "_hooks", "_pool", "account", "closed", "deadline", "name", "plugin", "rank")

    def __init__(self, plugin: Plugin, implementation: Implementation, settings: Hooks, account: Account) -> None:
        info = HOOKS[implementation.hook]
        said = plugin.settings.hooks.get(info.name)
        options = implementation.options
        self.plugin = plugin.id
        self.name = info.name
        self.rank = (-implementation.priority, plugin.id)
        self.account = account
        self.closed = ((said and said.on_error) or options.on_error or info.on_error) == "closed"
        self.deadline = float((said and said.deadline) or plugin.settings.deadline or options.deadline or settings.deadline)
        self._pool: ThreadPoolExecutor | None = None
        self._expected = _EXPECTED.get(info.name, object)
        self._hooks = settings
        self._blocking = options.blocking and not inspect.iscoroutinefunction(implementation.function)
        self._function = _adapted(implementation)

    async def __call__(self, trace: Trace, *arguments: Any) -> Any:
        """Return what the plugin answers; None when it failed and the hook is open.

        Raises `HookFailed` when it failed and the hook is closed. What a client's body did wrong
        (`BadRequest`, `NotDecoded`) is no failure of the plugin and goes through.
        """
        account = self.account
        if account.open_until and self.resting():
            return self._give_up(trace, f"is passed over after repeated failures ({account.told})")
        before = running.plugin, running.hook, running.since
        started = perf_counter_ns()
        running.plugin, running.hook, running.since = self.plugin, self.name, started
        try:
            answer = await self._threaded(*arguments) if self._blocking else self._function(*arguments)
            if answer.__class__ is types.CoroutineType:
                answer = await self.finish(answer)
            elif hasattr(answer, "__await__"):
                answer = await self.finish(_as_coroutine(answer))
            if answer is not None and not isinstance(answer, self._expected):
                raise TypeError(f"answered {type(answer).__name__}; expected {_names(self._expected)} or None")
            account.in_a_row = 0
            return answer
        except NotDecoded:
            if self.closed:
                raise
            trace.note(self.name, self.plugin, "skipped: the body is over the limit for parsing")
            return None
        except (BadRequest, asyncio.CancelledError, HookFailed):
            raise
        except Exception as fault:
            return self._give_up(trace, self.failed(fault))
        finally:
            now = perf_counter_ns()
            spent = now - started
            account.calls += 1
            account.spent += spent
            if spent > account.longest:
                account.longest = spent
            trace.costs.append((self, spent))
            running.plugin, running.hook = before[0], before[1]
            running.since = now if before[2] else 0

    def guard(self, trace: Trace, function: Callable[..., Answer], *arguments: Any) -> Answer | None:
        """Return what a function makes of the plugin's answer; an answer that it refuses (`ValueError`) is the plugin's failure."""
        try:
            return function(*arguments)
        except ValueError as fault:
            self._give_up(trace, self.failed(fault))
            return None

    def resting(self) -> bool:
        """Tell whether the hook failed so often that it is passed over for now."""
        return self.account.open_until > 0 and self.account.open_until > time.monotonic()

    async def finish(self, coroutine: Coroutine[Any, Any, Any], timed: Timed | None = None) -> Any:
        """Drive a coroutine of the plugin's: without a timer as long as it does not suspend, else within the deadline.

        `timed` is handed the timer once there is one.
        """
        try:
            waited_for = coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        plugin, hook = running.plugin, running.hook
        running.since = 0
        try:
            async with asyncio.timeout(self.deadline) as timer:
                if timed is not None:
                    timed.timer = timer
                return await _resumed(coroutine, waited_for, plugin, hook)
        except TimeoutError as fault:
            raise Late(f"took longer than {self.deadline:g} s") from fault

    def failed(self, fault: BaseException) -> str:
        """Take note of a failure; return what happened in a few words."""
        account = self.account
        what = str(fault) if isinstance(fault, Late) else f"raised {type(fault).__name__}: {fault}"
        account.failures += 1
        account.in_a_row += 1
        account.told = what
        log.warning("plugin %r: %s %s", self.plugin, self.name, what, exc_info=None if isinstance(fault, Late) else fault)
        if account.in_a_row >= self._hooks.failures:
            account.open_until = time.monotonic() + self._hooks.pause
            log.error(
                "plugin %r: %s failed %d times in a row and is passed over for %g s",
                self.plugin, self.name, account.in_a_row, self._hooks.pause,
            )  # fmt: skip
        return what

    def _give_up(self, trace: Trace, reason: str) -> None:
        trace.note(self.name, self.plugin, reason)
        if self.closed:
            raise HookFailed(self, reason)

    def close(self) -> None:
        """Let go of the plugin's threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _threaded(self, *arguments: Any) -> Any:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS_PER_PLUGIN, thread_name_prefix=f"jackfield-{self.plugin}")
        running.since = 0
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._function, *arguments)
        try:
            async with asyncio.timeout(self.deadline):
                return await work
        except TimeoutError as fault:
            raise Late(f"took longer than {self.deadline:g} s") from fault


class Timed(Protocol):
    """What wants to move its own deadline."""

    timer: asyncio.Timeout | None


class Late(Exception):
    """A hook did not answer within its deadline."""


Chain = tuple[Hook, ...]
"""All implementations of one hook, in the order in which they are called."""


def _names(kinds: type | tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))


def without(chain: Chain, skipped: frozenset[str]) -> Chain:
    """Return a chain without the hooks of some plugins."""
    return tuple(hook for hook in chain if hook.plugin not in skipped) if skipped else chain


def _adapted(implementation: Implementation) -> Callable[..., Any]:
    """Return a function that takes all of the hook's arguments in order, whichever of them the plugin wants."""
    from jackfield.api import hooks  # noqa: PLC0415 (the name is a parameter elsewhere in this module)

    offered = tuple(inspect.signature(getattr(hooks, implementation.hook)).parameters)
    function, wanted = implementation.function, implementation.arguments
    if wanted == offered:
        return function
    places = tuple(offered.index(name) for name in wanted)
    return lambda *arguments: function(*[arguments[place] for place in places])


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, Any], waited_for: Any, plugin: str, hook: str) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that was started by hand and waits for something."""
    while True:
        try:
            sent = yield waited_for
        except BaseException as fault:  # noqa: BLE001 (what is thrown in goes to the coroutine, whatever it is)
            step: Callable[[Any], Any] = coroutine.throw
            argument: Any = fault
        else:
            step, argument = coroutine.send, sent
        before = running.plugin, running.hook, running.since
        running.plugin, running.hook, running.since = plugin, hook, perf_counter_ns()
        try:
            waited_for = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            running.plugin, running.hook, running.since = before


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def as_plugin(plugin: str, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a plugin's own task so that what it does counts as the plugin's."""
    before = running.plugin, running.hook, running.since
    running.plugin, running.hook, running.since = plugin, "task", perf_counter_ns()
    try:
        waited_for = work.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        running.plugin, running.hook, running.since = before
    return await _resumed(work, waited_for, plugin, "task")


class Watchdog:
    """Names the plugin whose hook holds the event loop, with its stack, while it does."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._loop_thread = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jackfield-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch the thread that this object was made in."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _watch(self) -> None:
        told = 0
        while not self._stop.wait(min(self._limit / 4, 0.25)):
            since, plugin, hook = running.since, running.plugin, running.hook
            if not since or since == told or not plugin:
                continue
            held = (perf_counter_ns() - since) / 1e9
            if held > self._limit:
                told = since
                frame = sys._current_frames().get(self._loop_thread)
                stack = "".join(traceback.format_stack(frame)) if frame else ""
                log.error("plugin %r: %s has held the event loop for %.1f s; it stands here:\n%s", plugin, hook, held, stack)


def chain_of(hooks: Sequence[Hook], name: str) -> Chain:
    """Return the hooks of one name in the order in which they are called."""
    ordered = sorted((h for h in hooks if h.name == name), key=lambda h: h.rank, reverse=HOOKS[name].reversed)
    return tuple(ordered)
