"""The provider Gemini API, and any server that speaks its protocol under a provider key of its own."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from jackfield.api import (
    Auth,
    Bearer,
    HttpProvider,
    KeyHeader,
    ModelInfo,
    Rule,
    Seconds,
    Timeouts,
)
from jackfield_gemini.catalogue import CATALOGUE
from jackfield_gemini.generate.extras import NAME

BASE_URL: Final = "https://generativelanguage.googleapis.com/v1beta"
"""Gemini API reference: the URL below which all paths stand, the version within it."""
PATTERNS: Final = ("gemini-*", "gemma-*")
"""How Google names its models: what is launched tomorrow passes without a new list."""
KEYS: Final = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
"""Environment variables that hold a key, as Google's own clients look for them."""

_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")

FAILURES: Final = (
    # Guide "API keys" and recorded answers: a key that is none is a 400 INVALID_ARGUMENT like any other, told by its reason.
    Rule(status=(400, 401, 403), code=r"API_KEY_(?:INVALID|EXPIRED|SERVICE_BLOCKED|\w+_BLOCKED)", cause="credential"),
    Rule(status=(400, 403), match=r"API key (?:not valid|expired)|reported as leaked", cause="credential"),
    # Accounts that Google wants to see again: the error says where.
    Rule(status=403, code="VALIDATION_REQUIRED", cause="account_action", link=r'"validation_url"\s*:\s*"([^"]+)"'),
    Rule(status=403, match="verify your account", cause="account_action", link=r'"validation_url"\s*:\s*"([^"]+)"'),
    # Guide "Troubleshooting": 400 FAILED_PRECONDITION where the free tier is not offered or billing is off.
    Rule(status=(400, 403), match=r"location is not supported|enable billing|billing (?:is )?disabled", cause="account_action"),
    Rule(status=403, code="SERVICE_DISABLED|CONSUMER_SUSPENDED|BILLING_DISABLED|ACCOUNT_STATE_INVALID", cause="account_action"),
    # Files and caches that another account stored, or nobody: Google does not tell which.
    Rule(status=(403, 404), match=r"permission to access the |\b(?:File|CachedContent)\b.{0,80} not found", cause="caller", help="another"),
    # A model that there is not, or not for this project; the others are Vertex AI's words for it.
    Rule(
        status=(403, 404),
        match=r"is not found for API version|not supported for \w+Content|Publisher Model .{1,200} not found"
        r"|Permission .{1,80} denied on resource .{1,200}/models/",
        cause="unsupported",
        blame="credential_model",
    ),
    # Guide "Rate limits": a limit of none says that the model is not for this project. Quotas are named by their period, such as
    # GenerateRequestsPerDayPerProjectPerModel; those of a day end at midnight in California, whatever the answer asks one to wait.
    Rule(status=429, match=r"limit: 0\b", cause="unsupported", blame="credential_model"),
    Rule(status=429, match="PerDay|per day", cause="quota", resets="daily 00:00 America/Los_Angeles"),
    Rule(status=429, match=r"prepa(?:id|yment) credits|spend(?:ing)? cap", cause="quota", blame="credential"),
    Rule(status=402, cause="quota", blame="credential"),
    Rule(status=429, cause="rate"),
    Rule(status=(500, 503), match="overloaded|high demand|at capacity", cause="overload"),
    Rule(code="MALFORMED_FUNCTION_CALL|MALFORMED_RESPONSE|UNEXPECTED_TOOL_CALL|TOO_MANY_TOOL_CALLS|EMPTY_RESPONSE", cause="upstream",
         blame="request", help="another"),
    Rule(code="PUP_LIMITED_DISABLED", cause="account_action"),
)  # fmt: skip
"""What the Gemini API's errors mean, by status, reason and words; the first that fits decides. The last two are answers
that failed with status 200: another attempt may do better, and nobody is to blame."""


class TimeoutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits on waiting for one server."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


class AuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a server wants its key."""

    type: Literal["key", "bearer", "none"] = "key"
    env: str | tuple[str, ...] = ()
    """Environment variables that may hold the key."""
    header: str | None = None
    """The header that carries it, where that is not the usual one."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of a server."""

    name: str
    upstream: str | None = None
    """The server's own name of it, where callers use another."""
    context: int | None = None
    max_output: int | None = None


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server that speaks Gemini's protocol."""

    base_url: str
    """Taken literally; paths such as `/models/{model}:generateContent` are appended to it."""
    models: Literal["discover"] | tuple[str | ModelSettings, ...] = "discover"
    patterns: tuple[str, ...] = ()
    """Names that are passed on to it although no list has them."""
    auth: Literal["key", "bearer", "none"] | AuthSettings | None = None
    """None: a key is sent where there is one, and none is needed."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    timeouts: TimeoutSettings | None = None

    def __post_init__(self) -> None:
        check_base_url(self.base_url)


def check_base_url(url: str) -> None:
    """Raise `ValueError` for what is no URL to which a path could be appended."""
    if _URL.fullmatch(url) is None:
        got = "one with a password in it: keys belong under `credentials`" if "@" in url else repr(url)
        raise ValueError(f"base_url: expected a URL such as {BASE_URL}, got {got}")


def gemini(base_url: str, timeouts: TimeoutSettings | None) -> HttpProvider:
    """Return the provider Gemini API itself."""
    return HttpProvider(
        key="gemini",
        catalogue=CATALOGUE,
        dialects=[NAME],
        base_url=base_url,
        auth=KeyHeader("x-goog-api-key", env=KEYS),
        models="discover",
        patterns=PATTERNS,
        failures=FAILURES,
        timeouts=_limits(timeouts),
    )


def compatible(key: str, settings: ServerSettings) -> HttpProvider:
    """Return a provider for one configured server."""
    models = settings.models
    provider = HttpProvider(
        key=key,
        dialects=[NAME],
        base_url=settings.base_url,
        auth=_auth(settings.auth),
        models=models if models == "discover" else [_model(m) for m in models],
        patterns=settings.patterns,
        failures=FAILURES,
        headers=settings.headers,
        query=settings.query,
        timeouts=_limits(settings.timeouts),
    )
    provider.key_optional = settings.auth is None
    return provider


def _auth(said: Literal["key", "bearer", "none"] | AuthSettings | None) -> Auth | None:
    how = AuthSettings(type=said or "key") if said is None or isinstance(said, str) else said
    if how.type == "none":
        return None
    if how.type == "bearer":
        return Bearer(env=how.env, header=how.header or "Authorization")
    return KeyHeader(how.header or "x-goog-api-key", env=how.env)


def _model(said: str | ModelSettings) -> ModelInfo:
    if isinstance(said, str):
        return ModelInfo(id=said)
    return ModelInfo(id=said.name, upstream=said.upstream, context=said.context, max_output=said.max_output)


def _limits(said: TimeoutSettings | None) -> Timeouts | None:
    if said is None:
        return None
    return Timeouts(connect=said.connect, first_byte=said.first_byte, idle=said.idle, total=said.total)
