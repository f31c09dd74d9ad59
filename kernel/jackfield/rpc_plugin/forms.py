"""What a Python plugin sees in a process of its own: the protocol's JSON as the objects that its hooks see in the host, and what
it answers as the protocol's JSON. The inverse of `forms`.

What was not sent raises `NotSent` when it is asked for, in one sentence that says how to have it sent.
"""

import base64
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from jackfield.api import (
    Allow,
    Attempt,
    BadRequest,
    Body,
    Call,
    Candidate,
    Change,
    Dialect,
    End,
    Endpoint,
    Error,
    Event,
    Failure,
    Headers,
    NotDecoded,
    Outcome,
    Principal,
    Provider,
    Reject,
    Reply,
    Request,
    Response,
    Route,
    SessionSignals,
    StreamHead,
    failure,
)
from jackfield.api.canonical.sessions import Continuity
from jackfield.rpc import forms, wire

_request = msgspec.json.Decoder(Request).decode
_response = msgspec.json.Decoder(Response).decode
_encode = msgspec.json.Encoder().encode
_check = msgspec.json.Decoder(msgspec.Raw).decode
UNSET: Final = msgspec.UNSET


class NotSent(Exception):
    """Something was not sent to the plugin's process."""

    def __init__(self, what: str, need: str = "") -> None:
        how = f"have it sent by @hook(needs=[..., {need!r}])" if need else "nothing asks for it out of process"
        super().__init__(f"{what} is not sent to this process; {how}")


# ------------------------------------------------------------------------------------------------ what is seen


class _UnsentPairs(Headers):
    """Headers or a query that were not sent."""

    __slots__ = ()

    def _first(self) -> Mapping[str, str]:
        raise NotSent("headers and query", "headers")

    def all(self, name: str) -> tuple[str, ...]:
        raise NotSent("headers and query", "headers")

    def __iter__(self) -> Iterator[tuple[str, str]]:
        raise NotSent("headers and query", "headers")

    def __len__(self) -> int:
        raise NotSent("headers and query", "headers")


_UNSENT: Final = _UnsentPairs()


def pairs_seen(said: wire.Pairs, needs: forms.Needs) -> Headers:
    """Return headers as the plugin sees them."""
    return Headers(forms.pairs_of(said)) if "headers" in needs else _UNSENT


class SentBody(Body[Any]):
    """A body, in the forms in which it was sent."""

    __slots__ = ("_bytes", "_here", "_missing", "_read", "_said", "_sent", "_undecoded")

    def __init__(
        self,
        said: wire.Bodied,
        canonical: msgspec.Raw | msgspec.UnsetType,
        read: Callable[[msgspec.Raw], Any],
        *,
        missing: str = "",
        undecoded: wire.RpcError | None = None,
        sent: bool = True,
    ) -> None:
        """`read` decodes the canonical form; `missing` is the need without which there is none; `sent` tells whether bytes are."""
        super().__init__(media_type=said.media_type)
        self._said, self._sent, self._read, self._missing, self._undecoded = said, canonical, read, missing, undecoded
        self._bytes: bytes | None = None
        self._here = sent

    @property
    def source(self) -> bytes:
        """The bytes: as they came with the need `raw`, else the same JSON without line ends."""
        if not self._here:
            raise NotSent("the body", "body")
        if self._bytes is None:
            self._bytes = forms.bytes_of(self._said) or b""
        return self._bytes

    @property
    def canonical(self) -> Any:
        """The canonical form. Raises what the host met when it could not decode the body."""
        if self._canonical is None and self._undecoded is not None:
            told = self._undecoded.data or wire.Fault()
            message = self._undecoded.message
            raise NotDecoded(message) if told.code == "not_decoded" else BadRequest(message, told.param, told.code)
        if self._canonical is None and self._sent is not UNSET:
            self._canonical = self._read(self._sent)
        elif self._canonical is None and self._missing:
            raise NotSent("the canonical form", self._missing)
        return self._canonical

    request = response = canonical


class States:
    """The plugin's own data of calls that are going on; of very many, those that were begun last."""

    MOST: Final = 16_384

    def __init__(self) -> None:
        self._held: dict[str, dict[str, Any]] = {}

    def of(self, call: str) -> dict[str, Any]:
        """Return a call's."""
        if call not in self._held and len(self._held) >= self.MOST:
            del self._held[next(iter(self._held))]
        return self._held.setdefault(call, {})

    def forget(self, call: str) -> None:
        """A call is complete."""
        self._held.pop(call, None)


