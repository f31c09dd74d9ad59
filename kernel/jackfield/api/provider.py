"""Providers: who answers calls. `HttpProvider` does all of it from data; each step can be overridden."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, Protocol
from urllib.parse import quote, urlencode, urlsplit

from jackfield.api.call import Attempt, Reply
from jackfield.api.canonical.flavour import Flavour
from jackfield.api.canonical.hints import QuotaHeaders
from jackfield.api.canonical.models import ModelInfo
from jackfield.api.canonical.rules import Rule, classify, read_error
from jackfield.api.canonical.sessions import Continuity
from jackfield.api.credential import Credential, Secret
from jackfield.api.dialect import Dialect, Operation
from jackfield.api.failure import CallError, Failure, failure
from jackfield.api.headers import Headers
from jackfield.api.host import HttpRequest, HttpResponse, Timeouts

Streams = Literal["both", "only", "never"]
"""Whether a provider streams: as asked; always (a whole answer is assembled); never (the stream is played)."""

Serves = Literal["own_client", "any"]
"""Whom a provider lets its accounts serve: its own client programs only, or any."""


class Auth(Protocol):
    """How a secret is put on a request. The host applies it, after it has checked where the request goes."""

    env: Sequence[str]
    """Environment variables that hold a key, in order; the first that is set makes a credential."""

    def headers(self, secret: Secret) -> Sequence[tuple[str, str]]:
        """Return the headers that carry the secret."""


def _names(said: str | Sequence[str]) -> tuple[str, ...]:
    """Return one name or several as a tuple; a text is one, although it is a sequence of texts too."""
    return (said,) if isinstance(said, str) else tuple(said)


class Bearer:
    """`Authorization: Bearer <key>` (RFC 6750, section 2.1), or the same under another header or scheme."""

    def __init__(self, env: str | Sequence[str] = (), *, header: str = "Authorization", scheme: str = "Bearer") -> None:
        self.env: Sequence[str] = _names(env)
        self.header, self.scheme = header, scheme

    def headers(self, secret: Secret) -> Sequence[tuple[str, str]]:
        """Return the one header that carries the key."""
        return ((self.header, f"{self.scheme} {secret.reveal()}" if self.scheme else secret.reveal()),)


class KeyHeader(Bearer):
    """A header whose whole value is the key, such as `x-api-key`."""

    def __init__(self, header: str, env: str | Sequence[str] = ()) -> None:
        super().__init__(env, header=header, scheme="")


class Provider:
    """Base of all providers: a key, what it speaks and serves, and `execute`.

    A subclass with an `execute` of its own is a whole provider. One without `auth` needs no
    credentials: it has one that is implied.
    """

    key: str
    """How configuration, routes and `provider://model` name it. Lower case."""
    dialects: Sequence[str] = ("canonical",)
    """Dialects that it takes, best first. `canonical` means `attempt.request` in, and `Reply.response` or deltas out."""
    models: Sequence[ModelInfo | str] | Literal["discover"] = ()
    """What it serves. `discover` asks the provider's own list, per credential."""
    patterns: Sequence[str] = ()
    """Names with `*` that are passed through to it although no list has them."""
    catalogue: Sequence[ModelInfo] = ()
    """What is known of models, whether or not they can be called; an `id` may have `*`, the first that fits counts."""
    auth: Auth | None = None
    key_optional: bool = False
    """A key is sent where there is one, and none is needed."""
    flavours: Sequence[Flavour] = ()
    """How its requests differ from its dialects'. One object that stays the same: plans are remembered by it."""
    continuity: Sequence[Continuity] = ()
    """Where it is told which requests continue one another, by dialect. Said by those who know, such as a scheduler that binds
    sessions, and only where the client said nothing."""
    fallback: bool = False
    """It gives way to any other plugin's provider of its key."""
    configured: str = ""
    """Where the configuration made it up, `plugins.acme.providers.shop`: its key must be nobody else's."""
    failures: Sequence[Rule] = ()
    """What its errors mean; the first rule that fits decides."""
    quota: Sequence[QuotaHeaders] = ()
    """Which headers of its answers tell of windows of an account's quota."""
    counts: bool | None = None
    """It is asked to count tokens, whatever its dialect; False: the host estimates. None: where its dialect has a route for that."""
    streams: Streams = "both"
    serves: Serves = "any"
    timeouts: Timeouts | None = None
    """How long its answers may take, where that differs from most. What the configuration says of it goes before."""

    async def execute(self, attempt: Attempt) -> Reply:
        """Answer one attempt. Raises `CallError` where there is no answer to give.

        An answer with an error status is returned as it came: `classify` says what it means.
        """
        raise NotImplementedError

    def dialects_of(self, model: str) -> Sequence[str]:
        """Return the dialects in which a model can be called, best first. The default: the provider's own."""
        return self.dialects

    def classify(self, dialect: Dialect, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer means. The default goes by `failures`, then by the status."""
        return classify(self.failures, *read_error(dialect, status, headers, body), self.quota)

    async def discover(self, credential: Credential, send: "Sender", dialects: Mapping[str, Dialect]) -> Sequence[ModelInfo]:
        """Ask the provider for the models that a credential may call. The default: what `models` lists."""
        return [m if isinstance(m, ModelInfo) else ModelInfo(id=m) for m in self.models if self.models != "discover"]


Sender = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Sends a request for one credential outside of any call, as discovery does; the host applies the credential. Raises
`CallError` when there is no answer."""


class HttpProvider(Provider):
    """A provider that speaks HTTP in a dialect that exists: all data, each step open to be overridden.

    `base_url` is taken literally: a dialect's path is appended to it and nothing is guessed. `paths`
    replaces a dialect's path for an operation and `query` is added to every URL.
    """

    def __init__(
        self,
        *,
        key: str,
        dialects: str | Sequence[str],
        base_url: str,
        auth: Auth | None = None,
        models: Sequence[ModelInfo | str] | Literal["discover"] = (),
        patterns: str | Sequence[str] = (),
        failures: Sequence[Rule] = (),
        quota: Sequence[QuotaHeaders] = (),
        headers: Mapping[str, str] | None = None,
        paths: Mapping[Operation, str] | None = None,
        query: Mapping[str, str] | None = None,
        forward: str | Sequence[str] = (),
        streams: Streams = "both",
        serves: Serves = "any",
        timeouts: Timeouts | None = None,
        catalogue: Sequence[ModelInfo] = (),
        flavours: Sequence[Flavour] = (),
        continuity: Sequence[Continuity] = (),
    ) -> None:
        self.key, self.base_url, self.auth, self.models, self.catalogue = key, base_url, auth, models, catalogue
        self.streams, self.serves, self.timeouts = streams, serves, timeouts
        self.dialects, self.patterns, self.failures, self.quota = _names(dialects), _names(patterns), tuple(failures), tuple(quota)
        self.flavours, self.continuity = tuple(flavours), tuple(continuity)
        self.fixed_headers, self.fixed_query, self.paths = tuple((headers or {}).items()), dict(query or {}), dict(paths or {})
        self.forward = frozenset(name.lower() for name in _names(forward))
        """Client headers that go to this provider beside those of its dialect."""
        self._plain_url = lru_cache(self.join)

    async def execute(self, attempt: Attempt) -> Reply:
        """Send the attempt's body and return what comes: `prepare`, send, `reply`."""
        return await self.reply(attempt, await attempt.send(self.prepare(attempt)))

    def prepare(self, attempt: Attempt) -> HttpRequest:
        """Return the request that an attempt amounts to."""
        return HttpRequest(
            method=attempt.endpoint.method if attempt.endpoint else "POST",
            url=self.url(attempt),
            headers=(*self.fixed_headers, *attempt.headers) if attempt.headers else self.fixed_headers,
            body=attempt.body.source,
        )

    def url(self, attempt: Attempt) -> str:
        """Return the URL for an attempt. Raises `CallError` where the dialect has no such operation upstream."""
        base, operation = attempt.base_url or self.base_url, attempt.call.operation
        path = self.paths.get(operation) or (attempt.endpoint.upstream if attempt.endpoint else None)
        if path is None:
            raise CallError(failure("unsupported", f"provider {self.key!r} does not serve {operation!r}", code="unsupported_operation"))
        if attempt.query or "{" in path:
            for name, value in {**attempt.params, "model": attempt.model}.items():
                path = path.replace(f"{{{name}}}", quote(value, safe="/:@" if name == "model" else ""))
            return self.join(base, path, attempt.query)
        return self._plain_url(base, path)

    def join(self, base_url: str, path: str, query: Sequence[tuple[str, str]] | object = ()) -> str:
        """Append a path and queries to a base URL. A query of the base URL's own stays."""
        parts, pairs = urlsplit(base_url), urlencode([*self.fixed_query.items(), *query])  # type: ignore[misc]
        path, _, own = path.partition("?")
        return parts._replace(path=parts.path.rstrip("/") + path, query="&".join(filter(None, (parts.query, own, pairs)))).geturl()

    async def reply(self, attempt: Attempt, response: HttpResponse) -> Reply:
        """Turn an upstream's answer into a reply: a stream where one comes, else the whole body.

        Its type says which, whatever was asked for: some providers always stream, some answer errors whole.
        """
        kind = response.headers.get("content-type") or ""
        streams = kind.startswith("text/event-stream") or (attempt.stream and not kind.startswith(("application/json", "text/html")))
        if response.status < 300 and streams:
            return Reply(status=response.status, headers=response.headers, stream=response.__aiter__())
        return Reply(status=response.status, headers=response.headers, body=await response.read())

    async def discover(self, credential: Credential, send: Sender, dialects: Mapping[str, Dialect]) -> Sequence[ModelInfo]:
        """Ask the provider's list of models, in the first of its dialects that has one."""
        if self.models != "discover":
            return await super().discover(credential, send, dialects)
        spoken = [dialects[name] for name in self.dialects if name in dialects]
        lists = [(dialect, e.upstream) for dialect in spoken for e in dialect.endpoints if e.operation == "models" and e.upstream]
        if not lists:
            return []
        dialect, path = lists[0]
        url = self.join(credential.base_url or self.base_url, self.paths.get("models") or path)
        response = await send(HttpRequest(method="GET", url=url, headers=self.fixed_headers, timeouts=Timeouts(total=15.0)))
        body = await response.read()
        if response.status != 200:
            raise CallError(self.classify(dialect, response.status, response.headers, body))
        return dialect.decode_models(body)
