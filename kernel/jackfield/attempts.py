"""Stages 4 and 6 to 9: who may answer a call, and one attempt after the other until somebody does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield import translate
from jackfield.api import (
    Alternative,
    Attempt,
    CallError,
    Candidate,
    Cause,
    Credential,
    Delegate,
    Deny,
    Failure,
    Headers,
    Reply,
    Route,
    failure,
)
from jackfield.bodies import change_request
from jackfield.credentials import Account
from jackfield.dispatch import HookFailed, without
from jackfield.exchange import Exchange, Refused, Tried
from jackfield.models import without_credentials
from jackfield.pools import Seat, SeatPool
from jackfield.shared import Shared
from jackfield.source import Source
from jackfield.streams import Relay

OWN_FAULT: Final[frozenset[Cause]] = frozenset({"caller", "content"})
_MOST_DELEGATIONS: Final = 8


class Target(msgspec.Struct, frozen=True):
    """Who may answer: a pool, or one plugin's provider without credential and pool; and which failures lead here."""

    pool: SeatPool
    on: tuple[Cause, ...] = ()
    direct: bool = False


# ------------------------------------------------------------------------------------- 4 model resolution


def route_problem(exchange: Exchange, route: Route, plugin: str) -> str | None:
    """Return why a router's answer cannot be used; None when it can."""
    generation = exchange.generation
    if route.executor is not None:
        name = plugin if route.executor == "self" else route.executor
        return None if generation.provider_of_plugin.get(name) else f"plugin {name!r} has no provider"
    if route.provider is not None and route.provider not in generation.providers:
        return f"there is no provider {route.provider!r}"
    if route.model is None and route.provider is None:
        return "it names no model, provider or executor"
    pool = generation.models.resolve(route.model or exchange.call.model, route.provider)
    return None if pool is not None or route.otherwise else f"nobody serves {route.model or exchange.call.model!r}"


def own_route(route: Route, plugin: str) -> Route:
    """Return a router's answer with `self` spelled out."""
    return msgspec.structs.replace(route, executor=plugin) if route.executor == "self" else route


def resolve(exchange: Exchange) -> list[Target]:
    """Return who may answer, in the order in which they are asked. Raises `Refused` with 404 when nobody could."""
    call = exchange.call
    route = call.route or Route(model=call.model)
    found = [_target(exchange, route.model, route.provider, route.executor, ())]
    for way in route.otherwise:
        on = way.on if isinstance(way, Alternative) else ()
        found.append(_target(exchange, way.model, way.provider, way.executor, on))
    targets = [target for target in found if target is not None]
    if not targets:
        raise _unknown(exchange, route.model or call.model)
    return targets


def _target(exchange: Exchange, model: str | None, provider: str | None, executor: str | None, on: tuple[Cause, ...]) -> Target | None:
    generation, name = exchange.generation, model or exchange.call.model
    if executor is None:
        pool = generation.models.resolve(name, provider)
        return Target(pool, on) if pool is not None else None
    providers = generation.provider_of_plugin.get(executor)
    if not providers:
        return None
    account = Account(Credential(id=f"{providers[0].key}:none", provider=providers[0].key, kind="none", label=executor), providers[0])
    return Target(SeatPool(name, [Seat(account, name)]), on, direct=True)


def _unknown(exchange: Exchange, name: str) -> Refused:
    generation = exchange.generation
    lacking = without_credentials(name, generation.providers.values(), generation.accounts)
    if lacking is not None:
        names = " or ".join(f"${n}" for n in lacking.auth.env) if lacking.auth else ""
        hint = f"provider {lacking.key!r} could serve it but has no key: set {names + ' or ' if names else ''}credentials in the configuration"
    else:
        near = generation.models.near(name, exchange.call.principal)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "GET the list of models to see what can be called"
    return Refused(404, f"the model {name!r} does not exist here; {hint}", code="model_not_found", param="model")


# ---------------------------------------------------------------------------------------------- attempts


