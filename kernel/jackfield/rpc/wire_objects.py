"""The JSON of objects that plugins register (providers, sources of credentials, translators, routes, commands) and of what they
are asked. See `jackfield.rpc.wire`.
"""

from typing import Any, Literal

from jackfield.api import Loss, QuotaWindow, Timeouts
from jackfield.rpc.wire import Bodied, Item, Json, OnAttempt, OnCall, Wire


class Execute(OnAttempt, frozen=True, kw_only=True):
    """Params of `executor.execute`, `count_tokens` and `http_request`."""


class ExecuteStream(OnAttempt, frozen=True, kw_only=True):
    """Params of `executor.execute_stream`. Answered with a Reply: whole, or with `stream: true`, after which items come."""

    stream: str
    """Names the stream in `stream.item`, `stream.end` and `stream.credit`."""
    credit: int
    """Items that may be sent before more credit comes."""


class AuthPlace(Wire, frozen=True, kw_only=True):
    """How the host puts a credential's key on requests: `header: scheme key`."""

    env: list[str] = []
    """Environment variables that hold a key; the first that is set makes a credential."""
    header: str = "Authorization"
    """The header's name."""
    scheme: str = "Bearer"
    """Empty: the header's whole value is the key."""


class ProviderDeclared(Wire, frozen=True, kw_only=True):
    """A provider. With a `base_url` and without `execute` the host does all of it from this data."""

    key: str
    dialects: tuple[str, ...] = ("canonical",)
    models: list[Json] | Literal["discover"] = []
    """Ids, or objects of `ModelInfo`. `discover`: of the host's own way; or of `model.for_auth` where the plugin has that."""
    patterns: list[str] = []
    catalogue: list[Json] = []
    base_url: str | None = None
    """Taken literally: a dialect's path is appended."""
    execute: bool | None = None
    """The plugin answers its attempts (`executor.*`). Without a word: where there is no `base_url`."""
    auth: AuthPlace | None = None
    """null: no key is needed."""
    key_optional: bool = False
    failures: list[Json] = []
    """Objects of `Rule`."""
    quota: list[Json] = []
    flavours: list[Json] = []
    continuity: list[Json] = []
    streams: Literal["both", "only", "never"] = "both"
    """Whether it streams: as asked, always, or never. The host puts streams together, or plays whole answers, where that is another way."""
    serves: Literal["own_client", "any"] = "any"
    """Whom its accounts may serve: its own client programs only, or any."""
    headers: dict[str, str] = {}
    """Headers for each request."""
    paths: dict[str, str] = {}
    """Paths in place of the dialect's, by operation."""
    query: dict[str, str] = {}
    """Added to each URL."""
    forward: list[str] = []
    """The client's headers that go to it beside those of its dialect."""
    timeouts: Timeouts | None = None
    fallback: bool = False


class Providers(Wire, frozen=True, kw_only=True):
    """The answer of `model.register`."""

    providers: list[ProviderDeclared] = []
    models: list[tuple[str, Json]] = []
    """Further models of providers: a provider's key, and an id or an object of `ModelInfo`."""


class ForAuth(Wire, frozen=True, kw_only=True):
    """Params of `model.for_auth`: which models may this credential call?"""

    provider: str
    credential: "CredentialAbout"
    deadline: float | None = None


class Models(Wire, frozen=True, kw_only=True):
    """A list of models."""

    models: list[Json] = []


# ---------------------------------------------------------------------------------------------- credentials


class CredentialAbout(Wire, frozen=True, kw_only=True):
    """A credential. `key` is there only for plugins that may know it: those that bring it, and those with a grant and the need `secret`."""

    id: str = ""
    provider: str
    key: str | None = None
    expires_at: float | None = None
    """Unix time from which on the key is not accepted any more."""
    refresh_at: float | None = None
    """Unix time at which its source wants to refresh it."""
    refresh_token: str | None = None
    """With what a fresh key is asked for. Told to those who may know the key."""
    subject: str = ""
    workspace: str = ""
    label: str = ""
    base_url: str | None = None
    prefix: str | None = None
    priority: int = 0
    weight: float = 1.0
    proxy: str | None = None
    proxy_strict: bool = False
    headers: dict[str, str] = {}
    models: list[str] | None = None
    excluded: list[str] = []
    aliases: dict[str, Json] = {}
    """Further names of models; as in the configuration."""
    cooldown: dict[str, float] | None = None
    """For how long it is passed over after a failure; as in the configuration."""
    limits: dict[str, int] | None = None
    """What it may be used for at most: `rpm`, `tpm`, `rpd`, `tpd`: requests and tokens a minute and a day."""
    disabled: bool = False
    notes: str = ""
    kind: Literal["key", "oauth"] = "key"
    """A key, or the access token of an account."""
    origin: str = ""
    storage: dict[str, Any] = {}


class Sources(Wire, frozen=True, kw_only=True):
    """The answer of `auth.register`: the names of the plugin's sources of credentials."""

    sources: list[str] = []
    watched: list[str] = []
    """Those of which `host.auth.changed` tells when they have other credentials; the others are asked at each reload."""
    keeps: list[str] = []
    """Those that take `auth.save` and `auth.remove`."""
    providers: dict[str, list[str]] = {}
    """By source: keys of the providers whose accounts it refreshes, also those that another source keeps."""


