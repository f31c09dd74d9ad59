"""A generation: one immutable state of the host. A call holds the one that it began with.

Building one turns configuration and plugins into what the pipeline walks: chains, routes, dialects,
providers, models. What must outlive it (accounts, pools of connections, costs) is handed in.
"""

import os
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from jackfield import dispatch, plugins
from jackfield.addresses import origin_of
from jackfield.api import (
    CredentialSource,
    Dialect,
    Headers,
    ModelInfo,
    Pairs,
    Provider,
    StateStore,
    Translator,
    matches,
    matches_any,
)
from jackfield.canonical_dialect import CanonicalDialect
from jackfield.config import Loaded
from jackfield.credentials import Account, accounts, from_config, from_environment, from_sources, implied
from jackfield.dispatch import Chain, Hook
from jackfield.models import Registry
from jackfield.plugins import Plugin
from jackfield.routes import Routes
from jackfield.settings import Schedulers

NEVER_SENT: Final = frozenset({
    "authorization", "proxy-authorization", "cookie", "set-cookie", "host", "content-length", "content-type", "content-encoding",
    "accept-encoding", "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "trailers",
    "transfer-encoding", "upgrade", "expect", "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-port", "x-real-ip", "x-api-key", "api-key", "origin", "referer",
})  # fmt: skip
"""Headers that no policy lets through, either way: keys, cookies, hop-by-hop and forwarding headers, and those of the body."""


class Policy:
    """Which headers of one dialect pass, in one direction."""

    def __init__(self, names: frozenset[str], allow: Sequence[str], deny: Sequence[str], never: frozenset[str]) -> None:
        self._names = frozenset(name for name in names if not matches_any(name, deny)) - never
        self._allow = tuple(name.lower() for name in allow)
        self._deny = tuple(name.lower() for name in deny)
        self._never = never

    def passed(self, headers: Headers) -> list[tuple[str, str]]:
        """Return the headers that pass."""
        if not self._allow and headers.has_none_of(self._names):
            return []
        return [pair for pair in headers if pair[0].lower() in self._names or (self._allow and self._widened(pair[0].lower()))]

    def _widened(self, name: str) -> bool:
        return name not in self._never and matches_any(name, self._allow) and not matches_any(name, self._deny)


class Chains(msgspec.Struct, frozen=True, kw_only=True):
    """The hooks of every stage, in the order in which they are called."""

    authenticate: Chain = ()
    route_model: Chain = ()
    intercept_request: Chain = ()
    intercept_attempt: Chain = ()
    normalize_request: Chain = ()
    normalize_response: Chain = ()
    intercept_response: Chain = ()
    intercept_stream: Chain = ()
    request_complete: Chain = ()
    handle_usage: Chain = ()


class Generation:
    """Everything that one configuration and one set of plugins amount to."""

    def __init__(self, number: int, loaded: Loaded, found: Sequence[Plugin]) -> None:
        self.number = number
        self.loaded = loaded
        self.config = loaded.config
        self.plugins = found
        self.problems: list[str] = list(loaded.problems)
        self.dialects: dict[str, Dialect] = {}
        self.providers: dict[str, Provider] = {}
        self.providers_of: dict[str, list[Provider]] = {}
        self.plugin_of_provider: dict[str, Plugin] = {}
        self.translators: dict[tuple[str, str], Translator] = {}
        self.sources: list[tuple[str, CredentialSource]] = []
        self.accounts: list[Account] = []
        self.models = Registry((), {})
        self.chains = Chains()
        self.schedulers: dict[str, Hook] = {}
        self.routes = Routes(())
        self.request_policy: dict[str, Policy] = {}
        self.response_policy: dict[str, Policy] = {}
        self.state: StateStore | None = None
        self._scheduler: Schedulers = Schedulers()
        self._doorkeepers: list[object] = []
        self._extra_models: list[tuple[str, ModelInfo]] = []

    def has_access_rules(self) -> bool:
        """Tell whether anybody is asked who calls. Asked anew each time: keys may come and go."""
        return any(map(_has_rules, self._doorkeepers))

    def scheduler_for(self, model: str, provider: str) -> Hook | None:
        """Return the scheduler that the configuration selects: by model, by provider, in general."""
        chosen = self._scheduler
        if chosen.models or chosen.providers:
            by_model = next((name for pattern, name in chosen.models.items() if matches(model, pattern)), None)
            name = by_model or chosen.providers.get(provider) or chosen.default
        else:
            name = chosen.default
        return self.schedulers.get(name) if name else None

    def upstream_query(self, dialect: Dialect, query: Pairs) -> Pairs:
        """Return the query keys that belong to the dialect's protocol."""
        if not query or not dialect.request_query:
            return _NO_PAIRS
        return Pairs(pair for pair in query if pair[0] in dialect.request_query)


    def close(self) -> None:
        """Let go of the threads of its hooks."""
        for name in Chains.__struct_fields__:
            for hook in getattr(self.chains, name):
                hook.close()
        for hook in self.schedulers.values():
            hook.close()


