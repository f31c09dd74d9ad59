"""The provider OpenAI, and any server that speaks its protocol under a provider key of its own."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from jackfield.api import Auth, Bearer, Continuity, HttpProvider, KeyHeader, ModelInfo, QuotaHeaders, Rule, Seconds, Timeouts
from jackfield.api.canonical.flavour import Flavour
from jackfield_openai.catalogue import CATALOGUE
from jackfield_openai.presets import Preset, preset_named, presets
from jackfield_openai.speech import DIALECTS, Speaker, by_name, dialects_of_openai

BASE_URL = "https://api.openai.com/v1"
"""OpenAI's API reference, "Introduction": the URL below which all paths stand."""

PATTERNS = (
    "gpt-*",
    "chatgpt-*",
    "o1*",
    "o3*",
    "o4*",
    "text-embedding-*",
    "ft:*",
    "codex-*",
    "computer-use-*",
    "omni-moderation-*",
    "babbage-*",
    "davinci-*",
)
"""How OpenAI names its models: what is launched tomorrow passes without a new list."""

_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")

FAILURES = (
    # Ids that another account minted, or nobody: no credential is at fault for them. Guide "Conversation state".
    Rule(status=(400, 404), code="previous_response_not_found", cause="caller", help="another"),
    Rule(status=(400, 404), match=r"\b(?:response|conversation|file|vector store|item)s? with id .{1,200}not found", cause="caller"),
    # Guides "Error codes" and "Spend limits": the same status 429 says "slow down" and "out of credit"; the code tells which.
    Rule(
        code="insufficient_quota|credit_balance_exhausted|(?:organization|project)_(?:spend|usage)_limit_exceeded|billing_hard_limit_reached",
        cause="quota",
        blame="credential",
    ),
    # What ChatGPT's accounts are told (openai/codex, codex-api/src/api_bridge.rs).
    Rule(code="usage_limit_reached", cause="quota", blame="credential", until_match=r'"resets_(?:at|in_seconds)"\s*:\s*(\d+)'),
    Rule(code="usage_not_included|deactivated_workspace", cause="account_action"),
    Rule(match=r'"code"\s*:\s*"deactivated_workspace"', cause="account_action"),
    Rule(code="account_deactivated|access_terminated|billing_not_active", cause="account_action"),
    # Verification is asked for model by model.
    Rule(
        status=(400, 403, 404),
        match=r"must be verified to|verify your (?:organization|identity)",
        cause="account_action",
        blame="credential_model",
    ),
    Rule(code="unsupported_country_region_territory", cause="account_action"),
    Rule(status=401, match=r"\bIP\b.{0,40}\bnot (?:authorized|allowed)", cause="account_action"),
    # A model that there is not, or not for this account: elsewhere it may be. The second is Azure's word for it.
    Rule(
        status=(400, 403, 404),
        code="model_not_found|model_not_available|DeploymentNotFound|unknown_model|invalid_model|model_not_supported",
        cause="unsupported",
        blame="credential_model",
    ),
    Rule(
        status=(400, 403, 404),
        match=r"does not have access to (?:the )?model|model is not supported when using"
        r"|\bmodel [`'\"]?[^\s`'\"]+[`'\"]? (?:does not exist|is not available (?:for|on|to) (?:your|this))",
        cause="unsupported",
        blame="credential_model",
    ),
    Rule(
        status=(400, 403),
        code="content_policy_violation|content_filter|moderation_blocked|invalid_prompt|cyber_policy|bio_policy|image_content_policy_violation",
        cause="content",
    ),
    # More tokens than the account may send in a minute: it never will. Guide "Rate limits"; Groq says it with 413.
    Rule(status=(413, 429), match=r"request too large for|must be reduced in order to run", cause="unsupported", blame="request"),
    # Servers that say with other statuses that a conversation is too long: Together with 403, llama.cpp with 500.
    Rule(
        status=(400, 403, 413, 422, 500),
        match=r"context[ _](?:length|window|size)|maximum context|prompt (?:is )?too long|input token count",
        cause="caller",
    ),
    Rule(status=429, code="slow_down", cause="rate"),
    Rule(code="server_is_overloaded|slow_down|overloaded(?:_error)?|engine_overloaded(?:_error)?", cause="overload"),
    Rule(status=(500, 503), match="overloaded|slow down|at capacity|high (?:demand|traffic)", cause="overload"),
    # The words of compatible servers for an account without money.
    Rule(status=402, cause="quota", blame="credential"),
    Rule(
        status=(401, 403, 429),
        match=r"exceeded your current quota|insufficient[ _](?:balance|credits?|funds|quota)|(?:balance|credits?) (?:is |are |has been )?"
        r"(?:insufficient|exhausted|too low)|out of credits|(?:monthly )?spending limit",
        cause="quota",
        blame="credential",
    ),
)
"""What OpenAI's errors mean, by status, code and words; the first that fits decides. Servers that speak its protocol answer much
the same; what they have of their own stands in `presets.json`, before these."""

