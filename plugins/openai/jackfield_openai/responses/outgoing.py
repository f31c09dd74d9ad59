"""Items of a stream on their way to a client, each with all of its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from jackfield.api import Event
from jackfield.api.canonical import Citation, Refusal, Signature, Text, TokenLogprob, ToolCall
from jackfield.api.canonical.codec import overlay, to_json
from jackfield_openai.responses import calls, events
from jackfield_openai.responses.annotations import encode_annotation
from jackfield_openai.responses.extras import ITEM, Losses, extra, made_id
from jackfield_openai.responses.incoming import DONE
from jackfield_openai.responses.items import NOTHING, encode_item, message_frame
from jackfield_openai.responses.logprobs import encode_logprobs
from jackfield_openai.responses.reasoning import carrier

Build = Callable[[bytes, str], Event]
"""Makes an event that carries the bytes given, under a name."""

Wire = dict[str, Any]


class Outlet:
    """What leaves: events with their numbers, and the items that are complete."""

    def __init__(self, build: Build, losses: Losses) -> None:
        self.build, self.losses = build, losses
        self.number = 0
        self.made: list[Event] = []
        self.items: list[Wire | None] = []
        """The items of the output; None for one that is not complete."""

    def say(self, type_: str, /, **members: Any) -> None:
        """Add an event."""
        self.made.append(self.build(to_json({"type": type_, "sequence_number": self.number, **members}), type_))
        self.number += 1

    def take(self) -> list[Event]:
        """Return the events that were added."""
        made, self.made = self.made, []
        return made

    def place(self) -> int:
        """Return the place of a new item."""
        self.items.append(None)
        return len(self.items) - 1

    def whole(self, item: Wire, beginning: Wire | None = None) -> None:
        """Add an item that comes whole."""
        at = self.place()
        self.say(events.ITEM_ADDED, output_index=at, item=beginning if beginning is not None else item)
        self.done(at, item)

    def done(self, at: int, item: Wire) -> None:
        """Say that an item is complete."""
        self.items[at] = item
        self.say(events.ITEM_DONE, output_index=at, item=item)

    @property
    def output(self) -> list[Wire]:
        """The items that are complete."""
        return [item for item in self.items if item is not None]


class MessageItem:
    """A message while its texts come in."""

    def __init__(self, out: Outlet, first: Text | Refusal) -> None:
        self._out, self._at = out, out.place()
        frame, mark = message_frame(first, answer=True)
        mark.pop("content", None)
        self._frame, self._mark = frame, mark
        self._content: list[Wire] = []
        self._part: Text | Refusal | None = None
        self._words: list[str] = []
        self._tokens: list[TokenLogprob] = []
        self._citations: list[Wire] = []
        self._head = b""
        self.id = frame["id"]
        beginning = overlay({**frame, "status": "in_progress", "content": []}, {k: v for k, v in mark.items() if k != "status"})
        out.say(events.ITEM_ADDED, output_index=self._at, item=beginning)

    def start(self, part: Text | Refusal) -> None:
        """Begin a text or refusal; what it holds already is added at once."""
        self.end_part()
        if NOTHING in extra(part.extensions) and not part.text:
            return
        self._part, self._words, self._tokens, self._citations = part, [], [], []
        where = {"item_id": self.id, "output_index": self._at, "content_index": len(self._content)}
        head = to_json({**where})[1:-1]
        name = events.REFUSAL_DELTA if isinstance(part, Refusal) else events.TEXT_DELTA
        self._head = b'{"type":"%b",%b,"sequence_number":' % (name.encode(), head)
        self._out.say(events.PART_ADDED, **where, part=self._wire())
        if part.text:
            self.add(part.text)
        if isinstance(part, Text):
            for citation in part.citations:
                self.cite(citation)

    def _wire(self) -> Wire:
        """Return the open part as it is so far."""
        part, words = self._part, "".join(self._words)
        rest = {key: item for key, item in extra(part.extensions).items() if not key.startswith("=")} if part is not None else {}
        if isinstance(part, Refusal):
            return overlay({"type": "refusal", "refusal": words}, rest)
        wire: Wire = {"type": "output_text", "annotations": list(self._citations), "logprobs": encode_logprobs(self._tokens), "text": words}
        return overlay(wire, rest)

    def add(self, text: str, tokens: Sequence[TokenLogprob] = (), padding: Wire | None = None) -> None:
        """Add words."""
        if self._part is None:
            self.start(Text(text=""))
        self._words.append(text)
        more = b""
        if isinstance(self._part, Text):
            self._tokens += tokens
            more = b',"logprobs":%b' % (to_json(encode_logprobs(tokens)) if tokens else b"[]")
        if padding:
            more += b"," + to_json(padding)[1:-1]
        out = self._out
        name = events.REFUSAL_DELTA if isinstance(self._part, Refusal) else events.TEXT_DELTA
        out.made.append(out.build(b'%b%d,"delta":%b%b}' % (self._head, out.number, to_json(text), more), name))
        out.number += 1

    def cite(self, citation: Citation) -> None:
        """Add a citation."""
        wire = encode_annotation(citation, len("".join(self._words)), "choices[0].parts.citations", self._out.losses)
        if wire is None or not isinstance(self._part, Text):
            return
        self._out.say(
            events.ANNOTATION,
            item_id=self.id,
            output_index=self._at,
            content_index=len(self._content),
            annotation_index=len(self._citations),
            annotation=wire,
        )
        self._citations.append(wire)

    def end_part(self) -> None:
        """End the text or refusal that is open."""
        if self._part is None:
            return
        wire, where = self._wire(), {"item_id": self.id, "output_index": self._at, "content_index": len(self._content)}
        words = "".join(self._words)
        if isinstance(self._part, Refusal):
            self._out.say(events.REFUSAL_DONE, **where, refusal=words)
        else:
            self._out.say(events.TEXT_DONE, **where, logprobs=wire.get("logprobs", []), text=words)
        self._out.say(events.PART_DONE, **where, part=wire)
        self._content.append(wire)
        self._part = None

    def end(self, status: str = "completed") -> None:
        """End the message."""
        self.end_part()
        item = overlay({**self._frame, "content": self._content}, self._mark)
        self._out.done(self._at, item if status == "completed" else {**item, "status": status})


class CallItem:
    """A call while its arguments come in."""

    def __init__(self, out: Outlet, call: ToolCall) -> None:
        self._out, self._at = out, out.place()
        self._unsaid = calls.unsaid(call)
        self._call = call if call.item_id is not None else msgspec.structs.replace(call, item_id=made_id(calls.PREFIXES[call.kind]))
        self._words: list[str] = []
        self.signature: Signature | None = call.signature
        beginning = {**self._item(""), "status": "in_progress"}
        out.say(events.ITEM_ADDED, output_index=self._at, item=beginning)
        if call.arguments:
            self.add(call.arguments)

    def _item(self, words: str) -> Wire:
        call = msgspec.structs.replace(self._call, arguments=words, signature=None)
        return encode_item(call, "choices[0].parts", self._out.losses, answer=True)  # type: ignore[no-any-return]

    def add(self, text: str, padding: Wire | None = None) -> None:
        """Add to the arguments."""
        self._words.append(text)
        name = events.INPUT_DELTA if self._call.kind == "custom" else events.ARGUMENTS_DELTA
        self._out.say(name, item_id=self._call.item_id, output_index=self._at, delta=text, **(padding or {}))

    @property
    def whole(self) -> bool:
        """The arguments can be read: nothing is known to be missing."""
        if self._call.kind == "custom":
            return True
        try:
            msgspec.json.decode("".join(self._words))
        except (ValueError, RecursionError):
            return False
        return True

    def end(self, status: str = "completed", late: Wire | None = None) -> None:
        """End the call."""
        if self._unsaid and not any(self._words):
            self.add(self._unsaid)
        words = "".join(self._words)
        custom = self._call.kind == "custom"
        name = events.INPUT_DONE if custom else events.ARGUMENTS_DONE
        self._out.say(name, item_id=self._call.item_id, output_index=self._at, **{calls.WORDS[self._call.kind]: words})
        item = overlay(self._item(words), late or {})
        self._out.done(self._at, item if status == "completed" else {**item, "status": status})
        if self.signature is not None:
            self._out.whole(carrier(self.signature))


def late_of(extensions: Any) -> Wire | None:
    """Return what only the last form of an item said."""
    said = extra(extensions).get(DONE)
    return said if isinstance(said, dict) else None


def padding_of(extensions: Any) -> Wire | None:
    """Return what an event said beside its words."""
    return extra(extensions) or None if extensions else None


def begins_message(part: Text | Refusal) -> bool:
    """Tell whether a text says that a message item begins with it."""
    return ITEM in extra(part.extensions)
