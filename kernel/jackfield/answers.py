"""Stages 10 and 11: what the client is answered, in its own dialect, and how an answer leaves."""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from jackfield import bodies
from jackfield.api import (
    BadRequest,
    Body,
    CallError,
    Dialect,
    Error,
    Event,
    Headers,
    ModelInfo,
    NotDecoded,
    Reply,
    Response,
    failure,
)
from jackfield.api.canonical.crossing import response_codec, told
from jackfield.api.canonical.incoming import error_body, whole_body
from jackfield.api.canonical.looking import played
from jackfield.exchange import OWN_FAULT, Downstream, Exchange, Refused, error_of
from jackfield.generation import Generation
from jackfield.source import Source
from jackfield.streams import Relay
from jackfield.trace import log

LOSSES: Final = "x-jackfield-loss"
"""A request with this header is answered with one of the same name: what its translation lost, as far as that is known by then."""

_LONGEST: Final = 4000
"""Characters of that header."""
_JSON: Final = ("Content-Type", "application/json")


async def prepare(exchange: Exchange, reply: Reply) -> Relay | None:
    """Make an answer the client's: return it as a stream where the client asked for one, None where it is a whole one."""
    call, made = exchange.call, exchange.tried[-1] if exchange.tried else None
    relay = made.relay if made is not None else None
    if made is None and reply.stream is not None:
        relay = await _relayed(exchange, reply, reply.stream)
    if relay is not None and not call.stream:
        reply.body, relay = Body(canonical=await relay.assemble(), codec=response_codec(exchange.dialect, call.operation)), None
    if made is not None:
        reply.headers = exchange.generation.response_policy[exchange.dialect.name].passed(reply.headers)
        if relay is None:
            exchange.usage = made.usage
            await bodies.response(exchange, made.attempt, reply)
    if relay is None and call.stream and call.operation == "generate" and reply.status < 300:
        relay = await _played(exchange, reply)
    if relay is not None:
        reply.headers = _with_losses(exchange, reply.headers)
        await relay.bind()
    return relay


def _with_losses(exchange: Exchange, headers: Headers) -> Headers:
    """Return an answer's headers with what its translation lost by now, for a client that asks for it."""
    lost = [*exchange.losses, *((exchange.attempt.losses or ()) if exchange.attempt is not None else ())]
    return headers.with_changes({LOSSES: told(lost)[:_LONGEST] or "none"}) if LOSSES in exchange.call.headers else headers


async def _relayed(exchange: Exchange, reply: Reply, stream: AsyncIterator[Any]) -> Relay:
    """Return a stream that no attempt gave."""
    relay = Relay(exchange, reply, Source(stream, exchange.dialect, exchange.generation.config.limits.event))
    if (told := await relay.prime()) is not None:
        raise CallError(told)
    return relay


async def _played(exchange: Exchange, reply: Reply) -> Relay:
    """Return a whole answer as a stream, for a client that asked for one."""
    dialect, said = exchange.dialect, whole_body(reply, exchange.dialect, "generate").canonical or Response()
    return await _relayed(exchange, reply, _iterate(played(dialect, exchange.call.request, said)))


async def _iterate(events: Sequence[Event]) -> AsyncIterator[bytes]:
    for event in events:
        yield event.raw


async def send(exchange: Exchange, reply: Reply) -> None:
    """Let the response interceptors change a whole answer in turn, and send it."""
    body = await bodies.edit_response(exchange, exchange.call, reply, exchange.dialect)
    late, raw = exchange.http_status, body.raw  # written before its losses are told
    exchange.http_status = late or reply.status
    if late:
        says = f"{late} had been sent: the status {reply.status} and the headers came too late (server.nonstream_keepalive)"
        exchange.trace.note("answer", "kernel", says)
    await exchange.downstream.send(reply.status, [_JSON, *_with_losses(exchange, reply.headers)], raw)
    exchange.first_byte = time.perf_counter() - exchange.started


def given(exchange: Exchange, answer: Reply | Response) -> Reply:
    """Return the answer that a request interceptor gave instead of a provider. Raises `ValueError` for one that cannot be streamed."""
    if isinstance(answer, Response):
        return Reply(response=answer if answer.model else msgspec.structs.replace(answer, model=exchange.call.model))
    if not (200 <= answer.status < 600 and isinstance(answer.headers, Headers) and isinstance(answer.body, Body | bytes | None)):
        raise ValueError("an answer has a status from 200 to 599, Headers, and bytes for its body")
    exchange.rejected, said = answer.status >= 400, answer.response
    if exchange.call.stream and answer.stream is None and answer.status < 300:
        said = whole_body(answer, exchange.dialect, exchange.call.operation).canonical
    return msgspec.structs.replace(answer, headers=bodies.sendable(answer.headers), response=said)


# ------------------------------------------------------------------------------------------------- errors


