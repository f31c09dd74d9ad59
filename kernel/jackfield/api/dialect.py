"""What a wire protocol is to the kernel: a dialect, one class of data and pure functions."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Literal, Protocol, Self

import msgspec

from jackfield.api.canonical import Begin, Delta, Error, FinishReason, Request, Response, Usage, UsageDelta
from jackfield.api.canonical.framing import SSE, Framing
from jackfield.api.canonical.ids import Ids
from jackfield.api.canonical.models import ModelInfo
from jackfield.api.canonical.sessions import SessionSignals
from jackfield.api.canonical.splice import Path
from jackfield.api.event import Event
from jackfield.api.headers import Headers

Operation = Literal["generate", "embed", "count", "compact", "models", "model", "resource", "ping", "route"]
"""What a request is about. `generate`, `embed`, `count` and `compact` are calls of one model and pass every stage; `models`
and `model` are queries that the host answers itself, `ping` one that it answers with nothing; `resource` names something
that an upstream minted; `route` is a plugin's own, which no dialect has."""

CALLS: frozenset[str] = frozenset({"generate", "embed", "count", "compact"})
"""The operations that call one model and pass every stage."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One route of a dialect, on both of its sides."""

    method: str = "POST"
    path: str
    """Where clients call it. `{model}` and `{id}` stand for one segment of the path."""
    operation: Operation
    upstream: str | None = None
    """The path below a provider's base URL, with the same placeholders and a query where it needs one; None: not called upstream."""
    model: Path | None = ("model",)
    """Where the model's name stands in the body; None when the path names it."""
    stream: Path | bool = False
    """Where the stream flag stands in the body, or what it is on this route."""
    when_header: str | None = None
    """The route is meant only when the request has this header. Such routes are asked first."""
    when_query: tuple[str, str] | None = None
    """The route is meant only when the query has this key with this value. Such routes are asked first."""
    framing: Framing | None = None
    """How a stream on this route is framed, where that differs from the dialect's own."""


class Needles(msgspec.Struct, frozen=True, kw_only=True):
    """Byte strings by which a stream is searched without being decoded; only events with a hit are."""

    terminal: tuple[bytes, ...] = ()
    """Some of these stand in every terminal event."""
    usage: tuple[bytes, ...] = ()
    """Some of these stand in every event that reports usage."""
    error: tuple[bytes, ...] = ()
    """Some of these stand in every event that reports an error."""
    model: tuple[Path, ...] = (("model",),)
    """Where the answer names its model, in events and in whole answers."""
    minted: tuple[bytes, ...] = ()
    """Some of these stand in every event in which `minted` finds something, but for a stream's first and its terminal one,
    which are read in any case."""
    tagged: tuple[bytes, ...] = (b"jf1.",)
    """Some of these stand in every request with a signature that `write_signature` tagged."""


class Loss(msgspec.Struct, frozen=True):
    """Something that a translation dropped, changed or invented."""

    path: str
    """The field, as the source writes it: `tools[0].strict`."""
    what: Literal["dropped", "changed", "invented"]
    why: str


class Repeat(msgspec.Struct, frozen=True):
    """A place in an event that repeats what increments of one part already said."""

    path: Path
    of: Literal["text", "thinking", "arguments"]
    choice: int
    index: int


class Glance(msgspec.Struct, frozen=True):
    """What a whole answer shows at one look."""

    usage: Usage | None = None
    error: Error | None = None
    """The answer is an error although its status says otherwise."""


class Follower(Protocol):
    """Knows what a client has been sent of one stream, so that the stream can be mended and ended.

    It is fed with the events that leave. It is asked for more only when a handler changed
    something or the stream must end early.
    """

    complete: bool
    """The answer has come to its end; at most the terminal event itself is missing."""

    def feed(self, event: Event) -> None:
        """Take note of an event that leaves as it came."""

    def admit(self, event: Event, added: bool) -> Sequence[Event]:
        """Return what leaves for an event after a change: renumbered, wrapped, or nothing where it has no place any more.

        `added` tells that a handler made the event; else it came from upstream, changed or not.
        """

    def drop(self, event: Event) -> Sequence[Event]:
        """Take note that a handler took out an event; return what must leave instead."""

    def finish(self, reason: FinishReason, usage: Usage | None) -> Sequence[Event]:
        """Return the events that end the answer here in good order, what is open closed first.

        Of an answer that is complete, only what is missing.
        """

    def fail(self, error: Error) -> Sequence[Event]:
        """Return the events that end the stream here with an error."""


class StreamDecoder(Protocol):
    """Turns the events of one stream into canonical deltas."""

    def feed(self, event: Event) -> Sequence[Delta]:
        """Return what an event says."""

    def close(self) -> Sequence[Delta]:
        """Return what is still to be said when the stream is over: ends of open parts, an end that the upstream left out."""


