"""A dialect for the tests, made to be hard on the contract: every event has a sequence number and an id, text stands in
numbered blocks, and `block_done` and `close` repeat what was already sent. `check_stream` is its strictest client.

    event: open        {"seq": 0, "id": "t-1", "model": "m"}
    event: block_open  {"seq": 1, "id": "t-1", "block": 0}
    event: words       {"seq": 2, "id": "t-1", "block": 0, "text": "Hello"}
    event: block_done  {"seq": 3, "id": "t-1", "block": 0, "text": "Hello"}
    event: close       {"seq": 4, "id": "t-1", "stop": "stop", "text": "Hello", "cost": {"in": 1, "out": 1}}
    event: oops        {"seq": 5, "id": "t-1", "why": "..."}          (ends a stream instead of `close`)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from jackfield.api import (
    BadRequest,
    Dialect,
    Endpoint,
    Error,
    Event,
    Follower,
    Glance,
    Headers,
    Loss,
    ModelInfo,
    Needles,
    Operation,
    Path,
    Repeat,
    Request,
    Response,
    StreamDecoder,
    StreamEncoder,
    Usage,
)
from jackfield.api.canonical import (
    Begin,
    Choice,
    Delta,
    Done,
    Finish,
    FinishReason,
    Message,
    PartEnd,
    PartStart,
    StreamError,
    Text,
    TextDelta,
    Tool,
    UsageDelta,
)


class ToyDialect(Dialect):
    """Requests are `{"model", "stream", "say": [{"who", "words"}], "tools": [name]}`."""

    name = "toy.talk"
    endpoints = (
        Endpoint(path="/toy/v1/talk", operation="generate", upstream="/talk", stream=("stream",)),
        Endpoint(path="/toy/v1/count", operation="count", upstream="/count"),
        Endpoint(path="/toy/v1/embed", operation="embed", upstream="/embed"),
        Endpoint(method="GET", path="/toy/v1/models", operation="models", upstream="/models", model=None),
        Endpoint(method="GET", path="/toy/v1/models/{id}", operation="model", model=None),
    )
    needles = Needles(terminal=(b"event: close", b"event: oops"), usage=(b'"cost"',), error=(b"event: oops",), model=(("model",),))
    keepalive = b": still here\n\n"
    request_headers = frozenset({"toy-feature"})
    request_query = frozenset({"beta"})
    response_headers = frozenset({"toy-request-id", "retry-after"})
    key_headers = ("toy-key",)
    key_query = ("key",)

    def decode_request(self, raw: bytes, operation: Operation) -> Request:
        if operation != "generate":
            return Request()
        said = _object(raw)
        turns = said.get("say")
        if not isinstance(turns, list):
            raise BadRequest("say must be a list", "say")
        for at, turn in enumerate(turns):
            if not isinstance(turn, dict) or turn.get("who") not in ("user", "assistant", "system"):
                raise BadRequest("who must be user, assistant or system", f"say[{at}].who")
        return Request(
            model=said.get("model", ""),
            messages=tuple(Message(role=t["who"], parts=(Text(text=t["words"]),)) for t in turns),
            tools=tuple(Tool(name=name) for name in said.get("tools", ())),
            stream=bool(said.get("stream")),
        )

    def encode_request(self, request: Request, operation: Operation, losses: list[Loss]) -> bytes:
        if request.sampling.temperature is not None:
            losses.append(Loss("sampling.temperature", "dropped", "the toy knows no temperature"))
        said: dict[str, Any] = {"model": request.model, "stream": request.stream}
        said["say"] = [{"who": m.role, "words": m.text} for m in request.messages]
        if request.tools:
            said["tools"] = [tool.name for tool in request.tools]
        return msgspec.json.encode(said)

    def decode_response(self, raw: bytes) -> Response:
        said = _answer(raw)
        cost = said.get("cost")
        parts = tuple(Text(text=block["text"]) for block in said["blocks"])
        return Response(
            id=said["id"],
            model=said["model"],
            choices=(Choice(message=Message(role="assistant", parts=parts), finish=said["stop"]),),
            usage=Usage(input=cost["in"], output=cost["out"]) if cost else None,
        )

    def encode_response(self, response: Response, losses: list[Loss]) -> bytes:
        choice = response.choices[0]
        said: dict[str, Any] = {"id": response.id or "t-0", "model": response.model}
        said["blocks"] = [{"text": part.text} for part in choice.message.parts if isinstance(part, Text)]
        said["stop"] = choice.finish or "stop"
        if response.usage is not None:
            said["cost"] = {"in": response.usage.input, "out": response.usage.output}
        return msgspec.json.encode(said)

    def glance(self, raw: bytes) -> Glance:
        said = _object(raw)
        if "oops" in said:
            return Glance(error=Error(status=502, message=str(said["oops"])))
        if "blocks" not in said and "vectors" not in said and "tokens" not in said:
            raise ValueError("no answer")
        cost = said.get("cost")
        return Glance(Usage(input=cost["in"], output=cost["out"]) if cost else None)

    def decode_stream(self) -> StreamDecoder:
        return _Decoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        return _Encoder(self)

    def decode_error(self, status: int, headers: Headers, raw: bytes) -> Error:
        try:
            said = _object(raw)
        except ValueError:
            return Error(status=status, message=raw[:200].decode(errors="replace"))
        return Error(status=status, message=str(said.get("oops", said)), code=said.get("code"))

    def encode_error(self, error: Error) -> bytes:
        return msgspec.json.encode({"oops": error.message, "code": error.code, "field": error.param, "status": error.status})

    def encode_models(self, models: Sequence[ModelInfo]) -> bytes:
        return msgspec.json.encode({"models": [m.id for m in models]})

    def encode_model(self, model: ModelInfo) -> bytes:
        return msgspec.json.encode({"model": model.id})

    def decode_models(self, raw: bytes) -> list[ModelInfo]:
        return [ModelInfo(id=name) for name in _object(raw)["models"]]

    def follow(self) -> Follower:
        return _Follower(self)

    def terminal(self, event: Event) -> bool:
        return event.name in ("close", "oops")

    def ends(self, event: Event) -> bool:
        return event.name in ("close", "oops")

    def text_path(self, event: Event) -> Path | None:
        return ("text",) if event.name == "words" else None

    def repeats(self, event: Event) -> Sequence[Repeat]:
        if event.name == "block_done":
            return (Repeat(("text",), "text", 0, event.json["block"]),)
        return ()


def _object(raw: bytes) -> dict[str, Any]:
    said = msgspec.json.decode(raw)
    if not isinstance(said, dict):
        raise ValueError("not an object")
    return said


def _answer(raw: bytes) -> dict[str, Any]:
    said = _object(raw)
    if "blocks" not in said:
        raise ValueError("no blocks")
    return said


class _Decoder:
    def __init__(self) -> None:
        self._open: set[int] = set()

    def feed(self, event: Event) -> Sequence[Delta]:
        said = event.json if isinstance(event.json, dict) else {}
        match event.name:
            case "open":
                return (Begin(id=said["id"], model=said["model"]),)
            case "block_open":
                return (PartStart(index=said["block"], part=Text(text="")),)
            case "words":
                return (TextDelta(index=said["block"], text=said["text"]),)
            case "block_done":
                return (PartEnd(index=said["block"]),)
            case "close":
                cost = said.get("cost")
                usage = [UsageDelta(usage=Usage(input=cost["in"], output=cost["out"]))] if cost else []
                return (Finish(reason=said["stop"]), *usage, Done())
            case "oops":
                return (StreamError(error=Error(status=500, message=said.get("why", ""), code=said.get("code"))),)
        return ()

    def close(self) -> Sequence[Delta]:
        return ()


class _Encoder:
    def __init__(self, dialect: ToyDialect) -> None:
        self._dialect = dialect
        self._id = "t-0"
        self._seq = 0
        self._texts: dict[int, str] = {}
        self._cost: dict[str, int] | None = None
        self._stop = "stop"
        self._open: int | None = None

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        made: list[Event] = []
        for delta in deltas:
            match delta:
                case Begin(id=id_, model=model):
                    self._id = id_ or "t-0"
                    made.append(self._event("open", model=model))
                case PartStart(index=index, part=part):
                    self._texts[index], self._open = "", index
                    made.append(self._event("block_open", block=index))
                    if isinstance(part, Text) and part.text:
                        made.append(self._words(index, part.text))
                case TextDelta(index=index, text=text):
                    made.append(self._words(index, text))
                case PartEnd(index=index):
                    made.append(self._done(index))
                case UsageDelta(usage=usage):
                    self._cost = {"in": usage.input, "out": usage.output}
                case Finish(reason=reason):
                    self._stop = reason
                case Done():
                    cost = {"cost": self._cost} if self._cost else {}
                    made.append(self._event("close", stop=self._stop, text="".join(self._texts.values()), **cost))
                case StreamError(error=error):
                    if self._open is not None:
                        made.append(self._done(self._open))
                    made.append(self._event("oops", why=error.message))
        return made

    def _done(self, index: int) -> Event:
        self._open = None
        return self._event("block_done", block=index, text=self._texts[index])

    def _words(self, index: int, text: str) -> Event:
        self._texts[index] += text
        return self._event("words", block=index, text=text)

    def _event(self, name: str, **fields: Any) -> Event:
        event = self._dialect.event({"seq": self._seq, "id": self._id, **fields}, name)
        self._seq += 1
        return event


class _Follower:
    """Keeps numbers without gaps, blocks in order, and repeated text true, whatever was dropped or added."""

    def __init__(self, dialect: ToyDialect) -> None:
        self._dialect = dialect
        self._seq = 0
        self._id = "t-0"
        self._open: int | None = None
        self._blocks = 0
        self._texts: dict[int, str] = {}
        self._moved: dict[int, int] = {}
        self._dropped: set[int] = set()
        self.complete = False

    def feed(self, event: Event) -> None:
        said = event.json
        self._seq = said["seq"] + 1
        self._note(event.name, said)

    def _note(self, name: str, said: dict[str, Any]) -> None:
        self._id = said.get("id", self._id)
        match name:
            case "block_open":
                self._open = said["block"]
                self._blocks = max(self._blocks, said["block"] + 1)
                self._texts[said["block"]] = ""
            case "words":
                self._texts[said["block"]] += said["text"]
            case "block_done":
                self._open = None

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        said = dict(event.json)
        block = said.get("block")
        if not added and block in self._dropped:
            return ()
        if event.name == "block_open":
            self._moved[said["block"]] = said["block"] = self._blocks
            return [self._sent("block_open", said)]
        if block is not None:
            said["block"] = self._moved.get(block, block)
        if event.name == "words" and self._open != said["block"]:
            return self._own_block(said["text"])
        if event.name == "close":
            said["text"] = "".join(self._texts.values())
        return [self._sent(event.name, said)]

    def _own_block(self, text: str) -> list[Event]:
        closing = [] if self._open is None else [self._sent("block_done", {"block": self._open, "text": self._texts[self._open]})]
        block = self._blocks
        opened = self._sent("block_open", {"block": block})
        words = self._sent("words", {"block": block, "text": text})
        return [*closing, opened, words, self._sent("block_done", {"block": block, "text": text})]

    def drop(self, event: Event) -> Sequence[Event]:
        if event.name == "block_open":
            self._dropped.add(event.json["block"])
        if event.name in ("open", "close", "oops") or (event.name == "block_done" and event.json["block"] not in self._dropped):
            return self.admit(event, added=False)  # without these no client could read the stream
        return ()

    def _sent(self, name: str, said: dict[str, Any]) -> Event:
        said = {**said, "seq": self._seq, "id": self._id}
        self._seq += 1
        self._note(name, said)
        return self._dialect.event(said, name)

    def _close_block(self) -> list[Event]:
        if self._open is None:
            return []
        return [self._sent("block_done", {"block": self._open, "text": self._texts[self._open]})]

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        closing = self._close_block()
        cost = {"cost": {"in": usage.input, "out": usage.output}} if usage else {}
        return [*closing, self._sent("close", {"stop": reason, "text": "".join(self._texts.values()), **cost})]

    def fail(self, error: Error) -> Sequence[Event]:
        return [*self._close_block(), self._sent("oops", {"why": error.message, "code": error.code})]


def read_stream(raw: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a stream as pairs of name and data."""
    found = []
    for block in raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in lines:
            found.append((lines.get("event", ""), json.loads(lines["data"])))
    return found


