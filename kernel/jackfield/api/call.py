"""The types of one call: who asks, what is asked, each attempt to answer it, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jackfield.api.body import Body
from jackfield.api.canonical import Delta, Request, Response, Usage, parse_suffix
from jackfield.api.canonical.rules import judge
from jackfield.api.event import Event
from jackfield.api.failure import Cause, Failure
from jackfield.api.headers import Headers, Pairs
from jackfield.api.models import matches_any

if TYPE_CHECKING:
    from jackfield.api import Candidate, Dialect, Endpoint, HttpRequest, HttpResponse, Loss, Provider, Route, Translator
    from jackfield.api.canonical.fitting import Fitting
    from jackfield.api.canonical.rules import Rule

Fidelity = Literal["bytes", "edited", "canonical", "direct"]
"""How a body got to the upstream: as it came; with some paths changed; through the canonical model; by a direct translator."""


class Allow(msgspec.Struct, frozen=True, kw_only=True):
    """What a principal may call: patterns with `*` for any text. None allows everything of that kind."""

    models: tuple[str, ...] | None = None
    dialects: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None

    def model(self, name: str) -> bool:
        """Tell whether a model of that name may be called."""
        return self.models is None or matches_any(name, self.models)

    def refusal(self, model: str | None, dialect: str, operation: str) -> str | None:
        """Return why a call is not allowed, in a few words, or None when it is; without a model the others are judged alone.

        How much a model is to think, where its name says so, is nobody's business here.
        """
        plain = model and parse_suffix(model)[0]
        asked = (("dialect", dialect, self.dialects), ("operation", operation, self.operations), ("model", plain, self.models))
        known = ((what, name, allowed) for what, name, allowed in asked if name is not None and allowed is not None)
        return next((f"{what} {name!r}" for what, name, allowed in known if not matches_any(name, allowed)), None)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a call."""

    name: str
    tags: tuple[str, ...] = ()
    allow: Allow | None = None
    """None allows everything."""
    limits: Mapping[str, float] = {}
    """Limits by name. Provisional: nothing enforces any yet."""


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """What `authenticate` answers to a key that it knows to be wrong. The next plugin is still asked."""

    message: str = "invalid API key"


