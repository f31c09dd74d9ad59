"""Reading a stream: events to canonical deltas.

An item is known by its place in the output alone: some servers give it another id in every event. What never came as a delta
is taken from the event that repeats it, so that a stream of nothing but whole items is understood too. Events that say nothing
canonical become `OpaqueDelta`s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from jackfield.api import Error, Event
from jackfield.api.canonical import (
    Begin,
    Delta,
    Done,
    Extensions,
    Finish,
    Logprobs,
    LogprobsDelta,
    OpaqueDelta,
    SignatureDelta,
    StreamError,
    UsageDelta,
)
from jackfield.api.canonical.codec import difference, to_json
from jackfield_openai.errors import read_error, with_status
from jackfield_openai.responses import events
from jackfield_openai.responses.extras import NAME
from jackfield_openai.responses.incoming import Item
from jackfield_openai.responses.logprobs import decode_logprobs
from jackfield_openai.responses.parts import Parts
from jackfield_openai.responses.reasoning import carried
from jackfield_openai.responses.responses import decode_failure, decode_finish, kept_echo, take_head
from jackfield_openai.responses.usage import decode_usage
from jackfield_openai.responses.wire import plain_delta

QUEUED: Final = "=queued"
"""The key under which a `Begin` keeps that the answer had to wait in a queue."""

_ENDING: Final = ("id", "output", "usage", "status", "error", "incomplete_details")
"""Members of an answer that are told elsewhere; the id is that of its beginning, whatever a server says at the end."""


def is_done(data: bytes) -> bool:
    """Tell whether an event's data is the end marker that some servers add."""
    return data.strip() == b"[DONE]"


def data_of(event: Event) -> bytes:
    """Return an event's data; faster than the general way for the usual form, one line with its name and one with the data."""
    frame = event.frame
    at = frame.find(b"\ndata: ")
    if at > 0 and frame.startswith(b"event: ") and frame.find(b"\n", at + 1) < 0 and frame.find(b"\r") < 0 and frame.find(b"\n") == at:
        return frame[at + 7 :]
    return event.data


def error_of(value: Any) -> Error | None:
    """Return the error that an `error` event reports: its members, or an object under `error`; None where there is none."""
    found = read_error(value, 500) if isinstance(value, dict) and isinstance(value.get("error"), dict | str) else None
    if found is None and isinstance(value, dict):
        found = read_error({"error": {key: item for key, item in value.items() if key not in ("type", "sequence_number")}}, 500)
    return with_status(found) if found is not None else None


