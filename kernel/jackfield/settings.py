"""The kernel's own part of the configuration, as typed structs. `config` reads files into it; plugins declare their own."""

import math
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from jackfield.api import Alias, CallError, Cooldown, Credential, ModelInfo, Rule, Seconds, Secret, Size, failure, matches
from jackfield.api import Timeouts as GivenTimeouts
from jackfield.api.credential import check_proxy


class Settings(Struct, forbid_unknown_fields=True, frozen=True):
    """A section of the configuration."""


class Tls(Settings, frozen=True):
    """With what the host serves HTTPS."""

    cert: str
    """The file with the certificate and those that it rests upon, in the form PEM; relative to the configuration file."""
    key: str | None = None
    """The file with its key; None when that is in the same file."""


class Server(Settings, frozen=True):
    """Where the host listens, and how it treats its connections."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8317
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Processes that share the port. More than one share a state store: `sqlite` unless `state` says otherwise."""
    keepalive: Seconds = Seconds(15)
    """Quiet time in a stream after which a comment keeps the connection alive, where the dialect has one."""
    nonstream_keepalive: Seconds = Seconds(0)
    """Time without a whole answer after which white space keeps the connection alive, and again each time as much; 0 for never.
    The first sends the status 200 and takes from the answer its own status and headers."""
    grace: Seconds = Seconds(25)
    """How long calls may take to finish when the host stops."""
    control: str | None = None
    """Path of the socket by which `jackfield reload` and the like reach the host: of a name by its port unless set, '' for none."""
    tls: Tls | None = None


class Limits(Settings, frozen=True):
    """Most bytes of one thing."""

    body: Size = Size(64 << 20)
    """Of a request body, unpacked."""
    headers: Size = Size(64 << 10)
    """Of all header fields of a request."""
    json: Size = Size(16 << 20)
    """Of a body whose JSON is parsed; larger ones pass unread."""
    in_flight: Size = Size(1 << 30)
    """Of all request bodies being held at once."""
    answer: Size = Size(256 << 20)
    """Of a whole answer from upstream."""
    event: Size = Size(16 << 20)
    """Of one event of a stream."""


Limit = tuple[float, str]
"""How many seconds something may take, and the setting that says so."""

ENDLESS: Final[Limit] = (math.inf, "")


class SomeTimeouts(Settings, frozen=True):
    """How long the host waits for one provider or for some models, where that differs; 0 for as long as it takes."""

    connect: Seconds | None = None
    """For a connection to an upstream: its name, a proxy and TLS included."""
    first_byte: Seconds | None = None
    """For the first byte of an upstream's answer."""
    idle: Seconds | None = None
    """Between two reads of an upstream's answer."""
    total: Seconds | None = None
    """From a call's beginning to the last byte of its answer, all attempts included."""


class Timeouts(SomeTimeouts, frozen=True):
    """How long the host waits; 0 for as long as it takes. What is said of a model goes before what is said of its provider."""

    connect: Seconds | None = Seconds(10)
    first_byte: Seconds | None = Seconds(300)
    idle: Seconds | None = Seconds(120)
    thinking: Seconds = Seconds(600)
    """For the first byte where the model is known to think, and nothing more special is said."""
    client_body: Seconds = Seconds(30)
    """Between two reads of a client's body."""
    providers: dict[str, SomeTimeouts] = {}
    """By the provider's key."""
    models: dict[str, SomeTimeouts] = {}
    """By pattern of the name that the client asked for, or of the upstream's own."""

    def of(
        self,
        provider: str,
        models: tuple[str, ...] = (),
        thinks: bool = False,
        call: GivenTimeouts | None = None,
        own: GivenTimeouts | None = None,
    ) -> dict[str, Limit]:
        """Return what holds for a request, by name. `call` is what the call itself says, `own` what the provider's plugin does."""
        rungs: Any = (
            ("Nested.timeouts", call),
            *((f"timeouts.models.{p}", some) for p, some in self.models.items() if any(matches(name, p) for name in models)),
            (f"timeouts.providers.{provider}", self.providers.get(provider)),
            (f"provider {provider!r}: timeouts", own),
            ("timeouts", self),
        )
        found: dict[str, Limit] = {
            what: next(
                ((s or math.inf, f"{where}.{what}") for where, some in rungs if (s := getattr(some, what, None)) is not None), ENDLESS
            )
            for what in ("connect", "first_byte", "idle", "total")
        }
        if thinks and found["first_byte"][1] == "timeouts.first_byte":
            found["first_byte"] = max(found["first_byte"], (self.thinking or math.inf, "timeouts.thinking"))
        return found


