"""The JSON of the out-of-process protocol: what every message's params and result look like.

The structs here and the table in `jackfield.rpc.methods` are the protocol; the schemas, the wire reference and the conformance
check are made from them. Fields that hold their default are left out when they are written and may be left out by a plugin;
unknown fields are ignored by both sides, so that new ones can come without a new version.

Bodies stand beside what they belong to, in one of four forms: `body` is JSON, compacted but otherwise as it came; `body_text` is
text that is not valid JSON; `body_base64` is what is not UTF-8; `body_file` names a file that holds it, for what is too large
for a message: the receiver may read it until it has answered. Headers and queries are lists of pairs; a plugin may write
an object instead.
"""

from typing import Annotated, Any, Literal

import msgspec

from jackfield.api import Blame, Cause, Help, Operation, QuotaWindow, Usage
from jackfield.api.canonical import Delta, Error, FinishReason

SCHEMA_VERSION = 1
"""Raised only by a change that breaks plugins; what is merely new is told by capabilities."""

Json = Any
"""Any JSON value; what is sent on is kept as it was written."""
Pairs = list[tuple[str, str]] | dict[str, str | None]
"""Headers or a query."""
Needs = Literal["headers", "body", "client_body", "request", "undecoded", "deltas", "raw", "secret"]
"""What a hook is sent beside ids, names and flags: headers and query; the body of what it is about; the client's body, where
that is another one; the canonical form, and with `undecoded` the call also where there is none, because the body cannot be decoded; what
events say in canonical words; bodies byte for byte (`body_base64`); keys of clients or credentials (needs a grant)."""


