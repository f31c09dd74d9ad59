"""From one dialect into another, through the canonical model or by a direct translator: requests, answers, streams.

Pure: what a host adds (who is asked, under which name, by what policy) is told by the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from jackfield.api.body import BadRequest, Codec
from jackfield.api.canonical.estimate import estimate_tokens
from jackfield.api.canonical.fitting import Fitting, fit
from jackfield.api.canonical.models import ThinkingSupport
from jackfield.api.canonical.request import Request, ThinkingConfig
from jackfield.api.canonical.response import Error, Response, Usage
from jackfield.api.canonical.rules import classify
from jackfield.api.canonical.signatures import without_signatures
from jackfield.api.canonical.splice import Path, locate, splice
from jackfield.api.canonical.stream import Begin, Delta, Done, StreamError
from jackfield.api.canonical.thinking import fit_thinking
from jackfield.api.dialect import Dialect, Endpoint, Loss, Operation, Translator, Turned
from jackfield.api.event import Event
from jackfield.api.failure import CallError, Failure, failure
from jackfield.api.headers import Headers

Value = TypeVar("Value")

_EMPTY: Final[tuple[Any, ...]] = (None, False, "", [], {})


class Wanted(msgspec.Struct, kw_only=True):
    """How a request is to be written for an upstream."""

    model: str
    stream: bool
    operation: Operation = "generate"
    thinking: ThinkingConfig | None = None
    """How much is to be thought, whatever the request says: the model's name said so."""
    support: ThinkingSupport | None = None
    """What the model takes, where it is known."""
    signed: bool = True
    """Signatures of earlier answers are sent."""


class Written(msgspec.Struct, kw_only=True):
    """A request as it was written for an upstream."""

    raw: bytes
    request: Request
    fitting: Fitting | None
    """The way back for the answer; None within one dialect."""
    losses: list[Loss]


def write_request(said: Request, source: Dialect, target: Dialect, wanted: Wanted) -> Written:
    """Write in one dialect what was said in another, or anew in the same.

    Raises `CallError` where it goes on from what is stored elsewhere, `BadRequest` where it says nothing, or asks a model of
    its own family for what that does not take.
    """
    losses: list[Loss] = []
    crossing = source.name != target.name
    if crossing:
        _refuse_what_cannot_cross(said, source)
        losses += _kept_back(said, source)
    if not wanted.signed:
        said = without_signatures(said)
        losses.append(Loss("messages", "dropped", "the provider refuses the signatures of earlier answers"))
    own = wanted.thinking is None
    thinking = said.thinking if wanted.thinking is None else replace(wanted.thinking, summary=said.thinking.summary)
    if crossing or not own:
        try:
            thinking = fit_thinking(thinking, wanted.support, strict=own and source.family == target.family, losses=losses)
        except ValueError as fault:
            raise BadRequest(str(fault), code="unsupported_thinking") from None
    fitting = fit(said, target, losses) if crossing else None
    if fitting is not None:
        said = replace(fitting.request, stream_usage=wanted.stream or None)
    said = replace(said, model=wanted.model, stream=wanted.stream, thinking=thinking)
    return Written(raw=target.encode_request(said, wanted.operation, losses), request=said, fitting=fitting, losses=losses)


def _refuse_what_cannot_cross(said: Request, source: Dialect) -> None:
    """Raise `CallError` for a request that goes on from what a provider has stored, `BadRequest` for one that says nothing."""
    kept = said.extensions.get(source.name, {})
    stored = next((key for key in sorted(source.stored) if kept.get(key)), None)
    if said.previous is not None:
        what = f"the answer {said.previous!r}"
        raise CallError(_elsewhere(what, source, code="previous_response_not_stored", param="previous_response_id"))
    if stored is not None:
        raise CallError(_elsewhere(f"what {stored!r} names", source, code="stored_elsewhere", param=stored))
    if not any(message.parts for message in said.messages):
        raise BadRequest("the request has no text, no media and no call that another dialect could say", code="nothing_said")


def _elsewhere(what: str, source: Dialect, *, code: str, param: str) -> Failure:
    says = f"{what} is stored at a provider that speaks {source.name}; this model's provider cannot go on from it"
    return failure("unsupported", says, code=code, param=param, status=400)


def _kept_back(said: Request, source: Dialect) -> Iterator[Loss]:
    """Yield what of a request and its tools one dialect alone knows.

    What begins with `=` is a codec's own note, and so is what says nothing: it tells which of several forms was used.
    """
    places = [("", said.extensions), *((f"tools[{at}].", tool.extensions) for at, tool in enumerate(said.tools) if tool.extensions)]
    for path, extensions in places:
        for key in _leaves(extensions.get(source.name, {}), source.notes, ""):
            yield Loss(path + key, "dropped", f"{source.name} alone knows it")


