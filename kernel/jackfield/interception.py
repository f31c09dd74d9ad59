"""Stage 11 for streams: handlers at work, and what they did made a valid stream again."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter_ns
from types import CoroutineType
from typing import Any, Final, NamedTuple

from jackfield.api import Dialect, End, Error, Event, Outcome
from jackfield.api.call import running
from jackfield.api.canonical import ArgumentsDelta, FinishReason, TextDelta, ThinkingDelta
from jackfield.dispatch import Hook, as_coroutine, of_a_plugin
from jackfield.trace import Trace

_LOGGED: Final = 256
"""Events that a stream remembers before its follower is told of them. Most streams that nobody changes are shorter, and
then the follower costs nothing."""
_KINDS: Final[dict[type[Any], str]] = {TextDelta: "text", ThinkingDelta: "thinking", ArgumentsDelta: "arguments"}

Item = tuple[Event | None, Event | None]
"""An event on its way, and the upstream's event that it comes from: the same where it is unchanged, None where a handler
added it. The first is None where a handler took the second out."""
OutcomeSoFar = Callable[[], Outcome]


class Handler:
    """One plugin's handler, bound to one stream."""

    def __init__(self, hook: Hook, function: Callable[..., Any], trace: Trace) -> None:
        self.hook, self.function, self.left = hook, function, hook.patience
        self.spent: list[Any] = [hook, 0]
        trace.costs.append(self.spent)
        self.close = getattr(function, "close", None)

    async def wait(self, waiting: "_Waiting", trace: Trace) -> Any:
        """Return the answer of a handler that has to wait."""
        began = perf_counter_ns()
        try:
            return _checked(await self.hook.wait(waiting.coroutine, waiting.waited_for))
        except BaseException as fault:  # noqa: BLE001 (what is not the plugin's is raised again)
            self.fail(fault, trace)
            return None
        finally:
            self.spent[1] += perf_counter_ns() - began

    def fail(self, fault: BaseException, trace: Trace) -> None:
        """Take note of a failure; raise what is none of the plugin's.

        A stream counts as one failure, at however many events its handler fails. After a few it goes on without the handler.
        """
        if not of_a_plugin(fault):
            raise fault
        self.left -= 1
        if self.left == self.hook.patience - 1:
            self.hook.give_up(trace, self.hook.failed(fault))

    async def closing(self, outcome: Outcome, trace: Trace) -> list[Event]:
        """Return what the handler's `close` adds; it is called once."""
        close, self.close = self.close, None
        try:
            answer = close(outcome) if close is not None else None
            if inspect.iscoroutine(answer):
                answer = await self.hook.finish(answer)
            return [event for event in answer or () if isinstance(event, Event)]
        except (Exception, SystemExit) as fault:  # noqa: BLE001 (a plugin may raise anything)
            trace.note(self.hook.name, self.hook.plugin, self.hook.failed(fault))
            return []


class _Waiting(NamedTuple):
    """Stands for the answer of a handler that has to wait for something."""

    coroutine: Coroutine[Any, Any, Any]
    waited_for: Any


Found = tuple[Handler, int, Any]
"""A handler that gave an answer, the place of the event to which it gave it, and the answer."""


def _first_answer(handlers: Sequence[Handler], events: Sequence[Event], start: int, trace: Trace) -> Found | None:
    """Call handlers in turn, each with every event from `start` on, until one answers or fails (its answer is None then).

    All of a read goes through a handler in one step: that is timed and blamed, not each event. Nothing is
    waited for, because most handlers have nothing to say to most events.
    """
    before, began = running.who, perf_counter_ns()
    running.since, event, rest = began, None, events[start:] if start else events
    try:
        for handler in handlers:
            if not handler.left:
                continue
            running.who = handler.hook
            try:
                for event in rest:
                    answer = handler.function(event)
                    if answer is None:
                        continue
                    if answer.__class__ is CoroutineType or hasattr(answer, "__await__"):
                        coroutine = answer if answer.__class__ is CoroutineType else as_coroutine(answer)
                        try:
                            answer = _Waiting(coroutine, coroutine.send(None))
                        except StopIteration as stop:
                            answer = stop.value
                    if answer is not None:
                        return handler, events.index(event, start), _checked(answer)
                if handler.hook.breaker.in_a_row and handler.left == handler.hook.patience:
                    handler.hook.breaker.in_a_row = 0
            finally:
                now = perf_counter_ns()
                handler.spent[1] += now - began
                began = now
    except BaseException as fault:  # noqa: BLE001 (what is not the plugin's is raised again)
        handler.fail(fault, trace)
        return handler, events.index(event, start) if event is not None else start, None
    finally:
        running.who = before
    return None


