"""Stages 8 and 10 for whole bodies: bytes as they are, edited, by a direct translator, or through the canonical model."""

from __future__ import annotations

from typing import Any

import msgspec

from jackfield.api import (
    Attempt,
    BadRequest,
    Body,
    CallError,
    Dialect,
    Endpoint,
    Failure,
    Operation,
    Path,
    Reply,
    Response,
    failure,
    locate,
    splice,
)
from jackfield.bodies import RequestCodec, ResponseCodec, change_request, change_response
from jackfield.dispatch import ask
from jackfield.exchange import Exchange, Tried


def endpoint_for(dialect: Dialect, operation: Operation, stream: bool) -> Endpoint | None:
    """Return the route of a dialect on which an upstream serves an operation."""
    fitting = [e for e in dialect.endpoints if e.operation == operation and e.upstream is not None]
    exact = [e for e in fitting if e.stream is stream]
    return next(iter(exact or fitting), None)


# ------------------------------------------------------------------------------------------- the request


async def request(exchange: Exchange, attempt: Attempt) -> None:
    """Turn an attempt's body from the client's dialect into the upstream's, and let plugins normalize it."""
    stream = attempt.call.stream
    if attempt.provider.streams != "both":
        stream = attempt.provider.streams == "only"
    if attempt.dialect is exchange.dialect:
        _within(exchange, attempt, stream)
    else:
        _across(exchange, attempt, stream)
    rest = exchange.generation.chains.normalize_request
    while rest:
        hook, change, rest = await ask(rest, exchange.trace, attempt)
        if hook is not None:
            body = hook.guard(exchange.trace, change_request, exchange, attempt.body, change)
            if body is not None:
                attempt.body = body
            if change.headers:
                attempt.headers = attempt.headers.with_changes(change.headers)


def _within(exchange: Exchange, attempt: Attempt, stream: bool) -> None:
    """Stay in the dialect: only the model's name and the stream flag may have to be written."""
    call, endpoint = attempt.call, exchange.endpoint
    touched = exchange.body_touched or attempt.fidelity == "edited"
    changes: dict[Path, Any] = {}
    if endpoint.model is not None and (touched or attempt.model != call.model):
        changes[endpoint.model] = attempt.model
    if isinstance(endpoint.stream, tuple) and (touched or stream != call.stream):
        changes[endpoint.stream] = stream
    if touched:
        attempt.fidelity = "edited"
    if changes:
        _write(attempt, changes)


def _write(attempt: Attempt, changes: dict[Path, Any]) -> None:
    """Write values into the body unless they stand there already."""
    raw = attempt.body.raw
    for path, value in changes.items():
        span = locate(raw, path)
        if span is not None and raw[slice(*span)] == msgspec.json.encode(value):
            continue
        if span is None and value is False:
            continue
        raw = splice(raw, {path: value})
        attempt.fidelity = "edited"
    if raw is not attempt.body.raw:
        attempt.body = attempt.body.with_raw(raw)


def _across(exchange: Exchange, attempt: Attempt, stream: bool) -> None:
    """Go through the canonical model, or by a direct translator where a plugin has one for the pair."""
    call, dialect = attempt.call, attempt.dialect
    attempt.losses = []
    if call.operation != "generate":
        message = f"{call.operation} cannot be translated from {call.dialect} to {dialect.name}"
        raise CallError(failure("unsupported", message, code="unsupported_translation", status=400))
    if attempt.body.canonical is None:
        raise CallError(failure("unsupported", f"{call.dialect} has no canonical form", code="unsupported_translation", status=400))
    said = msgspec.structs.replace(attempt.body.canonical, model=attempt.model, stream=stream)
    raw = dialect.encode_request(said, call.operation, attempt.losses)
    attempt.body = Body(raw, canonical=said, codec=RequestCodec(dialect, call.operation))
    attempt.fidelity = "canonical"


# -------------------------------------------------------------------------------------------- the answer


def whole_body(reply: Reply, dialect: Dialect) -> Body[Response]:
    """Return a whole answer's body with the dialect's codec, whichever form the provider gave it."""
    if isinstance(reply.body, Body) and reply.body.codec is not None:
        return reply.body
    codec = ResponseCodec(dialect)
    if reply.response is not None:
        return Body(canonical=reply.response, codec=codec)
    raw = reply.body.raw if isinstance(reply.body, Body) else reply.body or b""
    return Body(raw, codec=codec)


def error_body(reply: Reply) -> bytes:
    """Return an error answer's bytes."""
    return reply.body.raw if isinstance(reply.body, Body) else reply.body or b""


def judge(attempt: Attempt, reply: Reply, made: Tried) -> Failure | None:
    """Look at a whole answer: what it cost, and whether it is one at all."""
    body = whole_body(reply, attempt.dialect)
    reply.body, reply.response = body, None
    try:
        seen = attempt.dialect.glance(body.raw)
    except (ValueError, RecursionError) as fault:
        return _not_an_answer(body.raw, reply, fault)
    made.usage = seen.usage
    if seen.error is None:
        return None
    status = seen.error.status if seen.error.status >= 400 else 502
    return attempt.provider.classify(attempt.dialect, status, reply.headers, body.raw)


def _not_an_answer(raw: bytes, reply: Reply, fault: Exception) -> Failure:
    media_type = reply.headers.get("content-type") or "no content type"
    start = raw.lstrip()[:1]
    what = "nothing" if not raw.strip() else f"something that is not JSON ({media_type})" if start not in b"{[" else "JSON that is not valid"
    detail = f"{fault}; it begins with {raw[:200]!r}"
    return failure("upstream", f"the provider answered {reply.status} with {what}", status=reply.status, code="bad_answer", detail=detail)


async def response(exchange: Exchange, attempt: Attempt, reply: Reply) -> None:
    """Turn a whole answer into the client's dialect, after plugins have normalized it."""
    rest = exchange.generation.chains.normalize_response
    while rest:
        hook, change, rest = await ask(rest, exchange.trace, attempt, reply)
        if hook is None or callable(change):
            continue
        body = hook.guard(exchange.trace, change_response, reply.body, change)
        reply.body = body if body is not None else reply.body
        if change.headers:
            reply.headers = reply.headers.with_changes(change.headers)
    if attempt.dialect is not exchange.dialect:
        reply.body = _translated(exchange, attempt, reply)
    elif attempt.model != attempt.call.model:
        reply.body = renamed(reply.body, exchange.dialect, attempt.call.model)  # type: ignore[arg-type]


def _translated(exchange: Exchange, attempt: Attempt, reply: Reply) -> Body[Response]:
    assert isinstance(reply.body, Body)
    try:
        said = reply.body.canonical
    except (ValueError, BadRequest) as fault:
        raise CallError(failure("upstream", "the provider's answer cannot be read", code="bad_answer", detail=str(fault))) from fault
    assert said is not None
    if attempt.model != attempt.call.model:
        said = msgspec.structs.replace(said, model=attempt.call.model)
    losses = attempt.losses if attempt.losses is not None else []
    return Body(exchange.dialect.encode_response(said, losses), canonical=said, codec=ResponseCodec(exchange.dialect))


def renamed(body: Body[Response], dialect: Dialect, model: str) -> Body[Response]:
    """Return an answer under the name that the client asked for."""
    raw = body.raw
    for path in dialect.needles.model:
        if locate(raw, path) is not None:
            raw = splice(raw, {path: model})
    return body.with_raw(raw)
