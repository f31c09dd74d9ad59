"""Bodies: how a hook's change is applied, and stages 8 and 10 with the hooks that take part in them."""

from typing import TypeVar

from jackfield.api import (
    Attempt,
    Body,
    Call,
    CallError,
    Change,
    Dialect,
    Headers,
    Reply,
    Request,
    Response,
    failure,
    members,
)
from jackfield.api.canonical.crossing import (
    told,
)
from jackfield.api.canonical.incoming import read, whole_body
from jackfield.api.canonical.outgoing import Way, write
from jackfield.dispatch import Chain, ask
from jackfield.exchange import Exchange
from jackfield.generation import NEVER_SENT, UNSENDABLE
from jackfield.trace import log

Canonical = TypeVar("Canonical")


def change_request(exchange: Exchange, body: Body[Request], change: Change) -> Body[Request] | None:
    """Return the body that a hook's change makes of a request's; None when only headers change.

    Raises `ValueError` for one that names the model or the stream flag, or a path that is not there.
    """
    if named := {*(change.set or ()), *change.remove}.intersection((exchange.endpoint.model, exchange.endpoint.stream)):
        raise ValueError(f"a change may not name {'.'.join(map(str, named.pop()))}: a hook that wants another model is a router")
    if change.response is not None or change.respond is not None or not isinstance(change.request, Request | None):
        raise ValueError("a request is changed by `set`, `remove`, `request` (a Request) or `body`; no answer can be given here")
    if change.body is not None:
        members(change.body)  # raises for what is no JSON object
    return _changed(body, change, change.request)


def change_response(body: Body[Response], change: Change) -> Body[Response] | None:
    """Return the body that a hook's change makes of an answer's; None when only headers change."""
    typed = isinstance(change.response, Response | None) and isinstance(change.body, bytes | None)
    if not typed or change.request is not None or change.respond is not None or (change.response is not None and body.codec is None):
        raise ValueError("an answer is changed by `set`, `remove`, `response` (a Response) or `body` (bytes)")
    return _changed(body, change, change.response)


def _changed(body: Body[Canonical], change: Change, canonical: Canonical | None) -> Body[Canonical] | None:
    if (canonical is not None) + (change.body is not None) + bool(change.set or change.remove) > 1:
        raise ValueError("a change names one way: paths (`set`, `remove`), a canonical form, or `body`")
    if canonical is not None:
        return body.with_canonical(canonical)
    if change.body is not None:
        return body.with_raw(change.body)
    try:
        return body.with_changes(change.set, change.remove) if change.set or change.remove else None
    except KeyError as missing:
        raise ValueError(f"there is nothing at {missing}") from None


async def request(exchange: Exchange, attempt: Attempt) -> None:
    """Turn an attempt's body from the client's dialect into the upstream's, and let plugins normalize it."""
    if attempt.call.operation == "resource":
        return
    generation, rest = exchange.generation, exchange.generation.chains["normalize_request"]
    way = Way(source=exchange.dialect, endpoint=exchange.endpoint, touched=exchange.body_touched, signed=not exchange.unsigned)
    way.translators = generation.translators
    way.support = lambda: generation.models.known(attempt.provider, attempt.model).thinking
    if (work := write(attempt, way)) is not None and (failed := await work):
        exchange.trace.note("register_translators", "kernel", failed)
    _judge_losses(exchange, attempt)
    if rest and await edit_request(exchange, attempt, rest) and attempt.fidelity == "bytes":
        attempt.fidelity = "edited"


def _judge_losses(exchange: Exchange, attempt: Attempt) -> None:
    """Do what the operator wants done about a request that loses something. Raises `CallError` where it must not be sent."""
    policy, lost = exchange.generation.config.translation.policy, [loss for loss in attempt.losses or () if loss.what != "invented"]
    if policy == "allow" or not lost:
        return
    says = f"the request would lose something on the way from {attempt.call.dialect} to {attempt.dialect.name}: {told(lost)}"
    if policy == "strict":
        raise CallError(failure("unsupported", says[:2000], code="translation_loss", param=lost[0].path, status=400))
    log.warning("%s: %s", attempt.call.id, says)


async def edit_request(exchange: Exchange, attempt: Attempt, rest: Chain) -> bool:
    """Let hooks change an attempt's request in turn; tell whether they changed its body."""
    before = attempt.body
    while rest:
        hook, change, rest = await ask(rest, exchange.trace, attempt)
        if hook is not None:
            body = hook.guard(exchange.trace, change_request, exchange, attempt.body, change)
            attempt.body = attempt.body if body is None else body
            attempt.headers = sendable(attempt.headers.with_changes(change.headers or {}))
    return attempt.body is not before


async def edit_response(exchange: Exchange, seen: Attempt | Call, reply: Reply, dialect: Dialect) -> Body[Response]:
    """Let hooks change a whole answer in turn: normalizers, which see an attempt, or response interceptors, which see the call."""
    chains = exchange.generation.chains
    rest = chains["normalize_response"] if isinstance(seen, Attempt) else exchange.seeing(chains["intercept_response"])
    body = reply.body = whole_body(reply, dialect, exchange.call.operation)
    body.losses = exchange.losses if body.losses is None else body.losses
    while rest:
        hook, change, rest = await ask(rest, exchange.trace, seen, reply)
        if hook is not None and not callable(change):
            made = hook.guard(exchange.trace, change_response, body, change)
            body = reply.body = body if made is None else made
            reply.headers = sendable(reply.headers.with_changes(change.headers or {}))
    return body


def sendable(headers: Headers) -> Headers:
    """Return those of a plugin's headers that may be sent."""
    return Headers(pair for pair in headers if pair[0].lower() not in NEVER_SENT and UNSENDABLE(pair[1]) is None)


async def response(exchange: Exchange, attempt: Attempt, reply: Reply) -> None:
    """Turn a whole answer into the client's dialect, after plugins have normalized it."""
    renamed = attempt.model != attempt.call.model and attempt.call.operation != "resource"
    if exchange.generation.chains["normalize_response"] or renamed or attempt.dialect.name != exchange.dialect.name:
        reply.body = await read(attempt, await edit_response(exchange, attempt, reply, attempt.dialect), exchange.dialect)
