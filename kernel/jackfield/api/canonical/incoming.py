"""What comes from an upstream as a whole answer: whether it is one, what it cost, and what it is in the client's dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jackfield.api.body import Body
from jackfield.api.call import Reply
from jackfield.api.canonical.crossing import failed, named, read_response, ready, response_codec
from jackfield.api.canonical.estimate import estimate_tokens
from jackfield.api.canonical.response import Error, Response, Usage
from jackfield.api.dialect import Dialect, Glance, Operation
from jackfield.api.failure import CallError, Failure, failure
from jackfield.api.headers import Headers

if TYPE_CHECKING:
    from jackfield.api.call import Attempt


def error_body(reply: Reply) -> bytes:
    """Return the bytes of an answer that is no canonical one."""
    return reply.body.raw if isinstance(reply.body, Body) else reply.body or b""


def whole_body(reply: Reply, dialect: Dialect, operation: Operation) -> Body[Response]:
    """Return a whole answer's body with the dialect's codec, whichever form the provider gave it."""
    if isinstance(reply.body, Body) and reply.body.codec is not None:
        return reply.body
    raw = error_body(reply) if reply.response is None else None
    return Body(raw, canonical=reply.response, codec=response_codec(dialect, operation))


def refuses_signature(attempt: Attempt, reply: Reply) -> bool:
    """Tell whether an error answer says that a signature in the request is not valid."""
    return attempt.dialect.refuses_signature(attempt.dialect.decode_error(reply.status, reply.headers, error_body(reply)))


def counted(attempt: Attempt) -> Reply | None:
    """Return an estimate for a request that asks for a count of tokens from somebody who has no counting; None for all others."""
    counts = attempt.provider.counts
    if attempt.call.operation != "count" or (attempt.endpoint is not None if counts is None else counts):
        return None
    return Reply(response=Response(usage=Usage(input=estimate_tokens(attempt.request), source="estimated")))


def judge(attempt: Attempt, reply: Reply) -> tuple[Usage | None, Failure | None]:
    """Look at a whole answer: return what it cost, and why it is none."""
    reply.body = body = whole_body(reply, attempt.dialect, attempt.call.operation)
    try:
        seen = attempt.dialect.glance(body.raw) if attempt.call.operation in ("generate", "embed") else Glance()
    except (ValueError, RecursionError) as fault:
        kind = reply.headers.get("content-type") or "no content type"
        what = "nothing" if not body.raw.strip() else f"what is no answer ({kind})"
        detail, says = f"{fault}; it begins with {body.raw[:200]!r}", f"the provider answered {reply.status} with {what}"
        return None, failure("upstream", says, status=reply.status, code="bad_answer", detail=detail)
    if seen.error is None:
        return seen.usage, None
    return seen.usage, error_within(attempt, seen.error, reply.headers, body.raw)


def error_within(attempt: Attempt, error: Error | None, headers: Headers, raw: bytes) -> Failure:
    """Say what an error means that an answer of status 200 holds: its status is only what the error itself says."""
    told = attempt.classify(error.status if error is not None and error.status >= 400 else 502, headers, raw)
    callers = told.cause in ("caller", "content", "unsupported")  # whose message is the provider's own
    return told if callers else msgspec.structs.replace(told, message=f"the provider's answer was an error ({told.cause})")


async def _turned(attempt: Attempt, raw: bytes) -> bytes | None:
    """Return what a direct translator makes of an answer; None where there is none or it fails: then the canonical way is taken."""
    if attempt.translator is None:
        return None
    losses = attempt.losses = [] if attempt.losses is None else attempt.losses
    try:
        return await ready(attempt.translator.translate_response(raw, losses))
    except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
        losses.append(failed(fault))
        return None


async def read(attempt: Attempt, body: Body[Response], client: Dialect) -> Body[Response]:
    """Return a whole answer in the client's dialect, under the name that it asked for. Raises `CallError` for what cannot be read."""
    call, within = attempt.call, attempt.dialect.name == client.name
    renamed = attempt.model != call.model and call.operation != "resource"
    try:
        if (raw := await _turned(attempt, body.raw)) is not None:
            body = Body(raw, codec=response_codec(client, call.operation))
        elif not within:
            said = read_response(body.canonical or Response(), attempt.fitting, call.model if renamed else None)
            return Body(canonical=said, codec=response_codec(client, call.operation), losses=attempt.losses)
    except ValueError as fault:
        raise CallError(failure("upstream", "the provider's answer cannot be read", code="bad_answer", detail=str(fault))) from fault
    return body.with_raw(named(body.raw, client, call.model)) if renamed else body