def _leaves(kept: dict[str, Any], notes: frozenset[str], path: str) -> Iterator[str]:
    for key, value in kept.items():
        if key.startswith("=") or path + key in notes:
            continue
        if isinstance(value, dict) and value:
            yield from _leaves(value, notes, f"{path}{key}.")
        elif value not in _EMPTY:
            yield path + key


async def write_directly(translator: Translator, raw: bytes, endpoint: Endpoint | None, wanted: Wanted, losses: list[Loss]) -> bytes:
    """Have a direct translator turn a request, and write model and stream flag where the upstream's route has them."""
    made = await ready(translator.translate_request(raw, losses))
    return made if endpoint is None else addressed(made, endpoint, wanted.model, wanted.stream)


def addressed(raw: bytes, endpoint: Endpoint, model: str, stream: bool) -> bytes:
    """Return a request with the model's name and the stream flag where its route has them; the same bytes where they stand already."""
    written: dict[Path, object] = {} if endpoint.model is None else {endpoint.model: model}
    if isinstance(endpoint.stream, tuple):
        written[endpoint.stream] = stream
    for path, value in list(written.items()):
        span = locate(raw, path)
        if value is False if span is None else raw[slice(*span)] == msgspec.json.encode(value):
            del written[path]  # what is off by default need not be written either
    return splice(raw, written) if written else raw


def failed(fault: Exception) -> Loss:
    """Return what is listed of a direct translator that failed with an answer."""
    return Loss("", "changed", f"the direct translator failed, {type(fault).__name__}: {fault}; the canonical way was taken")


async def ready(made: Value | Awaitable[Value]) -> Value:
    """Return what a function of a plugin's returned, or what that has to be waited for gives."""
    return await made if isinstance(made, Awaitable) else made


@lru_cache
def request_codec(dialect: Dialect, operation: Operation) -> Codec[Request]:
    """Return how a dialect reads and writes the bodies of requests."""
    return lambda raw: dialect.decode_request(raw, operation), lambda value, losses: dialect.encode_request(value, operation, losses)


@lru_cache
def response_codec(dialect: Dialect, operation: Operation) -> Codec[Response] | None:
    """Return how a dialect reads and writes the bodies of answers; None for operations whose answers have no canonical form."""
    if operation == "count" and type(dialect).decode_count is not Dialect.decode_count:
        return lambda raw: Response(usage=dialect.decode_count(raw)), lambda said, _: dialect.encode_count(said.usage or Usage())
    return (dialect.decode_response, dialect.encode_response) if operation == "generate" else None


def endpoint_for(dialect: Dialect, operation: Operation, stream: bool) -> Endpoint | None:
    """Return the route of a dialect on which an upstream serves an operation."""
    fitting = [e for e in dialect.endpoints if e.operation == operation and e.upstream is not None]
    return next((e for e in fitting if e.stream is stream), next(iter(fitting), None))


def read_response(said: Response, fitting: Fitting | None, model: str | None) -> Response:
    """Return an upstream's answer in the words of the one who asked, under the name that it asked for where it differs."""
    said = fitting.restore(said) if fitting is not None else said
    return said if model is None else replace(said, model=model)


def named(data: bytes, dialect: Dialect, model: str) -> bytes:
    """Return an answer's or event's JSON with the model's name where the dialect says that it stands.

    Raises `ValueError` for what is not JSON.
    """
    places = {path: model for path in dialect.needles.model if locate(data, path) is not None}
    return splice(data, places) if places else data


def named_event(event: Event, dialect: Dialect, model: str) -> Event:
    """Return an event with the model's name where the dialect says that it stands."""
    data = event.data
    try:
        said = named(data, dialect, model)
    except ValueError:
        return event  # what is not JSON names no model
    if said is data:
        return event
    one_line = event.frame.find(data) >= 0
    return type(event)(event.frame.replace(data, said), event.name, event.end) if one_line else event.with_data(said)


def told(losses: Iterable[Loss]) -> str:
    """Return losses as one line that may stand in a header: what is not ASCII is replaced."""
    return "; ".join(f"{loss.what} {loss.path}: {loss.why}" for loss in losses).encode("ascii", "replace").decode()


class StreamWay(Protocol):
    """The way of one stream from an upstream's events to a client's."""

    done: bool
    """The answer is complete, or has ended with an error."""

    def over(self, events: Sequence[Event]) -> list[Event] | Awaitable[list[Event]]:
        """Return the client's events for the upstream's; for none, those for what the upstream left unsaid."""