async def fail(exchange: Exchange, raised: Exception) -> None:
    """Answer with an error: the upstream's own where the caller caused it, else the kernel's in the client's dialect."""
    fault = _told(raised)
    exchange.failure = fault.failure
    exchange.rejected = exchange.rejected or isinstance(fault, Refused)
    if exchange.downstream.begun:
        raise ConnectionResetError("the answer broke off") from fault
    reply = _own_words(exchange, fault) or _error_reply(exchange.dialect, error_of(fault.failure))
    reply.failure = fault.failure
    try:
        await send(exchange, reply)
    except (CallError, BadRequest, NotDecoded) as broken:
        exchange.sees_answer = None
        await send(exchange, _error_reply(exchange.dialect, error_of(_told(broken).failure)))


def _told(raised: Exception) -> CallError:
    """Return what is told of what ended a call."""
    if isinstance(raised, BadRequest):
        return Refused(400, raised.message, code=raised.code or "invalid_request", param=raised.param)
    if isinstance(raised, NotDecoded):
        return Refused(413, str(raised), code="body_too_large")
    if isinstance(raised, CallError):
        return raised
    log.error("a call failed inside the host", exc_info=raised)
    return CallError(failure("plugin", "the call failed inside the host", code="internal_error", detail=repr(raised)))


def _own_words(exchange: Exchange, fault: CallError) -> Reply | None:
    """Return the upstream's own error answer when the caller is to see it: as bytes within the dialect, else translated."""
    made = exchange.tried[-1] if exchange.tried else None
    if made is None or made.reply is None or made.failure is not fault.failure or fault.failure.cause not in OWN_FAULT:
        return None
    said, raw, dialect = made.reply, error_body(made.reply), made.attempt.dialect
    if dialect is exchange.dialect:
        shown = exchange.generation.response_policy[dialect.name].passed(said.headers)
        return Reply(status=fault.failure.shown_status, headers=shown, body=raw)
    error = dialect.decode_error(said.status, said.headers, raw)
    error = msgspec.structs.replace(error, status=fault.failure.shown_status, type=None, extensions={})
    return _error_reply(exchange.dialect, error)


def _error_reply(dialect: Dialect, error: Error) -> Reply:
    headers = {"Retry-After": str(max(1, math.ceil(error.retry_after)))} if error.retry_after is not None else {}
    return Reply(status=error.status, headers=Headers(headers), body=dialect.encode_error(error))


def no_route(generation: Generation, downstream: Downstream) -> Refused:
    """Return the error for a request that no route takes."""
    path, method = downstream.path, downstream.method
    if methods := generation.routes.methods(path, downstream.headers, downstream.query):
        if (downstream.headers.get("upgrade") or "").lower() == "websocket":
            return Refused(426, f"{path} speaks HTTP alone, no WebSocket", code="upgrade_required")
        says = f"{path} takes {' or '.join(methods)}, not {method}"
        return Refused(405, says, code="method_not_allowed", headers=Headers({"Allow": ", ".join(methods)}))
    near = generation.routes.nearest(path)
    hint = f"did you mean {near[0]}?" if near is not None else "no plugin with a dialect is plugged in"
    if near is not None and not path.startswith(root := f"/{near[0].split('/')[1]}"):
        hint += f" A base URL should end in {root}"
    return Refused(404, f"nothing is served at {method} {path}: {hint}", code="unknown_url")


async def refuse_unmatched(generation: Generation, downstream: Downstream, fault: Refused) -> None:
    """Answer a request that has no dialect, in the dialect of the route that comes nearest."""
    near = generation.routes.nearest(downstream.path)
    reply = _error_reply(near[1] if near is not None else generation.dialects["canonical"], error_of(fault.failure))
    await downstream.send(reply.status, [_JSON, *reply.headers, *fault.headers], error_body(reply))


# ------------------------------------------------------------------------------------------------ queries


async def query(exchange: Exchange, first_models: Callable[[], Awaitable[None]]) -> None:
    """Answer a query: what models there are."""
    generation, call, dialect = exchange.generation, exchange.call, exchange.dialect
    if call.operation != "ping":
        await first_models()
    match call.operation:
        case "ping":
            body = b""
        case "models":
            allow, asked = call.principal.allow, {e.operation for e in dialect.endpoints}
            usable = {o for o in asked if allow is None or allow.refusal(None, call.dialect, o) is None}
            body = dialect.encode_models(generation.models.listing(call.principal, usable))
        case _:
            body = dialect.encode_model(_one_model(exchange, exchange.params.get("id") or exchange.params.get("model") or ""))
    exchange.http_status = 200
    await exchange.downstream.send(200, [_JSON] if body else (), body)


def _one_model(exchange: Exchange, name: str) -> ModelInfo:
    models, principal = exchange.generation.models, exchange.call.principal
    info = models.info(name) if principal.allow is None or principal.allow.model(name) else None
    if info is None:
        hint = f"; did you mean {near}?" if (near := " or ".join(map(repr, models.near(name, principal)))) else ""
        raise Refused(404, f"the model {name!r} does not exist here{hint}", code="model_not_found", param="model")
    return info