class ResponsesStreamDecoder:
    """Turns the events of one stream into deltas."""

    def __init__(self) -> None:
        self._parts = Parts()
        self._items: dict[int, Item] = {}
        self._begun = False
        self._header: dict[str, Any] = {}
        self._over = False
        self._held: list[Delta] = []
        """Ends of parts that wait for what the next event says: it may carry a signature for them."""

    def feed(self, event: Event) -> Sequence[Delta]:
        """Return what an event says."""
        if self._over:
            return ()
        if not self._held:
            quick = self._plain(event)
            if quick is not None:
                return (quick,)
        value = event.json
        if not isinstance(value, dict):
            return ()
        return self._released(value.get("type"), self._read(value, event.name))

    def _plain(self, event: Event) -> Delta | None:
        """Read an event that adds to an open part and says nothing else; None for all others."""
        if event.name not in events.PLAIN:
            return None
        try:
            plain = plain_delta(data_of(event))
        except ValueError:
            return None
        item = self._items.get(plain.output_index)
        return item.quick(plain) if item is not None else None

    def _released(self, type_: Any, deltas: list[Delta]) -> Sequence[Delta]:
        """Return deltas behind those that were held back, except that a carried signature comes before the end of its part."""
        if self._held and not deltas and type_ in (events.ITEM_ADDED, events.ITEM_DONE):
            return ()
        held, self._held = self._held, []
        if held and deltas and isinstance(deltas[0], SignatureDelta) and deltas[0].index == held[0].index:  # type: ignore[union-attr]
            return [*deltas, *held]
        if type_ in (events.PART_DONE, events.ITEM_DONE) and not self._over:
            self._held = self._parts.take_ends(deltas)
        return [*held, *deltas]

    def close(self) -> Sequence[Delta]:
        """Return what is still to be said: the ends of parts that are open. An answer that broke off has no end."""
        if self._over:
            return ()
        self._over = True
        return [*self._held, *(delta for item in self._items.values() for delta in item.close())]

    # ------------------------------------------------------------------------------------------- by event

    def _read(self, value: dict[str, Any], name: str) -> list[Delta]:
        type_ = value.get("type")
        type_ = type_ if isinstance(type_, str) and type_ else name
        if type_ == events.ERROR:
            return self._fail(error_of(value))
        reader = _READERS.get(type_)
        if reader is None:
            return self._unknown(type_, value)
        begin = [] if self._begun or type_ in events.BEGINNINGS else self._begin(_object(value.get("response")))
        return [*begin, *reader(self, value)]

    def _unknown(self, type_: str, value: dict[str, Any]) -> list[Delta]:
        if not type_.startswith("response."):
            said = read_error(value, 500) if value.get("error") else None
            return self._fail(with_status(said)) if said is not None else []
        begin = [] if self._begun else self._begin({})
        return [*begin, OpaqueDelta(dialect=NAME, name=type_, value=to_json(value).decode())]

    def _fail(self, error: Error | None) -> list[Delta]:
        begin = [] if self._begun else self._begin({})
        ends = [delta for item in self._items.values() for delta in item.close()]
        self._over = True
        return [*begin, *ends, StreamError(error=error or Error(status=502, message="the provider's stream failed without a word"))]

    def _begin(self, response: dict[str, Any]) -> list[Delta]:
        self._begun = True
        head = take_head(response)
        extensions: Extensions = kept_echo(head["rest"]) if response else {}
        if response.get("status") == "queued":
            extensions = {NAME: {**extensions.get(NAME, {}), QUEUED: True}}
        self._header = response
        said = {key: head[key] for key in ("id", "model", "created", "service_tier")}
        return [Begin(**said, extensions=extensions)]

    def _started(self, value: dict[str, Any]) -> list[Delta]:
        return [] if self._begun else self._begin(_object(value.get("response")))

    def _item(self, value: dict[str, Any]) -> Item:
        at = value.get("output_index")
        at = at if isinstance(at, int) and not isinstance(at, bool) else max(self._items, default=0)
        item = self._items.get(at)
        if item is None:
            item = self._items[at] = Item(self._parts)
        return item

    def _added(self, value: dict[str, Any]) -> list[Delta]:
        said = _object(value.get("item"))
        if carried(said.get("encrypted_content")) is not None:
            self._item(value)
            return []
        deltas = self._item(value).added(said)
        if deltas is None:
            return [OpaqueDelta(dialect=NAME, name=events.ITEM_ADDED, value=to_json(value).decode())]
        return deltas

    def _done(self, value: dict[str, Any]) -> list[Delta]:
        said = _object(value.get("item"))
        signature = carried(said.get("encrypted_content"))
        if signature is not None:
            self._item(value).over = True
            return self._parts.sign(signature)
        return self._item(value).done(said)

    def _part_added(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).part_added(_index(value), _object(value.get("part")))

    def _part_done(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).part_done(_index(value), _object(value.get("part")))

    def _words(self, value: dict[str, Any]) -> list[Delta]:
        item, text = self._item(value), _text(value.get("delta"))
        refusal = value.get("type") == events.REFUSAL_DELTA
        deltas = item.words(_index(value), text, refusal=refusal, extensions=_padding(value))
        tokens = decode_logprobs(value.get("logprobs"))
        return [*deltas, *([LogprobsDelta(logprobs=Logprobs(content=tokens))] if tokens else [])]

    def _words_done(self, value: dict[str, Any]) -> list[Delta]:
        refusal = value.get("type") == events.REFUSAL_DONE
        return self._item(value).words_done(_index(value), _text(value.get("refusal" if refusal else "text")), refusal=refusal)

    def _cited(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).cited(_index(value), _object(value.get("annotation")))

    def _arguments(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).arguments(_text(value.get("delta")), _padding(value))

    def _arguments_done(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).arguments_done(_text(value.get("arguments") or value.get("input")))

    def _summary(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).thought(_text(value.get("delta")), _index(value, "summary_index"), _padding(value))

    def _summary_done(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).thought_done(_text(value.get("text")), _index(value, "summary_index"))

    def _thought(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).thought(_text(value.get("delta")), None, _padding(value))

    def _thought_done(self, value: dict[str, Any]) -> list[Delta]:
        return self._item(value).thought_done(_text(value.get("text")), None)

    def _nothing(self, value: dict[str, Any]) -> list[Delta]:
        return []

    # ----------------------------------------------------------------------------------------- the ending

    def _ended(self, value: dict[str, Any]) -> list[Delta]:
        response = _object(value.get("response"))
        if value.get("type") == events.FAILED:
            return self._fail(decode_failure(response))
        deltas = self._unseen(response.get("output"))
        deltas += [delta for item in self._items.values() for delta in item.close()]
        self._over = True
        if value.get("type") == events.INCOMPLETE:
            response = {**response, "status": "incomplete"}
        elif response.get("status") in (None, "in_progress", "queued"):
            response = {**response, "status": "completed"}
        reason, rest = decode_finish(response, self._parts.seen)
        rest |= difference(*(_settings(said) for said in (self._header, response)))
        deltas.append(Finish(reason=reason or "stop", extensions={NAME: rest} if rest else {}))
        usage = response.get("usage")
        if isinstance(usage, dict):
            deltas.append(UsageDelta(usage=decode_usage(usage)))
        return [*deltas, Done()]

    def _unseen(self, output: Any) -> list[Delta]:
        """Return the items that only the last event tells of, or tells the end of."""
        deltas: list[Delta] = []
        known = {item.id for item in self._items.values() if item.id}
        for at, said in enumerate(output if isinstance(output, list) else ()):
            unseen = at not in self._items and isinstance(said, dict) and said.get("id") not in known
            if unseen or (at in self._items and self._items[at].pending):
                deltas += self._done({"output_index": at, "item": said})
        return deltas