def stream_way(
    source: Dialect,
    target: Dialect,
    request: Request,
    losses: list[Loss],
    *,
    call_id: str = "",
    fitting: Fitting | None = None,
    translator: Translator | None = None,
    model: str | None = None,
) -> StreamWay:
    """Return the way of a stream from an upstream's dialect into a client's, who asked `request`, for `model` where it was renamed."""
    if source.name == target.name:
        return FramedWay(target)
    canonical = CanonicalWay(source, target, request, losses, fitting=fitting, model=model)
    return canonical if translator is None else DirectWay(translator, call_id, target, losses, canonical=canonical, model=model)


class CanonicalWay:
    """A stream that goes through the canonical model."""

    def __init__(
        self, source: Dialect, target: Dialect, request: Request, losses: list[Loss], *, fitting: Fitting | None, model: str | None
    ) -> None:
        self._decoder, self._encoder = source.decode_stream(), target.encode_stream(request, losses)
        self._restore = fitting.restore_stream() if fitting is not None else None
        self._target, self._request, self._model = target, request, model
        self.done = False

    def over(self, events: Sequence[Event]) -> list[Event]:
        """Return the client's events for the upstream's; for none, those for what the upstream left unsaid."""
        deltas: Sequence[Delta] = [d for event in events for d in self._decoder.feed(event)] if events else list(self._decoder.close())
        if not deltas:
            return []
        if isinstance(deltas[0], Begin):
            deltas = [self._begin(deltas[0]), *deltas[1:]]
        if self._restore is not None:
            deltas = self._restore(deltas)
        last = deltas[-1] if deltas else None
        if isinstance(last, StreamError):
            deltas = [*deltas[:-1], StreamError(error=_shown(last.error))]
        self.done = self.done or isinstance(last, StreamError | Done)
        return list(self._encoder.feed(deltas))

    def _begin(self, begin: Begin) -> Begin:
        """Return the stream's beginning under the name that was asked for, with token counts where its dialect begins with them."""
        if self._model is not None:
            begin = replace(begin, model=self._model)
        if begin.usage is None and self._target.usage_at_start:
            begin = replace(begin, usage=Usage(input=estimate_tokens(self._request), source="estimated"))
        return begin


def _shown(error: Error) -> Error:
    """Return an upstream's error as a client of another dialect is told it: what is wrong with the host's own accounts is not for it."""
    told = classify((), error, Headers(), "")
    if told.cause in ("credential", "account_action", "quota"):
        return Error(status=told.shown_status, message=told.message, retry_after=error.retry_after)
    return replace(error, type=None, extensions={})  # its type is a word of the other dialect


class DirectWay:
    """A stream that a direct translator turns."""

    def __init__(
        self, translator: Translator, call_id: str, target: Dialect, losses: list[Loss], *, canonical: CanonicalWay, model: str | None
    ) -> None:
        step = translator.translate_stream(call_id, losses)
        self._step, self._each, self._aclose = step, getattr(step, "each", None), getattr(step, "aclose", None)
        self._target, self._model, self._canonical, self._losses = target, model, canonical, losses
        self._begun = self._failed = self.done = False

    async def over(self, events: Sequence[Event]) -> list[Event]:
        """Return the client's events for the upstream's; for none, the last ones.

        A translator that fails with the first events leaves the stream to the canonical way; one that fails later ends it.
        """
        if not self._failed:
            try:
                return self._named(await self._turned(events))
            except Exception as fault:
                if self._begun:
                    says = "the direct translator failed in the middle of the answer"
                    raise CallError(failure("plugin", says, code="translator_failed", detail=f"{type(fault).__name__}: {fault}")) from fault
                self._failed = True
                self._losses.append(failed(fault))
        made = self._canonical.over(events)
        self.done = self._canonical.done
        return made

    async def _turned(self, events: Sequence[Event]) -> list[Turned]:
        if self._each is not None:
            return list(await ready(self._each(events)))
        return [event for given in events or (None,) for event in await ready(self._step(given))]

    def _named(self, turned: list[Turned]) -> list[Event]:
        made = [self._target.event(event[1], event[0]) if isinstance(event, tuple) else event for event in turned]
        if self._model is not None:
            made = [named_event(event, self._target, self._model) for event in made]
        self._begun = True
        self.done = self.done or any(map(self._target.terminal, made))
        return made

    async def aclose(self) -> None:
        """Let the translator go of what it knows of the stream."""
        if self._aclose is not None:
            await self._aclose()


class FramedWay:
    """A stream that stays in its dialect and is framed in another way."""

    done = False

    def __init__(self, target: Dialect) -> None:
        self._target = target

    def over(self, events: Sequence[Event]) -> list[Event]:
        """Return the events in the client's framing."""
        return [self._target.event(event.data, event.name) for event in events]
