"""What the tests of the dialect `openai.responses` share: recorded exchanges, events out of bytes, and a strict client."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pydantic
from openai.types.responses import Response as SdkResponse
from openai.types.responses import ResponseStreamEvent

from jackfield.api import Event, Request, Response
from jackfield.api.canonical import (
    Assembler,
    Begin,
    Delta,
    Done,
    Finish,
    PartEnd,
    PartStart,
    Text,
    TextDelta,
    Usage,
    UsageDelta,
    play,
)
from jackfield_openai.responses import ResponsesDialect
from tests.plugins.openai.chat_wire import differences, extension_bytes, plain, without_extensions

__all__ = [
    "RESPONSES", "answer", "answers_of", "assembled", "check_answer", "check_stream", "decoded", "differences", "encoded", "event_of",
    "events_of", "exchange", "exchanges", "extension_bytes", "normal", "plain", "played", "read_answer", "read_request", "requests_of",
    "streams_of", "text_stream", "types_of", "without_extensions", "write_answer", "write_request",
]  # fmt: skip

RESPONSES = ResponsesDialect()

Exchange = dict[str, Any]


@functools.lru_cache(maxsize=1)
def exchanges(folder: Path) -> tuple[Exchange, ...]:
    """Return every recorded exchange of the dialect."""
    return tuple(json.loads(path.read_bytes()) for path in sorted((folder / "openai.responses").glob("*.json")))


def exchange(folder: Path, name: str) -> Exchange:
    """Return the recorded exchange whose id ends in `name`."""
    found: Exchange = json.loads((folder / "openai.responses" / f"openai-responses-{name}.json").read_bytes())
    return found


def requests_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield id and body of every recorded request."""
    for one in exchanges(folder):
        if one["request"]["body"] is not None:
            yield one["id"], one["request"]["body"]


def answers_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield id and body of every recorded whole answer that is no error."""
    for one in exchanges(folder):
        if one["response"].get("body") is not None and one["response"]["status"] < 400:
            yield one["id"], one["response"]["body"]


def streams_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield id and bytes of every recorded stream."""
    for one in exchanges(folder):
        if one["response"].get("sse"):
            yield one["id"], one["response"]["sse"].encode()


def events_of(raw: bytes) -> list[Event]:
    """Cut a whole stream into its events."""
    whole = raw if raw.endswith(b"\n\n") else raw + b"\n\n"
    return [RESPONSES.event_type(frame, name, end) for frame, name, end in RESPONSES.framing.frames(whole)]


def event_of(value: Any) -> Event:
    """Make an event out of its JSON, under the name of its type."""
    return RESPONSES.event(json.dumps(value).encode(), value.get("type", "") if isinstance(value, dict) else "")


def decoded(events: Iterable[Event]) -> list[Delta]:
    """Return all deltas of a stream."""
    decoder = RESPONSES.decode_stream()
    found = [delta for event in events for delta in decoder.feed(event)]
    return [*found, *decoder.close()]


def encoded(deltas: Sequence[Delta], request: Request | None = None, losses: list[Any] | None = None) -> list[Event]:
    """Return the events for deltas that come one by one."""
    encoder = RESPONSES.encode_stream(request or Request(stream=True), [] if losses is None else losses)
    return [event for delta in deltas for event in encoder.feed([delta])]


def played(response: Response, request: Request | None = None, losses: list[Any] | None = None) -> list[Event]:
    """Return the events of an answer as a stream."""
    return encoded(list(play(response)), request, losses)


def assembled(events: Iterable[Event]) -> Response:
    """Return the whole answer that a stream amounts to."""
    assembler = Assembler()
    assembler.feed(decoded(events))
    return assembler.response()


def read_request(body: Any) -> Request:
    """Decode a request given as JSON."""
    return RESPONSES.decode_request(json.dumps(body).encode(), "generate")


def write_request(request: Request) -> tuple[Any, list[Any]]:
    """Encode a request; return its JSON and the losses."""
    losses: list[Any] = []
    return json.loads(RESPONSES.encode_request(request, "generate", losses)), losses


def read_answer(body: Any) -> Response:
    """Decode a whole answer given as JSON."""
    return RESPONSES.decode_response(json.dumps(body).encode())


def write_answer(response: Response) -> tuple[Any, list[Any]]:
    """Encode a whole answer; return its JSON and the losses."""
    losses: list[Any] = []
    return json.loads(RESPONSES.encode_response(response, losses)), losses


def answer(*output: Any, **more: Any) -> dict[str, Any]:
    """Make a whole answer with the items given."""
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }
    return {
        "id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "model": "m", "output": list(output),
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage, **more,
    }  # fmt: skip


_EMPTY = ("annotations", "logprobs")