async def answer(shared: Shared, exchange: Exchange, targets: Sequence[Target]) -> Reply:
    """Return the first answer that an attempt gives, target after target. Raises `CallError` when none does."""
    for target in targets:
        causes = {tried.failure.cause for tried in exchange.tried if tried.failure is not None}
        if causes and not _serves(target, causes):
            continue
        reply = await _round(shared, exchange, target)
        if reply is not None:
            return reply
    raise _exhausted(exchange, targets[0].pool)


def _serves(target: Target, causes: set[Cause]) -> bool:
    return bool(causes & set(target.on)) if target.on else not causes & OWN_FAULT


async def _round(shared: Shared, exchange: Exchange, target: Target) -> Reply | None:
    """Try the candidates of a pool, each at most once, until one answers or what went wrong cannot be helped by another."""
    pool, tried = target.pool, frozenset[str]()
    while pool.eligible:
        seat = pool.eligible[0] if target.direct else await _pick(exchange, pool)
        attempt = _attempt(exchange, seat)
        made = Tried(attempt=attempt, account=seat.account)
        exchange.tried.append(made)
        reply = await _try(shared, exchange, made)
        exchange.trace.attempt(seat.id, seat.model, made.failure)
        if reply is not None:
            return reply
        if made.failure is not None and made.failure.help == "none":
            return None
        whole = made.failure is not None and made.failure.blame == "credential"
        tried |= {s.id for s in pool.all if s is seat or (whole and s.account is seat.account)}
        pool = target.pool.without(tried)
    return None


async def _pick(exchange: Exchange, pool: SeatPool) -> Seat:
    """Ask the scheduler that is selected, and those to which it delegates; without an answer take the next in turn."""
    generation = exchange.generation
    hook = generation.scheduler_for(exchange.call.model, pool.eligible[0].provider)
    for _ in range(_MOST_DELEGATIONS):
        if hook is None:
            break
        try:
            answer: Any = await hook(exchange.trace, exchange.call, pool)
        except HookFailed:
            break
        if isinstance(answer, Deny):
            exchange.rejected = True
            raise CallError(failure("rate" if answer.retry_after else "overload", answer.reason, retry_after=answer.retry_after, code="denied"))
        if isinstance(answer, Delegate):
            hook = generation.schedulers.get(answer.scheduler)
            continue
        if answer is None:
            break
        seat = next((s for s in pool.eligible if s is answer or s.id == getattr(answer, "id", None)), None)
        if seat is not None:
            return seat
        hook.guard(exchange.trace, _not_eligible, pool, answer)
        break
    return pool.next_in_turn()


def _not_eligible(pool: SeatPool, answer: Candidate) -> None:
    raise ValueError(f"picked {answer!r}: {pool.why(getattr(answer, 'id', ''))}")


def _attempt(exchange: Exchange, seat: Seat) -> Attempt:
    generation, call, provider = exchange.generation, exchange.call, seat.account.provider
    dialects = provider.dialects_of(seat.model)
    name = call.dialect if call.dialect in dialects else next((n for n in dialects if n in generation.dialects), "canonical")
    attempt = Attempt(call, provider, seat, generation.dialects[name])
    attempt.number = len(exchange.tried) + 1
    attempt.before = tuple(tried.failure for tried in exchange.tried if tried.failure is not None)
    attempt.base_url = seat.account.credential.base_url
    same = name == call.dialect
    attempt.endpoint = exchange.endpoint if same else translate.endpoint_for(attempt.dialect, call.operation, call.stream)
    if same:
        passed = generation.request_policy[name].passed(call.headers)
        attempt.headers = Headers(passed)
        attempt.query = generation.upstream_query(exchange.dialect, call.query)
    if exchange.request_headers:
        attempt.headers = attempt.headers.with_changes(exchange.request_headers)
    return attempt


