"""What the tests of the dialect `gemini.generate` share: recorded exchanges, events out of bytes, and how JSON is compared."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from jackfield.api import Event, Request, Response
from jackfield.api.canonical import Assembler, Delta
from jackfield.api.canonical.codec import standard_base64
from jackfield_gemini.generate import GenerateDialect
from jackfield_gemini.generate.framing import JSON_ARRAY
from jackfield_gemini.generate.names import camel

GEMINI = GenerateDialect()
ARRAY = GEMINI.framed(JSON_ARRAY)
"""The dialect as it is on the route without `alt=sse`."""

REFUSED = "gemini-generate-opentelemetry-py-69bc067f156c"
"""A request that Google refused, for a speaker that there is not; so does the dialect."""


@functools.cache
def exchanges(folder: Path) -> list[Any]:
    """Return all recorded exchanges of the dialect."""
    return [json.loads(file.read_bytes()) for file in sorted((folder / "gemini.generate").glob("*.json"))]


def requests_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Return the names and bodies of all recorded requests."""
    for one in exchanges(folder):
        if one["request"]["body"] is not None and one["id"] != REFUSED:
            yield one["id"], one["request"]["body"]


def answers_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """Return the names and bodies of all recorded whole answers."""
    for one in exchanges(folder):
        body = one["response"].get("body")
        if one["response"]["status"] == 200 and isinstance(body, dict):
            yield one["id"], body


def streams_of(folder: Path) -> Iterator[tuple[str, list[Event]]]:
    """Return the names and events of all recorded streams, in either framing."""
    for one in exchanges(folder):
        said = one["response"]
        if isinstance(said.get("body"), list):
            yield one["id"], array_events(json.dumps(said["body"], indent=1).encode())
        elif said.get("sse"):
            yield one["id"], events_of(said["sse"].encode())


def events_of(raw: bytes) -> list[Event]:
    """Cut the bytes of a whole stream of server-sent events into its events."""
    whole = raw if raw.endswith((b"\n\n", b"\r\n\r\n")) else raw + b"\n\n"
    return [GEMINI.event_type(frame, name, end) for frame, name, end in GEMINI.framing.frames(whole)]


def array_events(raw: bytes) -> list[Event]:
    """Cut a JSON array into its events."""
    return [ARRAY.event_type(frame, name, end) for frame, name, end in JSON_ARRAY.frames(JSON_ARRAY.splitter().feed(raw))]


def chunk(*parts: Any, finish: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """Make a chunk with one candidate; a part that is a text is words."""
    made = [{"text": part} if isinstance(part, str) else part for part in parts]
    candidate: dict[str, Any] = {"content": {"parts": made, "role": "model"}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r-1", **more}


def stream(*chunks: Any) -> list[Event]:
    """Make the events of a stream out of its chunks."""
    return [GEMINI.event(json.dumps(one).encode()) for one in chunks]


def decoded(events: Iterable[Event]) -> list[Delta]:
    """Return all deltas of a stream."""
    decoder = GEMINI.decode_stream()
    found = [delta for event in events for delta in decoder.feed(event)]
    return [*found, *decoder.close()]


def encoded(deltas: Sequence[Delta], *, together: bool = False, dialect: GenerateDialect = GEMINI) -> list[Any]:
    """Return the JSON of the chunks for deltas that come one by one, or all at once."""
    encoder = dialect.encode_stream(Request(stream=True), [])
    batches: list[Sequence[Delta]] = [deltas] if together else [[delta] for delta in deltas]
    return [event.json for batch in batches for event in encoder.feed(batch)]


def assembled(events: Iterable[Event]) -> Response:
    """Return the whole answer that a stream amounts to."""
    return whole(decoded(events))


def whole(deltas: Iterable[Delta]) -> Response:
    """Return the whole answer that deltas amount to; they must be complete."""
    assembler = Assembler()
    assembler.feed(deltas)
    assert assembler.error is None, assembler.error
    assert assembler.done
    return assembler.response()


def read_request(body: Any, operation: Any = "generate") -> Request:
    """Decode a request given as JSON."""
    return GEMINI.decode_request(json.dumps(body).encode(), operation)


def write_request(request: Request, operation: Any = "generate") -> tuple[Any, list[Any]]:
    """Encode a request; return its JSON and the losses."""
    losses: list[Any] = []
    return json.loads(GEMINI.encode_request(request, operation, losses)), losses


def read_answer(body: Any) -> Response:
    """Decode a whole answer given as JSON."""
    return GEMINI.decode_response(json.dumps(body).encode())


def write_answer(response: Response) -> tuple[Any, list[Any]]:
    """Encode a whole answer; return its JSON and the losses."""
    losses: list[Any] = []
    return json.loads(GEMINI.encode_response(response, losses)), losses


_BASE64 = ("data", "thoughtSignature")
_THEIRS = ("args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema", "labels")
"""Members whose names within are the caller's own."""


def normal(value: Any) -> Any:
    """Return JSON in the form in which two texts that mean the same to Google's servers are equal.

    Names in camel case, a list where one thing stands for it, base64 in the standard alphabet, 1.0 as 1; null members count
    as absent.
    """
    if isinstance(value, dict):
        return {camel(key): _member(camel(key), item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _member(key: str, value: Any) -> Any:
    if key in _THEIRS:
        return plain_numbers(value)
    if key in ("tools", "contents") and isinstance(value, dict):
        value = [value]
    if key in _BASE64 and isinstance(value, str) and re.fullmatch(r"[\w+/=-]*", value):
        return standard_base64(value)
    return normal(value)


def plain_numbers(value: Any) -> Any:
    """Return JSON with 1.0 as 1, names as they are."""
    if isinstance(value, dict):
        return {key: plain_numbers(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [plain_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


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
