"""The canonical model as a dialect of its own: for providers and nested calls that speak no wire form.

Its bodies are the canonical structs as JSON, its streams one delta an event. It has no routes.
"""

from collections.abc import Sequence

import msgspec

from jackfield.api import (
    BadRequest,
    Dialect,
    Error,
    Event,
    Follower,
    Headers,
    Loss,
    ModelInfo,
    Needles,
    Operation,
    Request,
    Response,
    SessionSignals,
    StreamDecoder,
    StreamEncoder,
    Usage,
)
from jackfield.api.canonical import (
    Begin,
    Delta,
    Done,
    Finish,
    FinishReason,
    PartEnd,
    PartStart,
    StreamError,
    Text,
    TextDelta,
    UsageDelta,
)

_request = msgspec.json.Decoder(Request)
_response = msgspec.json.Decoder(Response)
_delta: msgspec.json.Decoder[Delta] = msgspec.json.Decoder(Delta)
_encode = msgspec.json.Encoder().encode


class CanonicalDialect(Dialect):
    """The canonical structs, said as they are."""

    name = "canonical"
    custom_tools = namespaces = True
    tool_name = tool_id = r"(?s:.*)"
    session = SessionSignals(cache=(("cache_key",),))
    needles = Needles(
        terminal=(b'"type":"done"', b'"type":"error"'), usage=(b'"usage":{',), error=(b'"type":"error"',), model=(("model",),)
    )

    def decode_request(self, raw: bytes, operation: Operation) -> Request:
        try:
            return _request.decode(raw)
        except ValueError as fault:
            raise BadRequest(str(fault)) from None

    def encode_request(self, request: Request, operation: Operation, losses: list[Loss]) -> bytes:
        return _encode(request)

    def decode_response(self, raw: bytes) -> Response:
        return _response.decode(raw)

    def encode_response(self, response: Response, losses: list[Loss]) -> bytes:
        return _encode(response)

    def decode_stream(self) -> StreamDecoder:
        return _Decoder()

    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        return _Encoder(self)

    def decode_error(self, status: int, headers: Headers, raw: bytes) -> Error:
        try:
            said = msgspec.json.decode(raw)
            return msgspec.convert(said.get("error", said), Error)
        except (ValueError, AttributeError):
            return Error(status=status, message=raw[:300].decode(errors="replace"))

    def encode_error(self, error: Error) -> bytes:
        return _encode(error)

    def encode_models(self, models: Sequence[ModelInfo]) -> bytes:
        return _encode(models)

    def encode_model(self, model: ModelInfo) -> bytes:
        return _encode(model)

    def decode_models(self, raw: bytes) -> list[ModelInfo]:
        return msgspec.json.decode(raw, type=list[ModelInfo])

    def follow(self) -> Follower:
        return _Follower(self)

    def commits(self, event: Event) -> bool:
        return not isinstance(_read(event), StreamError | None)

    def lifecycle(self, event: Event) -> bool:
        return isinstance(_read(event), Begin)

    def terminal(self, event: Event) -> bool:
        return isinstance(_read(event), Done | StreamError)

    def read(self, event: Event) -> Sequence[Delta]:
        delta = _read(event)
        return () if delta is None else (delta,)

    def with_text(self, event: Event, text: str) -> Event:
        return event.with_changes({("text",): text}) if isinstance(_read(event), TextDelta) else event


def _read(event: Event) -> Delta | None:
    try:
        return _delta.decode(event.data)
    except ValueError:
        return None


class _Decoder:
    """Reads one delta an event."""

    def feed(self, event: Event) -> Sequence[Delta]:
        return event.deltas

    def close(self) -> Sequence[Delta]:
        return ()


class _Encoder:
    """Writes one event a delta."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        return [self._dialect.event(delta) for delta in deltas]


class _Follower:
    """Knows which parts a client has seen start and not end."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._begun = False
        self._open: dict[tuple[int, int], bool] = {}
        self._dropped: set[tuple[int, int]] = set()
        self._finished: set[int] = set()
        self._next: dict[int, int] = {}
        self.complete = False

    def feed(self, event: Event) -> None:
        delta = next(iter(event.deltas), None)
        match delta:
            case Begin():
                self._begun = True
            case PartStart(choice=choice, index=index):
                self._open[choice, index] = True
                self._next[choice] = max(self._next.get(choice, 0), index + 1)
            case PartEnd(choice=choice, index=index):
                self._open.pop((choice, index), None)
            case Finish(choice=choice):
                self._finished.add(choice)
                self.complete = True

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        delta = next(iter(event.deltas), None)
        place = (getattr(delta, "choice", 0), getattr(delta, "index", None))
        if place in self._dropped and not added:
            return ()
        out = []
        if isinstance(delta, TextDelta) and place not in self._open:
            # The part is closed or never was: these words get one of their own.
            index = self._next.get(delta.choice, 0)
            start = PartStart(choice=delta.choice, index=index, part=Text(text=""))
            moved = msgspec.structs.replace(delta, index=index)
            out = [self._dialect.event(d) for d in (start, moved, PartEnd(choice=delta.choice, index=index))]
        else:
            out = [event]
        for leaving in out:
            self.feed(leaving)
        return out

    def drop(self, event: Event) -> Sequence[Event]:
        delta = next(iter(event.deltas), None)
        if isinstance(delta, PartStart):
            self._dropped.add((delta.choice, delta.index))
        elif isinstance(delta, PartEnd) and (delta.choice, delta.index) in self._open:
            return self.admit(event, added=True)
        return ()

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        deltas: list[Delta] = [PartEnd(choice=c, index=i) for c, i in self._open]
        choices = sorted(set(self._next) - self._finished) or ([] if self._finished else [0])
        deltas += [Finish(choice=choice, reason=reason) for choice in choices]
        if usage is not None:
            deltas.append(UsageDelta(usage=usage))
        return [self._dialect.event(delta) for delta in (*deltas, Done())]

    def fail(self, error: Error) -> Sequence[Event]:
        return [self._dialect.event(StreamError(error=error))]
