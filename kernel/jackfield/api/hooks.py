"""The hook contract: every place where a plugin can take part, typed and documented.

A plugin implements a hook by having a function of its name; no marker is needed. It may take fewer
arguments than stand here, and may be `def` or `async def`, `def` alone where it registers objects. `@hook(...)` is for
those who want to set options. Each docstring says when the hook is called, what None means, who wins when several
plugins answer, and what happens when one fails.

The shapes:

- *first*: asked in order until one answers something other than None.
- *selected*: one plugin is asked, the one that the configuration selects.
- *chain*: all are asked in order, each sees what the ones before it changed.
- *observe*: all are told, answers are ignored.
- *objects*: asked once when the plugin is loaded; each answers a list of objects.

Order is by priority, higher first, then by plugin id. When a hook fails or is late, `on_error` of the
hook decides: an *open* hook is skipped, a *closed* one fails what it guards. The default stands with
each hook; a plugin may choose another with `@hook(on_error=...)`, the operator has the last word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
import pluggy

if TYPE_CHECKING:
    from jackfield.api import (
        Attempt,
        Call,
        Change,
        Command,
        CredentialSource,
        Dialect,
        ModelInfo,
        Outcome,
        Pick,
        PluginRoute,
        Pool,
        Principal,
        Provider,
        Reject,
        Reply,
        Route,
        StateStore,
        StreamHandler,
        StreamHead,
        Translator,
        Usage,
    )

Shape = Literal["first", "selected", "chain", "observe", "objects"]
OnError = Literal["open", "closed"]
Function = TypeVar("Function", bound=Callable[..., Any])

GROUP = "jackfield.plugins"
"""The entry-point group in which plugins are found."""


class HookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One hook of the contract."""

    name: str
    shape: Shape
    on_error: OnError
    wire: tuple[str, ...]
    """Its methods in the out-of-process protocol; empty for what exists in process only."""
    reversed: bool = False
    """Called in the reverse of the request's order."""
    since: str = "0.1"


class HookOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a hook's implementation, set by `@hook(...)`. Without it the defaults hold."""

    needs: Sequence[str] | None = None
    """What an out-of-process run must be sent: `headers`, `body`, `client_body`, `request`, `undecoded`, `deltas`, `raw`, `secret`.
    None: all but what needs to be asked for, which are `raw` and `secret`."""
    on_error: OnError | None = None
    """Replaces the hook's answer to failure."""
    blocking: bool = False
    """Run a `def` in a thread of the plugin's own pool."""
    priority: int | None = None
    """Replaces the plugin's for this hook."""
    deadline: float | None = None
    """In seconds."""
    selected: bool = False
    """Call it only where the configuration selects the plugin as a scheduler: for hooks that go with `pick_credential`."""

    def __call__(self, function: Function) -> Function:
        """Mark a function with these options. Raises `ValueError` for options that are none."""
        msgspec.convert(msgspec.structs.asdict(self), HookOptions)
        function.jackfield_hook = self  # type: ignore[attr-defined]
        return function


hook = HookOptions


HOOKS: dict[str, HookInfo] = {}
"""All hooks by name, in the order of a call's life."""


def _spec(shape: Shape, on_error: OnError, *wire: str, reversed: bool = False) -> Callable[[Function], Function]:
    def _declare(function: Function) -> Function:
        name = function.__name__
        HOOKS[name] = HookInfo(name=name, shape=shape, on_error=on_error, wire=wire, reversed=reversed)
        return pluggy.HookspecMarker("jackfield")(function)

    return _declare


# ---------------------------------------------------------------------------------------------- at load


@_spec("objects", "open", "model.register", "model.for_auth")
def register_providers() -> Sequence[Provider] | None:
    """Return providers. Asked once, when the plugin is loaded.

    Two providers of one key: priority wins, the other is listed as shadowed. Failing is a listed problem.
    """


@_spec("objects", "open", "model.register", "model.for_auth")
def register_models() -> Sequence[tuple[str, ModelInfo]] | None:
    """Return further models of providers, as pairs of a provider's key and a model. Asked once, when the plugin is loaded."""


@_spec("objects", "open")
def register_dialects() -> Sequence[Dialect] | None:
    """Return dialects. Asked once, when the plugin is loaded. In process only.

    Two dialects of one name: priority wins, the other is listed as shadowed.
    """


@_spec(
    "objects",
    "open",
    "request.translate",
    "response.translate",
    "response.translate.open",
    "response.translate.event",
    "response.translate.close",
)
def register_translators() -> Sequence[Translator] | None:
    """Return direct translators between two dialects. Asked once. Provisional.

    For one pair priority wins; a registered pair wins over the way through the canonical model, which is taken where it fails.
    """


@_spec("objects", "open", "auth.parse", "auth.login.start", "auth.login.poll", "auth.refresh", "auth.quota")
def register_credential_sources() -> Sequence[CredentialSource] | None:
    """Return places that credentials come from. Asked once. Acts only for plugins that the configuration names."""


@_spec("objects", "open")
def register_state_stores() -> Sequence[tuple[str, Callable[[Any], StateStore]]] | None:
    """Return kinds of state stores, as pairs of a name and a factory that makes a store of its settings. Asked once.

    The configuration chooses one of them (`state`); its factory is then called once for each set of settings.
    """