class StreamEncoder(Protocol):
    """Turns canonical deltas into the events of one stream."""

    def feed(self, deltas: Sequence[Delta]) -> Sequence[Event]:
        """Return the events for deltas that came together."""


class Dialect(ABC):
    """Base of all dialects. A subclass sets the data and writes the codec; everything is pure and keeps no state.

    Decoders raise `BadRequest` with the path of the offending field for a client's body, `ValueError`
    for an upstream's. Encoders add to `losses` what they could not say.
    """

    name: str
    """Such as `acme.chat`: the family, a dot, the protocol."""
    endpoints: Sequence[Endpoint] = ()
    framing: Framing = SSE
    needles: Needles = Needles()
    keepalive: bytes | None = None
    """What may stand between events to keep a connection alive; None where clients break on it."""
    request_headers: frozenset[str] = frozenset()
    """Client headers (lower case) that belong to the protocol and go upstream within the dialect."""
    request_query: frozenset[str] = frozenset()
    """Query keys that do so."""
    response_headers: frozenset[str] = frozenset()
    """Upstream headers (lower case) that a client of this dialect is shown."""
    key_headers: tuple[str, ...] = ()
    """Headers (lower case) in which this dialect's clients send their key, besides `authorization`."""
    key_query: tuple[str, ...] = ()
    """Query keys in which they do."""
    session: SessionSignals = SessionSignals()
    usage_at_start: bool = False
    """Its streams begin with token counts. Where the upstream has none by then, the kernel estimates them."""
    stateful: bool = False
    """Requests may name what an upstream minted: `minted` finds it in answers, `named` in requests."""
    stored: frozenset[str] = frozenset()
    """Members of a request, as the codec keeps them in its `extensions`, that stand for something a provider has stored."""
    notes: frozenset[str] = frozenset()
    """Members of the same, with dots between the steps of a path, that only tell in which form something canonical was said."""
    tool_name: str = r"[a-zA-Z0-9_-]{1,64}"
    """Regular expression that every tool's name must match. The kernel renames others for the upstream, and back."""
    tool_id: str = r"[a-zA-Z0-9_-]{1,64}"
    """The same for the ids of tool calls."""
    custom_tools: bool = False
    """Tools of kind `custom` can be said. Elsewhere the kernel makes functions of them that take one text, and calls back of these."""
    namespaces: bool = False
    """Tools may stand in namespaces. Elsewhere the kernel makes one name of both, and two of it again."""

    @abstractmethod
    def decode_request(self, raw: bytes, operation: Operation) -> Request:
        """Read a client's body. An operation without a canonical form gives an empty `Request`."""

    @abstractmethod
    def encode_request(self, request: Request, operation: Operation, losses: list[Loss]) -> bytes:
        """Write a body for an upstream."""

    @abstractmethod
    def decode_response(self, raw: bytes) -> Response:
        """Read an upstream's whole answer."""

    def encode_count(self, usage: Usage) -> bytes:
        """Write the answer to a request that asked for a count of tokens. Raises `NotImplementedError` where there is no such."""
        raise NotImplementedError(f"{self.name} has no counting of tokens")

    def decode_count(self, raw: bytes) -> Usage:
        """Read an upstream's count of tokens. Raises `ValueError`."""
        raise NotImplementedError(f"{self.name} has no counting of tokens")

    def refuses_signature(self, error: Error) -> bool:
        """Tell whether an error says that a signature in the request is not valid: then the kernel tries once without any."""
        return False

    def glance(self, raw: bytes) -> Glance:
        """Look at a whole answer that is passed on as it is, without decoding all of it. Raises `ValueError` when it is none.

        The default decodes it.
        """
        return Glance(self.decode_response(raw).usage)

    def minted(self, raw: bytes) -> Ids:
        """Return what a whole answer, or what an event carries, mints that later requests may name; nothing for what is not read.

        Asked only of a dialect that is `stateful`, for answers that go to a client of the same dialect. It should be quick.
        """
        return Ids()

    def named(self, raw: bytes, params: Mapping[str, str]) -> Ids:
        """Return what a request names of what was minted: in its body, which no one has decoded yet, and in its path.

        The latest stands first, and at most `MOST_NAMED` of each kind are told. `raw` may be a file that is mapped to memory.
        """
        return Ids()

    @abstractmethod
    def encode_response(self, response: Response, losses: list[Loss]) -> bytes:
        """Write a whole answer for a client."""

    @abstractmethod
    def decode_stream(self) -> StreamDecoder:
        """Return a decoder for a new stream."""

    @abstractmethod
    def encode_stream(self, request: Request, losses: list[Loss]) -> StreamEncoder:
        """Return an encoder for a new stream that answers `request`."""

    @abstractmethod
    def decode_error(self, status: int, headers: Headers, raw: bytes) -> Error:
        """Read an upstream's error answer, whatever it is."""

    @abstractmethod
    def encode_error(self, error: Error) -> bytes:
        """Write an error answer's body."""

    @abstractmethod
    def encode_models(self, models: Sequence[ModelInfo]) -> bytes:
        """Write the list of models."""

    @abstractmethod
    def encode_model(self, model: ModelInfo) -> bytes:
        """Write what is said of one model."""

    @abstractmethod
    def decode_models(self, raw: bytes) -> list[ModelInfo]:
        """Read an upstream's list of models."""

    @abstractmethod
    def follow(self) -> Follower:
        """Return a follower for a new stream."""

    @abstractmethod
    def terminal(self, event: Event) -> bool:
        """Tell whether nothing may follow this event."""

    def commits(self, event: Event) -> bool:
        """Tell whether this event is output: once it is sent another credential cannot take over.

        The default: everything but an error.
        """
        return event.error is None

    def lifecycle(self, event: Event) -> bool:
        """Tell whether this event only says that an answer begins or goes on, without a word of it.

        Such events may be held back for a moment: while nothing else came, an error can still be met with another attempt.
        The default: none is.
        """
        return False

    def ends(self, event: Event) -> bool:
        """Tell whether the answer's ending begins with this event: what is added must stand before it.

        The default: it is terminal or says why the answer ends.
        """
        return self.terminal(event) or event.finish is not None

    def read(self, event: Event) -> Sequence[Delta]:
        """Return what an event says, without knowing those before it.

        The default asks a fresh decoder, which must then cope with increments of parts that it saw no
        start of.
        """
        return self.decode_stream().feed(event)

    def usage_of(self, event: Event) -> Usage | None:
        """Return the token counts that an event reports. The default reads all that the event says."""
        return next((delta.usage for delta in reversed(event.deltas) if isinstance(delta, UsageDelta | Begin)), None)

    def with_text(self, event: Event, text: str) -> Event:
        """Return `event` with its words replaced.

        The default writes to the place that `text_path` names.
        """
        path = self.text_path(event)
        return event if path is None else event.with_changes({path: text})

    def text_path(self, event: Event) -> Path | None:
        """Return where the words that an event adds stand in its JSON; None when it adds none."""
        return None

    def repeats(self, event: Event) -> Sequence[Repeat]:
        """Return the places in an event that repeat what increments said; the kernel rewrites them when those were changed."""
        return ()

    @cached_property
    def family(self) -> str:
        """The models whose signatures this dialect carries: the dialect's name up to its dot."""
        return self.name.partition(".")[0]

    @cached_property
    def event_type(self) -> type[Event]:
        """The class of this dialect's events, in its own framing."""
        return self.event_class(self.framing)

    def framed(self, framing: Framing) -> Self:
        """Return this dialect as it is on a route with a framing of its own."""
        other = copy(self)
        other.__dict__.pop("event_type", None)
        other.framing = framing
        return other

    def event_class(self, framing: Framing) -> type[Event]:
        """Return a class of this dialect's events in the framing given."""
        said = {"dialect": self, "framing": framing}
        return msgspec.defstruct("Event", (), bases=(Event,), namespace=said, gc=False, eq=False)  # type: ignore[return-value]

    def event(self, data: Any, name: str = "") -> Event:
        """Make a new event of this dialect; `data` is bytes taken as they are, or anything that encodes as JSON."""
        return self.event_type.build(data, name)


Turned = Event | tuple[str, bytes]
"""An event of the client's dialect, or its name and what it carries."""
StreamTranslator = Callable[[Event | None], Iterable[Turned] | Awaitable[Iterable[Turned]]]
"""What turns the events of one stream; see `Translator.translate_stream`."""


class Translator(Protocol):
    """A direct way from one dialect to another, registered by a plugin; it wins over the way through the canonical model.

    Each method may be `def` or `async def`. Where one fails the canonical way is taken, as long as nothing of the answer has been
    sent. Provisional.
    """

    source: str
    """The client's dialect."""
    target: str
    """The upstream's dialect."""

    def translate_request(self, raw: bytes, losses: list[Loss]) -> bytes | Awaitable[bytes]:
        """Turn a client's body into an upstream's."""

    def translate_response(self, raw: bytes, losses: list[Loss]) -> bytes | Awaitable[bytes]:
        """Turn an upstream's whole answer into a client's."""

    def translate_stream(self, call_id: str, losses: list[Loss]) -> StreamTranslator:
        """Return what turns each upstream event into the client's; it is called with None where the upstream ends it.

        It may have a method `each` that is called instead: with all events of a read, and with none at the end. And it may have a
        method `aclose`, which is waited for when the stream is over, in every case.
        """