QUOTA: Final = (
    # Guide "Rate limits": requests and tokens, each with its limit, what remains of it, and when it is whole again.
    QuotaHeaders(
        prefix="x-ratelimit-", limit="limit-{window}", remaining="remaining-{window}", reset="reset-{window}", refills=True,
        of="credential_model",
    ),
    QuotaHeaders(
        prefix="x-ratelimit-", limit="limit", remaining="remaining", reset="reset", name="requests", refills=True, of="credential_model"
    ),
    # What ChatGPT's accounts have used of their hours and their week (openai/codex, codex-api/src/rate_limits.rs); a further
    # family of such headers counts for one model.
    QuotaHeaders(
        prefix="x-codex-", used="{window}-used-percent", full=100, minutes="{window}-window-minutes",
        reset=("{window}-reset-at", "{window}-reset-after-seconds"), only=("primary", "secondary"),
    ),
    QuotaHeaders(
        prefix="x-codex-", used="{window}-used-percent", full=100, reset=("{window}-reset-at", "{window}-reset-after-seconds"),
        of="credential_model",
    ),
)  # fmt: skip
"""Which headers tell what is left of an account's limits."""


class AuthSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a server wants its key."""

    type: Literal["bearer", "header", "none"] = "bearer"
    env: str | tuple[str, ...] = ()
    """Environment variables that may hold the key."""
    header: str | None = None
    """The header that carries it, where that is not `Authorization`."""

    def __post_init__(self) -> None:
        if self.type == "header" and not self.header:
            raise ValueError("header: missing; name the header that carries the key")


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of a server."""

    name: str
    upstream: str | None = None
    """The server's own name of it, where callers use another."""
    dialect: Spoken | None = None
    """The one dialect in which it is called, where that is not any of the server's."""
    context: int | None = None
    max_output: int | None = None


Spoken = Literal["openai.chat", "openai.responses", "openai.completions"]

FlavourSettings = Literal["none"] | Flavour | tuple[Flavour, ...]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server that speaks OpenAI's protocol."""

    preset: str | None = None
    """The name of a provider that is known: what is not said here is as that provider has it."""
    base_url: str | None = None
    """Taken literally; paths such as `/chat/completions` are appended to it. Needed where there is no preset."""
    models: Literal["discover"] | tuple[str | ModelSettings, ...] | None = None
    """None: what the preset has, else `discover`."""
    dialects: tuple[Spoken, ...] | None = None
    """What it speaks, best first. None: as the preset has it, else chat completions alone."""
    patterns: tuple[str, ...] | None = None
    """Names that are passed on to it although no list has them."""
    auth: Literal["bearer", "none"] | AuthSettings | None = None
    """None: as the preset has it, else a key is sent where there is one, and none is needed."""
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    paths: dict[str, str] = {}
    """Other paths than the usual ones, by operation: `generate`, `embed`, `models`."""
    timeouts: TimeoutSettings | None = None
    flavour: FlavourSettings | None = None
    """How its requests differ from the protocol's: what is dropped, renamed or said otherwise, besides what the preset
    has; `none` for nothing, not even that."""
    continuity: tuple[Continuity, ...] | None = None
    """Where it is told which requests continue one another; None: as the preset has it."""

    def __post_init__(self) -> None:
        if self.preset is not None:
            preset_named(self.preset)
        elif self.base_url is None:
            raise ValueError("base_url: missing; say where the server is, or name a `preset`")
        if self.base_url is not None:
            check_base_url(self.base_url)
        unknown = self.paths.keys() - {"generate", "embed", "models"}
        if unknown:
            raise ValueError(f"paths: unknown operation {unknown.pop()!r}; known: generate, embed, models")


class TimeoutSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits on waiting for one server."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


def check_base_url(url: str) -> None:
    """Raise `ValueError` for what is no URL to which a path could be appended."""
    if _URL.fullmatch(url) is None:
        got = "one with a password in it: keys belong under `credentials`" if "@" in url else repr(url)
        raise ValueError(f"base_url: expected a URL such as {BASE_URL}, got {got}")


