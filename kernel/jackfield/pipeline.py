"""The one request path. Every dialect, streamed or not, from a client or nested, takes these stages in this order.

0 match - 1 authenticate - 2 peek - 3 route - 4 resolve - 5 intercept the request - 6 pick a credential -
7 intercept the attempt - 8 translate the request - 9 execute - 10 translate the answer -
11 intercept the answer - 12 complete
"""

import asyncio
from collections.abc import Awaitable

from jackfield import answers, attempts, plugin_routes
from jackfield.access import authenticate, check_allowed, refuse_strangers
from jackfield.api import CALLS, Body, Call, Reply, Route
from jackfield.api.canonical.crossing import request_codec
from jackfield.api.canonical.hurry import TIMEOUT, time_limit
from jackfield.bodies import change_request
from jackfield.dispatch import Chain, ask, without
from jackfield.exchange import LAST, Downstream, Exchange, Refused
from jackfield.generation import Generation
from jackfield.peek import peek
from jackfield.resolution import owners, resolve, usable
from jackfield.shared import Shared


def serve(shared: Shared, generation: Generation, downstream: Downstream) -> Awaitable[None]:
    """Serve one request of a client, from match to completion. Not `async`: a coroutine less to go through at each read."""
    try:
        if not (doorkeepers := generation.doorkeepers()):
            refuse_strangers(downstream)
        match = generation.routes.match(downstream.method, downstream.path, downstream.headers, downstream.query)  # 0 match
        if match is None:
            raise answers.no_route(generation, downstream)
    except Refused as refused:
        return answers.refuse_unmatched(generation, downstream, refused)
    call = Call(shared.next_id(), match.dialect, match.endpoint, downstream.headers, downstream.query)
    call.peer = downstream.peer
    exchange = Exchange(generation, call, match, downstream)
    exchange.doorkeepers = doorkeepers
    return run(shared, exchange)


async def run(shared: Shared, exchange: Exchange) -> None:
    """Take one call through the stages, whatever happens on the way, and complete it exactly once."""
    shared.begin(exchange)
    canceled = True
    try:
        try:
            await _stages(shared, exchange)
        except asyncio.CancelledError:
            if (reason := exchange.stopped()) is None:
                raise
            await answers.fail(exchange, reason)
        except ConnectionError:
            raise  # the client has left
        except Exception as fault:  # noqa: BLE001 (what is wrong in the host must not leave a client without an answer)
            await answers.fail(exchange, fault)
        canceled = False
    except ConnectionError:
        pass  # the client has left
    finally:
        shared.end(exchange)
        shared.completion.put(exchange, canceled)  # 12 complete


async def _stages(shared: Shared, exchange: Exchange) -> None:
    call, chains = exchange.call, exchange.generation.chains
    if exchange.owned is not None:
        await plugin_routes.answer(exchange, *exchange.owned)
        return
    if not exchange.inside:
        call.principal = await authenticate(exchange)  # 1 authenticate
        if (said := exchange.downstream.headers.get(TIMEOUT)) is not None:
            exchange.limits["client"] = time_limit(said)
    call.hide_keys()
    if call.operation not in CALLS:
        check_allowed(call, model=False)
        await (_resource(shared, exchange) if call.operation == "resource" else answers.query(exchange, shared.first_models))
        return
    await _peek(exchange)  # 2 peek
    if not exchange.inside:
        check_allowed(call, model=True)
    call.route = await _route(exchange, chains["route_model"]) if chains["route_model"] else None  # 3 model router
    targets = resolve(exchange)  # 4 model resolution
    exchange.sees_answer = LAST
    reply = await _intercept(exchange, chains["intercept_request"]) if chains["intercept_request"] else None  # 5 request interceptors
    if reply is None:
        reply = await attempts.answer(shared, exchange, targets)  # 6 scheduler to 9 execute, for each attempt
    await _answer(shared, exchange, reply)


async def _answer(shared: Shared, exchange: Exchange, reply: Reply) -> None:
    relay = await answers.prepare(exchange, reply)  # 10 translate response, 11 response interceptors
    await (relay.pump(shared.sweeper) if relay is not None else answers.send(exchange, reply))


async def _resource(shared: Shared, exchange: Exchange) -> None:
    """Ask those who may have what the request names; no model, no router and no translation take part."""
    exchange.call.body, exchange.sees_answer = Body(await exchange.downstream.read()), LAST
    await _answer(shared, exchange, await attempts.answer(shared, exchange, owners(exchange)))


async def _peek(exchange: Exchange) -> None:
    call = exchange.call
    source = await exchange.downstream.read()
    codec, limit = request_codec(exchange.dialect, call.operation), exchange.generation.config.limits.json
    call.body = Body(source, codec=codec, limit=limit, losses=exchange.losses)
    raw = source if isinstance(source, bytes) else source.view()
    call.model, call.stream = peek(raw, exchange.endpoint, exchange.params)


async def _route(exchange: Exchange, chain: Chain) -> Route | None:
    """Ask the routers in order; the first usable answer wins, what is not usable is passed over and noted."""
    rest = without(chain, exchange.skipped)
    while rest:
        hook, said, rest = await ask(rest, exchange.trace, exchange.call)
        route = hook.guard(exchange.trace, usable, exchange, said, hook.plugin) if hook is not None else None
        if hook is not None and route is not None:
            exchange.trace.note("route_model", hook.plugin, route.reason or str(route.executor or route.model or route.provider))
            return route
    return None


async def _intercept(exchange: Exchange, chain: Chain) -> Reply | None:
    """Let the request interceptors change the client's body in turn; return the answer if one gives it."""
    call = exchange.call
    rest = without(chain, exchange.skipped)
    while rest:
        hook, change, rest = await ask(rest, exchange.trace, call)
        if hook is None:
            break
        if change.respond is not None:
            if (reply := hook.guard(exchange.trace, answers.given, exchange, change.respond)) is not None:
                exchange.trace.note("intercept_request", hook.plugin, "answered")
                exchange.sees_answer = hook.rank
                return reply
            continue
        body = hook.guard(exchange.trace, change_request, exchange, call.body, change)
        exchange.request_headers.update(change.headers or {})
        if body is not None:
            call.body, exchange.body_touched = body, True
            exchange.trace.note("intercept_request", hook.plugin, "changed the body")
    return None