class Call:
    """One call of one model, from the client's request to the answer's last byte.

    - `id`: unique over restarts.
    - `dialect`: the client's, by its name.
    - `operation`: `generate`, `embed`, `count`; or `models`, `model`, `resource`.
    - `method`: of the request; `path`: likewise.
    - `key_query`: the query keys in which clients of this dialect send their key.

    Everything but `state` is read-only to plugins.
    """

    body: Body[Request] = Body(b"")
    model = ""
    """The name that the client asked for, always; `route` and `Attempt.model` hold what became of it."""
    stream = False
    principal = Principal(name="nobody")
    peer: str | None = None
    """The client's network address."""
    parent: Call | None = None
    """The call within which a plugin made this one."""
    depth = 0
    params: Mapping[str, str] = {}
    """What the path of a plugin's own route names."""
    route: Route | None = None
    """What a router decided."""

    def __init__(self, call_id: str, dialect: Dialect, endpoint: Endpoint, headers: Headers, query: Pairs) -> None:
        self.id, self.dialect, self.operation = call_id, dialect.name, endpoint.operation
        self.method, self.path, self.stream, self.key_query = endpoint.method, endpoint.path, endpoint.stream is True, dialect.key_query
        self._dialect, self._endpoint = dialect, endpoint
        self._full_headers, self._full_query = headers, query
        self.headers, self.query = headers, query  # those without keys take their place: see `hide_keys`
        self._states: dict[str, dict[str, Any]] = {}

    @property
    def request(self) -> Request:
        """The request in canonical words. Never None: an operation without a canonical form gives an empty one.

        Raises `BadRequest` for a body that is not valid, `NotDecoded` for one that is too large.
        """
        return self.body.canonical or _EMPTY_REQUEST

    @cached_property
    def session(self) -> str | None:
        """What tells this session from the principal's others, where the client says: a header or field that its dialect knows.

        The body is searched, not decoded.
        """
        source = self.body.source
        return self._dialect.session.find(self.headers, source if isinstance(source, bytes) else source.view())

    @cached_property
    def headers(self) -> Headers:
        """The client's headers. Keys and cookies are seen by `authenticate` alone."""
        return self.without_keys()[0]

    @cached_property
    def query(self) -> Pairs:
        """The query of the client's URL. Keys in it are seen by `authenticate` alone."""
        return self.without_keys()[1]

    def without_keys(self) -> tuple[Headers, Pairs]:
        """Return the client's headers and query without keys and cookies."""
        hidden = {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", *self._dialect.key_headers}
        headers = Headers(pair for pair in self._full_headers if pair[0].lower() not in hidden)
        return headers, Pairs(pair for pair in self._full_query if pair[0] not in self.key_query)

    def hide_keys(self) -> None:
        """From now on nobody sees the client's keys: it is known who calls."""
        del self.headers, self.query  # what is read next is made without them

    @property
    def state(self) -> dict[str, Any]:
        """A place for the calling plugin's own data, for the life of the call."""
        who = getattr(in_thread, "who", running.who)
        return self._states.setdefault(who.plugin if who is not None else "", {})

    def __repr__(self) -> str:
        return f"Call({self.id}, {self.dialect} {self.operation}, model={self.model!r}, stream={self.stream})"


_EMPTY_REQUEST = Request()


class Owner(msgspec.Struct, frozen=True):
    """Whose code runs: a plugin, and which hook of it."""

    plugin: str
    name: str


class Running(msgspec.Struct):
    """Whose code the event loop runs right now, and since when. The dispatcher keeps it; plugins have no use for it."""

    who: Any = None
    """An `Owner` or what has its attributes; None while no plugin's code runs."""
    since: int = 0
    """In nanoseconds of the performance counter."""


running = Running()
in_thread = threading.local()
"""Holds `who` in the threads of plugins' blocking hooks."""


class Attempt:
    """One try to have a call answered by one candidate. Read-only to plugins.

    - `call`: what is answered.
    - `candidate`: by whom; `provider`: whose it is.
    - `dialect`: the upstream's.
    - `model`: the upstream's name of the model.
    - `body`: until stage 8 in the client's dialect, after it in the upstream's.
    - `stream`: whether a stream was asked for.

    A provider reads `body` (in the upstream's dialect), `model`, `stream` and `headers`, and calls
    `send`.
    """

    base_url: str | None = None
    """The credential's own base URL, where it has one."""
    endpoint: Endpoint | None = None
    """The upstream route in that dialect; None where it has none for the operation."""
    number = 1
    before: tuple[Failure, ...] = ()
    """Why the attempts before this one failed."""
    headers, query = Headers(), Pairs()
    """What goes upstream: what the client's dialect lets through, and what hooks set."""
    fidelity: Fidelity = "bytes"
    losses: list[Loss] | None = None
    """None when nothing was looked at."""
    params: Mapping[str, str] = {}
    """What the client's path named, for a path upstream that names the same."""
    rulings: Sequence[Rule] = ()
    """What the operator says that the provider's errors mean, before what the provider says."""
    fitting: Fitting | None = None
    """How the request was made sayable in the upstream's dialect. For the kernel."""
    translator: Translator | None = None
    """The direct translator, where one translates. For the kernel."""
    _send: Callable[[HttpRequest], Any] | None = None

    def __init__(self, call: Call, provider: Provider, candidate: Candidate, dialect: Dialect) -> None:
        self.call, self.provider, self.candidate = call, provider, candidate
        self.dialect, self.model, self.body, self.stream = dialect, candidate.model, call.body, call.stream

    @property
    def request(self) -> Request:
        """The request in canonical words."""
        return self.body.canonical or _EMPTY_REQUEST

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer, or an error in a stream, means: by the operator's own rules, then by the provider's."""
        return judge(self, status, headers, body)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request to the provider through the host's connection pools, with the credential applied by the host.

        Raises `CallError` for everything that is not an answer: a refused or broken connection, a time-out,
        a URL outside of the provider's origins.
        """
        if self._send is None:
            raise RuntimeError("an attempt can send only while its provider executes it")
        return await self._send(request)  # type: ignore[no-any-return]


class Reply(msgspec.Struct, kw_only=True, gc=False):
    """An answer: a status with a whole body, or with a stream."""

    status: int = 200
    headers: Headers = Headers()
    body: Body[Response] | bytes | None = None
    response: Response | None = None
    """A canonical answer, for providers and interceptors that speak no wire form; encoded by the kernel."""
    stream: AsyncIterator[bytes | Event | Delta] | None = None
    """Bytes as they come from the wire, whole events, or canonical deltas. Closed by the kernel (`aclose`) in every case."""

    failure: Failure | None = None
    """What went wrong, for an answer that is an error."""

    @property
    def canonical(self) -> Response | None:
        """The answer in canonical words; None for streams and errors."""
        if self.failure is not None or self.response is not None:
            return self.response if self.failure is None else None
        return self.body.canonical if isinstance(self.body, Body) else None


class StreamHead(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a stream before its first event."""

    status: int
    headers: Headers
    model: str = ""
    """The upstream's name of the model."""
    provider: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a call."""

    status: Literal["succeeded", "failed", "rejected", "canceled"]
    """Answered; answered with an error, or broken off; refused by a plugin or a rule; the client left."""
    http_status: int
    """What the client was sent; 0 when nothing was."""
    cause: Cause | None = None
    message: str = ""
    usage: Usage | None = None
    attempts: int = 0
    provider: str | None = None
    credential: str | None = None
    model: str | None = None
    """The upstream's name of the model."""
    duration: float = 0.0
    """Seconds from the request to the answer's last byte."""
    first_byte: float | None = None
    """Seconds to the answer's first byte."""
    fidelity: Fidelity | None = None
    explain: Callable[[], Mapping[str, Any]] = dict
    """Tells, when called, which plugin decided what, which candidates were passed over and why, what each plugin cost
    and what translation lost."""
