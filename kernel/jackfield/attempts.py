"""Stages 6 to 9: one attempt after the other, until somebody answers."""

import time
from collections.abc import Sequence
from typing import Final

from jackfield import bodies
from jackfield.api import (
    Attempt,
    BadRequest,
    CallError,
    Candidate,
    Cause,
    Delegate,
    Deny,
    Failure,
    Headers,
    NotDecoded,
    Pairs,
    Pool,
    Reply,
    failure,
)
from jackfield.api.canonical.crossing import endpoint_for
from jackfield.dispatch import ask, of_a_plugin, without
from jackfield.exchange import OWN_FAULT, Exchange, Tried
from jackfield.resolution import Target
from jackfield.shared import Shared
from jackfield.source import Source
from jackfield.streams import Relay
from jackfield.trace import log

_BUSY: Final[frozenset[Cause]] = frozenset({"rate", "quota"})
_UNFIT: Final[frozenset[Cause]] = frozenset({"overload", "credential", "account_action"})
_MOST_DELEGATIONS: Final = 8


async def answer(shared: Shared, exchange: Exchange, targets: Sequence[Target]) -> Reply:
    """Return the first answer that an attempt gives, target after target. Raises `CallError` when none does."""
    for pool, on in targets:
        causes = {tried.failure.cause for tried in exchange.tried if tried.failure is not None}
        wanted = not causes or (causes & set(on) if on else not causes & {"caller", "content"})
        if wanted and (reply := await _round(shared, exchange, pool)) is not None:
            return reply
    raise _exhausted(exchange, targets[0][0].model)


async def _round(shared: Shared, exchange: Exchange, pool: Pool) -> Reply | None:
    """Try the candidates of a pool, each at most once, until one answers or what went wrong cannot be helped by another."""
    left, tried = pool, frozenset[str]()
    while left.eligible:
        candidate = left.eligible[0] if pool.direct else await _pick(exchange, left)
        made = Tried(attempt=_attempt(exchange, candidate), account=candidate.account)
        exchange.tried.append(made)
        try:
            return await _try(shared, exchange, made)
        except CallError as fault:
            told = made.failure = fault.failure
        if not exchange.unsigned and made.reply is not None and bodies.refuses_signature(made.attempt, made.reply):
            exchange.unsigned = True  # once more, without any
            continue
        if told.help == "none" and not (exchange.call.operation == "resource" and told.status == 404):
            break
        # What is the credential's own fault would meet its other models too.
        tried |= {s.id for s in pool.all if s is candidate or (told.blame == "credential" and s.account is candidate.account)}
        left = pool.without(tried)
    return None


async def _pick(exchange: Exchange, pool: Pool) -> Candidate:
    """Ask the scheduler that is selected, and those to which it delegates; without an answer take the next in turn."""
    generation = exchange.generation
    hook = generation.scheduler_for(exchange.call.model, pool.eligible[0].provider)
    for _ in range(_MOST_DELEGATIONS):
        _, picked, _ = await ask((hook,) if hook is not None else (), exchange.trace, exchange.call, pool)
        if isinstance(picked, Candidate) and picked in pool.eligible:
            return picked
        if isinstance(picked, Deny):
            exchange.rejected, wait = True, picked.retry_after
            raise CallError(failure("overload" if wait is None else "rate", picked.reason, retry_after=wait, code="denied", help="none"))
        if not isinstance(picked, Delegate):
            if picked is not None and hook is not None:
                fault = ValueError(f"picked {picked!r}, but {pool.why(getattr(picked, 'id', ''))}")
                hook.give_up(exchange.trace, hook.failed(fault))
            break
        hook = generation.schedulers.get(picked.scheduler)
    return pool.next_in_turn()