def normal(value: Any) -> Any:
    """Return JSON in the form in which two texts that mean the same are equal.

    Null members count as absent, and so do empty lists of annotations and token chances; 1.0 is 1.
    """
    if isinstance(value, dict):
        kept = {key: normal(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in kept.items() if not (key in _EMPTY and item == [])}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def types_of(events: Iterable[Event]) -> list[str]:
    """Return the types of events."""
    return [str(event.json["type"]) for event in events]


def text_stream(*words: str, model: str = "m") -> list[Event]:
    """Return the stream of an answer that is one text."""
    deltas: list[Delta] = [Begin(id="resp_1", model=model, created=7), PartStart(index=0, part=Text(text=""))]
    deltas += [TextDelta(index=0, text=word) for word in words]
    deltas += [PartEnd(index=0), Finish(reason="stop"), UsageDelta(usage=Usage(input=1, output=2)), Done()]
    return encoded(deltas)


# ------------------------------------------------------------------------------------------- a strict client

_answer_type: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(SdkResponse)
_event_type: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)


def check_answer(body: Any) -> None:
    """Read a whole answer as OpenAI's own types demand it: required members, the right type of each, unions by their tag."""
    _answer_type.validate_json(json.dumps(body), strict=True)


def check_stream(events: Sequence[Event], *, typed: bool = True) -> dict[str, Any]:
    """Read a stream as the strictest client does, and return its last event's answer. Fails on anything that is not as it should be."""
    values = [event.json for event in events]
    assert values, "an empty stream"
    assert [event.name for event in events] == [value["type"] for value in values], "events are named by their types"
    assert [value["sequence_number"] for value in values] == list(range(len(values))), "sequence numbers have gaps"
    if typed:
        for event in events:
            _event_type.validate_json(event.data, strict=True)
    assert values[0]["type"] == "response.created"
    assert values[-1]["type"] in ("response.completed", "response.incomplete", "response.failed"), "it does not end"
    assert len({value["response"]["id"] for value in values if "response" in value}) == 1, "the answer's id changes"
    client = _Client()
    for value in values[1:-1]:
        client.take(value)
    last: dict[str, Any] = values[-1]["response"]
    client.end(last)
    return last


class _Client:
    """Knows items and their parts, and that everything which begins also ends, in order."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.done: dict[int, Any] = {}
        self.parts: dict[tuple[int, str, int], str] = {}
        self.open: set[tuple[int, str, int]] = set()
        self.arguments: dict[int, str] = {}

    def take(self, value: dict[str, Any]) -> None:
        kind, at = value["type"], value.get("output_index")
        if at is None:
            assert kind in ("response.queued", "response.in_progress", "error"), kind
            return
        if kind == "response.output_item.added":
            assert at == len(self.items), "output indices have gaps"
            self.items.append(value["item"])
            self.arguments[at] = ""
            return
        assert at < len(self.items), f"{kind} before its item"
        assert at not in self.done, f"{kind} after its item"
        if kind == "response.output_item.done":
            self.finish(at, value["item"])
            return
        assert value.get("item_id", self.items[at].get("id")) == self.items[at].get("id"), "an item's id changes"
        self.part(kind, at, value)

    def part(self, kind: str, at: int, value: dict[str, Any]) -> None:
        place, number = ("summary", value["summary_index"]) if "summary_index" in value else ("content", value.get("content_index", 0))
        key = (at, place, number)
        if kind in ("response.content_part.added", "response.reasoning_summary_part.added"):
            assert number == len([k for k in self.parts if k[:2] == key[:2]]), "parts have gaps"
            assert not self.open, "a part begins within another"
            self.parts[key] = ""
            self.open.add(key)
        elif kind.endswith(("arguments.delta", "input.delta")):
            self.arguments[at] += value["delta"]
        elif kind.endswith(("arguments.done", "input.done")):
            assert value.get("arguments", value.get("input")) == self.arguments[at], "repeated arguments differ"
        elif kind.endswith(("text.delta", "refusal.delta")):
            assert key in self.open, "words outside of their part"
            self.parts[key] += value["delta"]
        elif kind.endswith(("text.done", "refusal.done")):
            assert value.get("text", value.get("refusal")) == self.parts[key], "repeated words differ"
        elif kind in ("response.content_part.done", "response.reasoning_summary_part.done"):
            assert value["part"].get("text", value["part"].get("refusal")) == self.parts[key], "a repeated part differs"
            self.open.remove(key)

    def finish(self, at: int, item: dict[str, Any]) -> None:
        assert item.get("id") == self.items[at].get("id"), "an item's id changes"
        assert not [key for key in self.open if key[0] == at], "an item ends before its parts"
        for place in ("content", "summary"):
            said = [part.get("text", part.get("refusal")) for part in item.get(place) or ()]
            seen = [self.parts[key] for key in sorted(self.parts) if key[:2] == (at, place)]
            assert said == seen, f"{place} of an item differs from what was said"
        if item["type"] in ("function_call", "custom_tool_call"):
            assert item.get("arguments", item.get("input")) == self.arguments[at]
        self.done[at] = item

    def end(self, response: dict[str, Any]) -> None:
        if response["status"] != "failed":
            assert len(self.done) == len(self.items), "an item was never done"
        assert response["output"] == [self.done[at] for at in sorted(self.done)], "the last event does not repeat the items"
