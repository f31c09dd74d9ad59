"""The provider Anthropic, and any server that speaks its protocol under a provider key of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from jackfield.api import (
    Attempt,
    Auth,
    Bearer,
    Flavour,
    HttpProvider,
    HttpRequest,
    KeyHeader,
    ModelInfo,
    Operation,
    QuotaHeaders,
    Rule,
    Seconds,
    Timeouts,
)
from jackfield_anthropic.catalogue import CATALOGUE
from jackfield_anthropic.messages.extras import ATTRIBUTION

BASE_URL: Final = "https://api.anthropic.com"
"""Anthropic's API reference, "Overview": the URL below which all paths stand."""

VERSION: Final = "2023-06-01"
"""The version of the API that is asked for where the client asks for none (API reference, "Versions")."""

PATTERNS: Final = ("claude-*",)
"""How Anthropic names its models: what is launched tomorrow passes without a new list."""

_VERSION: Final = "anthropic-version"
_BETA: Final = "anthropic-beta"
_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")

_UNIFIED: Final = "anthropic-ratelimit-unified"
"""What the headers begin with that tell subscribers of their hours and their week."""

FAILURES: Final = (
    # API reference, "Errors", and answers of the API: a spent balance or limit is told as a fault of the request.
    Rule(status=400, match="credit balance is too low", cause="quota", blame="credential"),
    # "Rate limits": a limit that the organization set says when it ends; that of its tier ends with the month.
    Rule(
        status=(400, 403, 429),
        match=r"(?:reached|exceeded) your specified (?:workspace )?API usage limits|spend limit",
        cause="quota",
        blame="credential",
        until_match=r"regain access on (\d{4}-\d\d-\d\d(?: at \d\d:\d\d UTC)?)",
    ),
    Rule(code="enforced_spend_limit_reached", cause="quota", blame="credential", resets="monthly 00:00 UTC"),
    Rule(status=402, cause="quota", blame="credential"),
    Rule(code="billing_error", cause="quota", blame="credential"),
    # The account itself: closed, or a subscription that has ended, which is told so.
    Rule(
        status=(400, 401, 403),
        match=r"organization has been disabled|account (?:is|has been) (?:disabled|suspended)|not allowed for this organization",
        cause="account_action",
    ),
    Rule(status=(400, 403), match="only authorized for use with Claude Code", cause="unsupported", blame="request"),
    Rule(status=(400, 404), match=r"prompt is too long|exceed(?:s|ed)? (?:the )?(?:context|maximum)", cause="caller"),
    Rule(status=400, match="output blocked by content filtering", cause="content"),
    # What another account stored.
    Rule(status=(400, 404), match=r"\b(?:file|container|skill)s? (?:not found|.{1,80} not found)", cause="caller", help="another"),
    Rule(status=(403, 404), match=r"\bmodel: ", cause="unsupported", blame="credential_model"),
    Rule(code="authentication_error", cause="credential"),
    # Long contexts, fast answers and what goes beyond a subscription are sold apart: without them this request alone is refused.
    Rule(status=429, match="long context|fast mode", cause="unsupported", blame="request"),
    Rule(status=(400, 429), match="out of extra usage", cause="quota", blame="request"),
    # A subscriber's hours or week are used up, of all models or of one kind.
    Rule(
        status=429,
        headers={f"{_UNIFIED}-status": "^rejected$", f"{_UNIFIED}-representative-claim": r"^seven_day_\w+$"},
        cause="quota",
        blame="credential_model",
        until_header=f"{_UNIFIED}-reset",
    ),
    Rule(status=429, headers={f"{_UNIFIED}-status": "^rejected$"}, cause="quota", blame="credential", until_header=f"{_UNIFIED}-reset"),
    Rule(code="rate_limit_error", cause="rate"),
    Rule(status=413, cause="caller"),
    Rule(code="request_too_large", cause="caller"),
    # Guide "Handling errors": 529 says that Anthropic as a whole is busy, whoever asks; in streams the type alone does.
    Rule(code="overloaded_error", cause="overload"),
    Rule(status=(500, 503), match="overloaded", cause="overload"),
    Rule(code="timeout_error", cause="upstream"),
    Rule(status=500, code="api_error", cause="upstream"),
)
"""What Anthropic's errors mean, by status, type and words; the first that fits decides."""