def check_stream(raw: bytes) -> str:
    """Read a stream as its strictest client would, and return its text. Fails on anything that is not as the protocol says."""
    events = read_stream(raw)
    assert events, "an empty stream"
    assert [said["seq"] for _, said in events] == list(range(len(events))), "sequence numbers have gaps"
    assert len({said["id"] for _, said in events}) == 1, "ids differ"
    assert events[0][0] == "open"
    assert events[-1][0] in ("close", "oops")
    open_block, texts, count = None, {}, 0
    for name, said in events[1:-1]:
        match name:
            case "block_open":
                assert open_block is None, "a block opens in a block"
                assert said["block"] == count, "block numbers have gaps"
                open_block, count = said["block"], count + 1
                texts[open_block] = ""
            case "words":
                assert said["block"] == open_block, "words outside of their block"
                texts[open_block] += said["text"]
            case "block_done":
                assert said["block"] == open_block, "a block ends that is not open"
                assert said["text"] == texts[open_block], "the repeated text is not the one that was sent"
                open_block = None
            case _:
                raise AssertionError(f"an event {name!r} in the middle")
    assert open_block is None, "a block was left open"
    whole = "".join(texts.values())
    if events[-1][0] == "close":
        assert events[-1][1]["text"] == whole, "the whole text is not the one that was sent"
    return whole


def stream_of(*blocks: Sequence[str], model: str = "m", id_: str = "t-1") -> bytes:
    """Return the bytes of a stream that says these blocks, word by word."""
    encoder = _Encoder(ToyDialect())
    deltas: list[Delta] = [Begin(id=id_, model=model)]
    for index, words in enumerate(blocks):
        deltas += [PartStart(index=index, part=Text(text="")), *(TextDelta(index=index, text=w) for w in words), PartEnd(index=index)]
    deltas += [Finish(reason="stop"), UsageDelta(usage=Usage(input=3, output=5)), Done()]
    return b"".join(event.raw for event in encoder.feed(deltas))
