"""An upstream's stream as whole events, whatever pieces it comes in."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from jackfield.api import CallError, Dialect, Event, Request, StreamEncoder, failure
from jackfield.api.canonical.looking import events_of
from jackfield.sweeper import Watch, end_all

_MOST_HELD: Final = 3
"""Events that are held back because they only say that an answer begins: until there is more another credential can take over."""
_TAIL: Final = 4
"""Latest reads that are kept to be looked at when the stream is over: usage and errors stand at its end."""


class Source:
    """The upstream's side of a relay."""

    def __init__(
        self,
        stream: AsyncIterator[Any],
        dialect: Dialect,
        largest_event: int,
        learn: Callable[..., None] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.dialect, self.learn, self._watch = dialect, learn, watch
        """What is told of all events, and of the first and the terminal one that they are these; None where nobody is."""
        self.first = b""
        """What was read up to and with the first event."""
        self.tail: deque[bytes] = deque(maxlen=_TAIL)
        """The latest reads."""
        if watch is not None:
            watch.arm(watch.idle, "idle")
        self._stream, self._read, self._largest = stream, aiter(stream).__anext__, largest_event
        self._splitter = dialect.framing.splitter()
        self._encoder: StreamEncoder | None = None
        self._pending: asyncio.Task[bytes | None] | None = None
        """A read that was begun and has not been asked for yet."""

    def next(self) -> Awaitable[bytes | None]:
        """Return the next whole events as bytes; None when there are no more. Raises `CallError` when the stream breaks off."""
        begun, self._pending = self._pending, None
        return self._whole() if begun is None else begun

    async def _whole(self) -> bytes | None:
        try:
            while True:
                item = await (self._read() if self._watch is None else self._watched(self._watch))
                if whole := self._splitter.feed(item if isinstance(item, bytes) else self._written(item)):
                    self.tail.append(whole)
                    if self.learn is not None:
                        self.learn(whole, edge=not self.first)
                    return whole
                if len(self._splitter.rest()) > self._largest:
                    says = "one event of the provider's stream is over the limit of {} bytes (limits.event)"
                    raise CallError(failure("upstream", says.format(self._largest), code="event_too_large"))
        except StopAsyncIteration:
            return self._last()
        except CallError:
            raise
        except Exception as fault:
            message, detail = "the provider failed in the middle of its answer", f"{type(fault).__name__}: {fault}"
            raise CallError(failure("plugin", message, code="provider_failed", detail=detail)) from fault

    async def _watched(self, watch: Watch) -> Any:
        watch.since = 0.0
        try:
            return await self._read()
        except asyncio.CancelledError:
            watch.settle()
            raise
        finally:
            watch.since = None

    def _written(self, item: Any) -> bytes:
        """Return the bytes of an event, or of a canonical delta in the stream's dialect."""
        if isinstance(item, Event):
            return item.raw
        self._encoder = self._encoder or self.dialect.encode_stream(Request(stream=True, stream_usage=True), [])
        return b"".join(event.raw for event in self._encoder.feed([item]))

    def _last(self) -> bytes | None:
        """Return what stood after the last boundary if it is an event that nobody ended; half an event is none."""
        whole = self._splitter.rest().rstrip(b"\r\n") + self.dialect.framing.build(b"")[1]
        self._splitter = self.dialect.framing.splitter()
        if not any(event.json is not None or self.dialect.terminal(event) for event in events_of(self.dialect, whole)):
            return None
        self.tail.append(whole)
        return whole

    async def opening(self, hold: float) -> Event | None:
        """Read up to the first event that is part of the answer and return it; None when there is none. What was read is `first`.

        Events that only say that the answer begins are held back, a few of them and for `hold` seconds: then the latest is
        returned, whatever it is.
        """
        end, held = time.monotonic() + hold, list[Event]()
        while (not held or await self._soon(end - time.monotonic())) and (whole := await self.next()) is not None:
            self.first += whole
            self.tail.clear()
            self.tail.append(self.first)
            at = 0
            while at < len(whole):
                start, at = self.dialect.framing.around(whole, at)
                for event in events_of(self.dialect, whole[start:at]):
                    if len(held) == _MOST_HELD or not self.dialect.lifecycle(event):
                        return event
                    held.append(event)
        return held[-1] if held and self._pending is not None else None

    async def _soon(self, seconds: float) -> bool:
        """Tell whether the next events come in time; else `next` goes on waiting for them."""
        self._pending = reading = asyncio.create_task(self._whole())
        try:
            await asyncio.wait((reading,), timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            await end_all(reading)
            if (task := asyncio.current_task()) is not None and not task.cancelling():
                reading.result()  # raises the reason: a time limit ended the call, not somebody who cancels it
            raise
        return reading.done()

    async def close(self, let_end: bool = False) -> None:
        """Let go of the upstream: at once, or when it has ended by itself in a moment."""
        if self._pending is not None:
            await end_all(self._pending)
        finish = getattr(self._stream, "finish", None) if let_end else None
        aclose = getattr(self._stream, "aclose", None)
        if finish is not None:
            finish()
        elif aclose is not None:
            await aclose()
