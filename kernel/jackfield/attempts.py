"""Stages 6 to 9: one attempt after the other, until somebody answers."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from jackfield import bodies
from jackfield.api import (
    Attempt,
    BadRequest,
    Body,
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
    windows,
)
from jackfield.api.canonical.crossing import endpoint_for, response_codec
from jackfield.api.canonical.incoming import counted, error_body, judge, refuses_signature
from jackfield.dispatch import ask, of_a_plugin, without
from jackfield.exchange import OWN_FAULT, Exchange, Tried
from jackfield.health import Health, passes, until_when
from jackfield.resolution import Target
from jackfield.shared import Shared
from jackfield.source import Source
from jackfield.streams import Relay
from jackfield.trace import log

_BUSY: Final[frozenset[Cause]] = frozenset({"rate", "quota"})
_UNFIT: Final[frozenset[Cause]] = frozenset({"overload", "credential", "account_action"})
_MOST_DELEGATIONS: Final = 8
_MEASURED_APART: Final = 1.0
"""Seconds between two looks at what the answers of a busy account say of its quota: it does not change that fast."""
_JITTER: Final = 0.1
"""Seconds at most that a call waits longer than it must, so that not all come back at once."""
_SOON: Final = 0.25
"""Seconds after which a call looks again that may not make a repeated attempt now: more where there are many to look at."""


async def answer(shared: Shared, exchange: Exchange, targets: Sequence[Target]) -> Reply:
    """Return the first answer that an attempt gives, target after target. Raises `CallError` when none does."""
    shared.lasting.retries.calls += 1
    if exchange.dialect.stateful and not targets[0][0].direct:
        targets = await shared.bindings.narrow(exchange, targets)
    for pool, on in targets:
        causes = {tried.failure.cause for tried in exchange.tried if tried.failure is not None}
        if not causes or (causes & set(on) if on else not causes & {"caller", "content"}):
            reply = await _round(shared, exchange, pool) or await _further_rounds(shared, exchange, pool)
            if reply is not None:
                return reply
    raise _exhausted(shared.lasting.health, exchange, targets)


async def _further_rounds(shared: Shared, exchange: Exchange, pool: Pool) -> Reply | None:
    """Try again those who rest for a moment only, until one answers, nothing can help, or the call has waited long enough."""
    health, settings = shared.lasting.health, exchange.generation.config.attempts
    end, reply = time.monotonic() + settings.wait, None
    while reply is None and not pool.direct:
        before = len(exchange.tried)
        if before and (told := exchange.tried[-1].failure) is not None and told.help == "none":
            break
        done = _done(exchange)
        pause = _SOON * (1 + len(pool.all) / 1000) if exchange.unpaid else health.soonest(c for c in pool.all if c.id not in done)
        if pause is None or time.monotonic() + pause > end:
            if not await shared.refreshing.one_of(pool, end):
                break
        else:
            await asyncio.sleep(pause + random.random() * _JITTER)  # noqa: S311 (not so that all come back at once)
        exchange.unpaid = False
        reply = await _round(shared, exchange, pool)
        if len(exchange.tried) == before > 0 and not exchange.unpaid:
            break
    return reply


async def _round(shared: Shared, exchange: Exchange, pool: Pool) -> Reply | None:
    """Try the candidates of a pool, each at most once, until one answers or what went wrong cannot be helped by another."""
    settings, tried, left = exchange.generation.config.attempts, frozenset[str](), pool
    if exchange.tried:
        tried = _done(exchange)
        left = pool.without(tried)
    again: Candidate | None = None
    while len(exchange.tried) < settings.most and (candidate := again or await _next(shared, exchange, left)) is not None:
        again, used = None, candidate.account.credential
        if used.limits is not None and not await shared.agreed.admits(candidate.account):
            continue  # it rests now
        made = Tried(attempt=_attempt(exchange, candidate), account=candidate.account)
        exchange.tried.append(made)
        try:
            return await _try(shared, exchange, made)
        except CallError as fault:
            told = fault.failure
            made.fail(told)
        if not exchange.unsigned and made.reply is not None and refuses_signature(made.attempt, made.reply):
            exchange.unsigned = True  # once more, without any
            continue
        if told.cause == "credential" and not exchange.renewed and await shared.refreshing.after_refusal(candidate.account, used):
            exchange.renewed, again = True, candidate  # once more, with a fresh key
            continue
        if told.help == "none" and not (exchange.call.operation == "resource" and told.status == 404):
            break
        # What is the credential's own fault would meet its other models too.
        tried |= {s.id for s in pool.all if s is candidate or (told.blame == "credential" and s.account is candidate.account)}
        left = pool.without(tried)
    return None


def _done(exchange: Exchange) -> frozenset[str]:
    """Return the candidates that this call does not try again: often enough, or for what does not pass."""
    times = Counter(tried.attempt.candidate.id for tried in exchange.tried)
    lasting = {tried.attempt.candidate.id for tried in exchange.tried if not passes(tried.failure)}
    return frozenset(lasting.union(name for name, n in times.items() if n >= exchange.generation.config.attempts.per_credential))


async def _next(shared: Shared, exchange: Exchange, pool: Pool) -> Candidate | None:
    """Return who is tried next: one who is due to be probed, else the scheduler's pick, else one whose rest is a guess."""
    health, owner = shared.lasting.health, exchange.prefers
    if owner and not exchange.tried and (first := [candidate for candidate in pool.eligible if candidate.credential == owner]):
        exchange.trace.note("pick_credential", "kernel", f"prefers {owner}: it can read the encrypted thoughts")
        return await _pick(exchange, Pool(pool.model, first))
    if (due := health.due(pool)) is not None and await shared.agreed.may_probe(due, health.probe.interval):
        exchange.trace.note("pick_credential", "kernel", f"probes {due.id}: {due.health}")
        return due
    if pool.eligible:
        if exchange.tried and not _anybody_new(exchange, pool) and not _paid(shared, exchange):
            return None
        return pool.eligible[0] if pool.direct else await _pick(exchange, pool)
    if (resort := health.last_resort(pool)) is not None and (not exchange.tried or _paid(shared, exchange)):
        exchange.trace.note("pick_credential", "kernel", f"nobody is eligible: tries {resort.id} all the same: {resort.health}")
        return resort
    return None


