"""Stage 11 for streams: handlers at work, and what they did made a valid stream again."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, Final

from jackfield.api import Dialect, End, Error, Event, Outcome, Usage
from jackfield.api.call import running
from jackfield.api.canonical import ArgumentsDelta, FinishReason, TextDelta, ThinkingDelta
from jackfield.dispatch import Hook
from jackfield.trace import Trace

_LOG_BYTES: Final = 64 << 10
"""Bytes of events that a stream remembers before its follower is told of them. Most streams that nobody changes are
shorter, and then the follower costs nothing."""

Item = tuple[Event | None, Event | None]
"""An event on its way, and the upstream's event that it comes from: the same where it is unchanged, None where a handler
added it. The first is None where a handler took the second out."""


class Handler:
    """One plugin's handler, bound to one stream."""

    def __init__(self, hook: Hook, function: Callable[..., Any]) -> None:
        self.hook = hook
        self.close = getattr(function, "close", None)
        self._function = function
        call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        self._waits = inspect.iscoroutinefunction(call)
        self._at = 0
        self.timer: asyncio.Timeout | None = None

    async def first_answer(self, events: Sequence[Event], start: int, trace: Trace) -> tuple[int, Any]:
        """Call the handler with each event from `start` on until it answers something; return where, and the answer.

        All of a read goes through in one step: it is timed, blamed and driven once, not once an event.
        """
        if self.hook.resting():
            return len(events), None
        before, running.who = running.who, self.hook
        running.since = began = perf_counter_ns()
        self._at, self.timer = start, None
        try:
            if self._waits:
                return await self.hook.finish(self._scan_waiting(events), self)  # type: ignore[no-any-return]
            return self._scan(events)
        except Exception as fault:
            self.hook.give_up(trace, self.hook.failed(fault))
            return self._at, None
        finally:
            running.who, running.since = before, self.hook.settle(trace, began)

    def _scan(self, events: Sequence[Event]) -> tuple[int, Any]:
        function, at = self._function, self._at
        try:
            for at in range(at, len(events)):  # noqa: B020 (where it stopped must be known after a failure)
                answer = function(events[at])
                if answer is not None:
                    return at, answer
        finally:
            self._at = at
        return len(events), None

    async def _scan_waiting(self, events: Sequence[Event]) -> tuple[int, Any]:
        function = self._function
        for at in range(self._at, len(events)):
            self._at = at
            answer = await function(events[at])
            if self.timer is not None:  # it had to wait: the next event gets the whole time again
                self.timer.reschedule(asyncio.get_running_loop().time() + self.hook.deadline)
            if answer is not None:
                return at, answer
        return len(events), None


