"""What a plugin may ask of the host (requests to upstreams, calls of its own), and what it may serve through it."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol

import msgspec

from jackfield.api.body import Spooled
from jackfield.api.call import Call, Reply
from jackfield.api.canonical import Delta, Request, Response
from jackfield.api.canonical.models import ModelInfo
from jackfield.api.credential import Credential, CredentialState
from jackfield.api.event import Event
from jackfield.api.headers import Headers
from jackfield.api.state import StateStore


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on waiting, in seconds, 0 for none; None leaves one to the host's configuration (`timeouts`)."""

    connect: float | None = None
    first_byte: float | None = None
    """From the request's last byte to the answer's first."""
    idle: float | None = None
    """Between two reads of an answer."""
    total: float | None = None
    """Of a call: from its beginning to the last byte of its answer, all attempts included. Of a request: of it alone."""


class HttpRequest(msgspec.Struct, kw_only=True, gc=False):
    """One request to an upstream."""

    method: str = "POST"
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Spooled | None = None
    timeouts: Timeouts | None = None
    """For this request alone; they go before what holds for its provider."""
    credential: Credential | str | None = None
    """On whose behalf it is, as itself or by its id: the request goes through that credential's proxy. Its key is not sent
    along; an attempt's own requests need no such word."""


class HttpResponse(Protocol):
    """An upstream's answer. Whoever gets one reads it to its end or closes it."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """Return the whole body. Raises `CallError` when it breaks off or takes too long."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the body's bytes as they come, in pieces of any size."""

    async def aclose(self) -> None:
        """Let go of the connection; one whose answer was not read to its end is closed."""


class Nested(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a plugin makes: a canonical request, or a body in a dialect."""

    request: Request | None = None
    dialect: str = "canonical"
    body: bytes | dict[str, Any] | None = None
    model: str | None = None
    """The model's name, for dialects in which the path tells it and not the body."""
    operation: str = "generate"
    detached: bool = False
    """The call outlives the one that it was made in; it then belongs to the plugin."""
    timeouts: Timeouts | None = None
    """For this call; they go before what the configuration says of model and provider."""


class HostHttp(Protocol):
    """Requests through the host's connection pools. They carry no credential and reach no private address, and go through the
    proxy of the configuration, or of the credential that a request names."""

    async def request(self, request: HttpRequest) -> HttpResponse:
        """Send a request; the answer is read whole or iterated over. Raises `CallError` when there is none."""


class HostCredentials(Protocol):
    """What a plugin may know of credentials, and do with them. A plugin has a grant where the configuration names it."""

    def list(self) -> Sequence[str]:
        """Return the ids of all credentials that are in use; out of process as of a second ago at most, or of the look before."""

    async def get(self, id: str) -> Credential:
        """Return a credential: without a grant as `Credential.without_secrets` has it. Raises `CallError` (`unknown_credential`)."""

    async def runtime(self, id: str) -> CredentialState:
        """Return how a credential is: whether it rests and why, its quota, its figures. Raises `CallError` (`unknown_credential`)."""

    async def save(self, credentials: Sequence[Credential], source: str | None = None) -> None:
        """Keep credentials that belong together, all or none, and use them: by a source that can, the plugin's own before others.

        `source` names one. It is done also where the call ends in which it was asked. Raises `CallError` without a grant
        (`not_granted`), without such a source (`no_source`), and where that fails (`not_saved`).
        """


class HostInfo(msgspec.Struct, frozen=True, kw_only=True):
    """About the host."""

    version: str
    plugin: str
    """The id of the asking plugin."""
    capabilities: tuple[str, ...] = ()


class Host(Protocol):
    """The host as one plugin sees it. Handed to the plugin when it is built."""

    @property
    def http(self) -> HostHttp:
        """Requests through the host's connection pools."""

    @property
    def state(self) -> StateStore:
        """The shared store, under names of the plugin's own."""

    @property
    def credentials(self) -> HostCredentials:
        """What the plugin may know of credentials."""

    @property
    def log(self) -> logging.Logger:
        """The plugin's logger."""

    @property
    def info(self) -> HostInfo:
        """About the host, and the plugin's own id."""

    async def execute(self, call: Request | Nested) -> Response | Reply:
        """Make a call and return its answer: a `Response` to a canonical request, else a `Reply` in the dialect.

        Within a call it is a nested call: the routers and interceptors of every plugin that made it or one of its
        ancestors are skipped, it is cancelled with its parent, and it may be at most four deep. Else, or detached, it is
        a root call of the principal `plugin:<id>`, which the plugin's own router and interceptors do not see either. A
        body in a dialect need not say whether it is streamed: `execute` and `stream` decide. Raises `CallError` with the
        status, code and retry_after of the failure.
        """

    def stream(self, call: Request | Nested) -> AsyncIterator[Delta | Event]:
        """Make a call and iterate over its answer: deltas to a canonical request, else events of the dialect."""

    def models(self) -> Sequence[ModelInfo]:
        """Return the models that can be called now."""

    def spawn(self, work: Coroutine[Any, Any, object], name: str = "") -> None:
        """Run a task that belongs to the plugin: it is cancelled when the plugin closes, and its errors are logged under its name."""

    def clock(self) -> float:
        """Return the time in seconds, as the host sees it; it never goes back."""


class PluginRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP route of a plugin's own, from `register_routes`."""

    method: str = "GET"
    path: str
    """With `{name}` for one segment, `{path}` for any number of them; what they hold is in `call.params`."""
    access: Literal["client", "admin", "public"] = "client"
    """Who may ask: whoever may make calls; of those the ones whose principal has the tag `admin`; anybody. Without access rules
    local programs alone are served, whatever stands here."""
    handle: Callable[[Call], Awaitable[Reply]]
    """Answers a request: `call` has its method, path, params, query, headers, body and, but for a public route, principal. The answer has
    a status, headers (`Content-Type` is `application/json` unless it is set), and a body or a stream of bytes. Calls that it
    makes are nested ones."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command of the command line, from `register_commands`: `jackfield run NAME`."""

    name: str
    help: str
    run: Callable[[Sequence[str]], int | Awaitable[int]]
    """Takes the arguments, returns the exit code. Called in a thread; what it returns to be waited for is, on the event loop."""