class Interception:
    """The handlers of one stream in one dialect, and the follower that keeps what they make of it valid."""

    def __init__(self, dialect: Dialect, handlers: Sequence[Handler], trace: Trace) -> None:
        self._dialect, self._handlers, self._trace, self._follower = dialect, handlers, trace, dialect.follow()
        self._log: list[Event] = []
        self._changed = False
        self._repeats = type(dialect).repeats is not Dialect.repeats
        self._said: dict[tuple[str, int, int], list[str]] = {}
        self._closes = any(handler.close is not None for handler in handlers)
        self.ended: FinishReason | None = None
        """A handler ended the stream."""

    async def take(self, events: Sequence[Event], raw: bytes, outcome: OutcomeSoFar) -> bytes:
        """Return the bytes that leave for whole events that came as `raw`."""
        items: list[Item] | None = None
        found = _first_answer(self._handlers, events, 0, self._trace)
        if found is not None:
            for handler in self._handlers[self._handlers.index(found[0]) :]:
                items, found = await self._run(handler, events, items, found), None
        if self._closes and self.ended is None:
            items = await self._close_before_ending(events, items, outcome)
        if items is None and not self._changed:
            self.follow(events)
            return raw
        leaving = self._settle(items if items is not None else [(event, event) for event in events])
        if self.ended is not None:
            leaving += [*await self.closings(outcome()), *self._follower.finish(self.ended, None)]
        return b"".join(event.raw for event in leaving)

    async def _run(self, handler: Handler, events: Sequence[Event], items: list[Item] | None, found: Found | None) -> list[Item] | None:
        """Take events through one handler; `found` is its first answer where that is known.

        The answer is None as long as nothing was changed by anybody.
        """
        passing = events if items is None else [event for event, _ in items if event is not None]
        answers: dict[int, Any] = {}
        found = found or _first_answer((handler,), passing, 0, self._trace)
        while found is not None:
            _, at, answer = found
            if isinstance(answer, _Waiting):
                answer = await handler.wait(answer, self._trace)
            if answer is not None:
                answers[id(passing[at])] = answer
            if isinstance(answer, End):
                self.ended = answer.finish
                break
            found = _first_answer((handler,), passing, at + 1, self._trace)
        if not answers:
            return items
        made: list[Item] = []
        for event, origin in items if items is not None else zip(events, events, strict=True):
            answer = answers.get(id(event))
            made += [(event, origin)] if event is None or answer is None else _replaced(event, origin, answer)
            if isinstance(answer, End):
                break
        return made

    async def _close_before_ending(self, events: Sequence[Event], items: list[Item] | None, outcome: OutcomeSoFar) -> list[Item] | None:
        """Put what the handlers' `close` adds before the event with which the answer's ending begins."""
        whole: list[Item] = items if items is not None else [(event, event) for event in events]
        for at, (event, _) in enumerate(whole):
            if event is not None and self._dialect.ends(event):
                self._closes = False
                added: list[Item] = [(e, None) for h in self._handlers for e in await h.closing(outcome(), self._trace)]
                return [*whole[:at], *added, *whole[at:]] if added else items
        return items

    async def closings(self, outcome: Outcome) -> list[Event]:
        """Return what leaves for what the handlers' `close` adds; those that were called already add nothing."""
        return [e for handler in self._handlers for event in await handler.closing(outcome, self._trace) for e in self._admit(event, True)]

    def follow(self, events: Sequence[Event]) -> None:
        """Take note of events that leave as they came; the follower is told when they grow many, or when it is needed."""
        self._log += events
        if len(self._log) > _LOGGED:
            self._tell_follower()

    def _tell_follower(self) -> None:
        for event in self._log:
            self._take_down(event)
            self._follower.feed(event)
        self._log = []

    def _take_down(self, event: Event) -> None:
        """Keep what an event adds to the answer, for the events that will repeat it."""
        for delta in event.deltas if self._repeats else ():
            if isinstance(delta, TextDelta | ThinkingDelta | ArgumentsDelta):
                self._said.setdefault((_KINDS[type(delta)], delta.choice, delta.index), []).append(delta.text)

    def _settle(self, items: Sequence[Item]) -> list[Event]:
        """Return the events that leave, after a change: repeated text rewritten, blocks and numbers mended."""
        self._tell_follower()
        self._changed = True
        leaving: list[Event] = []
        for event, origin in items:
            if event is not None:
                leaving += self._admit(event, added=origin is None)
            elif origin is not None:
                leaving += self._follower.drop(origin)
        return leaving

    def _admit(self, event: Event, added: bool) -> Sequence[Event]:
        self._take_down(event)
        repeats, said = self._dialect.repeats(event) if self._repeats else (), self._said
        changes = {repeat.path: "".join(said.get((repeat.of, repeat.choice, repeat.index), ())) for repeat in repeats}
        return self._follower.admit(event.with_changes(changes) if changes else event, added)

    def finish(self) -> bytes | None:
        """Return what is missing at the end of a complete answer; None when the answer is not complete."""
        self._tell_follower()
        return b"".join(event.raw for event in self._follower.finish("stop", None)) if self._follower.complete else None

    async def fail(self, error: Error, outcome: Outcome) -> bytes:
        """Return what ends the stream with an error, after what the handlers' `close` adds."""
        self._tell_follower()
        return b"".join(event.raw for event in (*await self.closings(outcome), *self._follower.fail(error)))


def _checked(answer: Any) -> Event | Sequence[Event] | End | _Waiting | None:
    """Return what a handler answered. Raises `TypeError` for what it may not answer."""
    if answer is None or isinstance(answer, _Waiting):
        return answer
    made = answer.events if isinstance(answer, End) else [answer] if isinstance(answer, Event) else answer
    if not isinstance(made, list | tuple) or not all(isinstance(event, Event) for event in made):
        raise TypeError(f"a handler answered {type(answer).__name__}; it may answer None, an event, a list of events, or End")
    return answer  # type: ignore[no-any-return]


def _replaced(event: Event, origin: Event | None, answer: Event | Sequence[Event] | End) -> list[Item]:
    """Say what becomes of an event: which of the answer's events stands in its place, and which are added."""
    made = [answer] if isinstance(answer, Event) else list(answer.events if isinstance(answer, End) else answer)
    if not made:
        return [(None, origin)] if origin is not None and not isinstance(answer, End) else []
    heir = next((at for at, one in enumerate(made) if one is event), 0)
    return [(one, origin if at == heir else None) for at, one in enumerate(made)]