class SentCall(Call):
    """A call."""

    def __init__(self, said: wire.Call, needs: forms.Needs, states: States, own_body: bool = True) -> None:
        """`own_body` says that the hook is about the client's body: else it needs `client_body` to see that."""
        self.id, self.dialect, self.model, self.stream = said.id, said.dialect, said.model, said.stream
        self.operation: Any = said.operation
        self.method, self.path, self.key_query, self.depth = said.method, said.path, tuple(said.key_query), said.depth
        self.principal, self.route = Principal(name=said.principal), forms.route_of(said.route)
        self.headers, self.query = pairs_seen(said.headers, needs), pairs_seen(said.query, needs)
        self._said, self._needs, self._memory = said, needs, states
        sent = bool(needs & ({"body", "raw", "client_body"} if own_body else {"client_body"}))
        self.body = SentBody(said, said.request, _request, missing="request", undecoded=said.undecoded, sent=sent)
        if said.parent is not None:
            self.parent = SentCall(msgspec.structs.replace(_NOTHING_KNOWN, id=said.parent), frozenset(), states)

    @property
    def session(self) -> Any:
        """What tells this session from the principal's others."""
        return self._of_headers("session")

    @property
    def peer(self) -> Any:  # type: ignore[override]
        """The client's network address."""
        return self._of_headers("peer")

    def _of_headers(self, name: str) -> Any:
        if "headers" not in self._needs:
            raise NotSent(f"call.{name}", "headers")
        return getattr(self._said, name)

    @property
    def state(self) -> dict[str, Any]:
        """A place for the plugin's own data, in its process."""
        return self._memory.of(self.id)


_NOTHING_KNOWN: Final = wire.Call(id="", dialect="", operation="", model="", stream=False, principal="")


class SentDialect(Dialect):
    """A dialect of which this process knows the name: its codec is in the host alone."""

    def __init__(self, name: str, cache: tuple[tuple[str | int, ...], ...] = ()) -> None:
        self.name, self.session = name, SessionSignals(cache=cache)

    def decode_error(self, status: int, headers: Headers, raw: bytes) -> Error:
        """Read an upstream's error answer as most are written: `{"error": {"message", "code", "type"}}`."""
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            said = msgspec.json.decode(raw)
            told = said.get("error", said)
            about: Any = {"message": told} if isinstance(told, str) else {name: told.get(name) for name in ("message", "code", "type")}
            texts: Any = {name: str(value) for name, value in about.items() if value is not None}
            return Error(status=status, **texts)
        return Error(status=status, message=raw[:300].decode(errors="replace"))


def _not_here(name: str) -> Any:
    def refuse(self: Dialect, *arguments: object) -> Any:
        raise NotSent(f"the codec of {self.name!r} ({name})")

    return refuse


for _name in SentDialect.__abstractmethods__:
    setattr(SentDialect, _name, _not_here(_name))
SentDialect.__abstractmethods__ = frozenset()

dialect_named = lru_cache(maxsize=256)(SentDialect)


class SentProvider(Provider):
    """A provider of which this process knows what was sent."""

    def __init__(self, key: str, continuity: tuple[Continuity, ...]) -> None:
        self.key, self.continuity = key, continuity


class SentCandidate(Candidate):
    """A candidate, with figures as of the latest message."""

    __slots__ = ()

    def __init__(self, row: wire.Row) -> None:
        self.thinking = None
        self.take(row)

    def take(self, row: wire.Row) -> None:
        """Take what was told of it."""
        self.id, self.provider, self.credential, self.label = row.id, row.provider, row.credential, row.label
        self.model, self.tier, self.weight, self.account = row.model, row.tier, row.weight, _Figures(row)

    @property
    def health(self) -> str:
        """`ok`, or why it is passed over."""
        return str(self.account.health)


class _Figures:
    """What changes of a candidate."""

    def __init__(self, row: wire.Row) -> None:
        self.in_flight, self.latency, self.last_used = row.in_flight, row.latency, row.last_used
        self.quota, self.health = row.quota, row.health


class SentAttempt(Attempt):
    """An attempt."""

    def __init__(self, said: wire.Attempt, needs: forms.Needs, states: States, provider: Provider | None, own_body: bool = True) -> None:
        """`provider` is the plugin's own of that key; `own_body` says that the hook is about the attempt's body."""
        self.call, self.model, self.stream, self.number = SentCall(said.call, needs, states, False), said.model, said.stream, said.number
        about: Any = {"provider": said.provider, "credential": said.credential, "label": said.label, "model": said.model}
        self.candidate = SentCandidate(wire.Row(id=said.candidate, **about))
        places = tuple(msgspec.convert(place, Continuity) for place in said.continuity)
        self.provider = provider if provider is not None else SentProvider(said.provider, places)
        self.dialect = dialect_named(said.dialect, tuple(map(tuple, said.cache)))
        self.before = tuple(map(failed_seen, said.before))
        self.headers, self.query = pairs_seen(said.headers, needs), pairs_seen(said.query, needs)
        self.base_url, self.params = said.base_url, getattr(said, "params", {})
        if said.path is not None:
            self.endpoint = Endpoint(method=said.method, path="", operation=self.call.operation, upstream=said.path)
        sent = own_body and bool(needs & {"body", "raw"})
        self.body = SentBody(said, said.request, _request, missing="request", undecoded=said.undecoded, sent=sent)