_NO_PAIRS: Final = Pairs()


def _has_rules(thing: object) -> bool:
    rules = getattr(thing, "has_rules", True)
    return bool(rules() if callable(rules) else rules)


class Lasting(msgspec.Struct, kw_only=True):
    """What outlives generations, by id."""

    costs: dict[tuple[str, str], dispatch.Cost] = {}
    accounts: dict[str, Account] = {}
    pools: dict[str, Any] = {}


async def build(number: int, loaded: Loaded, found: Sequence[Plugin], lasting: Lasting) -> Generation:
    """Make a generation of plugins that are loaded. What is wrong becomes a listed problem."""
    made = Generation(number, loaded, found)
    _take_objects(made)
    hooks = _hooks(made, lasting)
    made.chains = Chains(**{name: dispatch.chain_of(hooks, name) for name in Chains.__struct_fields__})
    made.schedulers = {hook.plugin: hook for hook in hooks if hook.name == "pick_credential"}
    _choose_scheduler(made)
    _check_exclusive_access(made)
    made._doorkeepers = [plugin.object for plugin in found if "authenticate" in plugin.implementations]
    made.routes = Routes(made.dialects.values())
    _set_policies(made)
    await _take_accounts(made, lasting)
    return made


def _take_objects(made: Generation) -> None:
    made.dialects["canonical"] = CanonicalDialect()
    # Named plugins go first: one that is merely installed takes no key that another holds, whatever its priority.
    ordered = sorted((p for p in made.plugins if p.state == "active"), key=lambda p: (not p.named, -p.priority, p.id))
    for plugin in ordered:
        for dialect in _objects(plugin, "register_dialects"):
            _put(made.dialects, dialect.name, dialect, plugin)
    for plugin in ordered:
        for provider in _objects(plugin, "register_providers"):
            problem = _provider_problem(provider, made)
            if problem:
                plugin.problems.append(f"plugin {plugin.id!r}: {problem}")
            elif _put(made.providers, provider.key, provider, plugin):
                made.plugin_of_provider[provider.key] = plugin
                made.providers_of.setdefault(plugin.id, []).append(provider)
        for translator in _objects(plugin, "register_translators"):
            _put(made.translators, (translator.source, translator.target), translator, plugin)
        for kind, make in _objects(plugin, "register_state_stores"):
            if kind == made.config.state and made.state is None:
                made.state = make({})
        made.sources += [(plugin.id, source) for source in _objects(plugin, "register_credential_sources")]
        made._extra_models += _objects(plugin, "register_models")


def _objects(plugin: Plugin, hook: str) -> list[Any]:
    implementation = plugin.implementations.get(hook)
    if implementation is None:
        return []
    try:
        return list(implementation.function() or ())
    except Exception as fault:  # noqa: BLE001 (a plugin may raise anything)
        plugin.problems.append(f"plugin {plugin.id!r}: {hook} raised {type(fault).__name__}: {fault}")
        return []


def _put(table: dict[Any, Any], key: Any, thing: object, plugin: Plugin) -> bool:
    if key in table:
        plugin.problems.append(f"plugin {plugin.id!r}: {key!r} is shadowed: a plugin of higher priority has one")
        return False
    table[key] = thing
    return True


def _provider_problem(provider: object, made: Generation) -> str | None:
    key = getattr(provider, "key", None)
    if not isinstance(key, str) or not key or not callable(getattr(provider, "execute", None)):
        return f"register_providers: {provider!r} is no provider: it needs a `key` and an `execute`"
    unknown = [name for name in getattr(provider, "dialects", ()) if name not in made.dialects]
    if unknown and len(unknown) == len(list(getattr(provider, "dialects", ()))):
        return f"provider {key!r}: no plugin has the dialect {unknown[0]!r}; known: {', '.join(sorted(made.dialects))}"
    return None


