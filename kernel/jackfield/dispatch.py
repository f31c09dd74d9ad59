"""Call plugins: in order, within a deadline, with every failure owned by the plugin that made it.

A `Hook` is one plugin's implementation of one hook, ready to be called. A `Chain` is all of them for
one hook, in order. Coroutines are driven by hand and get a timer only when they suspend, because most
never do. What an answer means is the business of the stage that asked.
"""

import asyncio
import inspect
import sys
import threading
import time
import traceback
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Any, Final, TypeVar

from jackfield.api import HOOKS, BadRequest, CallError, Change, NotDecoded, Principal, Reject, Route, failure
from jackfield.api.call import Owner, in_thread, running
from jackfield.building import adapted
from jackfield.plugins import Implementation, Plugin
from jackfield.rpc.errors import Gone
from jackfield.settings import Hooks
from jackfield.trace import Trace, log

Answer = TypeVar("Answer")

_ANY: Final = (object,)
_EXPECTED: Final[dict[str, tuple[Any, ...]]] = {
    "authenticate": (Principal, Reject),
    "route_model": (Route,),
    "intercept_request": (Change,),
    "intercept_attempt": (Change,),
    "normalize_request": (Change,),
    "normalize_response": (Change, Callable),
    "intercept_response": (Change,),
    "intercept_stream": (Callable,),
}
"""What each hook may answer besides None."""

_THREADS: Final = 4
"""Threads for a plugin's blocking hooks. Few: a plugin that needs many should be `async`."""


class HookFailed(CallError):
    """A closed hook failed: what it guards must fail too."""

    def __init__(self, hook: "Hook", reason: str) -> None:
        super().__init__(failure("plugin", f"plugin {hook.plugin!r} failed ({hook.name})", code="plugin_failed", detail=reason))
        self.plugin, self.hook = hook.plugin, hook


class Late(Exception):
    """A hook did not answer within its deadline."""


class Breaker:
    """Opens when one hook of one plugin fails too often in a row. Lives as long as the host: it outlives generations."""

    in_a_row = 0
    """Failures without a success between them."""
    open_until = 0.0
    """Time before which the hook is passed over; 0.0 when it is not."""
    told = ""
    """The latest failure."""