class Proxy(Settings, frozen=True):
    """Through which proxy requests to upstreams go. The environment's words for it (`HTTPS_PROXY` and the like) count for nothing."""

    url: str = ""
    """For all of which nothing else is said; `direct` or nothing for none."""
    strict: bool = False
    """Nothing is sent without a proxy, unless `direct` stands for it by name."""
    providers: dict[str, str] = {}
    """By the provider's key. A credential's own goes before it."""

    def of(self, credential: Credential | None) -> str:
        """Return the URL of the proxy for a credential's traffic, or for traffic of no credential; `''` for none.

        Raises `CallError` where it may not leave without one.
        """
        own = "" if credential is None else credential.proxy or self.providers.get(credential.provider, "")
        if (url := own or self.url) not in ("", "direct"):
            return url
        if strict := "proxy_strict" if credential is not None and credential.proxy_strict else "proxy.strict" * (self.strict and not own):
            says = f"there is no proxy for this request, and it may not leave without one ({strict})"
            raise CallError(failure("network", says, code="proxy_failed", blame="credential"))
        return ""


class Cooldowns(Cooldown, frozen=True, kw_only=True):
    """For how long who failed is passed over: in general, and for the credentials of a provider."""

    providers: dict[str, Cooldown] = {}


class Probe(Settings, frozen=True):
    """When a live call tries who is still passed over for a rate limit, a quota or a failing upstream."""

    after: Seconds = Seconds(60)
    """Since it failed."""
    interval: Seconds = Seconds(60)
    """Between two tries."""

    def __post_init__(self) -> None:
        """Refuse what would try it with every call."""
        if not self.interval > 0:
            raise ValueError("interval: expected a time above 0")


class Attempts(Settings, frozen=True):
    """How often a call is tried before its first byte."""

    most: Annotated[int, Meta(ge=1)] = 32
    """Attempts of one call."""
    per_credential: Annotated[int, Meta(ge=1)] = 2
    """Attempts of one call with the same credential and model."""
    wait: Seconds = Seconds(2)
    """How long a call may wait in all for somebody who is passed over."""
    hold: Seconds = Seconds(1)
    """How long a stream's first events are held back while they only say that an answer begins: an error that follows is
    then met with another attempt."""
    budget: Annotated[float, Meta(ge=0)] = 0.2
    """Repeated attempts in all for each call, beside a few at once: more would amplify an outage. First attempts with each
    healthy credential are free."""
    all_unavailable_status: Annotated[int, Meta(ge=400, le=599)] | None = None
    """What a client is told when nobody can be asked (`all_resting`); None: 429 where all wait for a limit to end, else 503."""


class Hooks(Settings, frozen=True):
    """How plugins are held to account."""

    deadline: Seconds = Seconds(5)
    """For one call of a hook."""
    failures: Annotated[int, Meta(ge=1)] = 5
    """Failures in a row after which a hook is passed over for a while."""
    pause: Seconds = Seconds(30)
    """How long it is passed over before it is tried again."""
    blocked: Seconds = Seconds(1)
    """How long a hook may hold the event loop before it is named in the log."""


class Access(Settings, frozen=True):
    """Who may call."""

    only: str | None = None
    """The one plugin that decides; no other is asked."""


class HeaderRule(Settings, frozen=True):
    """Names of headers, with `*` for any text, that pass beside those of the dialect, or do not."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class HeaderPolicy(Settings, frozen=True):
    """Which headers pass. Keys, cookies, hop-by-hop and forwarding headers never do."""

    request: HeaderRule = HeaderRule()
    """From the client to the upstream."""
    response: HeaderRule = HeaderRule()
    """From the upstream to the client."""


class Models(Settings, frozen=True):
    """Names of models."""

    aliases: dict[str, str | tuple[str, ...] | Alias] = {}
    """Further names, and the model or models meant."""
    catalogue: tuple[ModelInfo, ...] = ()
    """What is known of models, by the names that providers use, with `*` for any text. Goes before what providers say."""
    excluded: tuple[str, ...] = ()
    """Patterns of models that nobody serves here, with or without `provider/` before them."""
    force_prefix: bool = False
    """Credentials with a prefix serve names with that prefix alone."""
    list_variants: tuple[Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"], ...] = ()
    """Levels of thought at which lists show models once more: `model(high)`."""


class Translation(Settings, frozen=True):
    """What becomes of a request that cannot be said in the upstream's dialect without a loss."""

    policy: Literal["allow", "warn", "strict"] = "allow"
    """It is sent; it is sent and logged; it is refused before anything is sent."""


class Schedulers(Settings, frozen=True):
    """Which plugin picks credentials: in general, for a provider, for models by pattern. The most special one counts."""

    default: str | None = None
    providers: dict[str, str] = {}
    models: dict[str, str] = {}