QUOTA: Final = (
    # What a subscription has used of its five hours and its seven days; weeks of one kind of model, such as `7d_opus`, are
    # those models' own. Use beyond them is billed: it ends nothing, and is not for sale to everybody.
    QuotaHeaders(
        prefix=f"{_UNIFIED}-", used="{window}-utilization", reset="{window}-reset", state="{window}-status", only=("5h", "7d")
    ),
    QuotaHeaders(prefix=f"{_UNIFIED}-", used="{window}-utilization", reset="{window}-reset", only=("overage",), refills=True),
    QuotaHeaders(
        prefix=f"{_UNIFIED}-", used="{window}-utilization", reset="{window}-reset", state="{window}-status", of="credential_model"
    ),
    # API reference, "Rate limits", response headers: requests and tokens, filled up again all the time.
    *(
        QuotaHeaders(
            prefix=prefix, limit="{window}-limit", remaining="{window}-remaining", reset="{window}-reset", refills=True,
            name=name, of="credential_model",
        )
        for prefix, name in (("anthropic-ratelimit-", "{window}"), ("anthropic-priority-", "priority-{window}"))
    ),
)  # fmt: skip
"""Which headers tell what is left of an account's limits."""


_WITH_SYSTEM: Final[tuple[Operation, ...]] = ("generate", "count")

NO_ATTRIBUTION: Final = tuple(
    Flavour(
        why="it differs from request to request and is read by Anthropic alone: a cache would never find the prompt again",
        operation=operation,
        lines={"system": ATTRIBUTION, "system[*].text": ATTRIBUTION},
    )
    for operation in _WITH_SYSTEM
)
"""What is left out of requests to servers that are not Anthropic's."""


class TimeoutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits on waiting for one server."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


class AuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a server wants its key."""

    type: Literal["x-api-key", "bearer", "none"] = "x-api-key"
    env: str | tuple[str, ...] = ()
    """Environment variables that may hold the key."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of a server."""

    name: str
    upstream: str | None = None
    """The server's own name of it, where callers use another."""
    context: int | None = None
    max_output: int | None = None


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server that speaks Anthropic's protocol."""

    base_url: str
    """Taken literally; paths such as `/v1/messages` are appended to it."""
    models: Literal["discover"] | tuple[str | ModelSettings, ...] = "discover"
    patterns: tuple[str, ...] = ()
    """Names that are passed on to it although no list has them."""
    auth: Literal["x-api-key", "bearer", "none"] | AuthSettings | None = None
    """None: a key is sent where there is one, as `x-api-key`, and none is needed."""
    version: str = VERSION
    """Of the API, where the client asks for none."""
    beta: tuple[str, ...] = ()
    """Features added to those that the client asks for in `anthropic-beta`."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    paths: dict[str, str] = {}
    """Other paths than the usual ones, by operation: `generate`, `count`, `models`."""
    attribution: bool = False
    """What Claude Code says of itself in the first line of the system's text is passed on: the server is a way to Anthropic."""
    timeouts: TimeoutSettings | None = None

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        unknown = self.paths.keys() - {"generate", "count", "models"}
        if unknown:
            raise ValueError(f"paths: unknown operation {unknown.pop()!r}; known: generate, count, models")


class AnthropicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set of Anthropic itself."""

    base_url: str = BASE_URL
    version: str = VERSION
    beta: tuple[str, ...] = ()
    timeouts: TimeoutSettings | None = None


def check_base_url(url: str) -> None:
    """Raise `ValueError` for what is no URL to which a path could be appended."""
    if _URL.fullmatch(url) is None:
        got = "one with a password in it: keys belong under `credentials`" if "@" in url else repr(url)
        raise ValueError(f"base_url: expected a URL such as {BASE_URL}, got {got}")


class AnthropicProvider(HttpProvider):
    """A server that speaks the Messages API; `version` and `beta` complete what the client's headers say."""

    def __init__(self, *, version: str, beta: Sequence[str], headers: dict[str, str] | None = None, **said: Any) -> None:
        fixed = {_VERSION: version, **({_BETA: ",".join(beta)} if beta else {}), **(headers or {})}
        super().__init__(dialects=["anthropic.messages"], failures=FAILURES, quota=QUOTA, headers=fixed, **said)
        self._beta = tuple(beta)

    def prepare(self, attempt: Attempt) -> HttpRequest:
        """Return the request that an attempt amounts to: the client's version of the API stands, its features are added to."""
        request = super().prepare(attempt)
        client = attempt.headers
        if _VERSION in client or _BETA in client:
            request.headers = self._merged(attempt)
        return request

    def _merged(self, attempt: Attempt) -> tuple[tuple[str, str], ...]:
        client = attempt.headers
        asked = [name.strip() for value in client.all(_BETA) for name in value.split(",") if name.strip()]
        beta = ",".join(dict.fromkeys([*asked, *self._beta]))
        fixed = [pair for pair in self.fixed_headers if pair[0].lower() not in (_VERSION, _BETA)]
        version = client.get(_VERSION) or next((value for name, value in self.fixed_headers if name.lower() == _VERSION), VERSION)
        others = [pair for pair in client if pair[0].lower() not in (_VERSION, _BETA)]
        return (*fixed, *others, (_VERSION, version), *([(_BETA, beta)] if beta else []))


def anthropic(settings: AnthropicSettings) -> HttpProvider:
    """Return the provider Anthropic itself."""
    return AnthropicProvider(
        key="anthropic",
        catalogue=CATALOGUE,
        base_url=settings.base_url,
        auth=KeyHeader("x-api-key", env="ANTHROPIC_API_KEY"),
        models="discover",
        patterns=PATTERNS,
        version=settings.version,
        beta=settings.beta,
        timeouts=_limits(settings.timeouts),
    )


def compatible(key: str, settings: ServerSettings) -> HttpProvider:
    """Return a provider for one configured server."""
    models = settings.models
    provider = AnthropicProvider(
        key=key,
        base_url=settings.base_url,
        auth=_auth(settings.auth),
        models=models if models == "discover" else [_model(model) for model in models],
        patterns=settings.patterns,
        version=settings.version,
        beta=settings.beta,
        headers=settings.headers,
        paths=settings.paths,
        query=settings.query,
        timeouts=_limits(settings.timeouts),
        flavours=() if settings.attribution or _host(settings.base_url) == _host(BASE_URL) else NO_ATTRIBUTION,
    )
    provider.key_optional = settings.auth is None
    return provider


def _host(url: str) -> str | None:
    return urlsplit(url).hostname


def _auth(said: Literal["x-api-key", "bearer", "none"] | AuthSettings | None) -> Auth | None:
    kind = said.type if isinstance(said, AuthSettings) else said
    env = said.env if isinstance(said, AuthSettings) else ()
    if kind == "none":
        return None
    return Bearer(env=env) if kind == "bearer" else KeyHeader("x-api-key", env=env)


def _model(said: str | ModelSettings) -> ModelInfo:
    if isinstance(said, str):
        return ModelInfo(id=said)
    return ModelInfo(id=said.name, upstream=said.upstream, context=said.context, max_output=said.max_output)


def _limits(said: TimeoutSettings | None) -> Timeouts | None:
    if said is None:
        return None
    return Timeouts(connect=said.connect, first_byte=said.first_byte, idle=said.idle, total=said.total)
