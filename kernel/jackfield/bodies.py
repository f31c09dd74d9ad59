"""Bodies: how a dialect reads and writes one, how a hook's change is applied, and stages 8 and 10 for whole ones.

A body goes on as bytes, edited, or through the canonical model.
"""

from typing import TypeVar

from jackfield.api import (
    Attempt,
    Body,
    Call,
    CallError,
    Change,
    Dialect,
    Failure,
    Glance,
    Headers,
    Operation,
    Reply,
    Request,
    Response,
    Usage,
    apply_flavour,
    failure,
    members,
)
from jackfield.api.canonical import estimate_tokens
from jackfield.api.canonical.crossing import (
    Wanted,
    addressed,
    endpoint_for,
    named,
    read_response,
    request_codec,
    response_codec,
    told,
    write_directly,
    write_request,
)
from jackfield.dispatch import Chain, ask
from jackfield.exchange import Exchange, Tried
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
    streams, rest, endpoint = attempt.provider.streams, exchange.generation.chains["normalize_request"], attempt.endpoint
    stream = attempt.call.stream if streams == "both" else streams == "only"
    if endpoint is not None and isinstance(endpoint.stream, bool) and endpoint.stream is not stream:
        attempt.endpoint = endpoint_for(attempt.dialect, attempt.call.operation, stream)
    if attempt.dialect.name != attempt.call.dialect:
        _across(exchange, attempt, stream)
    elif _must_be_read(exchange, attempt):
        _anew(exchange, attempt, attempt.request, stream)
    else:
        _within(exchange, attempt, stream)
    if attempt.provider.flavours and isinstance(attempt.body.source, bytes):
        _flavour(attempt)
    _judge_losses(exchange, attempt)
    if rest and await edit_request(exchange, attempt, rest) and attempt.fidelity == "bytes":
        attempt.fidelity = "edited"


def _flavour(attempt: Attempt) -> None:
    """Say as the provider takes it what its dialect alone does not decide."""
    before, losses = attempt.body.raw, [] if attempt.losses is None else attempt.losses
    raw = apply_flavour(before, attempt.provider.flavours, attempt.model, attempt.dialect.name, losses, operation=attempt.call.operation)
    if raw is not before:
        attempt.body, attempt.losses = attempt.body.with_raw(raw), losses
        attempt.fidelity = "edited" if attempt.fidelity == "bytes" else attempt.fidelity


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


def _within(exchange: Exchange, attempt: Attempt, stream: bool) -> None:
    """Stay in the dialect: only the model's name and the stream flag may have to be written."""
    call, endpoint = attempt.call, exchange.endpoint
    touched = exchange.body_touched or attempt.fidelity == "edited"
    if not touched and attempt.model == call.model and stream == call.stream:
        return
    raw = attempt.body.raw
    made = addressed(raw, endpoint, attempt.model, stream)
    if made is not raw:
        attempt.body = attempt.body.with_raw(made)
    if made is not raw or touched:
        attempt.fidelity = "edited"


def _across(exchange: Exchange, attempt: Attempt, stream: bool) -> None:
    """Go by a direct translator where there is one for the two dialects, else through the canonical model."""
    call, dialect = attempt.call, attempt.dialect
    attempt.translator = exchange.generation.translators.get((call.dialect, dialect.name)) if call.operation == "generate" else None
    if attempt.translator is not None:
        attempt.losses, attempt.fidelity = [], "direct"
        raw = write_directly(
            attempt.translator, attempt.body.raw, attempt.endpoint, Wanted(model=attempt.model, stream=stream), attempt.losses
        )
        attempt.body = Body(raw, codec=request_codec(dialect, call.operation))
        return
    said = attempt.body.canonical
    if call.operation not in ("generate", "count") or said is None:
        says = f"{call.operation} cannot be translated from {call.dialect} to {dialect.name}"
        raise CallError(failure("unsupported", says, code="unsupported_translation", status=400))
    _anew(exchange, attempt, said, stream)


def _must_be_read(exchange: Exchange, attempt: Attempt) -> bool:
    """Tell whether a body of the upstream's own dialect has to be written anew: for its thinking or its signatures."""
    if attempt.candidate.thinking is not None or exchange.unsigned:
        return True
    source = attempt.body.source
    return isinstance(source, bytes) and any(source.find(tag) >= 0 for tag in attempt.dialect.needles.tagged)


def _anew(exchange: Exchange, attempt: Attempt, said: Request, stream: bool) -> None:
    """Write an attempt's body from what it says."""
    call, dialect, models = attempt.call, attempt.dialect, exchange.generation.models
    wanted = Wanted(
        model=attempt.model,
        stream=stream,
        operation=call.operation,
        thinking=attempt.candidate.thinking,
        support=models.thinking_of(attempt.provider, attempt.model),
        signed=not exchange.unsigned,
    )
    made = write_request(said, exchange.dialect, dialect, wanted)
    attempt.losses, attempt.fitting, attempt.fidelity = made.losses, made.fitting, "canonical"
    attempt.body = Body(made.raw, canonical=made.request, codec=request_codec(dialect, call.operation))


def refuses_signature(attempt: Attempt, reply: Reply) -> bool:
    """Tell whether an error answer says that a signature in the request is not valid."""
    return attempt.dialect.refuses_signature(attempt.dialect.decode_error(reply.status, reply.headers, error_body(reply)))


def counted(attempt: Attempt) -> Reply | None:
    """Return an estimate for a request that asks for a count of tokens from somebody who has no counting; None for all others."""
    if attempt.call.operation != "count" or attempt.endpoint is not None:
        return None
    return Reply(response=Response(usage=Usage(input=estimate_tokens(attempt.request), source="estimated")))


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
        seen = attempt.dialect.glance(body.raw) if attempt.call.operation in ("generate", "embed") else Glance()
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
    return attempt.classify(status, reply.headers, body.raw)


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
    dialect, call, normalizers = exchange.dialect, attempt.call, exchange.generation.chains["normalize_response"]
    within, renamed = attempt.dialect.name == dialect.name, attempt.model != call.model and call.operation != "resource"
    if not normalizers and within and not renamed:
        return
    body = await edit_response(exchange, attempt, reply, attempt.dialect)
    try:
        if attempt.translator is not None:
            raw = attempt.translator.translate_response(body.raw, attempt.losses or [])
            body = Body(raw, codec=response_codec(dialect, call.operation))
        elif not within:
            said = read_response(body.canonical or Response(), attempt.fitting, call.model if renamed else None)
            reply.body = Body(canonical=said, codec=response_codec(dialect, call.operation), losses=attempt.losses)
            return
    except ValueError as fault:
        raise CallError(failure("upstream", "the provider's answer cannot be read", code="bad_answer", detail=str(fault))) from fault
    reply.body = body.with_raw(named(body.raw, dialect, call.model)) if renamed else body  # the name that the client asked for