class OnSource(Wire, frozen=True, kw_only=True):
    """Params of `auth.load`."""

    source: str
    """The source's name."""
    deadline: float | None = None


class Credentials(Wire, frozen=True, kw_only=True):
    """Credentials, and what is wrong with single ones."""

    credentials: list[CredentialAbout] = []
    problems: list[str] = []
    """A line each: where, what, what to do."""


class Parse(OnSource, frozen=True, kw_only=True):
    """Params of `auth.parse`: one stored file's name and what it says. null: not mine."""

    name: str
    """The file's name."""
    data: Json
    """What it says."""


class SaveCredentials(OnSource, frozen=True, kw_only=True):
    """Params of `auth.save`."""

    credentials: list[CredentialAbout]
    """They belong together: all of them are kept or, with an error, none."""


class RemoveCredential(OnSource, frozen=True, kw_only=True):
    """Params of `auth.remove`."""

    id: str
    """The credential's."""


class LoginStart(OnSource, frozen=True, kw_only=True):
    """Params of `auth.login.start`."""

    options: Json = {}


class LoginStep(Wire, frozen=True, kw_only=True):
    """What a login needs next from the person who logs in."""

    status: Literal["pending", "done", "failed"] = "pending"
    url: str | None = None
    """Where the person is to go."""
    code: str | None = None
    """What to enter there."""
    message: str = ""
    state: Json = {}
    credentials: list[CredentialAbout] = []
    expires_in: float | None = None
    """Seconds."""


class LoginPoll(OnSource, frozen=True, kw_only=True):
    """Params of `auth.login.poll`."""

    step: LoginStep
    """The last one, as it was answered."""


class OnCredential(OnSource, frozen=True, kw_only=True):
    """Params of `auth.refresh` and `auth.quota`."""

    credential: CredentialAbout


class Refreshed(Wire, frozen=True, kw_only=True):
    """The answer of `auth.refresh`."""

    credential: CredentialAbout


class Quota(Wire, frozen=True, kw_only=True):
    """The answer of `auth.quota`."""

    windows: list[QuotaWindow] = []


# ----------------------------------------------------------------------------- translators, routes, commands


class Pair(Wire, frozen=True, kw_only=True):
    """Two dialects that a plugin translates between: the client's and the upstream's."""

    source: str
    """The client's."""
    target: str
    """The upstream's."""


class Translators(Wire, frozen=True, kw_only=True):
    """The answer of `translate.register`."""

    pairs: list[Pair] = []


class Translate(Bodied, frozen=True, kw_only=True):
    """Params of `request.translate` and `response.translate`: a whole body."""

    source: str
    """The client's dialect."""
    target: str
    """The upstream's."""
    deadline: float | None = None


class Translated(Bodied, frozen=True, kw_only=True):
    """A body in the other dialect."""

    losses: list[Loss] = []
    """What was dropped, changed or invented."""


class TranslateOpen(Wire, frozen=True, kw_only=True):
    """Params of `response.translate.open`."""

    source: str
    """The client's dialect."""
    target: str
    """The upstream's."""
    call: str
    """The call's id."""
    stream: str
    """Names the stream in what follows."""
    deadline: float | None = None


class TranslateEvents(Wire, frozen=True, kw_only=True):
    """Params of `response.translate.event`, and without events of `response.translate.close`."""

    stream: str
    events: list[Item] = []
    """In the upstream's dialect."""
    deadline: float | None = None


class TranslatedEvents(Wire, frozen=True, kw_only=True):
    """Events in the client's dialect."""

    events: list[Item] = []
    losses: list[Loss] = []
    """What was dropped, changed or invented."""


class RouteDeclared(Wire, frozen=True, kw_only=True):
    """An HTTP route of a plugin's own."""

    method: str = "GET"
    path: str
    """With `{name}` for one segment, `{path}` for any number of them."""
    access: Literal["client", "admin", "public"] = "client"
    """Who may ask: whoever may make calls; of those the ones whose principal has the tag `admin`; anybody. The latter two need a grant."""


class Routes(Wire, frozen=True, kw_only=True):
    """The answer of `management.register`."""

    routes: list[RouteDeclared] = []


class OnRoute(OnCall, frozen=True, kw_only=True):
    """Params of `management.handle`: a request of one of the plugin's routes; its path has its names filled in as `params`."""

    route: RouteDeclared
    params: dict[str, str] = {}
    """What stands for the names in the path."""


class CommandDeclared(Wire, frozen=True, kw_only=True):
    """A command of the command line."""

    name: str
    help: str = ""


class Commands(Wire, frozen=True, kw_only=True):
    """The answer of `command_line.register`."""

    commands: list[CommandDeclared] = []


class RunCommand(Wire, frozen=True, kw_only=True):
    """Params of `command_line.execute`."""

    command: str
    arguments: list[str] = []


class CommandDone(Wire, frozen=True, kw_only=True):
    """What a command did."""

    exit_code: int = 0
    output: str = ""
    """For the standard output."""
    errors: str = ""
    """For the standard error."""
