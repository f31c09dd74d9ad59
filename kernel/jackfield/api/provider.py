"""Providers: who answers calls. `HttpProvider` does all of it from data; each step can be overridden."""

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from jackfield.api.call import Attempt, Reply
from jackfield.api.credential import Credential
from jackfield.api.dialect import Dialect, Operation
from jackfield.api.failure import Answered, CallError, Failure, Rule, classify, failure
from jackfield.api.headers import Headers
from jackfield.api.http import HttpRequest, HttpResponse, Timeouts
from jackfield.api.models import ModelInfo
from jackfield.api.secret import Secret

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


class Bearer:
    """`Authorization: Bearer <key>` (RFC 6750, section 2.1), or the same under another header or scheme."""

    def __init__(self, env: str | Sequence[str] = (), *, header: str = "Authorization", scheme: str = "Bearer") -> None:
        self.env: Sequence[str] = (env,) if isinstance(env, str) else tuple(env)
        self._header = header
        self._scheme = f"{scheme} " if scheme else ""

    def headers(self, secret: Secret) -> Sequence[tuple[str, str]]:
        """Return the one header that carries the key."""
        return ((self._header, f"{self._scheme}{secret.reveal()}"),)


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
    auth: Auth | None = None
    key_optional: bool = False
    """A key is sent where there is one, and none is needed."""
    failures: Sequence[Rule] = ()
    """What its errors mean; the first rule that fits decides."""
    streams: Streams = "both"
    serves: Serves = "any"
    timeouts: Timeouts | None = None

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
        error = dialect.decode_error(status, headers, body)
        return classify(
            self.failures,
            Answered(
                status=status,
                headers=headers,
                text=body[:65536].decode(errors="replace"),
                code=error.code or error.type,
                message=error.message,
                param=error.param,
            ),
        )

    async def discover(self, credential: Credential, send: "Sender") -> Sequence[ModelInfo]:
        """Ask the provider for the models that a credential may call. The default: what `models` lists."""
        return [m if isinstance(m, ModelInfo) else ModelInfo(id=m) for m in self.models if self.models != "discover"]


class Sender(Protocol):
    """Sends requests for one credential outside of any call, as discovery does."""

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Send a request; the credential is applied by the host. Raises `CallError` when there is no answer."""

    def dialect(self, name: str) -> Dialect:
        """Return a dialect by its name. Raises `KeyError` when no plugin has it."""


class HttpProvider(Provider):
    """A provider that speaks HTTP in a dialect that exists: all data, each step open to be overridden.

    `base_url` is taken literally: a dialect's path is appended to it and nothing is guessed. `paths`
    replaces a dialect's path for an operation and `query` is added to every URL.
    """

    def __init__(
        self,
        *,
        key: str,
        dialects: Sequence[str],
        base_url: str,
        auth: Auth | None = None,
        models: Sequence[ModelInfo | str] | Literal["discover"] = (),
        patterns: Sequence[str] = (),
        failures: Sequence[Rule] = (),
        headers: Mapping[str, str] | None = None,
        paths: Mapping[Operation, str] | None = None,
        query: Mapping[str, str] | None = None,
        forward: Sequence[str] = (),
        streams: Streams = "both",
        serves: Serves = "any",
        timeouts: Timeouts | None = None,
    ) -> None:
        self.key = key
        self.dialects = tuple(dialects)
        self.base_url = base_url
        self.auth = auth
        self.models = models
        self.patterns = tuple(patterns)
        self.failures = tuple(failures)
        self.fixed_headers = tuple((headers or {}).items())
        self.paths = dict(paths or {})
        self.fixed_query = dict(query or {})
        self.forward = frozenset(name.lower() for name in forward)
        """Client headers that go to this provider beside those of its dialect."""
        self.streams = streams
        self.serves = serves
        self.timeouts = timeouts
        self._urls: dict[tuple[str | None, str], str] = {}

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
            timeouts=self.timeouts,
        )

    def url(self, attempt: Attempt) -> str:
        """Return the URL for an attempt. Raises `CallError` where the dialect has no such operation upstream."""
        path = self.paths.get(attempt.call.operation)
        if path is None:
            path = attempt.endpoint.upstream if attempt.endpoint else None
        if path is None:
            message = f"provider {self.key!r} does not serve the operation {attempt.call.operation!r}"
            raise CallError(failure("unsupported", message, code="unsupported_operation"))
        base = attempt.base_url
        if "{" in path:
            path = path.replace("{model}", quote(attempt.model, safe="/:@"))
        elif not attempt.query and (url := self._urls.get((base, path))) is not None:
            return url
        url = self.join(base or self.base_url, path, attempt.query)
        if "{" not in path and not attempt.query:
            self._urls[base, path] = url
        return url

    def join(self, base_url: str, path: str, query: Sequence[tuple[str, str]] | object = ()) -> str:
        """Append a path and queries to a base URL. A query of the base URL's own stays."""
        parts = urlsplit(base_url)
        pairs = urlencode([*self.fixed_query.items(), *query])  # type: ignore[misc]
        joined = "&".join(text for text in (parts.query, pairs) if text)
        return parts._replace(path=parts.path.rstrip("/") + path, query=joined).geturl()

    async def reply(self, attempt: Attempt, response: HttpResponse) -> Reply:
        """Turn an upstream's answer into a reply: a stream where one was asked for and comes, else the whole body."""
        if attempt.stream and response.status < 300 and not self._is_whole(response):
            return Reply(status=response.status, headers=response.headers, stream=response.__aiter__())
        return Reply(status=response.status, headers=response.headers, body=await response.read())

    @staticmethod
    def _is_whole(response: HttpResponse) -> bool:
        """Tell whether an answer to a request for a stream is no stream: some providers answer errors so."""
        return (response.headers.get("content-type") or "").startswith(("application/json", "text/html"))

    async def discover(self, credential: Credential, send: "Sender") -> Sequence[ModelInfo]:
        """Ask the provider's list of models, in the first of its dialects that has one."""
        if self.models != "discover":
            return await super().discover(credential, send)
        for name in self.dialects:
            dialect = send.dialect(name)
            endpoint = next((e for e in dialect.endpoints if e.operation == "models" and e.upstream), None)
            if endpoint is not None:
                path = self.paths.get("models") or endpoint.upstream or ""
                url = self.join(credential.base_url or self.base_url, path)
                response = await send(HttpRequest(method="GET", url=url, headers=self.fixed_headers, timeouts=Timeouts(total=15.0)))
                body = await response.read()
                if response.status != 200:
                    raise CallError(self.classify(dialect, response.status, response.headers, body))
                return dialect.decode_models(body)
        return []

    def key_from_environment(self) -> tuple[str, str] | None:
        """Return the name and value of the first environment variable of `auth` that is set and not empty."""
        for name in self.auth.env if self.auth else ():
            if value := os.environ.get(name, "").strip():
                return name, value
        return None


class RequestFlavour(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider accepts of a dialect, per model pattern. Provisional."""

    models: tuple[str, ...] = ("*",)
    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = {}