class Wire(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One JSON object of the protocol."""


class Bodied(Wire, frozen=True, kw_only=True):
    """What has a body, in one of four forms or none."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """JSON."""
    body_text: str | None = None
    """Text that is not valid JSON."""
    body_base64: str | None = None
    """Bytes that are not UTF-8; with the need `raw` any body, byte for byte."""
    body_file: str | None = None
    """The path of a file that holds the body, for what is too large for a message."""
    media_type: str = "application/json"
    """What the body is."""


# ---------------------------------------------------------------------------------------------- errors


class Fault(Wire, frozen=True, kw_only=True):
    """What an error says beside its message: `data` of a JSON-RPC error. A plugin may leave all of it out."""

    cause: Cause | None = None
    """Where it is left out: for an attempt what the provider's `failures` make of `status`, if that is there; else the plugin's fault."""
    blame: Blame | None = None
    """Follows from the cause unless it is given."""
    help: Help | None = None
    """Whether trying again may help, and with whom. Likewise."""
    status: int = 0
    """The HTTP status, where there was an answer."""
    code: str | None = None
    """A word for programs, such as `model_not_found`."""
    param: str | None = None
    """The field of the client's request that is at fault."""
    retry_after: float | None = None
    """Seconds."""
    safe_after_first_byte: bool = False
    """Trying again may help even after a part of the answer was sent."""
    shown: int | None = None
    """The HTTP status for the client, where the cause does not decide it."""
    headers: Pairs = []
    """Headers of the answer."""
    body: str = ""
    """What was answered, as text."""
    body_base64: str | None = None
    """Likewise, where that is not UTF-8."""
    detail: str = ""
    """For the log alone: clients are never told."""
    link: str | None = None
    """Where the owner of an account must go."""
    problems: list[tuple[str, str]] = []
    """For a refused configuration: where in the plugin's section, and what."""


class RpcError(Wire, frozen=True, kw_only=True):
    """The error of a JSON-RPC response (JSON-RPC 2.0, section 5.1)."""

    code: int
    """One of those that are listed under Errors; another counts as the side's own failure."""
    message: str = ""
    """One line: what, where, what to do."""
    data: Fault | None = None


# ----------------------------------------------------------------------------------------- the life of a plugin


class HostAbout(Wire, frozen=True, kw_only=True):
    """Who asks."""

    version: str
    capabilities: list[str] = []
    """What this host can do beside what every host of the schema version can."""


class Bounds(Wire, frozen=True, kw_only=True):
    """What a plugin has to keep to."""

    frame: int
    """Most bytes of one message, its line end included."""
    body_file: int
    """Bodies from so many bytes on come as `body_file`."""


class Challenge(Wire, frozen=True, kw_only=True):
    """`plugin.challenge`: prove that you know the secret. Both sides prove it, over a socket that has one."""

    plugin: str
    """The id under which the configuration knows the plugin."""
    challenge: str
    """Random; 64 hexadecimal digits."""


class Proof(Wire, frozen=True, kw_only=True):
    """The answer to a challenge, and a challenge in turn."""

    proof: str
    """HMAC-SHA256 of `plugin:` and the challenge, keyed with the secret, in hexadecimal digits (RFC 2104)."""
    challenge: str = ""
    """For the host: its proof comes with `plugin.register`."""


class Register(Wire, frozen=True, kw_only=True):
    """`plugin.register`: the first request, answered with what the plugin is."""

    schema_version: int
    """The version of the protocol that the host speaks."""
    host: HostAbout
    plugin: str
    """The id under which the configuration knows the plugin."""
    config: Json = {}
    """The plugin's section of the configuration, without what the host reads itself."""
    from_environment: list[str] = []
    """JSON Pointers of texts in `config` that came from the environment: they may stand for a number or a truth value."""
    limits: Bounds
    proof: str = ""
    """HMAC-SHA256 of `host:` and the plugin's challenge, keyed with the secret."""


class Identity(Wire, frozen=True, kw_only=True):
    """Who a plugin says that it is."""

    name: str = ""
    version: str = ""
    """The plugin's own version."""


class HookDeclared(Wire, frozen=True, kw_only=True):
    """How a plugin takes part in one method."""

    needs: list[Needs] = []
    """What it is to be sent beside what every hook is."""
    on_error: Literal["open", "closed"] | None = None
    """Whether a failure is passed over (`open`) or fails what the hook guards (`closed`). Without it as the hook has it."""
    priority: int | None = None
    """Its place in the order of this hook: higher first."""
    deadline: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Seconds."""
    table: bool = False
    """For `scheduler.pick`: send the pool as a table that the plugin keeps, instead of whole rows each time."""
    selected: bool = False
    """Call it only where the configuration selects the plugin as a scheduler: for hooks that go with `scheduler.pick`."""


class Registration(Wire, frozen=True, kw_only=True):
    """What `plugin.register` answers."""

    schema_version: int
    """The version that the plugin was written for; a higher one than the host's is refused."""
    plugin: Identity = Identity()
    hooks: dict[str, HookDeclared | None] = {}
    """The methods that the host may call, by name; of those with several parts, the first part's name is enough."""
    capabilities: list[str] = []
    """`start`: wants `plugin.start`. `reconfigure`: takes another configuration while it runs (socket plugins)."""
    max_in_flight: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Requests at once; others wait for their turn. Without it 256."""
    priority: int | None = None
    """Its place in the order where the operator says nothing."""
    config_schema: Json = None
    """A JSON Schema of its section, for editors and the check."""
    problems: list[str] = []
    """What is wrong and keeps the plugin from nothing; listed."""
    has_rules: bool = True
    """For `frontend_auth.authenticate`: false says that it has nobody to admit, and counts as no access rule."""
    delegates: dict[str, str] = {}
    """Schedulers that it may delegate to, by the name of the setting that says so."""


class Reconfigure(Wire, frozen=True, kw_only=True):
    """`plugin.reconfigure`: another configuration."""

    config: Json = {}
    from_environment: list[str] = []
    """As in `plugin.register`."""


class Shutdown(Wire, frozen=True, kw_only=True):
    """`plugin.shutdown`: finish, answer, and end."""

    grace: float
    """Seconds until the process is stopped."""


class Nothing(Wire, frozen=True, kw_only=True):
    """No params, or no result."""


# -------------------------------------------------------------------------------------------- the subjects


class Call(Bodied, frozen=True, kw_only=True):
    """A call, as far as the hook needs it. `body` is the client's."""

    id: str
    parent: str | None = None
    """The id of the call in which it was made, if in one."""
    depth: int = 0
    """How many calls it stands in."""
    dialect: str
    """The client's wire protocol, by its name."""
    operation: Operation | str
    model: str
    """The name that the client asked for."""
    stream: bool
    """The client wants a streamed answer."""
    principal: str
    """Its name."""
    method: str = "POST"
    """Of the client's request. With the need `headers`."""
    path: str = ""
    """With the need `headers`."""
    session: str | None = None
    """With the need `headers`."""
    peer: str | None = None
    """The client's address. With the need `headers`."""
    headers: Pairs = []
    """Without the client's keys and cookies; with the need `secret`, `authenticate` is sent them too."""
    query: Pairs = []
    """With the need `headers`."""
    key_query: list[str] = []
    """The query keys in which clients of the dialect send their key. With the need `secret`."""
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The canonical request."""
    undecoded: RpcError | None = None
    """Why there is no `request`. With the need of that name; without it the hook is not called."""
    route: "Route | None" = None
    """What a router decided."""


class Failed(Wire, frozen=True, kw_only=True):
    """Why an attempt failed."""

    cause: Cause
    message: str = ""
    """For people, in a sentence."""
    status: int = 0
    """The upstream's status; 0 where there was no answer."""
    code: str | None = None
    """A word for programs, such as `model_not_found`."""
    retry_after: float | None = None
    """Seconds."""


class Attempt(Bodied, frozen=True, kw_only=True):
    """An attempt. `body` is the client's until the request is translated, then the upstream's."""

    call: Call
    number: int
    """Counted from 1."""
    candidate: str
    """The id of the pair of credential and model that was picked."""
    credential: str
    """The credential's id."""
    label: str = ""
    """What the operator calls the credential."""
    provider: str
    """The provider's key."""
    model: str
    """The upstream's name."""
    dialect: str
    """The upstream's."""
    stream: bool
    """The answer is to be streamed."""
    headers: Pairs = []
    """What goes upstream, but for the key."""
    query: Pairs = []
    """Likewise."""
    base_url: str | None = None
    """The credential's own."""
    path: str | None = None
    """The upstream route in that dialect."""
    method: str = "POST"
    """Its method."""
    params: dict[str, str] = {}
    """What the client's path named, such as the id of a resource. Likewise with the need `headers`."""
    continuity: list[Json] = []
    """Objects of `Continuity`: where the provider is told which requests continue one another. With the need `headers`."""
    cache: list[list[str | int]] = []
    """Paths at which such requests say a name of their own for that. Likewise."""
    before: list[Failed] = []
    """Why earlier attempts of the call failed."""
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The canonical request."""
    undecoded: RpcError | None = None
    """As in `Call`."""
    secret: str | None = None
    """The credential's key or token: with the need `secret`, and only to a plugin that the configuration names."""


class Reply(Bodied, frozen=True, kw_only=True):
    """An answer, or the beginning of a streamed one."""

    status: int = 200
    headers: Pairs = []
    """With the need `headers`. Those of an answer that a plugin gives go to the client as far as it may have them."""
    stream: bool = False
    """It is streamed: no body stands here."""
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The canonical answer; a plugin may give this instead of a body."""
    failure: Failed | None = None
    """Why it is an error; null for a success."""


class Head(Wire, frozen=True, kw_only=True):
    """What is known of a stream before its first event."""

    status: int
    headers: Pairs = []
    """With the need `headers`."""
    model: str = ""
    """The upstream's name."""
    provider: str = ""
    """The provider's key."""


class Outcome(Wire, frozen=True, kw_only=True):
    """What came of a call."""

    status: Literal["succeeded", "failed", "rejected", "canceled"]
    http_status: int = 0
    cause: Cause | None = None
    message: str = ""
    usage: Usage | None = None
    """What it cost, all in all."""
    attempts: int = 0
    """How many there were."""
    provider: str | None = None
    credential: str | None = None
    model: str | None = None
    duration: float = 0.0
    first_byte: float | None = None
    fidelity: str | None = None
    explanation: Json = None
    """With the need `request`."""


# --------------------------------------------------------------------------------------------------- hooks


class OnCall(Wire, frozen=True, kw_only=True):
    """Params of hooks that see a call."""

    call: Call
    deadline: float | None = None
    """Seconds from now, after which nobody waits for the answer."""


class OnAttempt(Wire, frozen=True, kw_only=True):
    """Params of hooks that see an attempt."""

    attempt: Attempt
    deadline: float | None = None


class OnAttemptReply(OnAttempt, frozen=True, kw_only=True):
    """Params of `response.normalize`. For a streamed answer `stream` is there, and `{"handle": true}` asks for its events."""

    reply: Reply
    stream: str | None = None
    """Names the stream in what follows; null for a whole answer."""


class OnCallReply(OnCall, frozen=True, kw_only=True):
    """Params of `response.intercept_after`."""

    reply: Reply


class Principal(Wire, frozen=True, kw_only=True):
    """Who calls."""

    name: str
    """By which logs, limits and plugins know it. Never a key."""
    tags: list[str] = []
    """Words by which plugins tell principals apart; `admin` opens routes for administrators."""
    allow: "Allow | None" = None
    """null: all."""
    limits: dict[str, float] = {}
    """For plugins that limit; the host does not read them."""


class Allow(Wire, frozen=True, kw_only=True):
    """What a principal may call, as patterns; what is left out allows everything."""

    models: list[str] | None = None
    dialects: list[str] | None = None
    operations: list[str] | None = None


class Authenticated(Wire, frozen=True, kw_only=True):
    """The answer of `frontend_auth.authenticate`: one of the two."""

    principal: Principal | None = None
    reject: str | None = None
    """Why the key is wrong."""


class Alternative(Wire, frozen=True, kw_only=True):
    """Where a call goes when its route could not serve it."""

    model: str | None = None
    provider: str | None = None
    executor: str | None = None
    on: list[Cause] = []
    """The causes of failure for which it is taken; none: for all but the caller's own."""


class Route(Wire, frozen=True, kw_only=True):
    """The answer of `model.route`."""

    model: str | None = None
    """By its name alone: resolved as if the client had asked for it."""
    provider: str | None = None
    """A provider's key: the model is looked for there alone."""
    executor: str | None = None
    """The id of a plugin whose provider runs the call; `self` for one's own."""
    reason: str = ""
    """Stands in the call's explanation."""
    otherwise: list[Alternative] = []
    """In order, for when this cannot serve the call."""


class Change(Bodied, frozen=True, kw_only=True):
    """What a hook wants changed: one of `set`/`remove`, `request`, `response`, a body, or `respond`; and headers beside it."""

    set: dict[str, msgspec.Raw] = {}
    """Values by JSON Pointer (RFC 6901); all other bytes stay."""
    remove: list[str] = []
    """JSON Pointers of what is taken out."""
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """A canonical request."""
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """A canonical answer."""
    respond: Reply | None = None
    """Ends the call with this answer."""
    headers: dict[str, str | None] = {}
    """Headers to set by name; null takes one away."""
    handle: bool = False
    """Of `response.normalize` on a stream: send its events."""


class Row(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """A candidate."""

    id: str
    """Names it in `Pick`."""
    provider: str = ""
    """The provider's key."""
    credential: str = ""
    """The credential's id."""
    label: str = ""
    """What the operator calls the credential."""
    model: str = ""
    """The upstream's name."""
    tier: int = 0
    """Higher is better; only the best that can serve is eligible."""
    weight: float = 1.0
    health: str = "ok"
    """`ok`, or why it is passed over: `rate limit until 12:31:05`."""
    in_flight: int = 0
    """Attempts that are under way."""
    latency: float | None = None
    """Seconds to the first byte."""
    last_used: float = 0.0
    """Unix time."""
    quota: list[QuotaWindow] = []
    """Windows of the account's quota, as far as they are known."""


class Live(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The figures of a candidate that change with every call."""

    id: str
    """Of a row of the table."""
    in_flight: int = 0
    """Attempts that are under way."""
    latency: float | None = None
    """Seconds to the first byte."""
    last_used: float = 0.0
    """Unix time."""


class Pool(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """The candidates of a model. At most 64 of the eligible ones; where there are more, the least busy of a sample."""

    model: str
    """The name that was resolved."""
    revision: int
    """Another number whenever candidates came, went or changed."""
    many: int
    """How many are eligible."""
    eligible: list[Row] = []
    """Without `table`."""
    live: list[Live] = []
    """With `table`: the eligible ones by id; the rest of each row stands in the table."""
    rows: list[Row] = []
    """With `table`: rows that are new or have changed since the plugin was told last."""
    gone: list[str] = []
    """With `table`: ids of candidates that are none any more."""
    tried: list[str] = []
    """Ids of candidates that this call has tried."""


class OnPick(OnCall, frozen=True, kw_only=True):
    """Params of `scheduler.pick`."""

    pool: Pool


class Pick(Wire, frozen=True, kw_only=True):
    """The answer of `scheduler.pick`: one of the three."""

    candidate: str | None = None
    """An id."""
    delegate: str | None = None
    """The id of a plugin that is a scheduler."""
    deny: str | None = None
    """Why nobody may serve the call."""
    retry_after: float | None = None
    """Seconds. With `deny`."""


class OnComplete(Wire, frozen=True, kw_only=True):
    """Params of `request.complete`."""

    call: Call
    outcome: Outcome
    deadline: float | None = None


class OnUsage(OnAttempt, frozen=True, kw_only=True):
    """Params of `usage.handle`."""

    usage: Usage


# -------------------------------------------------------------------------------------------------- streams


class Event(Wire, frozen=True, kw_only=True):
    """One event of a stream that a handler sees: `index` and `name` always, the rest by the needs of its opening."""

    index: int
    """Counted from 0."""
    name: str = ""
    """As the stream names it; may be empty."""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Its JSON, with the need `body`."""
    text: str = ""
    """The words that it adds, with the need `request`; so are the five below."""
    thinking: str = ""
    arguments: str = ""
    finish: str | None = None
    """Why the model stopped."""
    usage: Usage | None = None
    error: Error | None = None
    """The stream breaks off with it."""
    deltas: list[Delta] = []
    """With the need `deltas`."""
    raw: str | None = None
    """Its bytes as text, with the need `raw`."""


class OpenStream(OnCall, frozen=True, kw_only=True):
    """Params of `response.intercept_stream_chunk.open`: the context comes once."""

    head: Head
    stream: str
    """Names the stream in what follows."""


class Handle(Wire, frozen=True, kw_only=True):
    """The answer that asks for the events of a stream; null wants none."""

    handle: bool = True
    """Whether to send them."""


class OnEvents(Wire, frozen=True, kw_only=True):
    """Params of `response.intercept_stream_chunk.event`: those of one read, in order."""

    stream: str
    """The name of its opening."""
    events: list[Event]
    deadline: float | None = None


class NewEvent(Wire, frozen=True, kw_only=True):
    """An event that a handler gives: one of the three."""

    same: bool = False
    """The event that is answered to, as it is: for what is added before or after it."""
    text: str | None = None
    """The event that is answered to, with other words."""
    of: int | None = None
    """For the two above: the index of another event that is meant, one of the latest 256 of the stream."""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """A new event that carries this JSON."""
    name: str = ""
    """A new event's name, where the dialect gives events names."""
    raw: str | None = None
    """A new event's data as text that is not JSON."""


class EventAnswer(Wire, frozen=True, kw_only=True):
    """What becomes of one event; null keeps it. `events` stand in its place, none drop it; `text` is short for one with other words."""

    text: str | None = None
    events: list[NewEvent] | None = None
    end: FinishReason | None = None
    """The stream ends here, after `events`."""
    failed: str | None = None
    """The handler failed at this event, which is kept: why."""


class EventAnswers(Wire, frozen=True, kw_only=True):
    """The answer of `response.intercept_stream_chunk.event`; null keeps all events."""

    answers: list[EventAnswer | None] = []
    """One for each event, in order; those left out at the end are kept."""


class CloseStream(Wire, frozen=True, kw_only=True):
    """Params of `response.intercept_stream_chunk.close`. Those with which the answer ends may come after it: null keeps them."""

    stream: str
    outcome: Outcome
    deadline: float | None = None


class Closing(Wire, frozen=True, kw_only=True):
    """What a handler adds before the end."""

    events: list[NewEvent] = []


class Item(Wire, frozen=True, kw_only=True):
    """One item of a stream of events or bytes: one of the three."""

    name: str = ""
    """The event's name, where the dialect gives events names."""
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """An event of the stream's dialect: its JSON."""
    raw: str | None = None
    """Bytes as they come, as text."""
    raw_base64: str | None = None
    """Bytes that are not UTF-8."""
    delta: Delta | None = None
    """A canonical delta."""


class Items(Wire, frozen=True, kw_only=True):
    """`stream.item`: what comes next. As many items as there is credit for."""

    stream: str
    index: int = 0
    """Of the first item, counted from 0."""
    items: list[Item]


class EndOfStream(Wire, frozen=True, kw_only=True):
    """`stream.end`: nothing more comes."""

    stream: str
    error: RpcError | None = None


class Credit(Wire, frozen=True, kw_only=True):
    """`stream.credit`: so many items more may be sent."""

    stream: str
    credit: int


class Cancel(Wire, frozen=True, kw_only=True):
    """`$/cancel`: nobody waits for the answer to a request any more, which is answered all the same; a stream that it opened ends."""

    id: int | str
    """The request's id."""
