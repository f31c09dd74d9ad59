"""One event of a stream, in one form for all dialects and framings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from jackfield.api.canonical import (
    ArgumentsDelta,
    Delta,
    Error,
    Finish,
    FinishReason,
    StreamError,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from jackfield.api.canonical.framing import SSE, Framing
from jackfield.api.canonical.splice import Path, splice

if TYPE_CHECKING:
    from jackfield.api import Dialect, Outcome

_UNREAD: Any = msgspec.UNSET


class Event(msgspec.Struct, gc=False, eq=False):
    """One event: its bytes as they came, and what they say, read only when asked for.

    Events are immutable: `with_text` and its kin return new ones. An event that no handler replaced
    leaves as its raw bytes. Each dialect has an event class of its own (`Dialect.event_type`).
    """

    frame: bytes
    """The event's bytes without what ends it."""
    name: str = ""
    """The event's name where the framing gives one (`event:` of server-sent events), else `''`."""
    end: bytes = b"\n\n"
    _json: Any = _UNREAD
    _deltas: Any = _UNREAD

    dialect: ClassVar[Dialect]
    framing: ClassVar[Framing] = SSE

    @property
    def raw(self) -> bytes:
        """The event's bytes, whole."""
        return self.frame + self.end

    @property
    def data(self) -> bytes:
        """What the event carries, without its framing."""
        return self.framing.payload(self.frame)

    @property
    def json(self) -> Any:
        """The decoded data; None where it is not JSON, such as an end marker. Not to be changed in place."""
        if self._json is _UNREAD:
            try:
                self._json = msgspec.json.decode(self.data)
            except (ValueError, RecursionError):
                self._json = None
        return self._json

    @property
    def deltas(self) -> Sequence[Delta]:
        """What the event says, in canonical words; empty for what its dialect does not understand."""
        if self._deltas is _UNREAD:
            self._deltas = self.dialect.read(self)
        return self._deltas  # type: ignore[no-any-return]

    @property
    def text(self) -> str:
        """The words that this event adds to the answer; `''` when it adds none."""
        return "".join(d.text for d in self.deltas if isinstance(d, TextDelta))

    @property
    def thinking(self) -> str:
        """The thoughts that this event adds; `''` when it adds none."""
        return "".join(d.text for d in self.deltas if isinstance(d, ThinkingDelta))

    @property
    def arguments(self) -> str:
        """What this event adds to the arguments of tool calls; `''` when it adds nothing."""
        return "".join(d.text for d in self.deltas if isinstance(d, ArgumentsDelta))

    @property
    def usage(self) -> Usage | None:
        """The token counts that this event reports."""
        return self.dialect.usage_of(self)

    @property
    def finish(self) -> FinishReason | None:
        """Why the answer ends, where this event says so."""
        return next((d.reason for d in self.deltas if isinstance(d, Finish)), None)

    @property
    def error(self) -> Error | None:
        """The error that this event reports."""
        return next((d.error for d in self.deltas if isinstance(d, StreamError)), None)

    def with_text(self, text: str) -> Event:
        """Return this event with its words replaced. An event that adds no words gets a new one's form if its dialect has one."""
        return self.dialect.with_text(self, text)

    def with_changes(self, changes: Mapping[Path, Any] | None = None, remove: Iterable[Path] = ()) -> Event:
        """Return this event with the values at some paths of its JSON changed; other bytes stay.

        Raises `KeyError` where a parent is missing, `ValueError` where the data is not JSON.
        """
        return self.with_data(splice(self.data, changes, remove))

    def with_data(self, data: bytes) -> Event:
        """Return this event carrying other data, under the same name."""
        return self.build(data, self.name)

    @classmethod
    def build(cls, data: Any, name: str = "") -> Event:
        """Make a new event: `data` is bytes taken as they are, or anything that msgspec encodes as JSON."""
        frame, end = cls.framing.build(data if isinstance(data, bytes) else msgspec.json.encode(data), name)
        return cls(frame, name, end)


class End(msgspec.Struct, frozen=True):
    """A stream handler's answer that ends the stream here: `events` still leave, then the dialect's own ending."""

    events: Sequence[Event] = ()
    finish: FinishReason = "stop"


StreamAnswer = Event | Sequence[Event] | End | None
"""What a stream handler answers to an event: None keeps it, an event or a list (also an empty one) stands in its
place, `End` ends the stream."""

StreamHandler = Callable[[Event], StreamAnswer] | Callable[[Event], Awaitable[StreamAnswer]]
"""What `intercept_stream` returns: a function called with each event, `def` or `async def`. It may be an object with a
method `close(outcome)` whose events are added before the terminal one, and with a method `each(events)` that is called instead
with all events of a read at once and answers a list of as many, in which an exception says that it failed at that event."""


CloseHandler = Callable[["Outcome"], Sequence[Event] | None] | Callable[["Outcome"], Awaitable[Sequence[Event] | None]]
"""The optional `close` of a stream handler."""
