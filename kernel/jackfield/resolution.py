"""Stage 4: who may answer a call, within the route that a router decided or as the client asked."""

import msgspec

from jackfield.api import Alternative, Candidate, Cause, Credential, Pool, Provider, Route, matches_any
from jackfield.api.canonical.names import for_others, serves
from jackfield.credentials import Account
from jackfield.exchange import Exchange, Refused
from jackfield.models import AUTO

Target = tuple[Pool, tuple[Cause, ...]]
"""A pool that may answer, and the causes of failure before it that it serves; none for all but the caller's own."""


def usable(exchange: Exchange, route: Route, plugin: str) -> Route:
    """Return a router's answer with `self` spelled out. Raises `ValueError` for one that leads nowhere."""
    if route.executor == "self":
        route = msgspec.structs.replace(route, executor=plugin)
    if route.model is route.provider is route.executor is None:
        raise ValueError("a route must name a model, a provider or an executor")
    if _pool(exchange, route) is None and not any(_pool(exchange, way) for way in route.otherwise):
        raise ValueError(f"a route to {route.executor or route.provider or route.model!r} leads nowhere")
    return route


def resolve(exchange: Exchange) -> list[Target]:
    """Return who may answer, in the order in which they are asked. Raises `Refused` with 404 when nobody could."""
    route = exchange.call.route or Route(model=exchange.call.model)
    ways: list[tuple[Route | Alternative, tuple[Cause, ...]]] = [(route, ())]
    ways += [(way, way.on if isinstance(way, Alternative) else ()) for way in route.otherwise]
    targets = [(pool, on) for way, on in ways if (pool := _pool(exchange, way)) is not None]
    name = route.model or exchange.call.model
    if not targets:
        raise _unknown(exchange, name)
    if name.startswith(AUTO) and (found := targets[0][0].model) != name:
        exchange.trace.note("resolve", "models", f"{name!r} stands for {found!r}, the newest model that can be called")
    known, asked, spoken = exchange.generation.models.known, exchange.call.operation, exchange.generation.dialects.values()
    if not any(serves(last := known(c.account.provider, c.model), asked) for pool, _ in targets for c in pool.all):
        raise Refused(400, for_others(name, asked, last, (exchange.dialect, *spoken)), code="wrong_endpoint", param="model")
    return targets


def owners(exchange: Exchange) -> list[Target]:
    """Return who may have what a request names. Raises `Refused` with 400 where nobody keeps such things."""
    keeping = [Candidate(account, "") for account in exchange.generation.accounts if exchange.call.dialect in account.provider.dialects]
    if not keeping:
        raise Refused(400, f"no provider here speaks {exchange.call.dialect}, so none has stored anything", code="nothing_stored")
    return [(Pool(exchange.params.get("id", ""), keeping), ())]


def _pool(exchange: Exchange, way: Route | Alternative) -> Pool | None:
    generation, name = exchange.generation, way.model or exchange.call.model
    if way.executor is None:
        return generation.models.resolve(name, way.provider)
    provider = next((p for key, p in generation.providers.items() if generation.owner[key].id == way.executor), None)
    if provider is None:
        return None
    nobody = Credential(id=f"{provider.key}:none", provider=provider.key, label=way.executor)
    return Pool(name, [Candidate(Account(nobody, provider), name)], direct=True)


def _unknown(exchange: Exchange, name: str) -> Refused:
    if (lacking := _without_key(exchange, name)) is not None:
        ways = [*(f"${name}" for name in (lacking.auth.env if lacking.auth else ())), "`credentials` in the configuration"]
        hint = f"provider {lacking.key!r} could serve it but has no key: set {' or '.join(ways)}"
    else:
        near = exchange.generation.models.near(name, exchange.call.principal)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "GET the list of models to see what can be called"
    return Refused(404, f"the model {name!r} does not exist here; {hint}", code="model_not_found", param="model")


def _without_key(exchange: Exchange, name: str) -> Provider | None:
    """Return a provider that would take this name but has no credential."""
    equipped = {account.provider.key for account in exchange.generation.accounts}
    head, known = name.partition("://" if "://" in name else "/")[0], exchange.generation.providers.values()
    return next((p for p in known if p.key not in equipped and (head == p.key or matches_any(name, p.patterns))), None)