def openai(settings: OpenAISettings) -> HttpProvider:
    """Return the provider OpenAI itself."""
    provider = Speaker(
        key="openai",
        dialects=DIALECTS,
        base_url=settings.base_url,
        auth=Bearer(env="OPENAI_API_KEY"),
        models="discover",
        patterns=PATTERNS,
        failures=FAILURES,
        quota=QUOTA,
        headers=_account_headers(settings),
        timeouts=_limits(settings.timeouts),
        flavours=_flavours(settings.flavour, presets()["openai"].flavours),
        continuity=presets()["openai"].continuity,
        catalogue=CATALOGUE,
    )
    provider.section, provider.choose = "plugins.openai", dialects_of_openai
    return provider


class OpenAISettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be set of OpenAI itself."""

    base_url: str = BASE_URL
    organization: str | None = None
    project: str | None = None
    timeouts: TimeoutSettings | None = None
    flavour: FlavourSettings | None = None


def _account_headers(settings: OpenAISettings) -> dict[str, str]:
    # API reference, "Authentication": which organization and project a request counts for.
    named = {"OpenAI-Organization": settings.organization, "OpenAI-Project": settings.project}
    return {name: value for name, value in named.items() if value}


def compatible(key: str, settings: ServerSettings) -> Speaker:
    """Return a provider for one configured server."""
    preset = preset_named(settings.preset) if settings.preset is not None else _PLAIN
    models = settings.models or preset.models or "discover"
    limits = _limits(settings.timeouts)
    provider = Speaker(
        key=key,
        dialects=settings.dialects or preset.dialects,
        base_url=settings.base_url or preset.base_url,
        auth=_auth(settings.auth, preset),
        models=models if models == "discover" else [_model(m) for m in models],
        patterns=preset.patterns if settings.patterns is None else settings.patterns,
        failures=(*preset.failures, *FAILURES),
        quota=(*preset.quota, *QUOTA),
        headers={**preset.headers, **settings.headers},
        paths=settings.paths,  # type: ignore[arg-type]
        query=settings.query,
        forward=preset.forward,
        timeouts=preset.timeouts if limits is None else limits,
        flavours=_flavours(settings.flavour, preset.flavours),
        continuity=preset.continuity if settings.continuity is None else settings.continuity,
    )
    provider.key_optional = settings.auth is None and not preset.env
    provider.section = provider.configured = f"plugins.openai.providers.{key}"
    named = {m.upstream or m.name: m.dialect for m in models if isinstance(m, ModelSettings) and m.dialect is not None}
    if named:
        # What it lists comes first: a list of models is asked for in the first dialect.
        provider.choose = by_name(provider.dialects, named)
        provider.dialects = tuple(dict.fromkeys((*provider.dialects, *named.values())))
    return provider


_PLAIN: Final = Preset(title="", source="", base_url="")
"""What is known of a server without a preset."""


def known(key: str, *, env: bool) -> Speaker:
    """Return the provider that a preset describes, under the preset's own name, with or without a key from the environment.

    Another plugin's provider of that name goes before it.
    """
    provider = compatible(key, ServerSettings(preset=key))
    provider.fallback, provider.configured = True, ""
    if not env:
        provider.auth = Bearer()
    return provider


def _flavours(said: FlavourSettings | None, known_ones: tuple[Flavour, ...]) -> tuple[Flavour, ...]:
    if said is None or said == "none":
        return known_ones if said is None else ()
    own = said if isinstance(said, tuple) else (said,)
    return (*(msgspec.structs.replace(one, why=one.why or "the configuration says so") for one in own), *known_ones)


def _auth(said: Literal["bearer", "none"] | AuthSettings | None, preset: Preset) -> Auth | None:
    if said == "none":
        return None
    if said is None or said == "bearer":
        return Bearer(env=preset.env)
    if said.type == "none":
        return None
    if said.type == "header" and said.header:
        return KeyHeader(said.header, env=said.env or preset.env)
    return Bearer(env=said.env or preset.env, header=said.header or "Authorization")


def _model(said: str | ModelSettings) -> ModelInfo:
    if isinstance(said, str):
        return ModelInfo(id=said)
    return ModelInfo(id=said.name, upstream=said.upstream, context=said.context, max_output=said.max_output)


def _limits(said: TimeoutSettings | None) -> Timeouts | None:
    if said is None:
        return None
    return Timeouts(connect=said.connect, first_byte=said.first_byte, idle=said.idle, total=said.total)