def failed_seen(said: wire.Failed) -> Failure:
    """Return why an attempt failed."""
    return failure(said.cause, said.message, status=said.status, code=said.code, retry_after=said.retry_after)


def reply_seen(said: wire.Reply, needs: forms.Needs) -> Reply:
    """Return an answer."""
    told = failed_seen(said.failure) if said.failure is not None else None
    reply = Reply(status=said.status, headers=pairs_seen(said.headers, needs), failure=told)
    if said.stream:
        reply.stream = _unread()
    else:
        # An error has no canonical form, and neither have answers of some operations.
        reply.body = SentBody(said, said.response, _response, missing="" if "request" in needs else "request", sent=_bytes(needs))
    return reply


def _bytes(needs: forms.Needs) -> bool:
    return bool(needs & {"body", "raw"})


async def _unread() -> Any:
    raise NotSent("a stream as a whole")
    yield b""


def head_seen(said: wire.Head, needs: forms.Needs) -> StreamHead:
    """Return the head of a stream."""
    return StreamHead(status=said.status, headers=pairs_seen(said.headers, needs), model=said.model, provider=said.provider)


def outcome_seen(said: wire.Outcome, needs: forms.Needs) -> Outcome:
    """Return what came of a call."""
    told = said.explanation if "request" in needs else None
    fields = {name: getattr(said, name) for name in wire.Outcome.__struct_fields__ if name != "explanation"}
    return Outcome(**fields, explain=lambda: told if told is not None else _unexplained())


def _unexplained() -> Any:
    raise NotSent("the explanation", "request")


class SentEvent(Event, gc=False, eq=False):
    """An event of a stream: one that came, or one that the plugin made."""

    said: wire.Event = wire.Event(index=-1)
    needs: forms.Needs = frozenset()
    new: wire.NewEvent | None = None
    """How the host is to make it, of one that the plugin made."""

    @property
    def raw(self) -> bytes:
        """The event's bytes."""
        if self.said.raw is None or self.new is not None:
            raise NotSent("event.raw", "raw")
        return self.said.raw.encode()

    @property
    def data(self) -> bytes:
        """What the event carries."""
        if self.new is not None:
            if self.new.text is not None:
                raise NotSent("what an event with other words carries")
            return self.frame
        if "body" not in self.needs:
            raise NotSent("event.data", "body")
        return b"" if isinstance(self.said.data, msgspec.UnsetType) else bytes(self.said.data)

    @property
    def deltas(self) -> Sequence[Any]:
        """What the event says, in canonical words."""
        self._must_need("deltas")
        return self.said.deltas

    @property
    def text(self) -> str:
        """The words that this event adds."""
        if self.new is not None and self.new.text is not None:
            return self.new.text
        self._must_need("request", "event.text")
        return self.said.text

    @property
    def thinking(self) -> str:
        """The thoughts that this event adds."""
        self._must_need("request", "event.thinking")
        return self.said.thinking

    @property
    def arguments(self) -> str:
        """What this event adds to the arguments of tool calls."""
        self._must_need("request", "event.arguments")
        return self.said.arguments

    @property
    def usage(self) -> Any:
        """The token counts that this event reports."""
        self._must_need("request", "event.usage")
        return self.said.usage

    @property
    def finish(self) -> Any:
        """Why the answer ends, where this event says so."""
        self._must_need("request", "event.finish")
        return self.said.finish

    @property
    def error(self) -> Error | None:
        """The error that this event reports."""
        self._must_need("request", "event.error")
        return self.said.error

    def _must_need(self, need: str, what: str = "") -> None:
        if self.new is not None and self.new.text is None:
            raise NotSent("what an event says that the plugin made")
        if need not in self.needs:
            raise NotSent(what or f"event.{need}", need)

    def with_text(self, text: str) -> "SentEvent":
        """Return this event with its words replaced."""
        if self.new is not None and self.new.text is None:
            raise NotSent("where the words stand in an event that the plugin made")
        return msgspec.structs.replace(self, new=wire.NewEvent(text=text))

    @classmethod
    def build(cls, data: Any, name: str = "") -> "SentEvent":
        """Make a new event: `data` is bytes taken as they are, or anything that msgspec encodes as JSON."""
        raw = data if isinstance(data, bytes) else _encode(data)
        return cls(raw, name, new=_new_of(raw, name))


