"""What the tests of the dialect `anthropic.messages` share: recorded exchanges, events out of bytes, how JSON is compared, and a
client that is as strict as the strictest."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from pydantic import TypeAdapter, ValidationError

from jackfield.api import Event, Loss, Request, Response
from jackfield.api.canonical import Assembler, Delta
from jackfield_anthropic.messages import MessagesDialect

MESSAGES: Final = MessagesDialect()
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(BetaRawMessageStreamEvent)

Exchange = dict[str, Any]


@functools.lru_cache(maxsize=1)
def exchanges(folder: Path) -> tuple[Exchange, ...]:
    """Return every recorded exchange of the dialect."""
    return tuple(json.loads(path.read_bytes()) for path in sorted((folder / "anthropic.messages").glob("*.json")))


def exchange(folder: Path, name: str) -> Exchange:
    """Return the recorded exchange whose id ends in `name`."""
    found: Exchange = json.loads((folder / "anthropic.messages" / f"anthropic-messages-{name}.json").read_bytes())
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
    return [MESSAGES.event_type(frame, name, end) for frame, name, end in MESSAGES.framing.frames(whole)]


def event(kind: str, **members: Any) -> Event:
    """Make an event of a type."""
    return MESSAGES.event(json.dumps({"type": kind, **members}).encode(), kind)


def begin(**message: Any) -> Event:
    """Make the event with which an answer begins."""
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    usage = {"input_tokens": 3, "output_tokens": 1}
    return event("message_start", message={**whole, "stop_sequence": None, "usage": usage, **message})


def opens(index: int, kind: str = "text", **block: Any) -> Event:
    """Make the event with which a block begins."""
    usual: dict[str, Any] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"id": f"toolu_{index}", "name": "f", "input": {}},
    }
    return event("content_block_start", index=index, content_block={"type": kind, **usual.get(kind, {}), **block})


def adds(index: int, kind: str, **delta: Any) -> Event:
    """Make an event that adds to a block."""
    return event("content_block_delta", index=index, delta={"type": f"{kind}_delta", **delta})


def words(index: int, text: str) -> Event:
    """Make an event that adds words."""
    return adds(index, "text", text=text)


def closes(index: int) -> Event:
    """Make the event with which a block ends."""
    return event("content_block_stop", index=index)


def ends(reason: str | None = "end_turn", *, stop: str | None = None, **members: Any) -> Event:
    """Make the event that says why an answer ends."""
    return event("message_delta", **{"delta": {"stop_reason": reason, "stop_sequence": stop}, "usage": {"output_tokens": 5}, **members})


def over() -> Event:
    """Make the last event."""
    return event("message_stop")


def block(index: int, *texts: str) -> list[Event]:
    """Make the events of a block of words."""
    return [opens(index), *(words(index, text) for text in texts), closes(index)]


def answer(*content: Any, stop_reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    """Make a whole answer."""
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content), "stop_reason": stop_reason}
    return {**whole, "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 5}, **more}


def decoded(events: Iterable[Event]) -> list[Delta]:
    """Return all deltas of a stream."""
    decoder = MESSAGES.decode_stream()
    found = [delta for one in events for delta in decoder.feed(one)]
    return [*found, *decoder.close()]


def encoded(deltas: Sequence[Delta], *, together: bool = False, losses: list[Loss] | None = None) -> list[Event]:
    """Return the events for deltas that come one by one, or all together."""
    encoder = MESSAGES.encode_stream(Request(stream=True), losses if losses is not None else [])
    if together:
        return list(encoder.feed(deltas))
    return [made for delta in deltas for made in encoder.feed([delta])]


def assembled(events: Iterable[Event]) -> Response:
    """Return the whole answer that a stream amounts to."""
    assembler = Assembler()
    assembler.feed(decoded(events))
    assert assembler.done
    return assembler.response()


def read_request(body: Any) -> Request:
    """Decode a request given as JSON."""
    return MESSAGES.decode_request(json.dumps(body).encode(), "generate")


def write_request(request: Request) -> tuple[Any, list[Loss]]:
    """Encode a request; return its JSON and the losses."""
    losses: list[Loss] = []
    return json.loads(MESSAGES.encode_request(request, "generate", losses)), losses


def read_answer(body: Any) -> Response:
    """Decode a whole answer given as JSON."""
    return MESSAGES.decode_response(json.dumps(body).encode())


def write_answer(response: Response) -> tuple[Any, list[Loss]]:
    """Encode a whole answer; return its JSON and the losses."""
    losses: list[Loss] = []
    return json.loads(MESSAGES.encode_response(response, losses)), losses


class StrictClient:
    """Reads a stream as the strictest clients together do, and fails on anything that is not as the protocol says.

    Each event must be of the SDK's types; a message begins once and first; blocks come one after the other, numbered
    without gaps, each with its stop, and take only deltas of their own kind; why the answer ended comes once, after all blocks;
    nothing follows the end; what is sent back later has no empty text and no thought without a signature.
    """

    KINDS: Final = {"text": {"text_delta", "citations_delta"}, "thinking": {"thinking_delta", "signature_delta"}}

    def __init__(self, *, typed: bool = True) -> None:
        self._typed = typed
        self.content: list[dict[str, Any]] = []
        self.message: dict[str, Any] = {}
        self.stop_reason: str | None = None
        self.error: dict[str, Any] | None = None
        self.over = False
        self._open: dict[str, Any] | None = None
        self._json: list[str] = []

    def read(self, events: Iterable[Event]) -> StrictClient:
        """Take a whole stream."""
        for one in events:
            self._take(one)
        assert self.over, "the stream has no end"
        return self

    def _take(self, one: Event) -> None:
        assert not self.over, "something follows the end"
        said = json.loads(one.data)
        assert one.name == said["type"], "the event's name is not its type"
        if one.name in ("error", "ping"):
            self.error, self.over = (said["error"], True) if one.name == "error" else (None, False)
            return
        if self._typed:
            EVENT.validate_json(one.data, strict=True)
        if one.name == "message_start":
            assert not self.message, "the message begins twice"
            self.message = said["message"]
            assert self.message["content"] == []
            return
        assert self.message, f"{one.name} before the message begins"
        getattr(self, f"_{one.name}")(said)

    def _content_block_start(self, said: dict[str, Any]) -> None:
        assert self._open is None, "a block begins in a block"
        assert self.stop_reason is None, "a block begins after the end"
        assert said["index"] == len(self.content), "blocks have gaps"
        self._open, self._json = said["content_block"], []
        self.content.append(self._open)

    def _content_block_delta(self, said: dict[str, Any]) -> None:
        assert self._open is not None, "a delta without a block"
        assert said["index"] == len(self.content) - 1
        delta = said["delta"]
        kind = delta["type"]
        assert kind in self.KINDS.get(self._open["type"], {"input_json_delta", "compaction_delta"}), f"{kind} in {self._open['type']}"
        if kind == "input_json_delta":
            self._json.append(delta["partial_json"])
        elif kind == "citations_delta":
            self._open.setdefault("citations", []).append(delta["citation"])
        elif kind == "signature_delta":
            assert not self._open["signature"], "a thought is signed twice"
            self._open["signature"] = delta["signature"]
        elif kind in ("text_delta", "thinking_delta"):
            self._open[kind.removesuffix("_delta")] += delta[kind.removesuffix("_delta")]
        else:
            self._open["content"] = delta["content"]

    def _content_block_stop(self, said: dict[str, Any]) -> None:
        assert self._open is not None, "a stop without a block"
        assert said["index"] == len(self.content) - 1
        if any(self._json):
            self._open["input"] = json.loads("".join(self._json))
        assert self._open["type"] != "text" or self._open["text"] or self._open.get("citations"), "an empty text cannot be sent back"
        self._open = None

    def _message_delta(self, said: dict[str, Any]) -> None:
        assert self._open is None, "the answer ends within a block"
        assert self.stop_reason is None, "the answer ends twice"
        self.stop_reason = said["delta"]["stop_reason"]
        self.message |= {"stop_reason": self.stop_reason, "stop_sequence": said["delta"]["stop_sequence"], "usage": said["usage"]}

    def _message_stop(self, _: dict[str, Any]) -> None:
        assert self.stop_reason is not None, "nobody said why the answer ended"
        self.over = True

    @property
    def text(self) -> str:
        """All words."""
        return "".join(one["text"] for one in self.content if one["type"] == "text")


def strictly(events: Iterable[Event], *, typed: bool = True) -> StrictClient:
    """Read a stream as its strictest client would; older recordings are not of the SDK's present types."""
    return StrictClient(typed=typed).read(events)


def valid(body: Any) -> BetaMessage:
    """Return a whole answer as the SDK reads it; it must be of its types to the letter."""
    return BetaMessage.model_validate_json(json.dumps(body), strict=True)


def is_valid(body: Any) -> bool:
    """Tell whether a whole answer is of the SDK's present types."""
    try:
        valid(body)
    except ValidationError:
        return False
    return True


def normal(value: Any) -> Any:
    """Return JSON in the form in which two texts that mean the same are equal: null members count as absent, 1.0 is 1."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return where two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [line for key in keys for line in differences(before.get(key, "(absent)"), after.get(key, "(absent)"), f"{path}.{key}")]
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
    return [without_extensions(item) for item in value] if isinstance(value, list) else value


def extension_bytes(value: Any) -> int:
    """Return how many bytes of JSON stand in members named `extensions`."""
    if isinstance(value, dict):
        own = len(msgspec.json.encode(value["extensions"])) if "extensions" in value else 0
        return own + sum(extension_bytes(item) for key, item in value.items() if key != "extensions")
    return sum(map(extension_bytes, value)) if isinstance(value, list) else 0