def _settings(response: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in response.items() if key not in _ENDING}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(value: dict[str, Any], key: str = "content_index") -> int:
    at = value.get(key)
    return at if isinstance(at, int) and not isinstance(at, bool) else 0


def _padding(value: dict[str, Any]) -> Extensions:
    padding = value.get("obfuscation")
    return {NAME: {"obfuscation": padding}} if isinstance(padding, str) else {}


_Reader = Callable[[ResponsesStreamDecoder, dict[str, Any]], list[Delta]]
_D: Final = ResponsesStreamDecoder
_READERS: Final[dict[str, _Reader]] = {
    events.CREATED: _D._started,
    events.QUEUED: _D._started,
    events.IN_PROGRESS: _D._started,
    events.ITEM_ADDED: _D._added,
    events.ITEM_DONE: _D._done,
    events.PART_ADDED: _D._part_added,
    events.PART_DONE: _D._part_done,
    events.TEXT_DELTA: _D._words,
    events.REFUSAL_DELTA: _D._words,
    events.TEXT_DONE: _D._words_done,
    events.REFUSAL_DONE: _D._words_done,
    events.ANNOTATION: _D._cited,
    events.ARGUMENTS_DELTA: _D._arguments,
    events.INPUT_DELTA: _D._arguments,
    events.ARGUMENTS_DONE: _D._arguments_done,
    events.INPUT_DONE: _D._arguments_done,
    events.SUMMARY_ADDED: _D._nothing,
    events.SUMMARY_DELTA: _D._summary,
    events.SUMMARY_TEXT_DONE: _D._summary_done,
    events.SUMMARY_DONE: _D._nothing,
    events.THOUGHT_DELTA: _D._thought,
    events.THOUGHT_DONE: _D._thought_done,
    events.COMPLETED: _D._ended,
    events.INCOMPLETE: _D._ended,
    events.FAILED: _D._ended,
}
