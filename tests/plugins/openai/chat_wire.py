"""What the tests of the dialect `openai.chat` share: recorded exchanges, events out of bytes, and how JSON is compared."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Event, Request, Response
from jackfield.api.canonical import Assembler, Delta
from jackfield_openai.chat import ChatDialect

CHAT = ChatDialect()

Exchange = dict[str, Any]


@functools.lru_cache(maxsize=1)
def exchanges(folder: Path) -> tuple[Exchange, ...]:
    """Return every recorded exchange of the dialect."""
    return tuple(json.loads(path.read_bytes()) for path in sorted((folder / "openai.chat").glob("*.json")))


def exchange(folder: Path, name: str) -> Exchange:
    """Return the recorded exchange whose id ends in `name`."""
    found: Exchange = json.loads((folder / "openai.chat" / f"openai-chat-{name}.json").read_bytes())
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
    return [CHAT.event_type(frame, name, end) for frame, name, end in CHAT.framing.frames(whole)]


def chunk_event(chunk: Any, name: str = "") -> Event:
    """Make an event out of a chunk's JSON."""
    return CHAT.event(json.dumps(chunk).encode(), name)


def stream(*chunks: Any, done: bool = True) -> list[Event]:
    """Make the events of a stream out of its chunks."""
    return [*map(chunk_event, chunks), *([CHAT.event(b"[DONE]")] if done else [])]


def chunk(delta: Any = None, *, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """Make a chunk with one choice."""
    choice = {"index": index, "delta": delta if delta is not None else {}, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **more}


def answer(message: Any, *, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    """Make a whole answer with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice], **more}


def decoded(events: Iterable[Event]) -> list[Delta]:
    """Return all deltas of a stream."""
    decoder = CHAT.decode_stream()
    found = [delta for event in events for delta in decoder.feed(event)]
    return [*found, *decoder.close()]


def encoded(deltas: Sequence[Delta], request: Request | None = None) -> list[Any]:
    """Return the JSON of the chunks for deltas that come one by one; the end marker is None."""
    encoder = CHAT.encode_stream(request or Request(stream=True, stream_usage=True), [])
    return [event.json for delta in deltas for event in encoder.feed([delta])]


def assembled(events: Iterable[Event]) -> Response:
    """Return the whole answer that a stream amounts to."""
    assembler = Assembler()
    assembler.feed(decoded(events))
    return assembler.response()


def read_request(body: Any) -> Request:
    """Decode a request given as JSON."""
    return CHAT.decode_request(json.dumps(body).encode(), "generate")


def write_request(request: Request) -> tuple[Any, list[Any]]:
    """Encode a request; return its JSON and the losses."""
    losses: list[Any] = []
    return json.loads(CHAT.encode_request(request, "generate", losses)), losses


def read_answer(body: Any) -> Response:
    """Decode a whole answer given as JSON."""
    return CHAT.decode_response(json.dumps(body).encode())


def write_answer(response: Response) -> tuple[Any, list[Any]]:
    """Encode a whole answer; return its JSON and the losses."""
    losses: list[Any] = []
    return json.loads(CHAT.encode_response(response, losses)), losses


def normal(value: Any) -> Any:
    """Return JSON in the form in which two texts that mean the same are equal.

    Null members count as absent, and so do empty lists of tool calls and annotations; 1.0 is 1.
    """
    if isinstance(value, dict):
        kept = {key: normal(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in kept.items() if not (key in ("tool_calls", "annotations") and item == [])}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return where two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in differences(before.get(key, "(absent)"), after.get(key, "(absent)"), f"{path}.{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [line for at, pair in enumerate(zip(before, after, strict=True)) for line in differences(*pair, f"{path}[{at}]")]
    return [] if before == after else [f"{path}: {str(before)[:150]} became {str(after)[:150]}"]


def plain(struct: msgspec.Struct) -> Any:
    """Return a canonical struct as JSON, without extensions."""
    return without_extensions(msgspec.json.decode(msgspec.json.encode(struct)))


def without_extensions(value: Any) -> Any:
    """Return JSON without members named `extensions`."""
    if isinstance(value, dict):
        return {key: without_extensions(item) for key, item in value.items() if key != "extensions"}
    if isinstance(value, list):
        return [without_extensions(item) for item in value]
    return value


def extension_bytes(value: Any) -> int:
    """Return how many bytes of JSON stand in members named `extensions`."""
    if isinstance(value, dict):
        own = len(msgspec.json.encode(value["extensions"])) if "extensions" in value else 0
        return own + sum(extension_bytes(item) for key, item in value.items() if key != "extensions")
    return sum(map(extension_bytes, value)) if isinstance(value, list) else 0