def _paid(shared: Shared, exchange: Exchange) -> bool:
    """Tell whether the call may make a repeated attempt. Else it waits: another call's attempt may find somebody well."""
    exchange.unpaid = not shared.lasting.retries.spend(exchange.generation.config.attempts.budget)
    return not exchange.unpaid


def _anybody_new(exchange: Exchange, pool: Pool) -> bool:
    """Tell whether somebody is eligible whom the call has not tried yet."""
    before = {made.attempt.candidate.id for made in exchange.tried}
    return any(candidate.id not in before for candidate in pool.eligible)


async def _pick(exchange: Exchange, pool: Pool) -> Candidate:
    """Ask the scheduler that is selected, and those to which it delegates; without an answer take the next in turn."""
    generation = exchange.generation
    hook = generation.scheduler_for(exchange.call.model, pool.eligible[0].provider)
    for _ in range(_MOST_DELEGATIONS):
        _, picked, _ = await ask((hook,) if hook is not None else (), exchange.trace, exchange.call, pool)
        if isinstance(picked, Candidate) and not pool.why(picked.id):
            return picked
        if isinstance(picked, Deny):
            exchange.rejected, wait = True, picked.retry_after
            raise CallError(failure("overload" if wait is None else "rate", picked.reason, retry_after=wait, code="denied", help="none"))
        if not isinstance(picked, Delegate):
            if picked is not None and hook is not None:
                fault = ValueError(f"picked {picked!r}, but {pool.why(getattr(picked, 'id', ''))}")
                hook.give_up(exchange.trace, hook.failed(fault))
            break
        if (hook := generation.schedulers.get(picked.scheduler)) is None:
            exchange.trace.note("pick_credential", "kernel", f"there is no scheduler {picked.scheduler!r}: takes the next in turn")
    return pool.next_in_turn()


def _attempt(exchange: Exchange, candidate: Candidate) -> Attempt:
    generation, call, provider = exchange.generation, exchange.call, candidate.account.provider
    dialects = generation.models.knowledge.dialects_of(provider, candidate.model) if candidate.model else provider.dialects
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
    copied = generation.copied.get(candidate.credential, {})
    if copied or exchange.request_headers:
        said = {name: call._full_headers.get(client) for name, client in copied.items()}
        attempt.headers = bodies.sendable(attempt.headers.with_changes(said | exchange.request_headers))
    return attempt


