"""Bodies: how a dialect reads and writes one, how a hook's change is applied, and stages 8 and 10 for whole ones.

A body goes on as bytes, edited, or through the canonical model.
"""

from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from jackfield.api import (
    Attempt,
    Body,
    Call,
    CallError,
    Change,
    Dialect,
    Endpoint,
    Failure,
    Headers,
    Operation,
    Path,
    Reply,
    Request,
    Response,
    failure,
    locate,
    members,
    splice,
)
from jackfield.api.body import Codec
from jackfield.dispatch import Chain, ask
from jackfield.exchange import Exchange, Tried
from jackfield.generation import NEVER_SENT, UNSENDABLE

Canonical = TypeVar("Canonical")


@lru_cache
def request_codec(dialect: Dialect, operation: Operation) -> Codec[Request]:
    """Return how a dialect reads and writes the bodies of requests."""
    return lambda raw: dialect.decode_request(raw, operation), lambda value, losses: dialect.encode_request(value, operation, losses)


@lru_cache
def response_codec(dialect: Dialect, operation: Operation) -> Codec[Response] | None:
    """Return how a dialect reads and writes the bodies of answers; None for operations whose answers have no canonical form."""
    return (dialect.decode_response, dialect.encode_response) if operation == "generate" else None


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


def endpoint_for(dialect: Dialect, operation: Operation, stream: bool) -> Endpoint | None:
    """Return the route of a dialect on which an upstream serves an operation."""
    fitting = [e for e in dialect.endpoints if e.operation == operation and e.upstream is not None]
    return next((e for e in fitting if e.stream is stream), next(iter(fitting), None))


async def request(exchange: Exchange, attempt: Attempt) -> None:
    """Turn an attempt's body from the client's dialect into the upstream's, and let plugins normalize it."""
    streams, rest = attempt.provider.streams, exchange.generation.chains["normalize_request"]
    stream = attempt.call.stream if streams == "both" else streams == "only"
    (_within if attempt.dialect is exchange.dialect else _across)(exchange, attempt, stream)
    if rest:
        await edit_request(exchange, attempt, rest)


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


def _within(exchange: Exchange, attempt: Attempt, stream: bool) -> None:
    """Stay in the dialect: only the model's name and the stream flag may have to be written."""
    call, endpoint = attempt.call, exchange.endpoint
    touched = exchange.body_touched or attempt.fidelity == "edited"
    if not touched and attempt.model == call.model and stream == call.stream:
        return
    changes: dict[Path, Any] = {}
    if endpoint.model is not None and (touched or attempt.model != call.model):
        changes[endpoint.model] = attempt.model
    if isinstance(endpoint.stream, tuple) and (touched or stream != call.stream):
        changes[endpoint.stream] = stream
    raw = attempt.body.raw if changes else b""
    for path in list(changes):  # what stands there already, or is off by default, need not be written
        span = locate(raw, path)
        if changes[path] is False if span is None else raw[slice(*span)] == msgspec.json.encode(changes[path]):
            del changes[path]
    if changes:
        attempt.body = attempt.body.with_raw(splice(raw, changes))
    if changes or touched:
        attempt.fidelity = "edited"


def _across(exchange: Exchange, attempt: Attempt, stream: bool) -> None:
    """Go through the canonical model."""
    call, dialect, said = attempt.call, attempt.dialect, attempt.body.canonical
    if call.operation != "generate" or said is None:
        says = f"{call.operation} cannot be translated from {call.dialect} to {dialect.name}"
        raise CallError(failure("unsupported", says, code="unsupported_translation", status=400))
    said, attempt.losses, attempt.fidelity = msgspec.structs.replace(said, model=attempt.model, stream=stream), [], "canonical"
    raw = dialect.encode_request(said, call.operation, attempt.losses)
    attempt.body = Body(raw, canonical=said, codec=request_codec(dialect, call.operation))


def whole_body(reply: Reply, dialect: Dialect, operation: Operation) -> Body[Response]:
    """Return a whole answer's body with the dialect's codec, whichever form the provider gave it."""
    if isinstance(reply.body, Body) and reply.body.codec is not None:
        return reply.body
    raw = error_body(reply) if reply.response is None else None
    return Body(raw, canonical=reply.response, codec=response_codec(dialect, operation))


def error_body(reply: Reply) -> bytes:
    """Return the bytes of an answer that is no canonical one."""
    return reply.body.raw if isinstance(reply.body, Body) else reply.body or b""


def judge(attempt: Attempt, reply: Reply, made: Tried) -> Failure | None:
    """Look at a whole answer: what it cost, and whether it is one at all."""
    reply.body = body = whole_body(reply, attempt.dialect, attempt.call.operation)
    try:
        seen = attempt.dialect.glance(body.raw)
    except (ValueError, RecursionError) as fault:
        kind = reply.headers.get("content-type") or "no content type"
        what = "nothing" if not body.raw.strip() else f"what is no answer ({kind})"
        detail = f"{fault}; it begins with {body.raw[:200]!r}"
        return failure(
            "upstream", f"the provider answered {reply.status} with {what}", status=reply.status, code="bad_answer", detail=detail
        )
    made.usage = seen.usage
    if seen.error is None:
        return None
    status = seen.error.status if seen.error.status >= 400 else 502
    return attempt.provider.classify(attempt.dialect, status, reply.headers, body.raw)


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
    dialect, model, normalizers = exchange.dialect, attempt.call.model, exchange.generation.chains["normalize_response"]
    if not normalizers and attempt.dialect is dialect and attempt.model == model:
        return
    body = await edit_response(exchange, attempt, reply, attempt.dialect)
    if attempt.dialect is not dialect:
        try:
            said = body.canonical or Response()
        except ValueError as fault:
            raise CallError(failure("upstream", "the provider's answer cannot be read", code="bad_answer", detail=str(fault))) from fault
        said = said if attempt.model == model else msgspec.structs.replace(said, model=model)
        reply.body = Body(canonical=said, codec=response_codec(dialect, "generate"), losses=attempt.losses)
    elif attempt.model != model:  # the client is answered under the name that it asked for
        reply.body = body.with_changes({path: model for path in dialect.needles.model if locate(body.raw, path) is not None})
