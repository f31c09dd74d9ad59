"""What leaves for an upstream: an attempt's body in its dialect, as bytes, edited, through the canonical model, or translated directly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from jackfield.api.body import BadRequest, Body
from jackfield.api.canonical.crossing import Wanted, addressed, endpoint_for, request_codec, write_directly, write_request
from jackfield.api.canonical.flavour import apply_flavour
from jackfield.api.canonical.models import ThinkingSupport
from jackfield.api.canonical.request import Request
from jackfield.api.dialect import Dialect, Endpoint, Loss, Translator
from jackfield.api.failure import CallError, failure

if TYPE_CHECKING:
    from jackfield.api.call import Attempt


class Way(msgspec.Struct, kw_only=True):
    """Where a request comes from and what the host knows of the way that it takes."""

    source: Dialect
    """The client's dialect."""
    endpoint: Endpoint
    """The client's route."""
    touched: bool = False
    """A hook has changed the client's body: what it says of model and stream flag is overwritten."""
    signed: bool = True
    """Signatures of earlier answers are sent."""
    translators: Mapping[tuple[str, str], Translator] = {}
    """Direct ones, by the client's dialect and the upstream's."""
    support: Callable[[], ThinkingSupport | None] = lambda: None
    """Tells how the upstream's model can be told to think."""


def write(attempt: Attempt, way: Way) -> Awaitable[str] | None:
    """Turn an attempt's body from the client's dialect into the upstream's, and as the provider takes it.

    Where a direct translator does that it has to be waited for; what then comes says why it could not, if it could not.

    Raises `CallError` for what cannot be said there, `BadRequest` for what is wrong in the body.
    """
    streams, endpoint = attempt.provider.streams, attempt.endpoint
    stream = attempt.call.stream if streams == "both" else streams == "only"
    if endpoint is not None and isinstance(endpoint.stream, bool) and endpoint.stream is not stream:
        attempt.endpoint = endpoint_for(attempt.dialect, attempt.call.operation, stream)
    if attempt.dialect.name != attempt.call.dialect:
        direct = way.translators.get((attempt.call.dialect, attempt.dialect.name)) if attempt.call.operation == "generate" else None
        if direct is not None:
            return _directly(attempt, way, stream, direct)
        _across(attempt, way, stream)
    elif _must_be_read(attempt, way):
        _anew(attempt, way, attempt.request, stream)
    else:
        _within(attempt, way, stream)
    _flavour(attempt)
    return None


def _within(attempt: Attempt, way: Way, stream: bool) -> None:
    """Stay in the dialect: only the model's name and the stream flag may have to be written."""
    call = attempt.call
    touched = way.touched or attempt.fidelity == "edited"
    if not touched and attempt.model == call.model and stream == call.stream:
        return
    raw = attempt.body.raw
    made = addressed(raw, way.endpoint, attempt.model, stream)
    if made is not raw:
        attempt.body = attempt.body.with_raw(made)
    if made is not raw or touched:
        attempt.fidelity = "edited"


def _across(attempt: Attempt, way: Way, stream: bool) -> None:
    """Go through the canonical model."""
    call, dialect = attempt.call, attempt.dialect
    said = attempt.body.canonical
    if call.operation not in ("generate", "count") or said is None:
        says = f"{call.operation} cannot be translated from {call.dialect} to {dialect.name}"
        raise CallError(failure("unsupported", says, code="unsupported_translation", status=400))
    _anew(attempt, way, said, stream)


async def _directly(attempt: Attempt, way: Way, stream: bool, translator: Translator) -> str:
    """Go by a direct translator; where it fails, through the canonical model. Returns why it failed, `''` where it did not."""
    wanted, losses, why = Wanted(model=attempt.model, stream=stream), list[Loss](), ""
    try:
        raw = await write_directly(translator, attempt.body.raw, attempt.endpoint, wanted, losses)
        attempt.losses, attempt.fidelity, attempt.translator = losses, "direct", translator
        attempt.body = Body(raw, codec=request_codec(attempt.dialect, attempt.call.operation))
    except BadRequest:
        raise  # what is wrong is the client's body
    except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
        why = f"the direct translator failed, {type(fault).__name__}: {fault}"
        _across(attempt, way, stream)
    _flavour(attempt)
    return why


def _must_be_read(attempt: Attempt, way: Way) -> bool:
    """Tell whether a body of the upstream's own dialect has to be written anew: for its thinking or its signatures."""
    if attempt.candidate.thinking is not None or not way.signed:
        return True
    source = attempt.body.source
    return isinstance(source, bytes) and any(source.find(tag) >= 0 for tag in attempt.dialect.needles.tagged)


def _anew(attempt: Attempt, way: Way, said: Request, stream: bool) -> None:
    """Write an attempt's body from what it says."""
    call, dialect = attempt.call, attempt.dialect
    wanted = Wanted(
        model=attempt.model,
        stream=stream,
        operation=call.operation,
        thinking=attempt.candidate.thinking,
        support=way.support(),
        signed=way.signed,
    )
    made = write_request(said, way.source, dialect, wanted)
    attempt.losses, attempt.fitting, attempt.fidelity = made.losses, made.fitting, "canonical"
    attempt.body = Body(made.raw, canonical=made.request, codec=request_codec(dialect, call.operation))


def _flavour(attempt: Attempt) -> None:
    """Say as the provider takes it what its dialect alone does not decide."""
    if not attempt.provider.flavours or not isinstance(attempt.body.source, bytes):
        return
    before, losses = attempt.body.raw, list[Loss]() if attempt.losses is None else attempt.losses
    raw = apply_flavour(before, attempt.provider.flavours, attempt.model, attempt.dialect.name, losses, operation=attempt.call.operation)
    if raw is not before:
        attempt.body, attempt.losses = attempt.body.with_raw(raw), losses
        attempt.fidelity = "edited" if attempt.fidelity == "bytes" else attempt.fidelity
