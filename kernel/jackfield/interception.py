"""Stage 11 for streams: handlers at work, and what they did made a valid stream again."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from types import CoroutineType
from typing import Any

from jackfield.api import Dialect, End, Error, Event, Outcome
from jackfield.api.call import running
from jackfield.api.canonical import FinishReason
from jackfield.api.canonical.mending import Answer, Item, MendedStream, replaced
from jackfield.dispatch import Hook, of_a_plugin
from jackfield.trace import Trace

OutcomeSoFar = Callable[[], Outcome]


class Handler:
    """One plugin's handler, bound to one stream."""

    def __init__(self, hook: Hook, function: Callable[..., Any], trace: Trace) -> None:
        self.hook, self.function, self.left = hook, function, hook.patience
        self.spent: list[Any] = [hook, 0]
        trace.costs.append(self.spent)
        self.close, self.each = getattr(function, "close", None), getattr(function, "each", None)

    async def answers(self, events: Sequence[Event], trace: Trace) -> dict[int, Answer]:
        """Call the handler with each event in turn, up to an `End`; return what it answers, by the events' ids.

        All of a read goes through it in one step: that is timed and blamed, not each event.
        """
        given: dict[int, Answer] = {}
        hook, before, began = self.hook, running.who, perf_counter_ns()
        running.who, running.since = hook, began
        try:
            if self.each is not None and self.left:
                await self._answers_to_all(events, given, trace)
            for event in events if self.each is None and self.left else ():
                try:
                    answer = self.function(event)
                    if answer.__class__ is CoroutineType:
                        try:
                            answer = await hook.wait(answer, answer.send(None))
                        except StopIteration as stop:
                            answer = stop.value
                    elif answer is not None and hasattr(answer, "__await__"):
                        answer = await hook.finish(answer)
                    if answer is not None:
                        given[id(event)] = _checked(answer)
                        if isinstance(answer, End):
                            break
                except BaseException as fault:  # noqa: BLE001 (what is not the plugin's is raised again)
                    self.fail(fault, trace)
                    if not self.left:
                        break
            if self.left == hook.patience:
                hook.breaker.in_a_row = 0
            return given
        finally:
            running.who = before
            self.spent[1] += perf_counter_ns() - began

    async def _answers_to_all(self, events: Sequence[Event], given: dict[int, Answer], trace: Trace) -> None:
        """Have a handler that takes all events of a read at once answer to them."""
        try:
            answers = self.each(events) if self.each is not None else ()
            answers = await self.hook.finish(answers) if hasattr(answers, "__await__") else answers
            for event, answer in zip(events, answers, strict=True):
                if isinstance(answer, Exception):
                    self.fail(answer, trace)
                elif answer is not None:
                    given[id(event)] = _checked(answer)
                if isinstance(answer, End):
                    break
        except BaseException as fault:  # noqa: BLE001 (likewise)
            self.fail(fault, trace)

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
        """Return what the handler's `close` adds; it is called once, and a handler that has one sees no event after that."""
        close, self.close = self.close, None
        self.left = self.left if close is None else 0
        try:
            answer = close(outcome) if close is not None else None
            if inspect.iscoroutine(answer):
                answer = await self.hook.finish(answer)
            return [event for event in answer or () if isinstance(event, Event)]
        except (Exception, SystemExit) as fault:  # noqa: BLE001 (a plugin may raise anything)
            trace.note(self.hook.name, self.hook.plugin, self.hook.failed(fault))
            return []


class Interception:
    """The handlers of one stream in one dialect, and the follower that keeps what they make of it valid."""

    def __init__(self, dialect: Dialect, handlers: Sequence[Handler], trace: Trace) -> None:
        self._dialect, self._handlers, self._trace, self._stream = dialect, handlers, trace, MendedStream(dialect)
        self.follow = self._stream.follow
        """Takes note of events that leave as they came."""
        self._closes = any(handler.close is not None for handler in handlers)
        self.ended: FinishReason | None = None
        """A handler ended the stream."""

    async def take(self, events: Sequence[Event], raw: bytes, outcome: OutcomeSoFar) -> bytes:
        """Return the bytes that leave for whole events that came as `raw`."""
        items: list[Item] | None = None
        for handler in self._handlers:
            passing = events if items is None else [event for event, _ in items if event is not None]
            if answers := await handler.answers(passing, self._trace):
                items = self._answered(zip(events, events, strict=True) if items is None else items, answers)
        if self._closes and self.ended is None:
            items = await self._close_before_ending(events, items, outcome)
        if items is None and not self._stream.changed:
            self.follow(events)
            return raw
        leaving = self._stream.settle(items if items is not None else [(event, event) for event in events])
        if self.ended is not None:
            leaving += [*await self.closings(outcome()), *self._stream.end(self.ended)]
        return b"".join(event.raw for event in leaving)

    def _answered(self, items: Iterable[Item], answers: dict[int, Answer]) -> list[Item]:
        """Return what becomes of events by what a handler answered to them."""
        made: list[Item] = []
        for event, origin in items:
            answer = answers.get(id(event))
            made += [(event, origin)] if event is None or answer is None else replaced(event, origin, answer)
            if isinstance(answer, End):
                self.ended = answer.finish
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
        added = [event for handler in self._handlers for event in await handler.closing(outcome, self._trace)]
        return self._stream.settle([(event, None) for event in added])

    def finish(self) -> bytes | None:
        """Return what is missing at the end of a complete answer; None when the answer is not complete."""
        missing = self._stream.missing()
        return None if missing is None else b"".join(event.raw for event in missing)

    async def fail(self, error: Error, outcome: Outcome) -> bytes:
        """Return what ends the stream with an error, after what the handlers' `close` adds."""
        return b"".join(event.raw for event in (*await self.closings(outcome), *self._stream.fail(error)))


def _checked(answer: Any) -> Answer:
    """Return what a handler answered. Raises `TypeError` for what it may not answer."""
    made = answer.events if isinstance(answer, End) else [answer] if isinstance(answer, Event) else answer
    if not isinstance(made, list | tuple) or not all(isinstance(event, Event) for event in made):
        raise TypeError(f"a handler answered {type(answer).__name__}; it may answer None, an event, a list of events, or End")
    return answer  # type: ignore[no-any-return]
