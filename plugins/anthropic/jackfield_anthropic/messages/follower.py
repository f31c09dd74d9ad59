"""Knowing what a client was sent of one stream, so that it can be mended and ended.

What clients insist on: `message_start` first, blocks one after the other, numbered from 0 without gaps, each with its
stop, then one `message_delta` and one `message_stop`. After an error nothing follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jackfield.api import Error, Event, Usage
from jackfield.api.canonical import FinishReason
from jackfield.api.canonical.codec import to_json
from jackfield_anthropic.errors import encode_error
from jackfield_anthropic.messages.encoding import Build
from jackfield_anthropic.messages.finish import encode_finish
from jackfield_anthropic.messages.reading import type_of
from jackfield_anthropic.messages.responses import made_id
from jackfield_anthropic.messages.usage import IN_STREAM, count, encode_usage
from jackfield_anthropic.messages.wire import SeenDelta, SeenEvent, seen_event

_BLOCKS: Final = ("content_block_start", "content_block_delta", "content_block_stop")


class MessagesFollower:
    """Follows one stream of messages."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._begun = self._told = self._over = False
        self._count = 0
        """How many blocks the client was sent."""
        self._open: int | None = None
        """The number of the block that is open for the client."""
        self._kind = ""
        """Its type."""
        self._numbers: dict[int, int] = {}
        """The number that a block has for the client, by the upstream's."""
        self._own: dict[int, int] = {}
        """The same for blocks that handlers added."""
        self._gone: set[int] = set()
        """The upstream's numbers of blocks that were taken out."""
        self._calls = 0
        """Tool calls that the client was sent whole."""
        self._held: Event | None = None
        """The beginning of a block of words that has none yet: an empty text could not be sent back."""
        self._later: list[Event] = []
        """What handlers added while a block was open that it cannot stand in."""
        self._output = 0
        self.complete = False
        """The answer has come to its end, or to an error; at most `message_stop` is missing."""

    # ---------------------------------------------------------------------------------------- what is sent

    def feed(self, event: Event) -> None:
        """Take note of an event that leaves as it came."""
        seen = _look(event)
        if seen.type == "content_block_start":
            self._numbers[seen.index] = seen.index
        self._note(seen)

    def _note(self, seen: SeenEvent) -> None:
        match seen.type:
            case "message_start":
                self._begun = True
                if seen.message is not None and seen.message.usage is not None:
                    self._output = count(seen.message.usage.get("output_tokens"))
                if seen.message is not None and seen.message.stop_reason is not None:
                    self._told = self.complete = True
            case "content_block_start":
                self._open, self._count = seen.index, max(self._count, seen.index + 1)
                self._kind = seen.content_block.type if seen.content_block is not None else ""
            case "content_block_stop":
                self._calls += self._kind == "tool_use" and self._open == seen.index
                self._open = None
            case "message_delta":
                ends = seen.delta is not None and seen.delta.stop_reason is not None
                self._told = self._told or ends
                self.complete = self.complete or ends
            case "message_stop" | "error":
                self._over = self.complete = True

    # ------------------------------------------------------------------------------------ what was changed

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event after a change; nothing once the stream is over."""
        if self._over:
            return ()
        seen = _look(event)
        if seen.type == "message_start":
            return () if self._begun else [self._sent(event, seen)]
        if seen.type == "error":
            return [self._sent(event, seen)]
        if seen.type in _BLOCKS:
            if self._told:
                return ()
            return [*self._begin(), *(self._add(event, seen) if added else self._pass(event, seen))]
        if seen.type == "message_delta":
            return [*self._begin(), *self._end_blocks(), *self._tell(event, seen)]
        if seen.type == "message_stop":
            return [*self._begin(), *self._end_blocks(), *self._tell_unsaid("stop", None), self._sent(event, seen)]
        return (event,)

    def _sent(self, event: Event, seen: SeenEvent) -> Event:
        self._note(seen)
        return event

    def _begin(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        message: dict[str, Any] = {"id": made_id(), "type": "message", "role": "assistant", "model": "", "content": []}
        message.update(stop_reason=None, stop_sequence=None, usage={"input_tokens": 0, "output_tokens": 0})
        return [self._build(to_json({"type": "message_start", "message": message}), "message_start")]

    def _numbered(self, event: Event, seen: SeenEvent, number: int) -> Event:
        """Let an event leave under the number that its block has for the client."""
        if seen.index != number:
            event = event.with_changes({("index",): number})
            seen.index = number
        return self._sent(event, seen)

    def _pass(self, event: Event, seen: SeenEvent) -> list[Event]:
        """Return what leaves for the upstream's own event of a block."""
        if seen.type == "content_block_start":
            self._gone.discard(seen.index)
            if seen.content_block is not None and seen.content_block.type == "text":
                closing, self._held = self._close(), event
                return closing
            return [*self._close(), *self._start(event, seen)]
        if self._held is not None and _look(self._held).index == seen.index:
            if seen.type == "content_block_stop":
                self._held = None
                return self._flush()
            return [*self._release(), *self._pass(event, seen)]
        number = self._numbers.get(seen.index, -1)
        if seen.index in self._gone or number < 0:
            return []
        if number != self._open:
            # Its block was ended for one that a handler added: words get another, the rest has no place.
            return self._block_of_words(event, seen)
        events = [self._numbered(event, seen, number)]
        return [*events, *self._flush()] if seen.type == "content_block_stop" else events

    def _start(self, event: Event, seen: SeenEvent) -> list[Event]:
        self._numbers[seen.index] = number = self._count
        return [self._numbered(event, seen, number)]

    def _release(self) -> list[Event]:
        """Let the beginning go that was held back."""
        held, self._held = self._held, None
        return self._start(held, _look(held)) if held is not None else []

    def _add(self, event: Event, seen: SeenEvent) -> list[Event]:
        """Return what leaves for an event that a handler added."""
        if self._held is not None:
            return [*self._release(), *self._add(event, seen)]
        words = seen.type == "content_block_delta" and seen.delta is not None and seen.delta.type == "text_delta"
        number = self._own.get(seen.index)
        if number is not None and number == self._open:
            if seen.type == "content_block_stop":
                del self._own[seen.index]
            return [self._numbered(event, seen, number)] if seen.type != "content_block_start" else []
        if self._open is not None:
            if words and self._kind == "text" and not self._later:
                return [self._numbered(event, seen, self._open)]
            self._later.append(event)
            return []
        if seen.type == "content_block_start":
            self._own[seen.index] = self._count
            return [self._numbered(event, seen, self._count)]
        return self._block_of_words(event, seen)

    def _block_of_words(self, event: Event, seen: SeenEvent) -> list[Event]:
        """Put words whose block has ended, or never began, into a block of their own."""
        if seen.type != "content_block_delta" or seen.delta is None or seen.delta.type != "text_delta":
            return []
        closing = self._close()
        start = {"type": "content_block_start", "index": self._count, "content_block": {"type": "text", "text": ""}}
        opened = self._build(to_json(start), "content_block_start")
        self._note(_look(opened))
        return [*closing, opened, self._numbered(event, seen, self._count - 1), *self._close()]

    def _close(self) -> list[Event]:
        """End the open block."""
        self._held = None
        if self._open is None:
            return []
        stop = self._build(b'{"type":"content_block_stop","index":%d}' % self._open, "content_block_stop")
        self._open = None
        self._own.clear()
        return [stop, *self._flush()]

    def _flush(self) -> list[Event]:
        """Let go what handlers added while another block was open."""
        later, self._later = self._later, []
        events = [made for event in later for made in self._add(event, _look(event))]
        if later and self._open is not None:
            events += self._close()
        return events

    def _end_blocks(self) -> list[Event]:
        return [*self._close(), *self._flush()]

    def _tell(self, event: Event, seen: SeenEvent) -> list[Event]:
        ends = seen.delta is not None and seen.delta.stop_reason is not None
        if ends and self._told:
            return []
        if seen.delta is not None and seen.delta.stop_reason == "tool_use" and self._gone and not self._calls:
            # Nobody may wait for calls that the client never saw.
            event = event.with_changes({("delta", "stop_reason"): "end_turn"})
        return [self._sent(event, seen)]

    def drop(self, event: Event) -> Sequence[Event]:
        """Take note that a handler took out an event. What no client can do without leaves all the same."""
        if self._over:
            return ()
        seen = _look(event)
        if seen.type == "content_block_start":
            self._gone.add(seen.index)
            return self._close()
        if seen.type == "content_block_delta" or seen.type not in (*_BLOCKS, "message_start", "message_delta", "message_stop", "error"):
            return ()
        return self.admit(event, added=False)

    # -------------------------------------------------------------------------------------------- endings

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        """Return the events that end the answer here: stops of open blocks, why it ended, `message_stop`."""
        if self._over:
            return ()
        events = [*self._begin(), *self._end_blocks(), *self._tell_unsaid(reason, usage)]
        self._over = self.complete = True
        return [*events, self._build(b'{"type":"message_stop"}', "message_stop")]

    def _tell_unsaid(self, reason: FinishReason, usage: Usage | None) -> list[Event]:
        if self._told:
            return []
        self._told = True
        counts: dict[str, Any] = {"output_tokens": self._output}
        if usage is not None:
            counts = {key: item for key, item in encode_usage(usage).items() if key in IN_STREAM}
        delta = {"stop_reason": encode_finish(reason, calls=self._calls > 0, refused=False), "stop_sequence": None}
        return [self._build(to_json({"type": "message_delta", "delta": delta, "usage": counts}), "message_delta")]

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the event that ends the stream here with an error."""
        if self._over:
            return ()
        self._over = self.complete = True
        return [self._build(encode_error(error), "error")]


def _look(event: Event) -> SeenEvent:
    """Return what an event does to the blocks of a stream."""
    try:
        seen = seen_event(event.data)
    except ValueError:
        return _look_slowly(event)
    if not seen.type:
        seen.type = event.name
    return seen


def _look_slowly(event: Event) -> SeenEvent:
    """Read an event that is not quite of the usual form."""
    value = event.json
    said = value if isinstance(value, dict) else {}
    delta, index = said.get("delta"), said.get("index")
    reason = delta.get("stop_reason") if isinstance(delta, dict) else None
    kind = delta.get("type") if isinstance(delta, dict) else None
    return SeenEvent(
        type=type_of(event),
        index=index if isinstance(index, int) else 0,
        delta=SeenDelta(type=kind if isinstance(kind, str) else None, stop_reason=reason if isinstance(reason, str) else None),
    )
