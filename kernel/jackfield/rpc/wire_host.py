"""The JSON of what plugins ask of the host. See `jackfield.rpc.wire`."""

from typing import Literal

import msgspec

from jackfield.rpc.wire import SCHEMA_VERSION, Bodied, Pairs, Wire
from jackfield.rpc.wire_objects import CredentialAbout


class Within(Wire, frozen=True, kw_only=True):
    """What every request to the host may say: in which request of the host's it is made. It ends with that one."""

    within: int | str | None = msgspec.field(default=None, name="for")
    """The id of the host's request, also of one that opened a stream which is not over. Without it: on the plugin's own account."""


class Times(Wire, frozen=True, kw_only=True):
    """Limits on waiting, in seconds."""

    connect: float | None = None
    """To a connection."""
    first_byte: float | None = None
    """To the answer's first byte."""
    idle: float | None = None
    """Between two reads."""
    total: float | None = None
    """In all."""


class HttpAsk(Bodied, frozen=True, kw_only=True):
    """Params of `host.http.request`."""

    within: int | str | None = msgspec.field(default=None, name="for")
    """As in all requests to the host."""
    url: str
    method: str = "POST"
    headers: Pairs = []
    timeouts: Times | None = None
    credential: str | None = None
    """On whose behalf, by id: it goes through that credential's proxy; its key is not sent along."""
    attempt: bool = False
    """It is the attempt's own request, for a provider that answers one (`for`): the host puts the credential on it, and it may go to
    the provider's origins alone."""


class HttpAnswer(Bodied, frozen=True, kw_only=True):
    """What came."""

    status: int
    headers: Pairs = []


class HttpStream(HttpAsk, frozen=True, kw_only=True):
    """Params of `host.http.stream`: answered with status and headers, then the body comes as items with `raw`."""

    stream: str
    """A name for it, of the plugin's own making, that is not in use."""
    credit: int
    """Items that may be sent before more credit comes."""


class ModelAsk(Bodied, frozen=True, kw_only=True):
    """Params of `host.model.execute`: a canonical `request`, or a body in a `dialect`."""

    within: int | str | None = msgspec.field(default=None, name="for")
    """As in all requests to the host."""
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """A canonical request."""
    dialect: str = "canonical"
    """That of the body."""
    model: str | None = None
    """For dialects in which the path names it."""
    operation: str = "generate"
    """What is asked for: `generate`, `embed`, `count`."""
    read: bool = False
    """Of an answer in a dialect: send its canonical form, too."""
    detached: bool = False
    """It outlives the call in which it is made."""
    timeouts: Times | None = None
    """How long it may take, where that differs from most calls."""


class ModelStream(ModelAsk, frozen=True, kw_only=True):
    """Params of `host.model.execute_stream`: answered with null, then items with `delta` to a canonical request, else events."""

    stream: str
    """A name for it, of the plugin's own making, that is not in use."""
    credit: int
    """Items that may be sent before more credit comes."""


class StateKey(Within, frozen=True, kw_only=True):
    """Params of `host.state.get` and `delete`."""

    key: str


class StateValue(Wire, frozen=True, kw_only=True):
    """A value: text or, where it is not UTF-8, base64; neither where there is none."""

    value: str | None = None
    value_base64: str | None = None


class StateSet(StateKey, frozen=True, kw_only=True):
    """Params of `host.state.set`."""

    value: str | None = None
    value_base64: str | None = None
    ttl: float | None = None
    """Seconds that it is kept; null: for good."""
    if_absent: bool = False
    """Only where there is none."""


class StateWasSet(Wire, frozen=True, kw_only=True):
    """Whether it was set."""

    set: bool


class StateAdd(StateKey, frozen=True, kw_only=True):
    """Params of `host.state.add`."""

    n: int = 1
    """How much."""
    maximum: int | None = None
    """It is left as it is where the sum would be more than this."""
    ttl: float | None = None
    """Seconds that the counter is kept from its first addition on; null: for good."""


class StateSum(Wire, frozen=True, kw_only=True):
    """The counter's new value; null where it would have passed the maximum."""

    value: int | None


class AuthGet(Within, frozen=True, kw_only=True):
    """Params of `host.auth.get` and `get_runtime`."""

    id: str
    """The credential's id."""


class AuthSave(Within, frozen=True, kw_only=True):
    """Params of `host.auth.save`: keep credentials that belong together, all or none, and use them."""

    credentials: list[CredentialAbout]
    source: str | None = None
    """The name of the source that keeps them. Without it: one of the plugin's own that can, else another."""


class AuthChanged(Wire, frozen=True, kw_only=True):
    """Params of `host.auth.changed`."""

    source: str
    """The source's name."""


class Log(Within, frozen=True, kw_only=True):
    """Params of `host.log`."""

    message: str
    level: Literal["debug", "info", "warning", "error"] = "info"


class HostInfo(Wire, frozen=True, kw_only=True):
    """The answer of `host.info`."""

    version: str
    plugin: str
    """The id under which the configuration knows the plugin."""
    schema_version: int = SCHEMA_VERSION
    capabilities: list[str] = []
    """What this host can do beside what every host of the schema version can."""