def _attempt(exchange: Exchange, candidate: Candidate) -> Attempt:
    generation, call, provider = exchange.generation, exchange.call, candidate.account.provider
    dialects = provider.dialects_of(candidate.model) if candidate.model else provider.dialects
    name = call.dialect if call.dialect in dialects else next((n for n in dialects if n in generation.dialects), "canonical")
    attempt = Attempt(call, provider, candidate, generation.dialects[name])
    attempt.base_url, attempt.rulings = candidate.account.credential.base_url, generation.config.failures.get(provider.key, ())
    if exchange.tried:
        attempt.number = len(exchange.tried) + 1
        attempt.before = tuple(tried.failure for tried in exchange.tried if tried.failure is not None)
    if name == call.dialect:
        attempt.endpoint, attempt.params = exchange.endpoint, exchange.params
        attempt.headers = generation.request_policy[name].passed(call._full_headers)  # no policy lets a key through
        attempt.query = Pairs(pair for pair in call.query if pair[0] in attempt.dialect.request_query) if call.query else call.query
    if attempt.endpoint is None or attempt.endpoint.upstream is None:
        attempt.endpoint = endpoint_for(attempt.dialect, call.operation, call.stream)
    if exchange.request_headers:
        attempt.headers = bodies.sendable(attempt.headers.with_changes(exchange.request_headers))
    return attempt


async def _try(shared: Shared, exchange: Exchange, made: Tried) -> Reply:
    """Make one attempt and return its answer. Raises `CallError` when it fails."""
    attempt, account = made.attempt, made.account
    exchange.attempt = attempt
    account.in_flight += 1
    account.last_used = time.time()
    try:
        chain = exchange.generation.chains["intercept_attempt"]
        if chain and await bodies.edit_request(exchange, attempt, without(chain, exchange.skipped)):  # 7 attempt interceptors
            attempt.fidelity = "edited"
        await bodies.request(exchange, attempt)  # 8 translate request
        attempt._send = lambda request: shared.transport.request(request, account)
        started = time.perf_counter()
        if not (
            isinstance(reply := bodies.counted(attempt) or await attempt.provider.execute(attempt), Reply)  # 9 execute
            and isinstance(reply.headers, Headers)
            and 200 <= reply.status < 600
        ):
            raise TypeError(f"answered {reply!r:.200}, not a Reply with Headers and a status from 200 to 599")
        if (told := await _judge(exchange, made, reply)) is not None:
            raise CallError(told)
        account.answered(time.perf_counter() - started)
        return reply
    except BaseException as fault:
        if isinstance(fault, CallError | BadRequest | NotDecoded) or not of_a_plugin(fault):
            raise
        log.warning("provider %r failed", attempt.provider.key, exc_info=fault)
        raise CallError(
            failure(
                "plugin",
                f"provider {attempt.provider.key!r} failed",
                code="provider_failed",
                detail=f"{type(fault).__name__}: {fault}",
                help="another",
            )
        ) from fault
    finally:
        if made.relay is None:  # a stream is counted out when it ends
            made.release()


async def _judge(exchange: Exchange, made: Tried, reply: Reply) -> Failure | None:
    """Return why an answer is none: by its status, by a look at its body, by the first event of its stream."""
    attempt = made.attempt
    if reply.status >= 300:
        made.reply = reply
        return attempt.classify(reply.status, reply.headers, bodies.error_body(reply))
    if reply.stream is None:
        return bodies.judge(attempt, reply, made)
    made.relay = Relay(exchange, reply, Source(reply.stream, attempt.dialect, exchange.generation.config.limits.event), made)
    return await made.relay.prime()


def _exhausted(exchange: Exchange, model: str) -> CallError:
    """Return the error for a call that nobody answered, chosen from what its attempts met."""
    failures = [tried.failure for tried in exchange.tried if tried.failure is not None]
    if not failures:
        return CallError(failure("overload", f"no candidate for {model!r} is eligible", code="no_candidate"))
    last, causes = failures[-1], {fault.cause for fault in failures}
    if last.cause in OWN_FAULT or len(failures) == 1:
        return CallError(last)
    cause: Cause = "rate" if causes <= _BUSY else "overload" if causes & (_BUSY | _UNFIT) else last.cause
    each = "; ".join(dict.fromkeys(f"{t.attempt.candidate.provider}: {t.failure.message}" for t in exchange.tried if t.failure))
    message = f"all {len(failures)} attempts for {model!r} failed: {each}"
    wait = min((fault.retry_after for fault in failures if fault.retry_after is not None), default=None)
    return CallError(failure(cause, message, code=last.code, retry_after=wait, detail=last.detail))