async def _try(shared: Shared, exchange: Exchange, made: Tried) -> Reply:
    """Make one attempt and return its answer. Raises `CallError` when it fails."""
    attempt, account = made.attempt, made.account
    exchange.attempt = attempt
    account.begin()
    try:
        chain = exchange.generation.chains["intercept_attempt"]
        if chain and await bodies.edit_request(exchange, attempt, without(chain, exchange.skipped)):  # 7 attempt interceptors
            attempt.fidelity = "edited"
        await bodies.request(exchange, attempt)  # 8 translate request
        attempt._send = shared.sender(exchange, made)
        started = time.perf_counter()
        if not (
            isinstance(reply := counted(attempt) or await attempt.provider.execute(attempt), Reply)  # 9 execute
            and isinstance(reply.headers, Headers)
            and 200 <= reply.status < 600
        ):
            raise TypeError(f"answered {reply!r:.200}, not a Reply with Headers and a status from 200 to 599")
        if made.watch is not None:
            made.watch.since = None
        if (told := await _judge(shared, exchange, made, reply)) is None:
            account.answered(attempt.candidate.model, time.perf_counter() - started)
        busy = account.in_flight > 1 and account.last_used - account.measured_at < _MEASURED_APART
        if attempt.provider.quota and (reply.status >= 400 or not busy):
            account.measured(attempt.candidate.model, windows(attempt.provider.quota, reply.headers))
        if told is not None:
            raise CallError(told)
        return reply
    except BaseException as fault:
        if made.watch is not None and isinstance(fault, asyncio.CancelledError):
            made.watch.settle()
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


async def _judge(shared: Shared, exchange: Exchange, made: Tried, reply: Reply) -> Failure | None:
    """Return why an answer is none: by its status, by a look at its body, by the first event of its stream."""
    attempt, dialect = made.attempt, made.attempt.dialect
    if reply.status >= 300:
        made.reply = reply
        return attempt.classify(reply.status, reply.headers, error_body(reply))
    learn = partial(shared.bindings.learn, exchange, attempt) if dialect.stateful and dialect.name == attempt.call.dialect else None
    if reply.stream is None:
        made.usage, told = judge(attempt, reply)
        return told or (learn(error_body(reply), whole=True) if learn is not None else None)
    source = Source(reply.stream, dialect, exchange.generation.config.limits.event, learn, made.watch)
    made.relay = relay = Relay(exchange, reply, source, made)
    if (told := await relay.prime()) is None and not exchange.call.stream:
        reply.body = Body(canonical=await relay.assemble(), codec=response_codec(dialect, attempt.call.operation))
        reply.stream = None
    return told


def _exhausted(health: Health, exchange: Exchange, targets: Sequence[Target]) -> CallError:
    """Return the error for a call that nobody answered, chosen from what its attempts met, or from why there were none."""
    failures = [tried.failure for tried in exchange.tried if tried.failure is not None]
    if failures:
        return CallError(_after_attempts(exchange, failures, targets[0][0].model))
    return CallError(_all_rest(health, targets[0][0], exchange.generation.config.attempts.all_unavailable_status))


def _after_attempts(exchange: Exchange, failures: Sequence[Failure], model: str) -> Failure:
    last, causes = failures[-1], {fault.cause for fault in failures}
    if last.cause in OWN_FAULT or len({tried.attempt.candidate.id for tried in exchange.tried}) == 1:
        return last
    cause: Cause = "rate" if causes <= _BUSY else "overload" if causes & (_BUSY | _UNFIT) else last.cause
    each = "; ".join(dict.fromkeys(f"{t.attempt.candidate.provider}: {t.failure.message}" for t in exchange.tried if t.failure))
    message = f"all {len(failures)} attempts for {model!r} failed: {each}"
    wait = min((fault.retry_after for fault in failures if fault.retry_after is not None), default=None)
    return failure(cause, message, code=last.code, retry_after=wait, detail=last.detail)


def _all_rest(health: Health, pool: Pool, shown: int | None) -> Failure:
    """Say why nobody can be asked: `all 3 credentials for 'm' are resting: 2 rate-limited until 12:31:05, 1 switched off`."""
    wait, many = health.soonest(pool.all), len(pool.all)
    causes = {row.cause for candidate in pool.all for row in health.rows(candidate)}
    who = f"all {many} credentials for {pool.model!r} are" if many > 1 else f"the only credential for {pool.model!r} is"
    says = f"{who} resting: {health.reasons(pool.all)}"
    waits = causes and causes <= _BUSY and not any(candidate.account.off for candidate in pool.all)
    wait = wait if wait is not None and until_when(time.time() + wait) else None
    return failure("rate" if waits else "overload", says, code="all_resting", retry_after=wait, shown=shown)