class Interception:
    """The handlers of one stream in one dialect, and the follower that keeps what they make of it valid."""

    def __init__(self, dialect: Dialect, handlers: Sequence[Handler], trace: Trace) -> None:
        self._dialect = dialect
        self._handlers = list(handlers)
        self._trace = trace
        self._follower = dialect.follow()
        self._log: list[Event] = []
        self._log_size = 0
        self._changed = False
        self._repeats = type(dialect).repeats is not Dialect.repeats
        self._said: dict[tuple[str, int, int], list[str]] = {}
        self._closing = any(handler.close is not None for handler in handlers)
        self._last_text: Event | None = None
        self.ended: FinishReason | None = None
        """A handler ended the stream."""

    async def take(self, events: Sequence[Event], raw: bytes, outcome: Callable[[], Outcome]) -> bytes:
        """Return the bytes that leave for whole events that came as `raw`."""
        items: list[Item] | None = None
        for handler in self._handlers:
            items = await self._run(handler, events, items)
        if self._closing and self.ended is None:
            items = await self._close_before_ending(events, items, outcome)
        if items is None and not self._changed:
            self._remember(events, len(raw))
            return raw
        if items is None:
            items = [(event, event) for event in events]
        leaving = self._settle(items)
        if self.ended is not None:
            leaving += [e for event in await self._closings(outcome()) for e in self._admit(event, added=True)]
            leaving += self._follower.finish(self.ended, None)
        return b"".join(event.raw for event in leaving)

    async def _run(self, handler: Handler, events: Sequence[Event], items: list[Item] | None) -> list[Item] | None:
        """Take events through one handler. The answer is None as long as nothing was changed by anybody."""
        passing = events if items is None else [event for event, _ in items if event is not None]
        replaced: dict[int, list[Item]] = {}
        origins = None if items is None else [origin for event, origin in items if event is not None]
        at = 0
        while at < len(passing):
            stop, answer = await handler.first_answer(passing, at, self._trace)
            at = stop + 1
            if answer is not None:
                replaced[stop] = _replaced(passing[stop], passing[stop] if origins is None else origins[stop], answer)
                if isinstance(answer, End):
                    self.ended = answer.finish
                    break
        if not replaced:
            return items
        made: list[Item] = []
        place = 0
        for item in items if items is not None else zip(events, events, strict=True):
            if item[0] is None:
                made.append(item)
                continue
            made += replaced.get(place, [item])
            place += 1
            if self.ended is not None and place == at:
                break
        return made

    async def _close_before_ending(
        self, events: Sequence[Event], items: list[Item] | None, outcome: Callable[[], Outcome]
    ) -> list[Item] | None:
        """Put what the handlers' `close` adds before the event with which the answer's ending begins."""
        whole = items if items is not None else [(event, event) for event in events]
        for at, (event, _) in enumerate(whole):
            if event is not None and self._dialect.ends(event):
                added = await self._closings(outcome())
                return [*whole[:at], *((e, None) for e in added), *whole[at:]] if added else items
        return items

    async def _closings(self, outcome: Outcome) -> list[Event]:
        self._closing = False
        added: list[Event] = []
        for handler in self._handlers:
            if handler.close is not None:
                close, handler.close = handler.close, None
                try:
                    answer = close(outcome)
                    if inspect.iscoroutine(answer):
                        answer = await handler.hook.finish(answer)
                    added += [event for event in answer or () if isinstance(event, Event)]
                except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
                    self._trace.note(handler.hook.name, handler.hook.plugin, handler.hook.failed(fault))
        return added

    def _remember(self, events: Sequence[Event], size: int) -> None:
        self._log += events
        self._log_size += size
        if self._log_size > _LOG_BYTES:
            self._tell_follower()

    def _tell_follower(self) -> None:
        for event in self._log:
            self._take_down(event)
            self._follower.feed(event)
        self._log, self._log_size = [], 0

    def _take_down(self, event: Event) -> None:
        """Keep what an event adds to the answer, for the events that will repeat it."""
        if self._repeats:
            for delta in event.deltas:
                kind = _KINDS.get(type(delta))
                if kind is not None:
                    self._said.setdefault((kind, delta.choice, delta.index), []).append(delta.text)  # type: ignore[union-attr]

    def _settle(self, items: Sequence[Item]) -> list[Event]:
        """Return the events that leave, after a change: repeated text rewritten, blocks and numbers mended."""
        if not self._changed:
            self._tell_follower()
            self._changed = True
        leaving: list[Event] = []
        for event, origin in items:
            if event is None:
                leaving += self._follower.drop(origin) if origin is not None else ()
            else:
                leaving += self._admit(event, added=origin is None)
        return leaving

    def _admit(self, event: Event, added: bool) -> Sequence[Event]:
        self._take_down(event)
        changes = {
            repeat.path: "".join(self._said.get((repeat.of, repeat.choice, repeat.index), ()))
            for repeat in (self._dialect.repeats(event) if self._repeats else ())
        }
        return self._follower.admit(event.with_changes(changes) if changes else event, added)

    # ------------------------------------------------------------------------------ endings that nobody sent

    def follow(self, events: Sequence[Event]) -> None:
        """Take note of events that left without passing through here."""
        self._remember(events, _LOG_BYTES + 1)

    def complete(self) -> bool:
        """Tell whether the answer came to its end, and only its terminal event is missing."""
        self._tell_follower()
        return self._follower.complete

    def finish(self, usage: Usage | None) -> bytes:
        """Return what is missing at the end of a complete answer."""
        self._tell_follower()
        return b"".join(event.raw for event in self._follower.finish("stop", usage))

    async def fail(self, error: Error, outcome: Outcome) -> bytes:
        """Return what ends the stream with an error, after what the handlers' `close` adds."""
        self._tell_follower()
        added = [e for event in await self._closings(outcome) for e in self._admit(event, added=True)]
        return b"".join(event.raw for event in (*added, *self._follower.fail(error)))

    async def leave(self, outcome: Outcome) -> None:
        """Tell the handlers that the client has left."""
        await self._closings(outcome)


_KINDS: Final = {TextDelta: "text", ThinkingDelta: "thinking", ArgumentsDelta: "arguments"}


def _replaced(event: Event, origin: Event | None, answer: Event | Sequence[Event] | End) -> list[Item]:
    """Say what becomes of an event: which of the answer's events stands in its place, and which are added."""
    made = [answer] if isinstance(answer, Event) else list(answer.events if isinstance(answer, End) else answer)
    if not made:
        return [(None, origin)] if origin is not None else []
    heir = next((at for at, one in enumerate(made) if one is event), 0)
    return [(one, origin if at == heir else None) for at, one in enumerate(made)]