def _new_of(raw: bytes, name: str) -> wire.NewEvent:
    with contextlib.suppress(ValueError, RecursionError):
        _check(raw)
        return wire.NewEvent(data=msgspec.Raw(raw.translate(None, b"\r\n")), name=name)
    return wire.NewEvent(raw=raw.decode(), name=name)


def event_seen(said: wire.Event, needs: forms.Needs) -> SentEvent:
    """Return an event that came."""
    return SentEvent(b"", said.name, b"", said=said, needs=needs)


# ------------------------------------------------------------------------------------------------ what is answered


def new_event(event: Event, index: int) -> wire.NewEvent:
    """Return an event that a handler gives in answer to the one with an index."""
    if not isinstance(event, SentEvent):
        return _new_of(event.data, event.name)
    of = None if event.said.index in (index, -1) else event.said.index
    if event.new is None:
        return wire.NewEvent(same=True, of=of)
    return event.new if event.new.text is None else wire.NewEvent(text=event.new.text, of=of)


def event_answer(answer: Any, index: int) -> wire.EventAnswer | None:
    """Return what a handler answered to the event with an index. Raises `TypeError` for what it may not answer."""
    if answer is None:
        return None
    made = answer.events if isinstance(answer, End) else [answer] if isinstance(answer, Event) else answer
    if not isinstance(made, list | tuple) or not all(isinstance(event, Event) for event in made):
        raise TypeError(f"a handler answered {type(answer).__name__}; it may answer None, an event, a list of events, or End")
    events = [new_event(event, index) for event in made]
    return wire.EventAnswer(events=events, end=answer.finish if isinstance(answer, End) else None)


def exact_fields(raw: bytes) -> dict[str, Any]:
    """Return bytes as fields that give them again exactly: as JSON where that stands on one line, else as text or base64."""
    if b"\n" not in raw and b"\r" not in raw:
        with contextlib.suppress(ValueError, RecursionError):
            _check(raw)
            return {"body": msgspec.Raw(raw)}
    with contextlib.suppress(UnicodeDecodeError):
        return {"body_text": raw.decode()}
    return {"body_base64": base64.b64encode(raw).decode()}


def bytes_fields(raw: bytes) -> dict[str, Any]:
    """Return bytes as the fields of an item."""
    try:
        return {"raw": raw.decode()}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(raw).decode()}


def reply_said(reply: Reply) -> wire.Reply:
    """Return a whole answer. Raises `ValueError` for a stream."""
    if reply.stream is not None:
        raise ValueError("an answer that is streamed cannot be given here out of process")
    return wire.Reply(status=reply.status, headers=list(reply.headers), **answer_fields(reply))


def answer_fields(reply: Reply) -> dict[str, Any]:
    """Return the fields of a whole answer's body."""
    if reply.response is not None:
        return {"response": msgspec.Raw(_encode(reply.response))}
    body = reply.body
    if isinstance(body, Body):
        return {**exact_fields(body.raw), "media_type": body.media_type}
    return {} if body is None else exact_fields(body)


def change_said(change: Change | None) -> wire.Change | None:
    """Return a change."""
    if change is None:
        return None
    fields: dict[str, Any] = {} if change.body is None else exact_fields(change.body)
    for name in ("request", "response"):
        if (value := getattr(change, name)) is not None:
            fields[name] = msgspec.Raw(_encode(value))
    if change.respond is not None:
        given = change.respond
        fields["respond"] = reply_said(given if isinstance(given, Reply) else Reply(response=given))
    return wire.Change(
        set={pointer(path): msgspec.Raw(_encode(value)) for path, value in (change.set or {}).items()},
        remove=[pointer(path) for path in change.remove],
        headers=dict(change.headers or {}),
        **fields,
    )


def pointer(path: Sequence[str | int]) -> str:
    """Return a path as a JSON Pointer (RFC 6901)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def principal_said(answer: Principal | Reject | None) -> wire.Authenticated | None:
    """Return who calls, or why not."""
    if isinstance(answer, Principal):
        allow = None if answer.allow is None else _allow_said(answer.allow)
        who = wire.Principal(name=answer.name, tags=list(answer.tags), allow=allow, limits=dict(answer.limits))
        return wire.Authenticated(principal=who)
    return None if answer is None else wire.Authenticated(reject=answer.message)


def _allow_said(allow: Allow) -> wire.Allow:
    return wire.Allow(**{name: None if (told := getattr(allow, name)) is None else list(told) for name in wire.Allow.__struct_fields__})


def route_said(route: Route | None) -> wire.Route | None:
    """Return a router's decision."""
    if route is None:
        return None
    otherwise = [
        wire.Alternative(model=a.model, provider=a.provider, executor=a.executor, on=list(getattr(a, "on", ()))) for a in route.otherwise
    ]
    return wire.Route(model=route.model, provider=route.provider, executor=route.executor, reason=route.reason, otherwise=otherwise)
