"""Knowing what a client was sent of one stream, so that it can be mended and ended.

What clients insist on, as their SDKs show: the answer begins before all else, items are numbered without gaps, what belongs to an
item names it, every item that was begun is ended before the answer is, and the last event repeats all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jackfield.api import Error, Event, Usage
from jackfield.api.canonical import FinishReason
from jackfield.api.canonical.codec import to_json
from jackfield_openai.responses import calls, events
from jackfield_openai.responses.encoding import error_members, failed_error
from jackfield_openai.responses.extras import made_id
from jackfield_openai.responses.following import Sent, text_key
from jackfield_openai.responses.outgoing import Build
from jackfield_openai.responses.responses import echo, end_of, header, wire_usage
from jackfield_openai.responses.streams import error_of

_UNNEEDED: Final = (events.QUEUED, events.IN_PROGRESS)


class ResponsesFollower:
    """Follows one stream of events."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._number = 0
        self._numbered = True
        """The upstream numbers its events."""
        self._response: dict[str, Any] = {}
        self._items: list[Sent] = []
        self._moved: dict[int, int] = {}
        """The place that an item has for the client, by the upstream's."""
        self._own: dict[int, int] = {}
        """The same for items that a handler added."""
        self._gone: set[int] = set()
        """The upstream's places of items that were taken out."""
        self._late: list[str] = []
        """Words that have no place any more, until they can be said in a message of their own."""
        self._error: Error | None = None
        self._over = False
        self.complete = False
        """The answer has come to its end, or to an error; at most the last event is missing."""

    # ---------------------------------------------------------------------------------------- what is sent

    def feed(self, event: Event) -> None:
        """Take note of an event that leaves as it came."""
        value = event.json
        if not isinstance(value, dict):
            return
        number = value.get("sequence_number")
        self._numbered = isinstance(number, int)
        self._number = number + 1 if isinstance(number, int) else self._number + 1
        at = value.get("output_index")
        if value.get("type") == events.ITEM_ADDED and isinstance(at, int):
            self._moved[at] = len(self._items)
        self._note(value, self._moved.get(at) if isinstance(at, int) else None)

    def _note(self, value: dict[str, Any], at: int | None) -> None:
        type_, response = value.get("type"), value.get("response")
        if type_ in events.BEGINNINGS and isinstance(response, dict):
            self._response = self._response or response
        elif type_ in events.ENDINGS:
            self._over = self.complete = True
        elif type_ == events.ERROR:
            self._error = error_of(value) or Error(message="the provider's stream failed")
            self.complete = True
        elif type_ == events.ITEM_ADDED:
            item = value.get("item")
            self._items.append(Sent(item if isinstance(item, dict) else {}))
        elif at is not None and at < len(self._items):
            self._items[at].note(str(type_), value)

    def _send(self, value: dict[str, Any], at: int | None = None) -> Event:
        """Make an event of what is to leave, under its number, and take note of it."""
        if at is not None and "output_index" in value:
            value = {**value, "output_index": at}
        if self._numbered or "sequence_number" in value:
            value = {**value, "sequence_number": self._number}
        self._number += 1
        self._note(value, at)
        return self._build(to_json(value), str(value.get("type", "")))

    # ------------------------------------------------------------------------------------ what was changed

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event after a change; nothing once the stream is over."""
        value = event.json
        if self._over or not isinstance(value, dict):
            return ()
        type_ = value.get("type")
        if type_ in events.BEGINNINGS:
            return () if added and self._response else (self._send(value),)
        if type_ in events.ENDINGS:
            return self._end(value)
        if self._error is not None:
            return ()
        begin = [] if self._response else [self._send({"type": events.CREATED, "response": self._blank()})]
        if type_ == events.ITEM_ADDED:
            return [*begin, *self._item_added(value, added)]
        place = value.get("output_index")
        if not isinstance(place, int):
            return [*begin, self._send(value)]
        return [*begin, *self._of_item(value, str(type_), place, added)]

    def _item_added(self, value: dict[str, Any], added: bool) -> list[Event]:
        place, at = value.get("output_index"), len(self._items)
        if isinstance(place, int):
            if not added and place in self._gone:
                return []
            (self._own if added else self._moved)[place] = at
        closing = [event for number in range(at) if added for event in self._close(number)]
        return [*closing, self._send({**value, "output_index": at}, at)]

    def _of_item(self, value: dict[str, Any], type_: str, place: int, added: bool) -> list[Event]:
        if not added and place in self._gone:
            return []
        at = self._own.get(place) if added and place in self._own else self._moved.get(place)
        item = self._items[at] if at is not None else None
        key = text_key(type_, value)
        if item is None or at is None or item.done is not None or (key is not None and not item.is_open(key)):
            text = value.get("delta") if type_ == events.TEXT_DELTA and added else None
            self._late += [text] if isinstance(text, str) and text else []
            return self._own_message()
        return [self._send(item.true_to_what_was_sent(type_, value), at), *(self._own_message() if self._late else ())]

    def _own_message(self, last: bool = False) -> list[Event]:
        """Say words that have no place any more in a message of their own: at the end, or once the upstream has no item open."""
        if not self._late or (not last and any(self._items[at].done is None for at in self._moved.values())):
            return []
        text, self._late = "".join(self._late), []
        made = [event for number in range(len(self._items)) if not last for event in self._close(number)]
        at, item_id = len(self._items), made_id("msg")
        item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        where = {"item_id": item_id, "output_index": at, "content_index": 0}
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        made.append(self._send({"type": events.ITEM_ADDED, "output_index": at, "item": item}))
        made.append(self._send({"type": events.PART_ADDED, **where, "part": part}, at))
        made.append(self._send({"type": events.TEXT_DELTA, **where, "delta": text, "logprobs": []}, at))
        return [*made, *self._close(at)]

    def drop(self, event: Event) -> Sequence[Event]:
        """Take note that a handler took out an event. What no client can do without leaves all the same."""
        value = event.json
        if self._over or not isinstance(value, dict):
            return ()
        type_, place = value.get("type"), value.get("output_index")
        if type_ == events.ITEM_ADDED and isinstance(place, int):
            self._gone.add(place)
            return ()
        if type_ in events.DELTAS or type_ in _UNNEEDED or type_ == events.ANNOTATION:
            at = self._moved.get(place) if isinstance(place, int) else None
            if at is not None:
                self._items[at].miss(str(type_), value)
            return ()
        return self.admit(event, added=False)

    # -------------------------------------------------------------------------------------------- endings

    def _end(self, value: dict[str, Any]) -> list[Event]:
        """Return the last event with the items that the client was sent, those that are open ended first."""
        response = value.get("response")
        made = self._close_all(str(value.get("type")))
        said = dict(response) if isinstance(response, dict) else self._blank()
        if self._response.get("id"):
            said["id"] = self._response["id"]
        said["output"] = self._output()
        return [*made, self._send({**value, "response": said})]

    def _output(self) -> list[dict[str, Any]]:
        return [item.done for item in self._items if item.done is not None]

    def _close_all(self, ending: str) -> list[Event]:
        """Return the events that end what is open before the answer's last event, which is `ending`."""
        closing = [event for at in range(len(self._items)) for event in self._close(at, ending)]
        return [*closing, *self._own_message(last=True)]

    def _close(self, at: int, ending: str = events.COMPLETED) -> list[Event]:
        """Return the events that end an item; none for one that has ended, or for a call of which a part may be missing."""
        item = self._items[at]
        if item.done is not None or (ending == events.FAILED and item.type in calls.CALLS):
            return []
        return [self._send(said, at) for said in item.endings(at, whole=ending == events.COMPLETED)]

    def _blank(self) -> dict[str, Any]:
        said = {"status": "in_progress", "error": None, "incomplete_details": None, **echo(), "output": [], "usage": None}
        return self._response or {**header("", "", None, None), **said}

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        """Return the events that end the answer here, what is open closed first."""
        if self._over:
            return ()
        if self._error is not None:
            return self._failed(self._error)
        begin = self._begin()
        ending = end_of(reason if reason != "error" else "other", (), [])
        name = events.INCOMPLETE if ending["status"] == "incomplete" else events.COMPLETED
        made = self._close_all(name)
        whole = {**self._blank(), **ending, "output": self._output(), "usage": wire_usage(usage)}
        return [*begin, *made, self._send({"type": name, "response": whole})]

    def _begin(self) -> list[Event]:
        return [] if self._response else [self._send({"type": events.CREATED, "response": self._blank()})]

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the events that end the stream here with an error; of one that has failed already only the last."""
        if self._over:
            return ()
        if self._error is not None:
            return self._failed(self._error)
        begin = self._begin()
        made = self._close_all(events.FAILED)
        return [*begin, *made, self._send({"type": events.ERROR, **error_members(error)}), *self._failed(error)]

    def _failed(self, error: Error) -> list[Event]:
        whole = {**self._blank(), "status": "failed", "error": failed_error(error), "output": self._output(), "usage": None}
        return [self._send({"type": events.FAILED, "response": whole})]