def _hooks(made: Generation, lasting: Lasting) -> list[Hook]:
    hooks = []
    for plugin in made.plugins:
        for name, implementation in plugin.implementations.items():
            if not name.startswith("register_"):
                cost = lasting.costs.setdefault((plugin.id, name), dispatch.Cost())
                hook = Hook(plugin, implementation, made.config.hooks, cost)
                hooks.append(hook)
    return hooks


def _choose_scheduler(made: Generation) -> None:
    said = made.config.scheduler
    chosen = said if isinstance(said, Schedulers) else Schedulers(default=said)
    if chosen.default is None:
        by_id = {plugin.id: plugin for plugin in made.plugins}
        # What the operator named goes before what is merely installed.
        ranked = sorted(made.schedulers, key=lambda name: (not by_id[name].by_operator, -by_id[name].priority, name))
        chosen = msgspec.structs.replace(chosen, default=ranked[0] if ranked else None)
    for name in {chosen.default, *chosen.providers.values(), *chosen.models.values()} - {None}:
        if name not in made.schedulers:
            known = ", ".join(sorted(made.schedulers)) or "none"
            made.problems.append(f"{made.loaded.source}: scheduler: no plugin {name!r} picks credentials; known: {known}")
    made._scheduler = chosen


def _check_exclusive_access(made: Generation) -> None:
    only = made.config.access.only
    if only is None:
        return
    chain = tuple(hook for hook in made.chains.authenticate if hook.plugin == only)
    if not chain:
        raise plugins.PluginLoadError(f"{made.loaded.source}: access.only: no plugin {only!r} that authenticates is active")
    made.chains = msgspec.structs.replace(made.chains, authenticate=chain)


def _set_policies(made: Generation) -> None:
    rules = made.config.headers
    for name, dialect in made.dialects.items():
        own_keys = frozenset(dialect.key_headers)
        never = NEVER_SENT | own_keys
        made.request_policy[name] = Policy(dialect.request_headers, rules.request.allow, rules.request.deny, never)
        made.response_policy[name] = Policy(dialect.response_headers, rules.response.allow, rules.response.deny, never)


async def _take_accounts(made: Generation, lasting: Lasting) -> None:
    providers = list(made.providers.values())
    held = [
        *from_config(made.loaded),
        *await from_sources(made.sources, made.problems),
        *from_environment(_granted(made)),
        *implied(providers),
    ]
    made.accounts = accounts(held, made.providers, lasting.accounts, made.problems)
    lasting.accounts.update({account.credential.id: account for account in made.accounts})
    made.models = Registry(made.accounts, made.config.models.aliases)
    made.models.add_models(made._extra_models)


def _granted(made: Generation) -> list[Provider]:
    """Return the providers that may take a key from the environment: a variable belongs to the first that the configuration names."""
    holders: dict[str, Plugin] = {}
    for plugin in sorted(made.plugins, key=lambda p: (not p.named, -p.priority, p.id)):
        for provider in made.providers_of.get(plugin.id, ()):
            for name in provider.auth.env if provider.auth else ():
                holders.setdefault(name, plugin)
    allowed = []
    for key, provider in made.providers.items():
        plugin = made.plugin_of_provider[key]
        taken = [n for n in (provider.auth.env if provider.auth else ()) if holders[n] is not plugin and not plugin.named]
        if taken:
            plugin.problems.append(f"plugin {plugin.id!r}: ${taken[0]} belongs to {holders[taken[0]].id!r}; name the plugin in the configuration")
        else:
            allowed.append(provider)
    return allowed


def private_origins(made: Generation) -> frozenset[str]:
    """Return the origins that may be private addresses: those that the configuration spells out, and those of plugins that it names."""
    named = (p for key, p in made.providers.items() if made.plugin_of_provider[key].named)
    bases = [base for provider in named if isinstance(base := getattr(provider, "base_url", None), str)]
    bases += [account.credential.base_url for account in made.accounts if account.credential.base_url]
    return made.loaded.origins | {origin for base in bases if (origin := origin_of(base))}