class Hook:
    """One plugin's implementation of one hook."""

    def __init__(self, plugin: Plugin, implementation: Implementation, settings: Hooks, breaker: Breaker) -> None:
        info, options = HOOKS[implementation.hook], implementation.options
        said = plugin.settings.hooks.get(info.name)
        self.plugin, self.name, self.breaker, self.rank = plugin.id, info.name, breaker, (-implementation.priority, plugin.id)
        self.selected = options.selected
        self.elsewhere = getattr(plugin.object, "elsewhere", False)  # where a failure came about is not to be seen from here
        self.observes = info.shape == "observe"  # what it answers counts for nothing
        self.answer_is_examined = info.name not in ("authenticate", "pick_credential") and not self.observes  # by `guard`, later
        # An observer guards nothing, and a scheduler has the kernel's own choice behind it: neither can be closed.
        self.closed = (
            info.shape not in ("observe", "selected") and ((said and said.on_error) or options.on_error or info.on_error) == "closed"
        )
        self.may_refuse_body = not (self.observes or info.reversed)  # else it comes too late to find fault with a client's body
        self.deadline = float((said and said.deadline) or plugin.settings.deadline or options.deadline or settings.deadline)
        self.pause, self.patience, self.expected = settings.pause, settings.failures, _EXPECTED.get(info.name, _ANY)
        """Seconds for which it is passed over after so many failures in a row; what it may answer."""
        self.function = adapted(implementation.function, implementation.hook)
        """The plugin's function; what it returns may have to be waited for."""
        if options.blocking and not inspect.iscoroutinefunction(implementation.function):
            function, pool = self.function, plugin.memory.get((info.name, "threads"))
            if pool is None:  # what its threads do is the plugin's
                pool = ThreadPoolExecutor(_THREADS, f"jackfield-{self.plugin}", initializer=setattr, initargs=(in_thread, "who", self))
                plugin.memory[info.name, "threads"] = pool
                plugin.parts.callback(pool.shutdown, wait=False, cancel_futures=True)
            self.function = lambda *arguments: asyncio.get_running_loop().run_in_executor(pool, function, *arguments)

    def guard(self, trace: Trace, function: Callable[..., Answer | None], *arguments: Any) -> Answer | None:
        """Return what a function makes of the plugin's answer; an answer that it refuses or cannot use is the plugin's failure."""
        try:
            made = function(*arguments)
            self.breaker.in_a_row = 0
            return made
        except NotDecoded as fault:
            if self.closed:
                raise
            trace.note(self.name, self.plugin, f"skipped: {fault}")
        except (ValueError, TypeError, AttributeError, RecursionError) as fault:
            self.give_up(trace, self.failed(fault))
        return None

    def resting(self) -> bool:
        """Tell whether the hook failed so often that it is passed over for now."""
        return self.breaker.open_until > time.monotonic()

    def failed(self, fault: BaseException) -> str:
        """Take note of a failure; return what happened in a few words."""
        if isinstance(fault, Gone):  # its supervisor has said so, and sees to it
            return f"is not there: {fault}"
        breaker, late = self.breaker, isinstance(fault, Late)
        breaker.told = what = str(fault) if late else f"raised {type(fault).__name__}: {fault}"
        breaker.in_a_row += 1
        log.warning("plugin %r: %s %s", self.plugin, self.name, what, exc_info=None if late or self.elsewhere else fault)
        if breaker.in_a_row >= self.patience and not self.resting():
            breaker.open_until = time.monotonic() + self.pause
            log.error(
                "plugin %r: %s failed %d times in a row and is passed over for %g s%s",
                self.plugin,
                self.name,
                breaker.in_a_row,
                self.pause,
                "; what it guards is refused" if self.closed else "",
            )
        return what

    def give_up(self, trace: Trace, reason: str) -> None:
        """Go on without an answer: with None. Raises `HookFailed` when the hook is closed."""
        trace.note(self.name, self.plugin, reason)
        if self.closed:
            raise HookFailed(self, reason)

    async def finish(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for what the plugin waits for: without a timer as long as it does not suspend, else within the deadline."""
        coroutine = awaitable if isinstance(awaitable, types.CoroutineType) else as_coroutine(awaitable)
        try:
            return await self.wait(coroutine, coroutine.send(None))
        except StopIteration as stop:
            return stop.value

    async def wait(self, coroutine: Coroutine[Any, Any, Any], waited_for: Any) -> Any:
        """Go on with a coroutine that has suspended, within the deadline."""
        before, running.who = running.who, None
        try:
            async with asyncio.timeout(self.deadline) as timer:
                answer = await _steps(coroutine, self, waited_for)
        except TimeoutError:
            if not timer.expired():  # the plugin's own
                raise
        finally:
            running.who = before
        if timer.expired():  # also where the plugin took no notice and answered all the same
            raise Late(f"took longer than {self.deadline:g} s")
        return answer


Chain = tuple[Hook, ...]
"""All implementations of one hook, in the order in which they are called."""


async def ask(chain: Chain, trace: Trace, *arguments: Any) -> tuple[Hook | None, Any, Chain]:
    """Ask a chain's hooks in order until one answers: return it, its answer, and the hooks after it; None when none does.

    One that fails is passed over when it is open; when it is closed `HookFailed` is raised. What a client's
    body did wrong (`BadRequest`, `NotDecoded`) is no failure of a plugin and goes through.
    """
    before, started, note_cost = running.who, perf_counter_ns(), trace.costs.append
    try:
        for hook in chain:
            breaker = hook.breaker
            if breaker.open_until and hook.resting():
                hook.give_up(trace, f"is passed over after repeated failures ({breaker.told})")
                continue
            running.who, running.since = hook, started
            try:
                answer = hook.function(*arguments)
                if answer is not None:
                    if answer.__class__ is types.CoroutineType:
                        try:
                            answer = await hook.wait(answer, answer.send(None))
                        except StopIteration as stop:
                            answer = stop.value
                    elif hasattr(answer, "__await__"):
                        answer = await hook.finish(answer)
                    if answer is not None and not isinstance(answer, hook.expected):
                        raise TypeError(f"answered {type(answer).__name__}, which it may not")
                breaker.in_a_row = breaker.in_a_row if answer is not None and hook.answer_is_examined else 0
            except BaseException as fault:
                undecoded = isinstance(fault, NotDecoded | BadRequest)
                refused = undecoded and (hook.closed or (hook.may_refuse_body and isinstance(fault, BadRequest)))
                if refused or isinstance(fault, HookFailed) or not of_a_plugin(fault):
                    raise
                hook.give_up(trace, f"skipped: {fault}" if undecoded else hook.failed(fault))
                answer = None
            finally:
                now = perf_counter_ns()
                note_cost([hook, now - started])
                started = now
            if answer is not None and not hook.observes:
                return hook, answer, chain[chain.index(hook) + 1 :]
    finally:
        running.who, running.since = before, started
    return None, None, ()


def of_a_plugin(fault: BaseException) -> bool:
    """Tell whether what came out of a plugin's code is the plugin's failure; else the call or the process is being ended."""
    if isinstance(fault, asyncio.CancelledError):  # the plugin's own where nobody cancels the task that calls it
        return (task := asyncio.current_task()) is not None and not task.cancelling()
    return not isinstance(fault, KeyboardInterrupt | GeneratorExit)


def chain_of(found: Sequence[Hook], name: str) -> Chain:
    """Return the hooks of one name in the order in which they are called."""
    return tuple(sorted((h for h in found if h.name == name), key=lambda h: h.rank, reverse=HOOKS[name].reversed))


def without(chain: Chain, skipped: frozenset[str]) -> Chain:
    """Return a chain without the hooks of some plugins."""
    return tuple(hook for hook in chain if hook.plugin not in skipped) if skipped else chain


async def as_coroutine(awaitable: Awaitable[Any]) -> Any:
    """Return a coroutine that waits for what is awaitable."""
    return await awaitable


@types.coroutine
def _steps(coroutine: Coroutine[Any, Any, Any], owner: Owner | Hook, waited_for: Any) -> Generator[Any, Any, Any]:
    """Go on with a coroutine that waits for something; each of its steps counts as its owner's."""
    while True:
        try:
            argument = yield waited_for
            step: Callable[[Any], Any] = coroutine.send
        except BaseException as fault:  # noqa: BLE001 (what is thrown in goes to the coroutine, whatever it is)
            step, argument = coroutine.throw, fault
        before, running.who, running.since = running.who, owner, perf_counter_ns()
        try:
            waited_for = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            running.who, running.since = before, perf_counter_ns()


async def as_plugin(plugin: str, work: Coroutine[Any, Any, Any]) -> Any:
    """Run a plugin's own task so that what it does counts as the plugin's."""
    try:
        return await _steps(work, Owner(plugin, "task"), None)
    except SystemExit as fault:  # would end the event loop
        raise RuntimeError(f"SystemExit: {fault}") from fault


class Watchdog:
    """Names the plugin whose hook holds the event loop, with its stack, while it does."""

    def __init__(self, limit: Callable[[], float]) -> None:
        self._limit, self._loop_thread, self._stop = limit, threading.get_ident(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="jackfield-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _watch(self) -> None:
        told = 0
        while not self._stop.wait(min(self._limit() / 4, 0.25)):
            who, since = running.who, running.since
            if who is not None and since != told and (held := (perf_counter_ns() - since) / 1e9) > self._limit():
                told = since
                log.error(
                    "plugin %r: %s has held the event loop for %.1f s; it stands here:\n%s",
                    who.plugin,
                    who.name,
                    held,
                    "".join(traceback.format_stack(sys._current_frames().get(self._loop_thread))),
                )