async def _try(shared: Shared, exchange: Exchange, made: Tried) -> Reply | None:
    """Make one attempt. Returns the answer, or None with the failure noted."""
    attempt, account = made.attempt, made.account
    exchange.attempt = attempt
    account.in_flight += 1
    account.last_used = time.time()
    kept = False
    try:
        await _intercept_attempt(exchange, attempt)  # 7 attempt interceptors
        await translate.request(exchange, attempt)  # 8 translate request
        started = time.perf_counter()
        reply = await _execute(shared, attempt, account)  # 9 execute
        made.failure = await _judge(exchange, made, reply)
        if made.failure is None:
            account.answered(time.perf_counter() - started)
            kept = reply.stream is not None
            return reply
    except CallError as fault:
        made.failure = fault.failure
    except HookFailed as fault:
        made.failure = failure("plugin", f"plugin {fault.plugin!r} failed ({fault.hook})", code="plugin_failed")
    finally:
        if not kept:  # a stream is counted out when it ends
            account.in_flight -= 1
    return None


async def _intercept_attempt(exchange: Exchange, attempt: Attempt) -> None:
    for hook in without(exchange.generation.chains.intercept_attempt, exchange.skipped):
        change = await hook(exchange.trace, attempt)
        if change is None:
            continue
        if change.respond is not None:
            hook.guard(exchange.trace, _no_answer_here)
        body = hook.guard(exchange.trace, change_request, exchange, attempt.body, change)
        if body is not None:
            attempt.body = body
            attempt.fidelity = "edited"
        if change.headers:
            attempt.headers = attempt.headers.with_changes(change.headers)


def _no_answer_here() -> None:
    raise ValueError("only a request interceptor may answer a call (Change.respond)")


async def _execute(shared: Shared, attempt: Attempt, account: Account) -> Reply:
    async def send(request: Any) -> Any:
        return await shared.transport.send(request, account)

    attempt._send = send
    try:
        reply = await attempt.provider.execute(attempt)
    except CallError:
        raise
    except Exception as fault:
        key = attempt.provider.key
        raise CallError(failure("plugin", f"provider {key!r} failed", code="provider_failed", detail=f"{type(fault).__name__}: {fault}")) from fault
    if not isinstance(reply, Reply):
        raise CallError(failure("plugin", f"provider {attempt.provider.key!r} answered {type(reply).__name__}, not a Reply"))
    return reply


async def _judge(exchange: Exchange, made: Tried, reply: Reply) -> Failure | None:
    """Tell whether an answer is one: by its status, by a look at its body, by the first event of its stream."""
    attempt = made.attempt
    if reply.status >= 300:
        raw = translate.error_body(reply)
        made.reply = reply
        return attempt.provider.classify(attempt.dialect, reply.status, reply.headers, raw)
    if reply.stream is not None:
        source = Source(reply.stream, attempt.dialect, exchange.generation.config.limits.event)
        made.relay = Relay(exchange, reply, source, made)
        return await made.relay.prime()
    return translate.judge(attempt, reply, made)


def _exhausted(exchange: Exchange, pool: SeatPool) -> CallError:
    """Return the error for a call that nobody answered, chosen from what its attempts met."""
    failures = [tried.failure for tried in exchange.tried if tried.failure is not None]
    if not failures:
        return CallError(failure("overload", f"no candidate for {pool.model!r} is eligible", code="no_candidate"))
    last = failures[-1]
    if last.cause in ("caller", "content", "unsupported") or len(failures) == 1:
        return CallError(last)
    causes = {fault.cause for fault in failures}
    waits = [fault.retry_after for fault in failures if fault.retry_after is not None]
    busy: set[Cause] = {"rate", "quota"}
    cause: Cause = "rate" if causes <= busy else "overload" if causes & {"overload", "credential", "account_action", *busy} else last.cause
    each = "; ".join(dict.fromkeys(f"{t.attempt.candidate.provider}: {t.failure.message}" for t in exchange.tried if t.failure))
    message = f"all {len(failures)} attempts for {pool.model!r} failed: {each}"
    return CallError(failure(cause, message, code=last.code, retry_after=min(waits) if waits else None, detail=last.detail))
