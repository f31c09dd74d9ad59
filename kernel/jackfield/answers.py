"""Stages 10 and 11: what the client is answered, in its own dialect, and how an answer leaves."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import msgspec

from jackfield import bodies
from jackfield.api import Body, CallError, Dialect, Error, Event, Headers, ModelInfo, Reply, Response
from jackfield.api.canonical import play
from jackfield.bodies import change_response, response_codec
from jackfield.dispatch import HookFailed, ask
from jackfield.exchange import Downstream, Exchange, Refused, error_of
from jackfield.generation import NEVER_SENT, Generation
from jackfield.source import Source
from jackfield.streams import Relay
from jackfield.sweeper import Sweeper

_JSON: Final = ("Content-Type", "application/json")
_UNCACHED: Final = (("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no"))
"""What keeps reverse proxies from holding a stream back."""


async def deliver(exchange: Exchange, reply: Reply, sweeper: Sweeper) -> None:
    """Send an answer: streamed or whole, as the client asked, whatever the provider gave."""
    made = exchange.tried[-1] if exchange.tried else None
    relay = made.relay if made is not None else None
    if made is not None:
        reply.headers = _let_through(exchange, reply.headers)
    if relay is not None and exchange.call.stream:
        await _send_stream(exchange, reply, relay, sweeper)
        return
    if made is not None:
        if relay is not None:
            reply.body = Body(canonical=await relay.assemble(), codec=response_codec(made.attempt.dialect))
        exchange.usage = made.usage
        await bodies.response(exchange, made.attempt, reply)
    if exchange.call.stream and exchange.call.operation == "generate" and reply.status < 300:
        await _play(exchange, reply, sweeper)
    else:
        await _send_whole(exchange, reply)


async def _send_stream(exchange: Exchange, reply: Reply, relay: Relay, sweeper: Sweeper) -> None:
    await relay.bind()
    media_type = exchange.dialect.framing.media_type
    await relay.pump([("Content-Type", f"{media_type}; charset=utf-8"), *_UNCACHED, *reply.headers], sweeper)


async def _play(exchange: Exchange, reply: Reply, sweeper: Sweeper) -> None:
    """Stream a whole answer to a client that asked for a stream."""
    said = bodies.whole_body(reply, exchange.dialect).canonical
    assert said is not None
    events = exchange.dialect.encode_stream(exchange.call.request, []).feed(list(play(said)))
    relay = Relay(exchange, reply, Source(_iterate(events), exchange.dialect, exchange.generation.config.limits.event))
    await relay.prime()
    await _send_stream(exchange, reply, relay, sweeper)


async def _iterate(events: Sequence[Event]) -> AsyncIterator[bytes]:
    for event in events:
        yield event.raw


async def _send_whole(exchange: Exchange, reply: Reply) -> None:
    """Let the response interceptors change a whole answer in turn, and send it."""
    body = reply.body = bodies.whole_body(reply, exchange.dialect)
    rest = exchange.seeing(exchange.generation.chains.intercept_response)
    while rest:
        hook, change, rest = await ask(rest, exchange.trace, exchange.call, reply)
        if hook is not None:
            body = reply.body = hook.guard(exchange.trace, change_response, body, change) or body
            reply.headers = _sendable(reply.headers.with_changes(change.headers or {}))
    exchange.http_status = reply.status
    await exchange.downstream.send(reply.status, [_JSON, *reply.headers], body.raw)
    exchange.first_byte = time.perf_counter() - exchange.started


def _let_through(exchange: Exchange, headers: Headers) -> Headers:
    """Return those of an upstream's headers that a client of this dialect is shown."""
    return Headers(exchange.generation.response_policy[exchange.dialect.name].passed(headers))


def _sendable(headers: Headers) -> Headers:
    """Return those of a plugin's headers that may be sent."""
    return Headers(pair for pair in headers if pair[0].lower() not in NEVER_SENT)


def given(exchange: Exchange, answer: Reply | Response) -> Reply:
    """Return the answer that a request interceptor gave instead of a provider."""
    if isinstance(answer, Reply):
        answer.headers = _sendable(answer.headers)
        return answer
    return Reply(response=answer if answer.model else msgspec.structs.replace(answer, model=exchange.call.model))


# ------------------------------------------------------------------------------------------------- errors