class HookSettings(Settings, frozen=True):
    """What the operator says about one hook of one plugin; it has the last word."""

    enabled: bool = True
    priority: int | None = None
    on_error: Literal["open", "closed"] | None = None
    deadline: Seconds | None = None


class PluginProcess(Settings, frozen=True):
    """How a plugin's program is run."""

    env: dict[str, str] = {}
    """Environment variables beside PATH, LANG, TZ and HOME."""
    cwd: str | None = None
    """The folder in which it runs, relative to the configuration file; by default that of the manifest, else that of the file."""
    start: Seconds = Seconds(10)
    """In which it must have said what it is."""
    memory: Size | None = None
    """Most bytes of resident memory, with all that it starts; one that stays above is ended and started again."""
    cpu: Annotated[float, Meta(gt=0)] | None = None
    """Most cores that it may keep busy, with all that it starts; one that stays above is ended and started again."""
    files: Annotated[int, Meta(ge=16)] | None = None
    """Most files, pipes and sockets that a process of it may have open (RLIMIT_NOFILE)."""

    def __post_init__(self) -> None:
        """Refuse what would leave it nothing."""
        for name, what in (("start", "a time"), ("memory", "a size")):
            if not (getattr(self, name) is None or getattr(self, name) > 0):
                raise ValueError(f"{name}: expected {what} above 0")


class PluginSocket(Settings, frozen=True):
    """Where a plugin listens that runs by itself."""

    path: str
    """Its unix socket, relative to the configuration file: nobody but the user or root may own it, or connect to it."""
    secret: Secret | None = None
    """What host and plugin both know, and prove to each other before anything else is said."""

    def __post_init__(self) -> None:
        """Refuse a secret that everybody knows."""
        if self.secret is not None and not self.secret.reveal():
            raise ValueError("secret: expected a text that is not empty")


class PluginSettings(Struct, frozen=True, kw_only=True):
    """What the kernel reads of a plugin's section. All other keys of the section are the plugin's own."""

    enabled: bool = True
    required: bool = False
    """The host does not start without it."""
    priority: int | None = None
    path: str | None = None
    """A single file that is the plugin, or a folder with a `jackfield-plugin.yaml`, relative to the configuration file."""
    command: tuple[str, ...] | None = None
    """A program that is the plugin, and its arguments, run in the configuration file's folder. No shell takes part."""
    socket: str | PluginSocket | None = None
    """The unix socket on which the plugin listens, a program that runs by itself; a text is its path."""
    isolate: bool = False
    """Run a Python plugin in a process of its own."""
    process: PluginProcess = PluginProcess()
    """How its program is run."""
    distribution: str | None = None
    """Which installed distribution's plugin of this name is meant, where several have one."""
    deadline: Seconds | None = None
    hooks: dict[str, HookSettings] = {}

    def __post_init__(self) -> None:
        """Refuse two answers to where the plugin is."""
        said = [name for name in ("command", "path", "socket") if getattr(self, name) is not None]
        said += ["isolate"] * (self.isolate and said not in ([], ["path"]))
        if len(said) > 1:
            raise ValueError(f"{' and '.join(said)} do not go together; keep one")
        if self.command is not None and not (self.command and self.command[0]):
            raise ValueError("command: expected a program and its arguments, got an empty list")


class Config(Settings, frozen=True):
    """The whole configuration. `plugins` holds one section a plugin, and `autoload`."""

    server: Server = Server()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    proxy: str | Proxy | None = None
    cooldown: Cooldowns = Cooldowns()
    probe: Probe = Probe()
    attempts: Attempts = Attempts()
    hooks: Hooks = Hooks()
    access: Access = Access()
    headers: HeaderPolicy = HeaderPolicy()
    models: Models = Models()
    translation: Translation = Translation()
    scheduler: str | Schedulers | None = None
    state: str | dict = "memory"  # type: ignore[type-arg]  # left as it is: all but `kind` is the store's
    """The kind of state store; or a mapping of its `kind` and its settings."""
    failures: dict[str, tuple[Rule, ...]] = {}
    """What providers' errors mean, by provider; these rules stand before the provider's own."""
    credentials: tuple[Credential, ...] = ()
    plugins: dict[str, Any] = {}

    @property
    def proxies(self) -> Proxy:
        """What is said of proxies, in its long form."""
        return self.proxy if isinstance(self.proxy, Proxy) else Proxy(url=self.proxy or "")

    def __post_init__(self) -> None:
        """Refuse what is no proxy: a mistake must not let anything go past one."""
        for where, url in {"url": self.proxies.url, **{f"providers.{k}": url for k, url in self.proxies.providers.items()}}.items():
            check_proxy(url, f"proxy.{where}")