@_spec("objects", "closed", "management.register", "management.handle")
def register_routes() -> Sequence[PluginRoute] | None:
    """Return HTTP routes of the plugin's own. Asked once. Admin and public ones act only for plugins that the configuration names.

    Two routes of one method and path: a dialect's goes first, then priority wins; the other is listed as shadowed. A route that
    fails, or has not begun to answer within its deadline (30 s unless one is set), answers 502.
    """


@_spec("objects", "open", "command_line.register", "command_line.execute")
def register_commands() -> Sequence[Command] | None:
    """Return commands that `jackfield run NAME` runs. Asked once.

    Two of one name: priority wins, the other is listed as shadowed. Distributions may name theirs in the entry-point group
    `jackfield.commands` instead: they then stand beside the host's own, and help needs no import.
    """


# ------------------------------------------------------------------------------------------ the request


@_spec("first", "closed", "frontend_auth.authenticate")
def authenticate(call: Call) -> Principal | Reject | Awaitable[Principal | Reject | None] | None:
    """Say who makes the call. Stage 1, for every request but the health checks; `call.body` is not read yet.

    None: not mine. The first `Principal` wins. A `Reject` is remembered and the next plugin is asked; when
    nobody accepts the client gets 401, or 503 where a plugin failed. Acts only for plugins that the
    configuration names. An object with an attribute or method `has_rules` that is false is not asked and
    counts as no access rule.
    """


@_spec("first", "open", "model.route")
def route_model(call: Call) -> Route | Awaitable[Route | None] | None:
    """Decide where a call goes. Stage 3, before the model's name is resolved.

    None: no opinion. The first usable answer wins; one that fails, is late or names what does not exist
    is passed over, and the explanation says so.
    """


@_spec("chain", "closed", "request.intercept_before")
def intercept_request(call: Call) -> Change | Awaitable[Change | None] | None:
    """Change the client's request, or answer it. Stage 5, once a call, in the client's dialect.

    None: unchanged. Each plugin sees what those before it changed. `Change(respond=...)` ends the call; the answer
    passes the response interceptors of those plugins that stand before. Failing (closed): 503.
    """


@_spec("selected", "open", "scheduler.pick")
def pick_credential(call: Call, pool: Pool) -> Pick | Awaitable[Pick]:
    """Choose who serves the next attempt. Stage 6, for each attempt; only the scheduler that the configuration selects.

    Answer a candidate of `pool.eligible`, `Delegate` to another scheduler, or `Deny`. None or failing: the kernel's round robin.
    """


@_spec("chain", "closed", "request.intercept_after")
def intercept_attempt(attempt: Attempt) -> Change | Awaitable[Change | None] | None:
    """Change one attempt's request. Stage 7: credential, provider and upstream dialect are known, the body is still the client's.

    None: unchanged. Called afresh for each attempt, from the body that stage 5 left: changes do not add up.
    Failing (closed): this attempt fails.
    """


@_spec("chain", "open", "request.normalize")
def normalize_request(attempt: Attempt) -> Change | Awaitable[Change | None] | None:
    """Change the translated request. End of stage 8: `attempt.body` is in the upstream's dialect.

    None: unchanged.
    """


# ------------------------------------------------------------------------------------------- the answer


@_spec("chain", "open", "response.normalize")
def normalize_response(attempt: Attempt, reply: Reply) -> Change | StreamHandler | Awaitable[Change | StreamHandler | None] | None:
    """Change the upstream's answer before it is translated. Start of stage 10, in the upstream's dialect.

    Called once an answer. For a whole one `reply.body` is there and a `Change` may be answered; for a stream a
    handler, which is then called with each event. None: unchanged.
    """


@_spec("chain", "open", "response.intercept_after", reversed=True)
def intercept_response(call: Call, reply: Reply) -> Change | Awaitable[Change | None] | None:
    """Change a whole answer. Stage 11, in the client's dialect, also for errors from stage 5 on.

    None: unchanged. In the reverse of the request's order: the first to see the request is the last to see the answer.
    """


@_spec(
    "chain",
    "open",
    "response.intercept_stream_chunk.open",
    "response.intercept_stream_chunk.event",
    "response.intercept_stream_chunk.close",
    reversed=True,
)
def intercept_stream(call: Call, head: StreamHead) -> StreamHandler | Awaitable[StreamHandler | None] | None:
    """Take part in a stream. Stage 11, bound once a stream; answer a handler that is called with each event, or None.

    The handler answers None to keep an event, an event or a list in its place, or `End`. It may be `def` or
    `async def`, and may have a method `close(outcome)` whose events are added before the terminal one. In the
    reverse of the request's order.
    """


# ------------------------------------------------------------------------------------------- afterwards


@_spec("observe", "open", "request.complete")
def request_complete(call: Call, outcome: Outcome) -> Awaitable[None] | None:
    """Learn what came of a call. Stage 12, exactly once for every matched request, after the answer's last byte.

    What it answers is ignored. Calls that it makes are nested ones, within the call that it is told of.
    """


@_spec("observe", "open", "usage.handle")
def handle_usage(attempt: Attempt, usage: Usage) -> Awaitable[None] | None:
    """Learn what an attempt cost. Stage 12, once for every attempt that reached a provider; `usage.source` says who counted."""