async def fail(exchange: Exchange, fault: CallError) -> None:
    """Answer with an error: the upstream's own where the caller caused it, else the kernel's in the client's dialect."""
    told = exchange.failure = fault.failure
    if isinstance(fault, Refused):
        exchange.rejected = True
    if exchange.downstream.begun:
        raise ConnectionResetError("the answer broke off") from fault
    reply = _own_words(exchange, fault) or _error_reply(exchange.dialect, error_of(told))
    reply.failure = told
    try:
        await _send_whole(exchange, reply)
    except HookFailed as broken:
        exchange.sees_answer = None
        message = f"plugin {broken.plugin!r} failed ({broken.hook})"
        await _send_whole(exchange, _error_reply(exchange.dialect, Error(status=503, message=message, code="plugin_failed")))


def _own_words(exchange: Exchange, fault: CallError) -> Reply | None:
    """Return the upstream's own error answer when the caller is to see it: as bytes within the dialect, else translated."""
    made = exchange.tried[-1] if exchange.tried else None
    if made is None or made.reply is None or made.failure is not fault.failure:
        return None
    if fault.failure.cause not in ("caller", "content", "unsupported"):
        return None
    raw, dialect = bodies.error_body(made.reply), made.attempt.dialect
    if dialect is exchange.dialect:
        return Reply(status=made.reply.status, headers=_let_through(exchange, made.reply.headers), body=raw)
    error = dialect.decode_error(made.reply.status, made.reply.headers, raw)
    return _error_reply(exchange.dialect, msgspec.structs.replace(error, type=None, extensions={}))


def _error_reply(dialect: Dialect, error: Error) -> Reply:
    headers = [("Retry-After", str(max(1, round(error.retry_after))))] if error.retry_after is not None else []
    return Reply(status=error.status, headers=Headers(headers), body=dialect.encode_error(error))


def no_route(generation: Generation, downstream: Downstream) -> Refused:
    """Return the error for a request that no route takes."""
    methods = generation.routes.methods(downstream.path, downstream.headers)
    if methods:
        message = f"{downstream.path} takes {' or '.join(methods)}, not {downstream.method}"
        return Refused(405, message, code="method_not_allowed")
    near = generation.routes.nearest(downstream.path)
    if near is None:
        return Refused(404, f"nothing is served at {downstream.path}: no plugin with a dialect is plugged in", code="unknown_url")
    root = near[0].split("/")[1]
    hint = f"; did you mean {near[0]}? A base URL should end in /{root}" if f"/{root}/" not in downstream.path else f"; did you mean {near[0]}?"
    return Refused(404, f"nothing is served at {downstream.method} {downstream.path}{hint}", code="unknown_url")


async def refuse_unmatched(generation: Generation, downstream: Downstream, fault: Refused) -> None:
    """Answer a request that has no dialect, in the dialect of the route that comes nearest."""
    near = generation.routes.nearest(downstream.path)
    dialect = near[1] if near is not None else generation.dialects["canonical"]
    reply = _error_reply(dialect, error_of(fault.failure))
    await downstream.send(reply.status, [_JSON, *reply.headers], bodies.error_body(reply))


# ------------------------------------------------------------------------------------------------ queries


async def query(exchange: Exchange, first_models: Callable[[], Awaitable[None]]) -> None:
    """Answer a query: what models there are."""
    generation, call, dialect = exchange.generation, exchange.call, exchange.dialect
    allow = call.principal.allow
    refusal = None if allow is None else msgspec.structs.replace(allow, models=None).refusal("", call.dialect, call.operation)
    if refusal is not None:
        raise Refused(403, f"{call.principal.name!r} may not use {refusal}", code="not_allowed")
    await first_models()
    if call.operation == "models":
        body = dialect.encode_models(generation.models.listing(call.principal))
    else:
        body = dialect.encode_model(_one_model(exchange, exchange.params.get("id") or exchange.params.get("model") or ""))
    exchange.http_status = 200
    await exchange.downstream.send(200, [_JSON], body)


def _one_model(exchange: Exchange, name: str) -> ModelInfo:
    models, principal = exchange.generation.models, exchange.call.principal
    info = models.info(name) if principal.allow is None or principal.allow.model(name) else None
    if info is None:
        near = models.near(name, principal)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise Refused(404, f"the model {name!r} does not exist here{hint}", code="model_not_found", param="model")
    return info
